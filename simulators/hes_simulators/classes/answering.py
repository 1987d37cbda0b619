"""
Making and checking COSEM values in interface classes: short words for what classes say often.

Owns no class. What is checked raises `Refused`, which says what the client is told; `writing` and
`invoking` turn that into an answer, so that classes read as the standard does: check, then change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from hes_protocol.axdr import BitString, Data, DataTag
from hes_protocol.axdr.data import INTEGER_TAGS
from hes_protocol.cosem import Obis
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult

P = ParamSpec("P")
R = TypeVar("R")

TYPE_UNMATCHED: Final = int(DataAccessResult.TYPE_UNMATCHED)
OTHER_REASON: Final = int(DataAccessResult.OTHER_REASON)
OBJECT_UNDEFINED: Final = int(DataAccessResult.OBJECT_UNDEFINED)
READ_WRITE_DENIED: Final = int(DataAccessResult.READ_WRITE_DENIED)
TEMPORARY_FAILURE: Final = int(DataAccessResult.TEMPORARY_FAILURE)
SCOPE_VIOLATED: Final = int(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)

Done = tuple[ActionResultCode, Data | None]
DONE: Final[Done] = (ActionResultCode.SUCCESS, None)


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """What a client asked for is not done. `code` is the octet of either kind of result."""

    def __init__(self, code: int = OTHER_REASON) -> None:
        super().__init__(code)
        self.code = code


def writing(write: Callable[P, None]) -> Callable[P, DataAccessResult]:
    """A write that returns or refuses, as `InterfaceClass.write` answers."""

    @wraps(write)
    def answered(*args: P.args, **kwargs: P.kwargs) -> DataAccessResult:
        try:
            write(*args, **kwargs)
        except Refused as refused:
            return DataAccessResult(refused.code)
        return DataAccessResult.SUCCESS

    return answered


def invoking(invoke: Callable[P, Data | None]) -> Callable[P, Done]:
    """A method that returns its parameters or refuses, as `InterfaceClass.invoke` answers."""

    @wraps(invoke)
    def answered(*args: P.args, **kwargs: P.kwargs) -> Done:
        try:
            return ActionResultCode.SUCCESS, invoke(*args, **kwargs)
        except Refused as refused:
            return ActionResultCode(refused.code), None

    return answered


# --- making ---------------------------------------------------------------------------------------


def octets(value: bytes) -> Data:
    """An octet-string."""
    return Data(DataTag.OCTET_STRING, value)


def enum(value: int) -> Data:
    """An enum."""
    return Data(DataTag.ENUM, value)


def unsigned(value: int) -> Data:
    """An unsigned, one octet."""
    return Data(DataTag.UNSIGNED, value)


def long_unsigned(value: int) -> Data:
    """A long-unsigned, two octets."""
    return Data(DataTag.LONG_UNSIGNED, value)


def double_long_unsigned(value: int) -> Data:
    """A double-long-unsigned, four octets."""
    return Data(DataTag.DOUBLE_LONG_UNSIGNED, value)


_LONGEST: Final = (1 << 31) - 1


def double_long(value: int) -> Data:
    """A double-long, four octets; what does not fit stays at the end of the scale."""
    return Data(DataTag.DOUBLE_LONG, max(-_LONGEST - 1, min(_LONGEST, value)))


def bits(*values: bool) -> Data:
    """A bit-string, bit 0 first."""
    length = len(values)
    number = int("".join("01"[value] for value in values) or "0", 2) << (-length % 8)
    return Data(DataTag.BIT_STRING, BitString(length, number.to_bytes((length + 7) // 8, "big")))


# --- checking -------------------------------------------------------------------------------------


def number(
    data: Data | None, tag: DataTag, least: int | None = None, most: int | None = None
) -> int:
    """
    The number in `data`.

    Raises: Refused: type_unmatched for another type, other_reason for one out of range.
    """
    if data is None or data.tag is not tag or tag not in INTEGER_TAGS:
        raise Refused(TYPE_UNMATCHED)
    value: int = data.value
    if (least is not None and value < least) or (most is not None and value > most):
        raise Refused(OTHER_REASON)
    return value


def octet_string(data: Data | None, least: int = 0, most: int = 0xFFFF) -> bytes:
    """
    The octets in `data`.

    Raises: Refused: type_unmatched for another type, other_reason for another length.
    """
    if data is None or data.tag is not DataTag.OCTET_STRING:
        raise Refused(TYPE_UNMATCHED)
    value: bytes = data.value
    if not least <= len(value) <= most:
        raise Refused(OTHER_REASON)
    return value


def members(data: Data | None, count: int) -> Sequence[Data]:
    """
    The members of a structure of so many.

    Raises: Refused: type_unmatched.
    """
    if data is None or data.tag is not DataTag.STRUCTURE or len(data.value) != count:
        raise Refused(TYPE_UNMATCHED)
    value: Sequence[Data] = data.value
    return value


def elements(data: Data | None, most: int = 256) -> Sequence[Data]:
    """
    The elements of an array.

    Raises: Refused: type_unmatched; other_reason for too many.
    """
    if data is None or data.tag is not DataTag.ARRAY:
        raise Refused(TYPE_UNMATCHED)
    value: Sequence[Data] = data.value
    if len(value) > most:
        raise Refused(OTHER_REASON)
    return value


_NOTHING: Final = frozenset(
    {DataTag.NULL_DATA, DataTag.INTEGER, DataTag.UNSIGNED, DataTag.LONG, DataTag.LONG_UNSIGNED}
)


def nothing(data: Data | None) -> None:
    """
    The parameter of methods without one: integer (0). Some clients leave it out, or send null.

    Raises: Refused: type_unmatched for anything but a small number.
    """
    if data is not None and data.tag not in _NOTHING:
        raise Refused(TYPE_UNMATCHED)


def obis_of(value: Any) -> Obis:
    """A logical name in a model's options, as text or read already."""
    return value if isinstance(value, Obis) else Obis.parse(str(value))
