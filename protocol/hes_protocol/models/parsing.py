"""
Meter-model tables: what collectors and simulators both know of a model, as data.

Owns the parsing of `config/models/*.toml`, whose text is passed in; reads no file itself. A model
names its public source and holds the quirks of its meters and of their pushes.

    name = "kaifa-ma304"                 # unique
    maker = "Kaifa"
    inherits = "kaifa"                   # optional: quirks and layouts of another model
    source = "where this is published"

    [quirks]                             # flags, see `quirks`

    [[push]]                             # a payload that does not name all of its values
    marker = "KFM_001"                   # its first text begins so
    push_setup = "0.6.25.9.0.255"        # the push setup that it names is this one
    elements = 14                        # it has so many elements
    objects = ["1.1.0.2.129.255", ""]    # what its elements are, in order, where they are bare;
                                         # "" for what has no name
    known_model_only = true              # nothing tells it apart: only where the model is known

    [push.scalers]                       # scaler and unit that the frame leaves out
    "1.0.31.7.0.255" = [-3, "A"]         # "" for a count

A model that inherits has its parent's quirks, each of which it may set anew, and its parent's push
layouts unless it has any of its own. The parent may inherit in turn; which file comes first does
not matter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hes_protocol.errors import LocalProtocolError
from hes_protocol.models.layouts import parse_layout
from hes_protocol.models.model import Model
from hes_protocol.quirks import STANDARD, parse_quirks

_KEYS: Final = frozenset({"name", "maker", "inherits", "source", "quirks", "push"})


def parse_models(texts: Iterable[str]) -> tuple[Model, ...]:
    """
    Read model files that may inherit from each other.

    Returns: the models in the order of their files.
    Raises: LocalProtocolError: a text is no TOML or no model, two have one name, or a model
        inherits from none of the others or, however far round, from itself; it says which.
    """
    documents: dict[str, dict[str, Any]] = {}
    for text in texts:
        document = _document(text)
        name = str(document.get("name", "?"))
        if name in documents:
            raise LocalProtocolError(f"model {name}: there are two")
        documents[name] = document
    models: dict[str, Model] = {}
    for name in documents:
        for heir in reversed(_line(name, documents)):
            if heir not in models:
                parent = documents[heir].get("inherits")
                models[heir] = _model(documents[heir], models[parent] if parent else None)
    return tuple(models[name] for name in documents)


def parse_model(text: str) -> Model:
    """
    Read one model file that does not inherit.

    Raises: LocalProtocolError: the text is no TOML or no model; it says where.
    """
    [model] = parse_models([text])
    return model


def _document(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LocalProtocolError(f"model: {error}") from None


def _line(name: str, documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A model and those that it inherits from, nearest first."""
    line = [name]
    while (parent := documents[line[-1]].get("inherits")) is not None:
        if not isinstance(parent, str) or parent not in documents:
            raise LocalProtocolError(f"model {line[-1]}: inherits {parent!r}, which is no model")
        if parent in line:
            raise LocalProtocolError(f"model {name}: inherits itself through {line[-1]}")
        line.append(parent)
    return line


def _model(document: Mapping[str, Any], parent: Model | None) -> Model:
    name = document.get("name", "?")
    try:
        unknown = document.keys() - _KEYS
        if unknown:
            raise ValueError(f"there is no {min(unknown)}")  # noqa: TRY301
        push = tuple(parse_layout(name, table) for table in document.get("push", []))
        return Model(
            name=_text(document, "name"),
            maker=_text(document, "maker"),
            source=_text(document, "source"),
            push=push or (parent.push if parent else ()),
            quirks=parse_quirks(_table(document, "quirks"), parent.quirks if parent else STANDARD),
            inherits=document.get("inherits"),
        )
    except KeyError as error:
        raise LocalProtocolError(f"model {name}: {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise LocalProtocolError(f"model {name}: {error}") from None


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is no text")
    return value


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} is no table")  # noqa: TRY004
    return value
