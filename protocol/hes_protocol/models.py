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

import attrs

from hes_protocol.cosem import Obis
from hes_protocol.cosem.units import COUNT, unit_code
from hes_protocol.errors import LocalProtocolError
from hes_protocol.quirks import STANDARD, Quirks, parse_quirks

_LAYOUT_KEYS: Final = frozenset(
    {"marker", "push_setup", "elements", "objects", "scalers", "known_model_only"}
)
_KEYS: Final = frozenset({"name", "maker", "inherits", "source", "quirks", "push"})


@attrs.frozen
class PushShape:
    """
    What push layouts tell payloads apart by.

    `elements` is how many there are at the top; `first_text` the first printable one of them;
    `push_setup` the push setup (class_id 40) that is named first, in a list of objects or bare;
    `bare` is True where no element names a value.
    """

    elements: int
    first_text: str = ""
    push_setup: Obis | None = None
    bare: bool = False


@attrs.frozen
class PushLayout:
    """
    How to read a push payload that leaves out names, scalers or units.

    It applies where all that it asks for is so: `marker` begins the first text, `push_setup` is
    named, there are `elements` elements, and with `objects` as many bare ones as these. `objects`
    names the elements in order, None for what has no name; `scalers` gives scaler and DLMS unit
    code by object. With `known_model_only` the payload tells nothing by which to know it.
    """

    model: str
    marker: str = ""
    objects: tuple[Obis | None, ...] = ()
    scalers: Mapping[Obis, tuple[int, int]] = attrs.field(factory=dict)
    push_setup: Obis | None = None
    elements: int | None = None
    known_model_only: bool = False

    def applies(self, shape: PushShape) -> bool:
        """True where this layout reads a payload of that shape."""
        if self.objects and not (shape.bare and len(self.objects) == shape.elements):
            return False
        if self.elements is not None and self.elements != shape.elements:
            return False
        if self.push_setup is not None and self.push_setup != shape.push_setup:
            return False
        return shape.first_text.startswith(self.marker)


@attrs.frozen
class Model:
    """One meter family."""

    name: str
    maker: str
    source: str
    push: tuple[PushLayout, ...] = ()
    quirks: Quirks = STANDARD
    inherits: str | None = None


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


def push_layouts(models: Iterable[Model]) -> tuple[PushLayout, ...]:
    """
    All layouts that tell by themselves where they apply, those that demand more before those that
    demand less; inherited ones once. Where the model is known, its own go before these.
    """
    layouts = [
        layout
        for model in models
        for layout in model.push
        if layout.model == model.name and not layout.known_model_only
    ]
    return tuple(sorted(layouts, key=lambda layout: (not layout.objects, layout.model)))


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
        push = tuple(_layout(name, table) for table in document.get("push", []))
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


def _layout(model: str, table: Mapping[str, Any]) -> PushLayout:
    unknown = table.keys() - _LAYOUT_KEYS
    if unknown:
        raise ValueError(f"push has no {min(unknown)}")
    layout = PushLayout(
        model=model,
        marker=_text(table, "marker") if "marker" in table else "",
        objects=tuple(Obis.parse(obis) if obis else None for obis in table.get("objects", [])),
        scalers={
            Obis.parse(obis): (int(scaler), unit_code(unit) if unit else COUNT.code)
            for obis, (scaler, unit) in table.get("scalers", {}).items()
        },
        push_setup=Obis.parse(table["push_setup"]) if "push_setup" in table else None,
        elements=int(table["elements"]) if "elements" in table else None,
        known_model_only=table.get("known_model_only", False) is True,
    )
    if not (layout.marker or layout.push_setup or layout.known_model_only):
        raise ValueError("push needs a marker, a push_setup or known_model_only")
    return layout
