"""Octets that fuzzing begins from: one of every APDU and of every A-XDR type, made by us."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import Phase, given, settings

from hes_protocol.axdr import CompactArray, Data, DataTag, TypeDescription, array, encode, structure
from hes_protocol.axdr.data import NULL
from hes_protocol.xdlms import DataNotification
from tests.apdus import BY_NAME

_OF_EACH: Final = 4


def _examples(strategy: Any, count: int) -> list[Any]:
    """The first values that a strategy gives, the same in every run."""
    taken: list[Any] = []

    @settings(
        max_examples=count, database=None, derandomize=True, deadline=None, phases=[Phase.generate]
    )
    @given(strategy)
    def take(value: Any) -> None:
        taken.append(value)

    take()
    return taken


APDUS: Final = tuple(
    dict.fromkeys(
        octets
        for strategy in BY_NAME.values()
        for octets in sorted(
            (apdu.encode() for apdu in _examples(strategy, 4 * _OF_EACH)), key=len
        )[-_OF_EACH:]
        if len(octets) < 400
    )
)

_OBIS = Data(DataTag.OCTET_STRING, b"\1\0\1\x08\0\xff")
_TIME = Data(DataTag.OCTET_STRING, bytes.fromhex("07ea0b1506091e00ff800000"))
_SCALER_UNIT = structure(Data(DataTag.INTEGER, -1), Data(DataTag.ENUM, 30))
_VALUE = Data(DataTag.DOUBLE_LONG_UNSIGNED, 4711)

_LEAVES: Final = (
    NULL,
    Data(DataTag.BOOLEAN, True),
    Data(DataTag.DOUBLE_LONG, -5),
    _VALUE,
    _OBIS,
    Data(DataTag.VISIBLE_STRING, b"KFM_001"),
    Data(DataTag.UTF8_STRING, "ß".encode()),
    Data(DataTag.INTEGER, -1),
    Data(DataTag.LONG, -300),
    Data(DataTag.UNSIGNED, 7),
    Data(DataTag.LONG_UNSIGNED, 700),
    Data(DataTag.LONG64, -(2**40)),
    Data(DataTag.LONG64_UNSIGNED, 2**40),
    Data(DataTag.ENUM, 30),
)

_COMPACT = Data(
    DataTag.COMPACT_ARRAY,
    CompactArray(
        TypeDescription(
            DataTag.STRUCTURE,
            (
                TypeDescription(DataTag.NULL_DATA),
                TypeDescription(DataTag.ARRAY, (TypeDescription(DataTag.UNSIGNED),), 2),
            ),
        ),
        (structure(NULL, array(Data(DataTag.UNSIGNED, 1), Data(DataTag.UNSIGNED, 2))),),
    ),
)

AXDR: Final = (
    *(encode(leaf) for leaf in _LEAVES),
    encode(_COMPACT),
    encode(array(*(structure(_OBIS, _VALUE, _SCALER_UNIT) for _ in range(3)))),
    encode(structure(*_LEAVES)),
    # bit-string, bcd, floats, date-time, date, time, delta types
    *(
        bytes.fromhex(octets)
        for octets in [
            "0409aa80",
            "0d42",
            "173fc00000",
            "183ff8000000000000",
            "1907ea0b1506091e00ff800000",
            "1a07ea0b1506",
            "1b091e0000",
            "1cff",
            "1dffff",
            "1effffffff",
            "1f05",
            "200500",
            "2105000000",
        ]
    ),
)

PUSHES: Final = tuple(
    DataNotification(1, time, body).encode()
    for time in (None, _TIME.value)
    for body in (
        array(structure(_OBIS, _VALUE, _SCALER_UNIT)),
        structure(Data(DataTag.VISIBLE_STRING, b"KFM_001"), _VALUE, _VALUE, _TIME),
        structure(_OBIS, _VALUE, _OBIS, _TIME, _OBIS, Data(DataTag.LONG, 3), _SCALER_UNIT),
        structure(
            array(
                structure(
                    Data(DataTag.LONG_UNSIGNED, 3),
                    _OBIS,
                    Data(DataTag.INTEGER, 2),
                    Data(DataTag.LONG_UNSIGNED, 0),
                )
            ),
            _VALUE,
        ),
    )
)


def acse() -> tuple[bytes, ...]:
    """AARQ, AARE, RLRQ and RLRE."""
    return tuple(octets for octets in APDUS if octets[0] in (0x60, 0x61, 0x62, 0x63))
