"""RLRQ and RLRE: closing an association (IEC 62056-5-3, "ACSE APDUs"; BER)."""

from __future__ import annotations

from typing import ClassVar, Final, Self

import attrs

from hes_protocol.acse import ber, fields
from hes_protocol.acse.ber import Element

_REASON: Final = 0x80


def _read_reason(element: Element) -> int:
    return element.integer()


_READERS: Final[fields.FieldReaders] = {
    _REASON: ("reason", _read_reason),
    fields.USER_INFORMATION: ("user_information", fields.read_octet_string),
}


@attrs.frozen
class _Release:
    """
    `reason` as a number (see `ReleaseRequestReason`, `ReleaseResponseReason`); None if not given.

    Not giving it is common: a bare `62 00` closes an association in field traces.
    """

    TAG: ClassVar[int]

    reason: int | None = None
    user_information: bytes | None = attrs.field(default=None, repr=False)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """
        Read a whole APDU.

        Raises: EncodingError: a wrong length or a repeated element.
        """
        return cls(**fields.read_fields(octets, cls.TAG, _READERS))

    def encode(self) -> bytes:
        """The octets of the APDU."""
        reason = None
        if self.reason is not None:
            reason = ber.write_integer(self.reason)[2:]
        return ber.write_element(
            self.TAG,
            fields.write_octets(_REASON, reason),
            fields.write_octet_string(fields.USER_INFORMATION, self.user_information),
        )


@attrs.frozen
class Rlrq(_Release):
    """A client closes the association."""

    TAG: ClassVar[int] = 0x62


@attrs.frozen
class Rlre(_Release):
    """A server confirms that the association is closed."""

    TAG: ClassVar[int] = 0x63
