"""The scenarios of simulated fleets: those of `config/scenarios` by name, any other by file."""

from __future__ import annotations

from pathlib import Path

import hes


class ScenarioNotFoundError(Exception):
    """There is no scenario of that name and no such file; the text names those there are."""


def folder() -> Path:
    """Where the scenarios lie that come with us: the clone or the wheel."""
    package = Path(hes.__file__).parent
    installed = package / "_config"
    return (installed if installed.is_dir() else package.parent / "config") / "scenarios"


def names() -> list[str]:
    """Of the scenarios that come with us."""
    return sorted(file.stem for file in folder().glob("*.toml"))


def scenario_file(name: str) -> Path:
    """
    The file of a scenario.

    Args: name: one of `names`, or the path of a file.
    Raises: ScenarioNotFoundError: it is neither.
    """
    if name in names():
        return folder() / f"{name}.toml"
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return path
    raise ScenarioNotFoundError(
        f"{name!r} is neither a file *.toml nor one of {', '.join(names())}"
    )
