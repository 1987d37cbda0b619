"""
Model files: TOML in, `Model` out.

    name = "kaifa-ma304"                 # unique, and the file's
    maker = "Kaifa"
    about = "three phases, HAN"          # optional: one line for people
    inherits = "kaifa"                   # optional: everything of another model
    source = "where this is published"
    device_name = "KFM"                  # optional: how its logical device names begin

    [quirks]                             # flags, see `quirks`
    [[push]]                             # how to read its pushes, see `layouts`
    [dial_in]                            # how it behaves when it calls us, see `dial_in`
    [meter] [client.NAME] [[object]] [[profile]] [[event_log]] [[alarm]] [[push_setup]]
                                         # its inside, see `heirs`, `inside` and `notation`

A model that inherits has its parent's quirks, each of which it may set anew, its parent's push
layouts and its table [dial_in] unless it has any of its own, and its parent's inside with what it
changes in it. The parent may inherit in turn; which file comes first does not matter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from hes_protocol.errors import LocalProtocolError
from hes_protocol.models.dial_in import parse_dial_in
from hes_protocol.models.heirs import Rows, merged
from hes_protocol.models.inside import read_inside
from hes_protocol.models.layouts import parse_layout
from hes_protocol.models.model import Model
from hes_protocol.models.objects import MeterTable
from hes_protocol.models.tables import Table, shown
from hes_protocol.quirks import STANDARD, parse_quirks

_DEVICE_NAME_LENGTH = 16
_INSIDE = ("meter", "client", "object", "profile", "event_log", "alarm", "push_setup")


@attrs.frozen
class _Parsed:
    """A model, and its tables for its heirs."""

    model: Model
    rows: Rows


def parse_models(texts: Iterable[str]) -> tuple[Model, ...]:
    """
    Read model files that may inherit from each other.

    Returns: the models in the order of their files.
    Raises: LocalProtocolError: a text is no TOML or no model, two have one name, or a model
        inherits from none of the others or, however far round, from itself; it says which, and
        in which table and key.
    """
    documents: dict[str, dict[str, Any]] = {}
    for text in texts:
        document = _document(text)
        name = document.get("name", "?")
        if not isinstance(name, str):
            raise LocalProtocolError(f"model: name: {shown(name)} is no text")
        if name in documents:
            raise LocalProtocolError(f"model {name}: there are two")
        documents[name] = document
    return _read(documents)


def parse_model_files(texts: Mapping[str, str]) -> tuple[Model, ...]:
    """
    As `parse_models`, of files whose models are called as they are.

    Args: texts: by the name of the file, without its ending.
    Raises: LocalProtocolError: as `parse_models`, or a file has the model of another name.
    """
    documents = {file: _document(text) for file, text in texts.items()}
    for file, document in documents.items():
        name = document.get("name", file)
        if name != file:
            raise LocalProtocolError(
                f"model {file}: name: {shown(name)} is not that of its file, {file}.toml"
            )
    return _read(documents)


def _read(documents: Mapping[str, dict[str, Any]]) -> tuple[Model, ...]:
    """Models by name, each after those that it inherits from."""
    parsed: dict[str, _Parsed] = {}
    for name in documents:
        for heir in reversed(_line(name, documents)):
            if heir not in parsed:
                parent = documents[heir].get("inherits")
                parsed[heir] = _model(documents[heir], parsed[parent] if parent else None)
    return tuple(parsed[name].model for name in documents)


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
    except (ValueError, RecursionError) as error:  # also too many digits, and nesting without end
        raise LocalProtocolError(f"model: {error}") from None


def _device_name(table: Table, meter: MeterTable | None, inherited: Model | None) -> str:
    """What the file says, else the maker of its simulated meters, else what it inherits."""
    said: str = table.text("device_name", "")
    if len(said) > _DEVICE_NAME_LENGTH:
        table.refuse("device_name", f"{shown(said)} is longer than {_DEVICE_NAME_LENGTH} octets")
    if said:
        return said
    if meter is not None:
        return meter.maker_code
    return inherited.device_name if inherited else ""


def _line(name: str, documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A model and those that it inherits from, nearest first."""
    line = [name]
    while (parent := documents[line[-1]].get("inherits")) is not None:
        if not isinstance(parent, str) or parent not in documents:
            raise LocalProtocolError(
                f"model {line[-1]}: inherits {shown(parent)}, which is no model"
            )
        if parent in line:
            raise LocalProtocolError(f"model {name}: inherits itself through {line[-1]}")
        line.append(parent)
    return line


def _model(document: Mapping[str, Any], parent: _Parsed | None) -> _Parsed:
    table = Table(f"model {document.get('name', '?')}", document)
    for key in _INSIDE:
        table.get(key, None)
    inherited = parent.model if parent else None
    rows = merged(table, parent.rows if parent else Rows())
    inside = read_inside(table.where, rows)
    push = tuple(
        parse_layout(table.text("name"), Table(f"{table.where}: push number {number}", row))
        for number, row in enumerate(table.rows("push"), 1)
    )
    flags = dict(table.table("quirks").items())
    try:
        quirks = parse_quirks(flags, inherited.quirks if inherited else STANDARD)
    except ValueError as error:
        raise LocalProtocolError(f"{table.where}: {error}") from None
    dial_in = inherited.dial_in if inherited else None
    if "dial_in" in table:
        dial_in = parse_dial_in(table.table("dial_in"))
    model = Model(
        name=table.text("name"),
        maker=table.text("maker"),
        source=table.text("source"),
        about=table.text("about", ""),
        push=push or (inherited.push if inherited else ()),
        quirks=quirks,
        inherits=table.get("inherits", None),
        meter=inside.meter,
        clients=inside.clients,
        objects=inside.objects,
        events=inside.events,
        pushes=inside.pushes,
        dial_in=dial_in,
        device_name=_device_name(table, inside.meter, inherited),
    )
    table.done()
    return _Parsed(model, rows)
