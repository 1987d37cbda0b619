"""
Push layouts: how to read pushes that leave out names, scalers or units, as tables of a model file.

    [[push]]                             # a payload that does not name all of its values
    marker = "KFM_001"                   # its first text begins so
    push_setup = "0.6.25.9.0.255"        # the push setup that it names is this one
    elements = 14                        # it has so many elements
    objects = ["1.1.0.2.129.255", ""]    # what its elements are, in order, where they are bare;
                                         # "" for what has no name
    known_model_only = true              # nothing tells it apart: only where the model is known

    [push.scalers]                       # scaler and unit that the frame leaves out
    "1.0.31.7.0.255" = [-3, "A"]         # "" for a count
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import attrs

from hes_protocol.cosem import Obis
from hes_protocol.cosem.units import COUNT, unit_code
from hes_protocol.models.tables import Table, shown


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


def parse_layout(model: str, table: Table) -> PushLayout:
    """
    One table [[push]].

    Raises: LocalProtocolError: what is wrong, by its key.
    """
    layout = PushLayout(
        model=model,
        marker=table.text("marker", ""),
        objects=tuple(_objects(table)),
        scalers=dict(_scalers(table.table("scalers"))),
        push_setup=table.obis_or_none("push_setup"),
        elements=table.integer("elements", 0, 0xFFFF) if "elements" in table else None,
        known_model_only=table.flag("known_model_only", default=False),
    )
    table.done()
    if not (layout.marker or layout.push_setup or layout.known_model_only):
        table.refuse("marker", "push needs a marker, a push_setup or known_model_only")
    return layout


def _objects(table: Table) -> Iterator[Obis | None]:
    for text in table.texts("objects"):
        with table.reading("objects"):
            yield Obis.parse(text) if text else None


def _scalers(table: Table) -> Iterator[tuple[Obis, tuple[int, int]]]:
    for obis, value in table.items():
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str):
            table.refuse(obis, f'{shown(value)} is not like [-1, "V"]')
        scaler, unit = value
        if type(scaler) is not int or not -128 <= scaler <= 127:
            table.refuse(obis, f"{shown(scaler)} is no scaler")
        with table.reading(obis):
            yield Obis.parse(obis), (scaler, unit_code(unit) if unit else COUNT.code)


def push_layouts(models: Iterable[_HasPush]) -> tuple[PushLayout, ...]:
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


class _HasPush(Protocol):
    """What this needs of a model."""

    @property
    def name(self) -> str: ...
    @property
    def push(self) -> tuple[PushLayout, ...]: ...
