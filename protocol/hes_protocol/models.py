"""
Meter-model tables: what collectors and simulators both know of a model, as data.

Owns the parsing of `config/models/*.toml`, whose text is passed in; reads no file itself. A model
names its public source. For now it holds the quirks of pushes; object lists, profiles and
security of simulated models join it with the simulators.

    name = "kaifa-ma304"                 # unique
    maker = "Kaifa"
    source = "where this is published"

    [[push]]                             # a payload that does not name all of its values
    marker = "KFM_001"                   # its first text begins so
    objects = ["1.1.0.2.129.255", ...]   # what its elements are, in order, where they are bare

    [push.scalers]                       # scaler and unit that the frame leaves out
    "1.0.31.7.0.255" = [-3, "A"]         # "" for a count
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from hes_protocol.cosem import Obis
from hes_protocol.cosem.units import COUNT, unit_code
from hes_protocol.errors import LocalProtocolError


@attrs.frozen
class PushLayout:
    """
    How to read a push payload that leaves out names, scalers or units.

    It applies where `marker` begins the first text of the payload and `objects`, if any, are as
    many as its elements. `objects` names the elements in order; `scalers` gives scaler and DLMS
    unit code by object.
    """

    model: str
    marker: str
    objects: tuple[Obis, ...] = ()
    scalers: Mapping[Obis, tuple[int, int]] = attrs.field(factory=dict)

    def applies(self, element_count: int, first_text: str) -> bool:
        """True where this layout reads a payload with so many elements and this first text."""
        if self.objects and len(self.objects) != element_count:
            return False
        return first_text.startswith(self.marker)


@attrs.frozen
class Model:
    """One meter family."""

    name: str
    maker: str
    source: str
    push: tuple[PushLayout, ...] = ()


def parse_model(text: str) -> Model:
    """
    Read one model file.

    Raises: LocalProtocolError: the text is no TOML or no model; it says where.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LocalProtocolError(f"model: {error}") from None
    name = document.get("name", "?")
    try:
        return Model(
            name=_text(document, "name"),
            maker=_text(document, "maker"),
            source=_text(document, "source"),
            push=tuple(_layout(name, table) for table in document.get("push", [])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LocalProtocolError(f"model {name}: {error}") from None


def push_layouts(models: Iterable[Model]) -> tuple[PushLayout, ...]:
    """All layouts, those that demand more before those that demand less."""
    layouts = [layout for model in models for layout in model.push]
    return tuple(sorted(layouts, key=lambda layout: (not layout.objects, layout.model)))


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is no text")
    return value


def _layout(model: str, table: Mapping[str, Any]) -> PushLayout:
    unknown = table.keys() - {"marker", "objects", "scalers"}
    if unknown:
        raise ValueError(f"push has no {min(unknown)}")
    return PushLayout(
        model=model,
        marker=_text(table, "marker"),
        objects=tuple(Obis.parse(obis) for obis in table.get("objects", [])),
        scalers={
            Obis.parse(obis): (int(scaler), unit_code(unit) if unit else COUNT.code)
            for obis, (scaler, unit) in table.get("scalers", {}).items()
        },
    )
