"""ACCESS and data-notification-confirm, octet by octet as their A-XDR syntax says."""

import pytest

from hes_protocol.axdr import NULL, Data, DataTag, encode
from hes_protocol.errors import EncodingError, LocalProtocolError, TruncatedError
from hes_protocol.xdlms import (
    AccessAction,
    AccessActionResult,
    AccessGet,
    AccessGetResult,
    AccessRequest,
    AccessResponse,
    AccessSelection,
    AccessSet,
    AccessSetResult,
    ActionResultCode,
    DataAccessResult,
    DataNotification,
    DataNotificationConfirm,
    decode_apdu,
)
from hes_protocol.xdlms.access import BREAK_ON_ERROR, LONG_CONFIRMED
from tests.connection_pair import BUFFER, CAPTURE, CLOCK

ONE = Data(DataTag.UNSIGNED, 1)
TIME = bytes.fromhex("07ea0101040c000000800000")
SPECIFICATIONS = (
    AccessGet(CLOCK),
    AccessSet(CLOCK),
    AccessAction(CAPTURE),
    AccessGet(BUFFER, AccessSelection(2, ONE)),
    AccessSet(BUFFER, AccessSelection(2, ONE)),
)
LIST = """
    05
    01 0008 0000010000ff 02
    02 0008 0000010000ff 02
    03 0007 0100630100ff 02
    04 0007 0100630100ff 02 02 1101
    05 0007 0100630100ff 02 02 1101
"""


def octets(text: str) -> bytes:
    return bytes.fromhex("".join(text.split()))


def test_a_request_with_every_specification() -> None:
    request = AccessRequest(
        SPECIFICATIONS,
        (NULL, ONE, ONE, NULL, ONE),
        long_invoke_id_and_priority=LONG_CONFIRMED | BREAK_ON_ERROR | 7,
    )
    wire = octets(f"d9 60000007 00 {LIST} 05 00 1101 1101 00 1101")
    assert request.encode() == wire
    assert decode_apdu(wire) == request
    assert (request.long_invoke_id, request.invoke_id) == (7, 7)


@pytest.mark.parametrize(("presence", "repeated"), [("00", None), (f"01 {LIST}", SPECIFICATIONS)])
def test_a_response_with_and_without_the_specifications(
    presence: str, repeated: tuple[AccessGet, ...] | None
) -> None:
    response = AccessResponse(
        (encode(ONE), encode(NULL), encode(NULL)),
        (
            AccessGetResult(DataAccessResult.SUCCESS),
            AccessSetResult(DataAccessResult.READ_WRITE_DENIED),
            AccessActionResult(ActionResultCode.HARDWARE_FAULT),
        ),
        repeated,
        date_time=TIME,
    )
    wire = octets(f"da 40000000 0c {TIME.hex()} {presence} 03 1101 00 00 03 0100 0203 0301")
    assert response.encode() == wire
    assert decode_apdu(wire) == response
    assert response.data(0) == ONE


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ("d9 40000000 0b", "truncated"),
        ("d9 40000000 01 00 00 00", "bad-date-time"),
        ("d9 40000000 00 01 06 0008 0000010000ff 02 00", "unknown-choice"),
        ("d9 40000000 00 00 00 00", "trailing-octets"),
        ("d9 40000000 00 05 00", "truncated"),
        ("da 40000000 00 02 00 00", "bad-presence"),
        ("da 40000000 00 00 00 01 0400", "unknown-choice"),
        ("10 40000000 00 00", "trailing-octets"),
        ("10 40000000 02 0000", "bad-date-time"),
    ],
)
def test_what_is_no_such_apdu_is_refused(wire: str, code: str) -> None:
    with pytest.raises(EncodingError) as caught:
        decode_apdu(octets(wire))
    assert caught.value.code == code
    assert isinstance(caught.value, TruncatedError) is (code == "truncated")


def test_a_value_out_of_range_has_no_encoding() -> None:
    with pytest.raises(LocalProtocolError):
        AccessRequest((), (), long_invoke_id_and_priority=1 << 32).encode()
    with pytest.raises(LocalProtocolError):
        AccessRequest((), (), date_time=b"short").encode()


@pytest.mark.parametrize(
    ("wire", "time"), [("10 40000007 00", None), (f"10 40000007 0c {TIME.hex()}", TIME)]
)
def test_a_confirm_names_the_push(wire: str, time: bytes | None) -> None:
    confirm = DataNotificationConfirm(0x40000007, time)
    assert confirm.encode() == octets(wire)
    assert decode_apdu(octets(wire)) == confirm
    assert confirm.long_invoke_id == 7


def test_a_push_says_whether_it_wants_a_confirm() -> None:
    assert DataNotification(0x40000001, None, NULL).confirmed
    assert not DataNotification(0x00000001, None, NULL).confirmed
