"""Which texts of a push may name the meter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from hes_protocol.cosem import Obis
from hes_protocol.push.values import CLASS_CLOCK, PushValue, plain_text

# A text without a name counts as a meter's identity from this length on, if mostly digits.
_MIN_IDENTITY_CHARS: Final = 8
_MIN_IDENTITY_DIGITS: Final = 6


def identities(values: Sequence[PushValue]) -> Iterator[tuple[Obis | None, str]]:
    """Texts that may name the meter, with the object they stand under (None: no name)."""
    for value in values:
        text = plain_text(value.data)
        if text is None or value.class_id == CLASS_CLOCK:
            continue
        if value.obis is None:
            digits = sum(character.isdigit() for character in text)
            if len(text) >= _MIN_IDENTITY_CHARS and digits >= _MIN_IDENTITY_DIGITS:
                yield None, text
        elif names_meter(value.obis):
            yield value.obis, text


def names_meter(obis: Obis) -> bool:
    """
    True for objects whose value tells one meter from all others.

    Device IDs 1 to 10 (0.0.96.1.0..9), the logical device name (0.0.42.0.0) and the utility's ids
    (1.b.0.0.0..9). In other channels they name what hangs on the meter, e.g. the gas meter on its
    M-Bus (0.1.96.1.0). Aidon gives the meter's *type* as 0.0.96.1.7, Kamstrup as 1.1.96.1.1: those
    name many meters.
    Source: IEC 62056-6-1, general and service entry objects.
    """
    a, b, c, d, e, _ = obis.octets
    if a == 0:
        return b == 0 and (((c, d) == (96, 1) and e <= 9 and e != 7) or (c, d, e) == (42, 0, 0))
    return a <= 9 and (c, d) == (0, 0) and e <= 9
