"""The meter models of `config/models`, read from where they lie: the clone or the wheel."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import hes
from hes.domain.errors import PermanentError
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import Model, PushLayout, parse_model_files, push_layouts


class ModelFileError(PermanentError):
    """A file in `config/models` is no model; the text says which one and where."""


def _folder() -> Path:
    package = Path(hes.__file__).parent
    installed = package / "_config"
    return (installed if installed.is_dir() else package.parent / "config") / "models"


@cache
def models() -> tuple[Model, ...]:
    """
    All meter models.

    Raises: ModelFileError: a model file is broken; it says which and where.
    """
    files = sorted(_folder().glob("*.toml"))
    try:
        return parse_model_files({file.stem: file.read_text(encoding="utf-8") for file in files})
    except (LocalProtocolError, UnicodeDecodeError) as error:
        raise ModelFileError(_unreadable(files) or str(error)) from error


def _unreadable(files: Iterable[Path]) -> str | None:
    """The first file without a model's name by which to tell what is wrong."""
    for file in files:
        try:
            tomllib.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            return f"{file}: {error}"
    return None


@cache
def model_push_layouts() -> tuple[PushLayout, ...]:
    """The push layouts of all models, those that demand more first."""
    return push_layouts(models())
