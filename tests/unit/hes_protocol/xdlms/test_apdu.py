"""Every APDU both ways, cut short, and with anything in it."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag
from hes_protocol.errors import (
    EncodingError,
    LocalProtocolError,
    RemoteProtocolError,
    TruncatedError,
)
from hes_protocol.xdlms import (
    ActionResultCode,
    Ciphered,
    Conformance,
    DataAccessResult,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GetDataResult,
    GetResponseNormal,
    InitiateResponse,
    ServiceError,
    StateError,
    decode_apdu,
)
from hes_protocol.xdlms.apdu import DECODERS
from tests.apdus import BY_NAME, apdus
from tests.connection_pair import CLOCK
from tests.cost import assert_within_budget


@pytest.mark.parametrize("name", BY_NAME)
def test_decode_gives_back_what_was_encoded(name: str) -> None:
    @settings(max_examples=30)
    @given(BY_NAME[name])
    def holds(apdu: object) -> None:
        assert decode_apdu(apdu.encode()) == apdu  # type: ignore[attr-defined]

    holds()


@given(apdus())
def test_every_prefix_is_refused_with_a_typed_error_or_is_an_apdu(apdu: object) -> None:
    octets = apdu.encode()  # type: ignore[attr-defined]
    for end in range(len(octets)):
        try:
            decode_apdu(octets[:end])
        except RemoteProtocolError:
            continue


@given(apdus(), st.binary(min_size=1, max_size=3))
def test_left_over_octets_are_refused_or_belong_to_undecoded_data(
    apdu: object, more: bytes
) -> None:
    octets = apdu.encode() + more  # type: ignore[attr-defined]
    try:
        decoded = decode_apdu(octets)
    except RemoteProtocolError:
        return
    assert decoded.encode() == octets


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=80))
def test_any_octets_raise_typed_errors_only(tag: int, octets: bytes) -> None:
    try:
        decoded = decode_apdu(bytes((tag,)) + octets)
    except RemoteProtocolError:
        return
    assert decode_apdu(decoded.encode()) == decoded


@pytest.mark.parametrize("tag", sorted(set(range(256)) - set(DECODERS)))
def test_an_unknown_tag_is_named(tag: int) -> None:
    with pytest.raises(EncodingError) as caught:
        decode_apdu(bytes((tag, 0, 0)))
    assert (caught.value.code, caught.value.apdu_tag) == ("unknown-apdu", tag)


def test_nothing_is_no_apdu() -> None:
    with pytest.raises(TruncatedError):
        decode_apdu(b"")


@pytest.mark.parametrize("result", [DataAccessResult, ActionResultCode, StateError, ServiceError])
def test_unnamed_codes_are_kept(result: type[DataAccessResult]) -> None:
    code = result(0x77)
    assert (code, code.name) == (0x77, "CODE_119")
    assert result(0x77) is code
    with pytest.raises(ValueError, match="256"):
        result(256)


def test_data_of_a_response_is_decoded_on_demand() -> None:
    response = decode_apdu(bytes.fromhex("c401c1 00 1105"))
    assert isinstance(response, GetResponseNormal)
    assert response.result.octets == b"\x11\x05"
    assert response.result.data() == Data(DataTag.UNSIGNED, 5)
    broken = decode_apdu(bytes.fromhex("c401c1 00 1105 00"))
    assert isinstance(broken, GetResponseNormal)
    with pytest.raises(EncodingError):
        broken.result.data()


def test_success_without_data_is_an_access_result() -> None:
    # So meters answer an ACTION that returns nothing.
    octets = bytes.fromhex("c701c1 00 01 01 00")
    assert decode_apdu(octets).encode() == octets


def test_data_beside_a_refusal_has_no_encoding() -> None:
    result = GetDataResult(DataAccessResult.HARDWARE_FAULT, b"\x00")
    with pytest.raises(LocalProtocolError):
        GetResponseNormal(result).encode()


class TestDataNotification:
    BODY = Data(DataTag.STRUCTURE, (Data(DataTag.UNSIGNED, 7),))
    TIME = bytes.fromhex("07ea0101040c000000800000")

    @pytest.mark.conformance("date-time-untagged", "client")
    @pytest.mark.parametrize(
        ("octets", "time", "offset"),
        [
            ("0f 40000001 00 02011107", None, 6),
            ("0f 00000000 0c 07ea0101040c000000800000 02011107", TIME, 18),
            ("0f 40000000 09 0c 07ea0101040c000000800000 02011107", TIME, 19),
            ("0f 40000000 09 00 02011107", None, 7),
        ],
    )
    def test_every_form_of_the_time_is_read(
        self, octets: str, time: bytes | None, offset: int
    ) -> None:
        apdu = decode_apdu(bytes.fromhex(octets))
        assert isinstance(apdu, DataNotification)
        assert (apdu.date_time, apdu.body, apdu.body_offset) == (time, self.BODY, offset)

    def test_the_invoke_id_has_24_bits(self) -> None:
        apdu = DataNotification(0xC0ABCDEF, None, self.BODY)
        assert apdu.long_invoke_id == 0xABCDEF

    @pytest.mark.parametrize("length", [1, 11, 13])
    def test_a_time_of_another_length_is_refused(self, length: int) -> None:
        octets = b"\x0f" + bytes(4) + bytes((length,)) + bytes(length) + b"\x11\x07"
        with pytest.raises(EncodingError) as caught:
            decode_apdu(octets)
        assert caught.value.code == "bad-date-time"
        with pytest.raises(LocalProtocolError):
            DataNotification(0, bytes(length), self.BODY).encode()

    def test_what_follows_the_body_is_refused(self) -> None:
        with pytest.raises(EncodingError) as caught:
            decode_apdu(bytes.fromhex("0f 40000001 00 1107 00"))
        assert caught.value.code == "trailing-octets"


@pytest.mark.conformance("event-notification", "client")
def test_event_notification_with_a_tag_in_place_of_presence() -> None:
    # As an OSGP MX382 sends it.
    time = "07ea0101040c000000800000"
    standard = bytes.fromhex(f"c2 01 0c {time} 0008 0000010000ff 02 1105")
    quirk = bytes.fromhex(f"c2 09 0c {time} 0008 0000010000ff 02 1105")
    expected = EventNotification(CLOCK, Data(DataTag.UNSIGNED, 5), bytes.fromhex(time))
    assert decode_apdu(standard) == decode_apdu(quirk) == expected


def test_conformance_of_a_peer_is_kept_nowhere() -> None:
    kept = len(Conformance._value2member_map_)
    for bits in range(0x800000, 0x800040):
        octets = (
            bytes.fromhex("080006 5f1f0400") + bits.to_bytes(3, "big") + bytes.fromhex("01f40007")
        )
        response = decode_apdu(octets)
        assert isinstance(response, InitiateResponse)
        assert response.conformance == bits
        assert response.encode() == octets
    assert len(Conformance._value2member_map_) == kept


def test_initiate_with_the_old_conformance_tag() -> None:
    new = bytes.fromhex("08 00 06 5f1f0400 00101d 04c8 0007")
    old = bytes.fromhex("08 00 06 5f0400 00101d 04c8 0007")
    assert decode_apdu(old) == decode_apdu(new)


@pytest.mark.parametrize(
    "octets",
    [
        "08 00 06 5f1f0300 00101d 04c8 0007",
        "08 00 06 5f1e0400 00101d 04c8 0007",
        "08 00 06 601f0400 00101d 04c8 0007",
        "08 02 00 06 5f1f0400 00101d 04c8 0007",
    ],
)
def test_initiate_with_a_broken_conformance_is_refused(octets: str) -> None:
    with pytest.raises(EncodingError):
        decode_apdu(bytes.fromhex(octets))


@pytest.mark.conformance("exception-response", "client", "server")
def test_exception_response_with_and_without_the_counter() -> None:
    bare = ExceptionResponse(StateError(1), ServiceError.INVOCATION_COUNTER_ERROR)
    assert decode_apdu(bytes.fromhex("d8 01 06")) == bare
    told = ExceptionResponse(StateError(1), ServiceError.INVOCATION_COUNTER_ERROR, 0x4B36)
    assert decode_apdu(bytes.fromhex("d8 01 06 00004b36")) == told
    with pytest.raises(EncodingError):
        decode_apdu(bytes.fromhex("d8 01 05 00004b36"))
    with pytest.raises(LocalProtocolError):
        ExceptionResponse(StateError(1), ServiceError.PDU_TOO_LONG, 1).encode()


class TestCiphered:
    def test_what_stands_in_the_clear(self) -> None:
        apdu = Ciphered(0xDB, bytes.fromhex("30 00000017 aabb"), b"MTRtest1")
        assert apdu.general
        assert not apdu.dedicated
        assert apdu.plain_tag is None
        assert apdu.control.to_octet() == 0x30
        assert apdu.invocation_counter == 0x17

    def test_tags_name_service_and_key(self) -> None:
        content = bytes(5)
        assert Ciphered(0xCC, content).plain_tag == Ciphered(0xD4, content).plain_tag == 0xC4
        assert Ciphered(0xD4, content).dedicated
        assert Ciphered(0xDC, content, bytes(8)).dedicated

    def test_a_content_without_header_is_refused(self) -> None:
        with pytest.raises(TruncatedError):
            decode_apdu(bytes.fromhex("cc 04 30000000"))

    @pytest.mark.parametrize(
        "apdu",
        [
            Ciphered(0xC4, bytes(5)),
            Ciphered(0xCC, bytes(5), bytes(8)),
            Ciphered(0xDB, bytes(5)),
        ],
    )
    def test_what_is_no_ciphered_apdu_has_no_encoding(self, apdu: Ciphered) -> None:
        with pytest.raises(LocalProtocolError):
            apdu.encode()


def _length(count: int) -> bytes:
    return b"\x83" + count.to_bytes(3, "big")


@pytest.mark.parametrize(
    "octets",
    [
        bytes.fromhex("c403c1") + _length(30_000) + b"\x01\x63" * 30_000,
        bytes.fromhex("c403c1") + _length(30_000) + b"\x00\x00" * 30_000,
        bytes.fromhex("c505c1") + _length(60_000) + b"\x63" * 60_000,
        bytes.fromhex("c703c1") + _length(30_000) + bytes(60_000),
        bytes.fromhex("c003c1") + _length(6_000) + bytes(60_000),
        bytes.fromhex("c104c1") + _length(5_000) + bytes(50_000) + _length(5_000) + bytes(5_000),
        b"\x60" + _length(60_000) + b"\x84\x00" * 30_000,
    ],
    ids=lambda octets: octets[:2].hex(),
)
def test_the_worst_apdus_cost_no_more_than_their_length_allows(octets: bytes) -> None:
    assert_within_budget(partial(decode_apdu, octets), len(octets))


@pytest.mark.parametrize("count", ["ffffff", "010000"])
def test_a_count_beyond_the_octets_allocates_nothing(count: str) -> None:
    with pytest.raises(TruncatedError):
        decode_apdu(bytes.fromhex(f"c403c1 83{count} 0000"))
