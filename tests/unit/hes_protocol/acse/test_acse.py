"""AARQ, AARE, RLRQ, RLRE in BER: names, lengths, what is skipped and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
    Rlre,
    Rlrq,
    UserDiagnostic,
    context_name,
    mechanism_name,
)
from hes_protocol.acse.ber import read_element, write_element, write_integer
from hes_protocol.errors import (
    EncodingError,
    LocalProtocolError,
    RemoteProtocolError,
    TruncatedError,
)

INITIATE = bytes.fromhex("01000000065f1f0400001f1f0200")
# Laid out by hand from the standard's example: LN, LLS, a password of eight.
AARQ = (
    bytes.fromhex(
        "60 36 a109 0607 60857405080101 8a02 0780 8b07 60857405080201"
        "ac0a 8008 3030303030303030 be10 040e"
    )
    + INITIATE
)
AARE = bytes.fromhex("61 17 a109 0607 60857405080101 a203 020100 a305 a103 020100")


@pytest.mark.conformance("aarq-aare", "vector")
def test_aarq_by_hand() -> None:
    aarq = Aarq.decode(AARQ)
    assert aarq == Aarq(
        context_name(ApplicationContext.LOGICAL_NAME),
        authentication_required=True,
        mechanism_name=mechanism_name(Mechanism.LLS),
        authentication_value=b"00000000",
        user_information=INITIATE,
    )
    assert (aarq.context, aarq.mechanism) == (ApplicationContext.LOGICAL_NAME, Mechanism.LLS)
    assert aarq.encode() == AARQ


def test_secrets_and_payloads_do_not_print() -> None:
    shown = repr(Aarq.decode(AARQ))
    assert "00000000" not in shown
    assert INITIATE.hex() not in shown


@pytest.mark.conformance("aarq-aare", "vector")
def test_aare_by_hand() -> None:
    aare = Aare.decode(AARE)
    assert aare.result is AssociationResult.ACCEPTED
    assert aare.diagnostic == Diagnostic(UserDiagnostic.NULL)
    assert aare.mechanism is Mechanism.NONE
    assert aare.encode() == AARE


@pytest.mark.conformance("contexts", "client", "server")
@pytest.mark.parametrize("context", ApplicationContext)
def test_contexts_are_named_and_known_again(context: ApplicationContext) -> None:
    assert Aarq(context_name(context)).context is context
    assert context.ciphered is (context in (3, 4))


@pytest.mark.parametrize("mechanism", list(Mechanism)[1:])
def test_mechanisms_are_named_and_known_again(mechanism: Mechanism) -> None:
    name = mechanism_name(mechanism)
    assert Aarq(b"", mechanism_name=name).mechanism is mechanism


@pytest.mark.parametrize("name", [b"", b"\x60", bytes.fromhex("60857405080109"), bytes(7)])
def test_an_unknown_name_is_none_and_no_error(name: bytes) -> None:
    aarq = Aarq.decode(Aarq(name, mechanism_name=name).encode())
    assert (aarq.context, aarq.mechanism) == (None, None)


@pytest.mark.parametrize(
    ("diagnostic", "name"),
    [
        (Diagnostic(13), "authentication-failure"),
        (Diagnostic(2, DiagnosticSource.PROVIDER), "no-common-acse-version"),
        (Diagnostic(77), "code-77"),
    ],
)
def test_diagnostics_have_names(diagnostic: Diagnostic, name: str) -> None:
    assert diagnostic.name == name


@pytest.mark.parametrize(
    "element",
    ["80020284", "a403020105", "a90302010a", "bf1f03020100", "9f8801020304", "b100"],
)
def test_optional_elements_are_read_or_skipped(element: str) -> None:
    content = AARQ[2:] + bytes.fromhex(element)
    aarq = Aarq.decode(write_element(0x60, content))
    assert aarq.user_information == INITIATE


@pytest.mark.conformance("aarq-aare", "server")
@pytest.mark.parametrize(
    ("apdu", "code"),
    [
        (b"\x61" + AARQ[1:], "unexpected-tag"),
        (AARQ + b"\x00", "trailing-octets"),
        (b"\x60\x80" + AARQ[2:] + b"\x00\x00", "bad-length"),
        (b"\x60\x85" + bytes(5), "bad-length"),
        (write_element(0x60, AARQ[2:], AARQ[2:13]), "repeated-element"),
        (write_element(0x60, AARQ[13:]), "missing-element"),
        (write_element(0x60, bytes.fromhex("a1090608 60857405080101")), "truncated"),
        (write_element(0x60, bytes.fromhex("a10a0607 60857405080101 00")), "trailing-octets"),
        (write_element(0x60, bytes.fromhex("a109 0407 60857405080101")), "unexpected-tag"),
        (write_element(0x60, bytes.fromhex("a100")), "truncated"),
        (write_element(0x60, AARQ[2:13], bytes.fromhex("8a020880")), "bad-bit-string"),
        (write_element(0x60, AARQ[2:13], bytes.fromhex("8a00")), "bad-bit-string"),
        (write_element(0x60, AARQ[2:13], bytes.fromhex("ac03810100")), "unexpected-tag"),
        (write_element(0x60, AARQ[2:13], b"\xac\x81\x84\x80\x81\x81", bytes(129)), "bad-length"),
        (write_element(0x60, AARQ[2:13], bytes.fromhex("a9020200")), "bad-length"),
        (write_element(0x60, AARQ[2:13], bytes.fromhex("a9040202ff00")), "bad-identifier"),
        (write_element(0x60, b"\x9f" + b"\x81" * 5), "bad-tag"),
    ],
)
def test_broken_aarqs_are_refused(apdu: bytes, code: str) -> None:
    with pytest.raises(EncodingError) as caught:
        Aarq.decode(apdu)
    assert caught.value.code == code


@pytest.mark.conformance("aarq-aare", "client")
@pytest.mark.parametrize(
    ("apdu", "code"),
    [
        (AARE.replace(bytes.fromhex("a203020100"), bytes.fromhex("a203020103")), "bad-result"),
        (AARE.replace(bytes.fromhex("a103020100"), bytes.fromhex("a303020100")), "bad-diagnostic"),
        (write_element(0x61, AARE[2:13]), "missing-element"),
    ],
)
def test_broken_aares_are_refused(apdu: bytes, code: str) -> None:
    with pytest.raises(EncodingError) as caught:
        Aare.decode(apdu)
    assert caught.value.code == code


@pytest.mark.conformance("aarq-aare", "client", "server")
@pytest.mark.parametrize("whole", [AARQ, AARE])
def test_every_prefix_is_truncated(whole: bytes) -> None:
    kind = Aarq if whole is AARQ else Aare
    for end in range(len(whole)):
        with pytest.raises(TruncatedError):
            kind.decode(whole[:end])


@pytest.mark.conformance("rlrq-rlre", "client", "server")
@pytest.mark.parametrize(
    ("octets", "apdu"),
    [
        ("6200", Rlrq()),
        ("6203800100", Rlrq(0)),
        ("620380011e", Rlrq(30)),
        ("6300", Rlre()),
        ("6303800101", Rlre(1)),
        ("6309 800100 be04 0402 abcd", Rlre(0, b"\xab\xcd")),
    ],
)
def test_release_with_and_without_reason(octets: str, apdu: Rlrq | Rlre) -> None:
    whole = bytes.fromhex(octets)
    assert type(apdu).decode(whole) == apdu
    assert apdu.encode() == whole


@given(st.binary(max_size=60))
def test_any_octets_raise_typed_errors_only(octets: bytes) -> None:
    for kind in (Aarq, Aare, Rlrq, Rlre):
        try:
            kind.decode(write_element(kind.TAG, octets))
        except RemoteProtocolError:
            continue


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_of_the_fewest_octets(value: int) -> None:
    octets = write_integer(value)
    element, behind = read_element(octets, 0)
    assert (element.integer(), behind) == (value, len(octets))
    if len(element.value) > 1:
        # The first nine bits of the fewest octets are not all alike (ISO/IEC 8825-1, 8.3.2).
        assert int.from_bytes(element.value[:2], "big") >> 7 not in (0, 0x1FF)


def test_nesting_costs_nothing() -> None:
    # A thousand levels: only those that have a name are opened.
    content = b""
    for _ in range(1000):
        content = write_element(0xB1, content)
    assert Aarq.decode(write_element(0x60, AARQ[2:], content)).user_information == INITIATE


# --- every element, and long lengths ---------------------------------------------------------

LONG = st.binary(max_size=300) | st.integers(120, 70_000).map(bytes)
BITS = st.builds(
    lambda unused, bits: bytes((unused,)) + bits,
    st.integers(0, 7),
    st.binary(min_size=1, max_size=4),
)
ID = st.none() | st.integers(0, 2**31)


CONTEXT = st.sampled_from(ApplicationContext).map(context_name) | st.binary(max_size=20)
MECHANISM = st.sampled_from(Mechanism).map(mechanism_name) | st.binary(max_size=20)
AARQS = st.builds(
    Aarq,
    application_context_name=CONTEXT,
    called_ap_title=st.none() | LONG,
    called_ae_qualifier=st.none() | LONG,
    called_ap_invocation_id=ID,
    called_ae_invocation_id=ID,
    calling_ap_title=st.none() | LONG,
    calling_ae_qualifier=st.none() | LONG,
    calling_ap_invocation_id=ID,
    calling_ae_invocation_id=ID,
    authentication_required=st.booleans(),
    mechanism_name=st.none() | MECHANISM,
    authentication_value=st.none() | st.binary(max_size=128),
    implementation_information=st.none() | LONG,
    user_information=st.none() | LONG,
    protocol_version=st.none() | BITS,
)
AARES = st.builds(
    Aare,
    application_context_name=CONTEXT,
    result=st.sampled_from(AssociationResult),
    diagnostic=st.builds(Diagnostic, st.integers(0, 300), st.sampled_from(DiagnosticSource)),
    responding_ap_title=st.none() | LONG,
    responding_ae_qualifier=st.none() | LONG,
    responding_ap_invocation_id=ID,
    responding_ae_invocation_id=ID,
    authentication_required=st.booleans(),
    mechanism_name=st.none() | MECHANISM,
    authentication_value=st.none() | st.binary(max_size=128),
    implementation_information=st.none() | LONG,
    user_information=st.none() | LONG,
    protocol_version=st.none() | BITS,
)


@pytest.mark.conformance("aarq-aare", "client", "server")
@pytest.mark.conformance("ber-long", "client", "server")
@given(AARQS | AARES | st.builds(Rlrq, ID, st.none() | LONG) | st.builds(Rlre, ID, LONG))
def test_both_ways(apdu: Aarq | Aare | Rlrq | Rlre) -> None:
    assert type(apdu).decode(apdu.encode()) == apdu


@pytest.mark.parametrize("kind", [Aarq, Aare])
@given(data=st.data())
def test_every_cut_is_truncated(kind: type[Aarq | Aare], data: st.DataObject) -> None:
    octets = data.draw((AARQS | AARES).filter(lambda apdu: type(apdu) is kind)).encode()
    end = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(TruncatedError):
        kind.decode(octets[:end])


@pytest.mark.conformance("ber-long", "client", "server")
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_lengths_of_up_to_four_octets_even_where_one_would_do(size: int) -> None:
    def long(tag: int, value: bytes) -> bytes:
        return bytes((tag, 0x80 | size)) + len(value).to_bytes(size, "big") + value

    information = long(0xBE, long(0x04, INITIATE))
    octets = long(0x60, long(0xA1, long(0x06, AARQ[6:13])) + information)
    aarq = Aarq.decode(octets)
    assert aarq.context is ApplicationContext.LOGICAL_NAME
    assert aarq.user_information == INITIATE


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        ("60 80 a109060760857405080101 0000", "bad-length"),
        ("60 0d a180 060760857405080101 0000", "bad-length"),
        ("60 0b a109 0680 60857405080101", "bad-length"),
        ("60 85 0000000000", "bad-length"),
        ("60 ff", "bad-length"),
        ("60 84 ffffffff", "truncated"),
        ("60 82 ff", "truncated"),
        ("60 0b a109 0681 60857405080101", "truncated"),
        ("60 0b a109 0608 60857405080101", "truncated"),
        ("60 0c a109 0607 60857405080101 80", "truncated"),
        ("60 0d a109 0607 60857405080101 8000", "bad-bit-string"),
        ("60 0e a109 0607 60857405080101 800108", "bad-bit-string"),
        ("60 0e a109 0607 60857405080101 800101", "bad-bit-string"),
        ("60 0f a109 0607 60857405080101 80020880", "bad-bit-string"),
    ],
)
def test_lengths_and_bits_that_are_none(octets: str, code: str) -> None:
    with pytest.raises(EncodingError) as caught:
        Aarq.decode(bytes.fromhex(octets))
    assert caught.value.code == code
    assert caught.value.offset is not None


@pytest.mark.conformance("aarq-aare", "server", "vector")
def test_the_protocol_version_of_spodes_meters() -> None:
    aarq = Aarq.decode(write_element(0x60, bytes.fromhex("80020284"), AARQ[2:]))
    assert aarq.protocol_version == bytes.fromhex("0284")
    assert aarq.version1
    assert aarq.encode() == write_element(0x60, bytes.fromhex("80020284"), AARQ[2:])


@pytest.mark.parametrize(
    ("version", "first"),
    [(None, True), (b"\x07\x80", True), (b"\x07\x00", False), (b"\x06\x40", False),
     (b"\x00", False), (b"\x00\xff\x00", True)],
)  # fmt: skip
def test_version_1_is_the_first_bit(version: bytes | None, first: bool) -> None:
    assert Aarq(b"", protocol_version=version).version1 is first


@pytest.mark.parametrize(
    ("octets", "value"),
    [("0101", 1), ("017f", 127), ("01c8", 200), ("0200c8", 200), ("0400000100", 256)],
)
def test_user_ids_with_and_without_the_zero_in_front(octets: str, value: int) -> None:
    integer = b"\x02" + bytes.fromhex(octets)
    element = write_element(0xA9, integer)
    aarq = Aarq.decode(write_element(0x60, AARQ[2:13], element))
    assert aarq.calling_ae_invocation_id == value


def test_an_id_that_is_negative() -> None:
    element = write_element(0xA9, bytes.fromhex("0202ff38"))
    with pytest.raises(EncodingError) as caught:
        Aarq.decode(write_element(0x60, AARQ[2:13], element))
    assert caught.value.code == "bad-identifier"


@pytest.mark.parametrize("field", [
    "called_ap_invocation_id", "called_ae_invocation_id", "calling_ap_invocation_id",
    "calling_ae_invocation_id",
])  # fmt: skip
def test_negative_ids_are_not_written(field: str) -> None:
    with pytest.raises(LocalProtocolError):
        Aarq(b"", **{field: -1}).encode()  # type: ignore[arg-type]


def test_each_element_has_its_tag() -> None:
    octets = Aarq(
        b"\x01", called_ap_title=b"2", called_ae_qualifier=b"3", called_ap_invocation_id=4,
        called_ae_invocation_id=5, calling_ap_title=b"6", calling_ae_qualifier=b"7",
        calling_ap_invocation_id=8, calling_ae_invocation_id=9, authentication_required=True,
        mechanism_name=b"m", authentication_value=b"a", implementation_information=b"i",
        user_information=b"u", protocol_version=b"\x07\x80",
    ).encode()  # fmt: skip
    assert octets == write_element(
        0x60,
        bytes.fromhex(
            "80020780 a103060101 a203040132 a303040133 a403020104 a503020105 a603040136 a703040137"
            "a803020108 a903020109 8a020780 8b016d ac03800161 9d0169 be03040175"
        ),
    )
    octets = Aare(
        b"\x01", AssociationResult.REJECTED_TRANSIENT, Diagnostic(1, DiagnosticSource.PROVIDER),
        responding_ap_title=b"4", responding_ae_qualifier=b"5", responding_ap_invocation_id=6,
        responding_ae_invocation_id=7, authentication_required=True, mechanism_name=b"m",
        authentication_value=b"a", implementation_information=b"i", user_information=b"u",
        protocol_version=b"\x07\x80",
    ).encode()  # fmt: skip
    assert octets == write_element(
        0x61,
        bytes.fromhex(
            "80020780 a103060101 a203020102 a305a203020101 a403040134 a503040135 a603020106"
            "a703020107 88020780 89016d aa03800161 9d0169 be03040175"
        ),
    )
