"""
The meter models of `config/models`, read from where they lie: the clone, or `hes` in the wheel.

Owns finding and reading the files; what they say is `hes_protocol.models`.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hes_protocol.models import Model, parse_model_files

HOUSEHOLD: Final = "hes-household"
"""The model of meters of which nothing else is said."""


class UnknownModelError(ValueError):
    """There is no simulated meter of that model; the text names those that there are."""


@cache
def models() -> dict[str, Model]:
    """
    All models by name.

    Raises: LocalProtocolError: a file is broken. FileNotFoundError: there are no files.
    """
    files = sorted(_folder().glob("*.toml"))
    parsed = parse_model_files({file.stem: file.read_text(encoding="utf-8") for file in files})
    return {model.name: model for model in parsed}


def simulated_model(name: str = HOUSEHOLD) -> Model:
    """
    The model of simulated meters of that name.

    Raises: UnknownModelError: there is none.
    """
    known = models()
    if name not in known or not known[name].simulated:
        names = ", ".join(sorted(one.name for one in known.values() if one.simulated))
        raise UnknownModelError(f"model {name} is none of {names}")
    return known[name]


def _folder() -> Path:
    clone = Path(__file__).parents[2] / "config" / "models"
    if clone.is_dir():
        return clone
    head_end = find_spec("hes")  # where the wheel has the files; nothing of it is imported
    for place in (head_end.submodule_search_locations or []) if head_end else []:
        if (folder := Path(place) / "_config" / "models").is_dir():
            return folder
    raise FileNotFoundError("no config/models: neither in a clone nor in the wheel")
