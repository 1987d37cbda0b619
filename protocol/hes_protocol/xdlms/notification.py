"""
data-notification and event-notification: what a server sends unasked (IEC 62056-5-3).

A data-notification whose invoke id says "confirmed" is answered by data-notification-confirm.
All may carry the time. The standard codes data-notification's as an OCTET STRING of 0 or 12
octets without tag; Kaifa meters (pushes in Norway and Sweden) put the tag of octet-string, 0x09,
before it, and so does the event-notification of an OSGP MX382, in place of the presence octet.
Both forms are read; ours has no tag unless `tagged` says so.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.cosem.date_time import LENGTH_OCTETS
from hes_protocol.cosem.objects import Attribute
from hes_protocol.errors import EncodingError, LocalProtocolError, RemoteProtocolError
from hes_protocol.xdlms.descriptor import read_attribute, write_attribute
from hes_protocol.xdlms.reader import ApduReader, write_octet_string, write_unsigned
from hes_protocol.xdlms.untagged import decode_untagged

DATA_NOTIFICATION: Final = 0x0F
DATA_NOTIFICATION_CONFIRM: Final = 0x10
_CONFIRMED: Final = 1 << 30
_TAG: Final = bytes((DataTag.OCTET_STRING,))
EVENT_NOTIFICATION: Final = 0xC2


@attrs.frozen
class DataNotification:
    """
    A push.

    `long_invoke_id_and_priority` is all 32 bits; `date_time` the raw 12 octets, or None where
    the meter sent none. `body_offset` says where the body begins in the octets that were
    decoded, 0 for one made by us; `tagged` whether the tag of octet-string goes before the time.
    Neither takes part in comparisons.
    """

    long_invoke_id_and_priority: int
    date_time: bytes | None
    body: Data
    body_offset: int = attrs.field(default=0, eq=False)
    tagged: bool = attrs.field(default=False, eq=False, repr=False)

    @property
    def long_invoke_id(self) -> int:
        """The lower 24 bits."""
        return self.long_invoke_id_and_priority & 0xFFFFFF

    @property
    def confirmed(self) -> bool:
        """Whether the server waits for a `DataNotificationConfirm`."""
        return bool(self.long_invoke_id_and_priority & _CONFIRMED)

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            bytes((DATA_NOTIFICATION,))
            + write_unsigned(self.long_invoke_id_and_priority, 4)
            + (_TAG if self.tagged and self.date_time is not None else b"")
            + write_date_time(self.date_time)
            + encode(self.body)
        )


@attrs.frozen
class DataNotificationConfirm:
    """A confirmed push has arrived; the invoke id is the push's, `date_time` as there."""

    long_invoke_id_and_priority: int
    date_time: bytes | None = None

    @property
    def long_invoke_id(self) -> int:
        """The lower 24 bits."""
        return self.long_invoke_id_and_priority & 0xFFFFFF

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            bytes((DATA_NOTIFICATION_CONFIRM,))
            + write_unsigned(self.long_invoke_id_and_priority, 4)
            + write_date_time(self.date_time)
        )


@attrs.frozen
class EventNotification:
    """An alarm or event: one attribute's value; `time` (12 octets) where the server gives it."""

    attribute: Attribute
    value: Data
    time: bytes | None = None

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        time = _checked(self.time)
        return (
            bytes((EVENT_NOTIFICATION,))
            + (b"\x00" if time is None else b"\x01" + write_octet_string(time))
            + write_attribute(self.attribute)
            + encode(self.value)
        )


def _checked(time: bytes | None) -> bytes | None:
    if time is not None and len(time) != LENGTH_OCTETS:
        raise LocalProtocolError("a date-time has 12 octets")
    return time


def write_date_time(time: bytes | None) -> bytes:
    """
    A date-time as OCTET STRING of 12 octets, or of none.

    Raises: LocalProtocolError: another length.
    """
    return write_octet_string(_checked(time) or b"")


def read_date_time(reader: ApduReader) -> bytes | None:
    """
    A date-time as OCTET STRING of 12 octets, None where it has none.

    Raises: EncodingError: another length. TruncatedError.
    """
    if reader.octets[reader.offset : reader.offset + 1] == b"\x00":
        reader.offset += 1
        return None
    return _read_time(reader)


def _read_time(reader: ApduReader) -> bytes:
    time = reader.octet_string()
    if len(time) != LENGTH_OCTETS:
        raise reader.error("bad-date-time", f"{len(time)} octets where 12 are due")
    return time


def _skip_tag(reader: ApduReader) -> bool:
    """Pass over a tag of octet-string, where there is one."""
    tagged = reader.octets[reader.offset : reader.offset + 1] == bytes((DataTag.OCTET_STRING,))
    reader.offset += tagged
    return tagged


def _read_body(reader: ApduReader) -> Data:
    """The rest as one `Data`, or as a body with descriptors without tags (see `untagged`)."""
    offset = reader.offset
    try:
        body = reader.data()
        reader.end()
    except EncodingError:
        try:
            return decode_untagged(reader.octets, offset)
        except RemoteProtocolError:
            pass
        raise
    return body


def decode_data_notification(octets: bytes) -> DataNotification:
    """
    Read a whole data-notification.

    Raises: EncodingError: a date-time of another length, a body that is no single `Data`.
        TruncatedError. LimitError: a body too deep.
    """
    reader = ApduReader(octets)
    invoke = reader.unsigned(4)
    _skip_tag(reader)
    date_time = read_date_time(reader)
    offset = reader.offset
    body = _read_body(reader)
    return DataNotification(invoke, date_time, body, offset)


def decode_data_notification_confirm(octets: bytes) -> DataNotificationConfirm:
    """
    Read a whole data-notification-confirm.

    Raises: EncodingError: a date-time of another length, octets left over. TruncatedError.
    """
    reader = ApduReader(octets)
    confirm = DataNotificationConfirm(reader.unsigned(4), read_date_time(reader))
    reader.end()
    return confirm


def decode_event_notification(octets: bytes) -> EventNotification:
    """
    Read a whole event-notification-request.

    Raises: EncodingError: a time of another length, a value that is no single `Data`.
        TruncatedError. LimitError: a value too deep.
    """
    reader = ApduReader(octets)
    time = _read_time(reader) if _skip_tag(reader) or reader.present() else None
    attribute = read_attribute(reader)
    value = reader.data()
    reader.end()
    return EventNotification(attribute, value, time)
