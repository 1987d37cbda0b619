"""A whole push: its values, who sent it and when, with what models are known to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from hes_protocol.axdr.data import INTEGER_TAGS, STRING_TAGS, Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.models import PushLayout, PushShape
from hes_protocol.push.described import descriptions
from hes_protocol.push.identities import identities, names_meter
from hes_protocol.push.rows import read_values
from hes_protocol.push.values import (
    CLASS_CLOCK,
    NO_UNIT,
    PushValue,
    elements_of,
    guessed_value,
    instant,
    is_push_setup,
    logical_name,
    plain_text,
)
from hes_protocol.xdlms.notification import EventNotification

_MAX_BARE: Final = 255
# Value group D of instantaneous values and of registers.
_MEASURED: Final = (7, 8)
_NUMBERS: Final = INTEGER_TAGS | {DataTag.FLOAT32, DataTag.FLOAT64}


@attrs.frozen
class Push:
    """
    A push taken apart.

    `identities` are texts that may name the meter, with the object they stand under (None: no
    name). `captured_at` is the clock in the payload, else the notification's own date-time, else
    None. `layout` names the meter model whose layout was used, `push_setup` is the push setup
    (class_id 40) that the payload says it is of.
    """

    values: tuple[PushValue, ...]
    identities: tuple[tuple[Obis | None, str], ...]
    captured_at: CosemDateTime | None
    layout: str | None = None
    push_setup: Obis | None = None


def read_push(
    payload: Data,
    date_time: CosemDateTime | None = None,
    layouts: Sequence[PushLayout] = (),
    *,
    count: int | None = None,
) -> Push:
    """
    Take a push payload apart.

    Args:
        payload: the notification body of a data-notification.
        date_time: the notification's own date-time, if it has one.
        layouts: what is known of models that leave names or scalers out, best first; those of the
            sender's own model, where it is known, before all others.
        count: how many elements the payload was to have, where its end did not come.
    Returns: the values in the order of the payload.
    Raises: nothing: a payload that fits no shape yields unnamed values.
    Source: IEC 62056-5-3, DataNotification; IEC 62056-6-2, Push setup (class_id 40).
    """
    elements = elements_of(payload)
    if elements is None:
        elements = (payload,)
    shape = _shape(elements, count)
    layout = next((x for x in layouts if x.applies(shape) and _fits(x, elements)), None)
    if layout is not None and layout.objects:
        values = [
            guessed_value(obis, element)
            for obis, element in zip(layout.objects, elements, strict=False)
            if element.tag is not DataTag.NULL_DATA and not _names_push(element)
        ]
    else:
        values = list(read_values(payload, count))
    if layout is not None:
        values = [_scaled(value, layout) for value in values]
    clock = _clock(values)
    return Push(
        values=tuple(values),
        identities=tuple(identities(values)),
        captured_at=clock or (date_time if date_time and date_time.local() else None),
        layout=None if layout is None else layout.model,
        push_setup=shape.push_setup,
    )


def read_event(event: EventNotification) -> Push:
    """
    Take an event apart: one attribute's value, or its members as far as they are named.

    Args: event: an event-notification.
    Returns: the values, stamped with the time of the event if it gives one.
    Source: IEC 62056-5-3, EventNotification.
    """
    attribute = event.attribute
    if elements_of(event.value) is None:
        own = PushValue(attribute.obis, attribute.class_id, attribute.index, event.value)
        values = [own] if event.value.tag is not DataTag.NULL_DATA else []
    else:
        values = list(read_values(event.value))
        nameless = [v for v in values if v.obis is None and v.class_id != CLASS_CLOCK]
        if len(nameless) == 1:
            # A row of an event log: when, and what. What happened is the log's value.
            own = attrs.evolve(
                nameless[0],
                obis=attribute.obis,
                class_id=attribute.class_id,
                attribute_index=attribute.index,
            )
            values = [own if value is nameless[0] else value for value in values]
    moment = None if event.time is None else CosemDateTime.from_octets(event.time)
    clock = _clock(values)
    told = moment if moment is not None and moment.local() is not None else None
    return Push(tuple(values), tuple(identities(values)), told or clock)


def _shape(elements: Sequence[Data], count: int | None) -> PushShape:
    """What layouts tell payloads apart by."""
    told = descriptions(elements[0]) if elements else []
    setups = [obis for _, obis, _ in told if is_push_setup(obis)]
    names = [obis for e in elements[:_MAX_BARE] if (obis := logical_name(e)) is not None]
    if not setups:
        setups = [obis for obis in names[:1] if is_push_setup(obis)]
    return PushShape(
        elements=len(elements) if count is None else count,
        first_text=next((text for e in elements if (text := plain_text(e)) is not None), ""),
        push_setup=setups[0] if setups else None,
        bare=not told and len(names) == len(setups),
    )


def _clock(values: Sequence[PushValue]) -> CosemDateTime | None:
    """
    The clock in a payload: one that is named before one that is not.

    Of several times without a name any may be that of a maximum or of a billing period: none is.
    """
    clocks = [(v.obis, t) for v in values if v.class_id == CLASS_CLOCK and (t := instant(v.data))]
    named = [moment for obis, moment in clocks if obis is not None]
    if named:
        return named[0]
    return clocks[0][1] if len({moment for _, moment in clocks}) == 1 else None


def _fits(layout: PushLayout, elements: Sequence[Data]) -> bool:
    """Whether each element may be what the layout says that it is, null being anything."""
    return all(
        obis is None or element.tag is DataTag.NULL_DATA or _may_be(element, obis)
        for obis, element in zip(layout.objects, elements, strict=False)
    )


def _may_be(element: Data, obis: Obis) -> bool:
    a, _, c, d, _, _ = obis.octets
    if names_meter(obis):
        return element.tag in STRING_TAGS
    if (a, c, d) == (0, 1, 0):
        return instant(element) is not None
    return a != 1 or d not in _MEASURED or element.tag in _NUMBERS


def _names_push(element: Data) -> bool:
    name = logical_name(element)
    return name is not None and is_push_setup(name)


def _scaled(value: PushValue, layout: PushLayout) -> PushValue:
    known = None if value.obis is None else layout.scalers.get(value.obis)
    if known is None or value.unit != NO_UNIT:
        return value
    return attrs.evolve(value, scaler=known[0], unit=known[1])
