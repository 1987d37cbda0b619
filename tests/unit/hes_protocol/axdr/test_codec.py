"""Every tag both ways, truncation at each octet, arbitrary octets, and the properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import (
    NULL,
    BitString,
    CompactArray,
    Data,
    DataTag,
    TypeDescription,
    array,
    decode,
    decode_all,
    encode,
    structure,
)
from hes_protocol.errors import (
    EncodingError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
    TruncatedError,
)

T = DataTag
LEAF = TypeDescription

# Hand-written octets and the value they stand for, one line for each tag at least.
CORPUS = [
    ("00", NULL),
    ("ff", Data(T.DONT_CARE)),
    ("0300", Data(T.BOOLEAN, False)),
    ("0301", Data(T.BOOLEAN, True)),
    ("0400", Data(T.BIT_STRING, BitString(0, b""))),
    ("0409ff80", Data(T.BIT_STRING, BitString(9, b"\xff\x80"))),
    ("04820800" + "a5" * 256, Data(T.BIT_STRING, BitString(2048, b"\xa5" * 256))),
    ("05fffffffe", Data(T.DOUBLE_LONG, -2)),
    ("06fffffffe", Data(T.DOUBLE_LONG_UNSIGNED, 0xFFFFFFFE)),
    ("0900", Data(T.OCTET_STRING, b"")),
    ("09060100010800ff", Data(T.OCTET_STRING, b"\x01\x00\x01\x08\x00\xff")),
    ("098180" + "55" * 128, Data(T.OCTET_STRING, b"\x55" * 128)),
    ("0a03414243", Data(T.VISIBLE_STRING, b"ABC")),
    ("0c02c3bc", Data(T.UTF8_STRING, "ü".encode())),
    ("0d42", Data(T.BCD, 0x42)),
    ("0ffd", Data(T.INTEGER, -3)),
    ("108000", Data(T.LONG, -32768)),
    ("11ff", Data(T.UNSIGNED, 255)),
    ("12ffff", Data(T.LONG_UNSIGNED, 65535)),
    ("148000000000000000", Data(T.LONG64, -(2**63))),
    ("15ffffffffffffffff", Data(T.LONG64_UNSIGNED, 2**64 - 1)),
    ("161e", Data(T.ENUM, 30)),
    ("173f800000", Data(T.FLOAT32, 1.0)),
    ("18c000000000000000", Data(T.FLOAT64, -2.0)),
    ("1907ea0b15060c0000ff800000", Data(T.DATE_TIME, bytes.fromhex("07ea0b15060c0000ff800000"))),
    ("1a07ea0b1506", Data(T.DATE, bytes.fromhex("07ea0b1506"))),
    ("1b0c0000ff", Data(T.TIME, bytes.fromhex("0c0000ff"))),
    ("1cff", Data(T.DELTA_INTEGER, -1)),
    ("1dfffe", Data(T.DELTA_LONG, -2)),
    ("1efffffffd", Data(T.DELTA_DOUBLE_LONG, -3)),
    ("1fff", Data(T.DELTA_UNSIGNED, 255)),
    ("20fffe", Data(T.DELTA_LONG_UNSIGNED, 65534)),
    ("21fffffffd", Data(T.DELTA_DOUBLE_LONG_UNSIGNED, 2**32 - 3)),
    ("0100", array()),
    ("0200", structure()),
    ("0203000011ff", structure(NULL, NULL, Data(T.UNSIGNED, 255))),
    (
        "010202020011010202ff1102",
        array(
            structure(NULL, Data(T.UNSIGNED, 1)),
            structure(Data(T.DONT_CARE), Data(T.UNSIGNED, 2)),
        ),
    ),
    # Compact arrays: of numbers; of structures with strings; of nested arrays; with null cells.
    (
        "13 12 04 00010002",
        Data(
            T.COMPACT_ARRAY,
            CompactArray(
                LEAF(T.LONG_UNSIGNED), (Data(T.LONG_UNSIGNED, 1), Data(T.LONG_UNSIGNED, 2))
            ),
        ),
    ),
    (
        "13 0203 00 09 11 05 01aa07 0008",
        Data(
            T.COMPACT_ARRAY,
            CompactArray(
                LEAF(T.STRUCTURE, (LEAF(T.NULL_DATA), LEAF(T.OCTET_STRING), LEAF(T.UNSIGNED))),
                (
                    structure(NULL, Data(T.OCTET_STRING, b"\xaa"), Data(T.UNSIGNED, 7)),
                    structure(NULL, Data(T.OCTET_STRING, b""), Data(T.UNSIGNED, 8)),
                ),
            ),
        ),
    ),
    (
        "13 010002 0201 0f 04 01ff02fe",
        Data(
            T.COMPACT_ARRAY,
            CompactArray(
                LEAF(T.ARRAY, (LEAF(T.STRUCTURE, (LEAF(T.INTEGER),)),), 2),
                (
                    array(structure(Data(T.INTEGER, 1)), structure(Data(T.INTEGER, -1))),
                    array(structure(Data(T.INTEGER, 2)), structure(Data(T.INTEGER, -2))),
                ),
            ),
        ),
    ),
    ("13 11 00", Data(T.COMPACT_ARRAY, CompactArray(LEAF(T.UNSIGNED), ()))),
    (
        "0202 13 0200 00 1105",
        structure(Data(T.COMPACT_ARRAY, CompactArray(LEAF(T.STRUCTURE), ())), Data(T.UNSIGNED, 5)),
    ),
]


@pytest.mark.conformance("integers", "client", "server")
@pytest.mark.conformance("strings", "client", "server")
@pytest.mark.conformance("floats", "client", "server")
@pytest.mark.conformance("date-time", "client", "server")
@pytest.mark.conformance("compact-array", "client", "server")
@pytest.mark.conformance("delta", "client", "server")
@pytest.mark.conformance("nesting", "client", "server")
@pytest.mark.parametrize(("octets", "value"), CORPUS, ids=[octets[:24] for octets, _ in CORPUS])
def test_octets_and_value_stand_for_each_other(octets: str, value: Data) -> None:
    assert decode_all(bytes.fromhex(octets)) == value
    assert encode(value) == bytes.fromhex(octets)


@pytest.mark.parametrize("octets", [octets for octets, _ in CORPUS])
def test_every_prefix_is_truncated(octets: str) -> None:
    whole = bytes.fromhex(octets)
    for end in range(len(whole)):
        with pytest.raises(TruncatedError) as caught:
            decode_all(whole[:end])
        assert caught.value.offset is not None
        assert 0 <= caught.value.offset <= end


@pytest.mark.parametrize("octets", [octets for octets, _ in CORPUS])
def test_decode_begins_anywhere_and_says_where_it_ended(octets: str) -> None:
    whole = bytes.fromhex(octets)
    value, behind = decode(b"\xc4\x01" + whole + b"\x55\x55", 2)
    assert value == decode_all(whole)
    assert behind == 2 + len(whole)


@pytest.mark.parametrize(
    ("octets", "error", "code"),
    [
        ("07", EncodingError, "unknown-tag"),
        ("02010e", EncodingError, "unknown-tag"),
        ("0980", EncodingError, "bad-length"),
        ("0985000000000100", EncodingError, "bad-length"),
        ("0180", EncodingError, "bad-length"),
        ("0000", EncodingError, "left-over"),
        ("1313020000", EncodingError, "unknown-tag"),  # a compact array within its own type
        ("1307020000", EncodingError, "unknown-tag"),
        ("13120100", EncodingError, "bad-contents"),
        ("1312030000ff", EncodingError, "bad-contents"),
        ("130001 00", EncodingError, "bad-contents"),  # how many nulls are one octet?
        ("1309020501", EncodingError, "bad-contents"),
    ],
)
def test_what_is_no_value(octets: str, error: type[RemoteProtocolError], code: str) -> None:
    with pytest.raises(error) as caught:
        decode_all(bytes.fromhex(octets))
    assert caught.value.code == code
    assert not isinstance(caught.value, TruncatedError)


def test_lengths_longer_than_needed_are_accepted() -> None:
    assert decode_all(bytes.fromhex("09840000000155")) == Data(T.OCTET_STRING, b"\x55")


@pytest.mark.conformance("nesting", "client", "server")
def test_sixteen_containers_and_no_more() -> None:
    for tag in (b"\x01", b"\x02"):
        chain = (tag + b"\x01") * 16 + b"\x00"
        assert encode(decode_all(chain)) == chain
        with pytest.raises(LimitError) as caught:
            decode_all((tag + b"\x01") * 17 + b"\x00")
        assert (caught.value.code, caught.value.offset) == ("too-deep", 32)


def test_a_compact_array_counts_as_containers_do() -> None:
    fits = b"\x02\x01" * 10 + b"\x13" + b"\x02\x01" * 5 + b"\x11\x01\x07"
    assert encode(decode_all(fits)) == fits
    for too_deep in (
        b"\x02\x01" * 11 + b"\x13" + b"\x02\x01" * 5 + b"\x11\x01\x07",
        b"\x02\x01" * 16 + b"\x13\x11\x01\x07",
        b"\x13" + b"\x01\x00\x01" * 16 + b"\x11\x01\x07",
    ):
        with pytest.raises(LimitError) as caught:
            decode_all(too_deep)
        assert caught.value.code == "too-deep"


def test_an_element_count_needs_its_octets() -> None:
    for octets in ("0184ffffffff", "0284ffffffff", "018300ffff" + "00" * 100):
        with pytest.raises(TruncatedError):
            decode_all(bytes.fromhex(octets))


@pytest.mark.conformance("compact-array", "client", "server")
def test_null_cells_in_compact_arrays_are_kept() -> None:
    octets = bytes.fromhex("13 0203 00 ff 06 08 00000001 00000002")
    rows = decode_all(octets).value.elements
    assert rows[1] == structure(NULL, Data(T.DONT_CARE), Data(T.DOUBLE_LONG_UNSIGNED, 2))
    assert encode(decode_all(octets)) == octets


@pytest.mark.parametrize(
    "value",
    [
        Data(T.UNSIGNED, 256),
        Data(T.UNSIGNED, -1),
        Data(T.LONG64, 2**63),
        Data(T.UNSIGNED, "1"),
        Data(T.UNSIGNED, None),
        Data(T.FLOAT32, 1e300),
        Data(T.NULL_DATA, 1),
        Data(T.OCTET_STRING, "text"),
        Data(T.BIT_STRING, BitString(9, b"\x00")),
        Data(T.BIT_STRING, b"\x00"),
        Data(T.DATE_TIME, b"\x00"),
        Data(T.COMPACT_ARRAY, CompactArray(LEAF(T.UNSIGNED), (NULL,))),
        Data(T.COMPACT_ARRAY, CompactArray(LEAF(T.NULL_DATA), (NULL,))),
        Data(T.COMPACT_ARRAY, CompactArray(LEAF(T.COMPACT_ARRAY), ())),
        Data(T.COMPACT_ARRAY, CompactArray(LEAF(T.ARRAY, (), 1), ())),
        Data(
            T.COMPACT_ARRAY,
            CompactArray(LEAF(T.STRUCTURE, (LEAF(T.UNSIGNED),)), (structure(NULL, NULL),)),
        ),
    ],
)
def test_what_has_no_octets(value: Data) -> None:
    with pytest.raises(LocalProtocolError):
        encode(value)


def test_encode_refuses_what_decode_would() -> None:
    value = NULL
    for _ in range(17):
        value = structure(value)
    with pytest.raises(LocalProtocolError):
        encode(value)
    for _ in range(20_000):
        value = array(value)
    with pytest.raises(LocalProtocolError):
        encode(value)
    deep = LEAF(T.UNSIGNED)
    for _ in range(20_000):
        deep = LEAF(T.STRUCTURE, (deep,))
    with pytest.raises(LocalProtocolError):
        encode(Data(T.COMPACT_ARRAY, CompactArray(deep, ())))


def test_nan_keeps_its_octets() -> None:
    octets = bytes.fromhex("177fc00001")
    assert math.isnan(decode_all(octets).value)
    assert encode(decode_all(octets)) == octets


def _integers(tag: T, bits: int, signed: bool) -> st.SearchStrategy[Data]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.builds(Data, st.just(tag), st.integers(low, high))


def _bit_strings(length: int) -> st.SearchStrategy[BitString]:
    size = (length + 7) // 8
    return st.builds(BitString, st.just(length), st.binary(min_size=size, max_size=size))


LEAVES: dict[T, st.SearchStrategy[Data]] = {
    T.NULL_DATA: st.just(NULL),
    T.DONT_CARE: st.just(Data(T.DONT_CARE)),
    T.BOOLEAN: st.builds(Data, st.just(T.BOOLEAN), st.booleans()),
    T.BIT_STRING: st.builds(Data, st.just(T.BIT_STRING), st.integers(0, 300).flatmap(_bit_strings)),
    T.FLOAT32: st.builds(Data, st.just(T.FLOAT32), st.floats(width=32, allow_nan=False)),
    T.FLOAT64: st.builds(Data, st.just(T.FLOAT64), st.floats(allow_nan=False)),
    **{
        tag: st.builds(Data, st.just(tag), st.binary(max_size=200))
        for tag in (T.OCTET_STRING, T.VISIBLE_STRING, T.UTF8_STRING)
    },
    **{
        tag: st.builds(Data, st.just(tag), st.binary(min_size=size, max_size=size))
        for tag, size in ((T.DATE_TIME, 12), (T.DATE, 5), (T.TIME, 4))
    },
    **{
        tag: _integers(tag, bits, signed)
        for tag, bits, signed in (
            (T.BCD, 8, False),
            (T.INTEGER, 8, True),
            (T.UNSIGNED, 8, False),
            (T.ENUM, 8, False),
            (T.LONG, 16, True),
            (T.LONG_UNSIGNED, 16, False),
            (T.DOUBLE_LONG, 32, True),
            (T.DOUBLE_LONG_UNSIGNED, 32, False),
            (T.LONG64, 64, True),
            (T.LONG64_UNSIGNED, 64, False),
            (T.DELTA_INTEGER, 8, True),
            (T.DELTA_LONG, 16, True),
            (T.DELTA_DOUBLE_LONG, 32, True),
            (T.DELTA_UNSIGNED, 8, False),
            (T.DELTA_LONG_UNSIGNED, 16, False),
            (T.DELTA_DOUBLE_LONG_UNSIGNED, 32, False),
        )
    },
}


def _elements(description: TypeDescription) -> st.SearchStrategy[Data]:
    if description.tag is T.STRUCTURE:
        members = st.tuples(*map(_elements, description.elements))
        return st.builds(Data, st.just(T.STRUCTURE), members)
    if description.tag is T.ARRAY:
        members = st.tuples(*map(_elements, description.elements * description.count))
        return st.builds(Data, st.just(T.ARRAY), members)
    return LEAVES[description.tag]


DESCRIPTIONS = st.recursive(
    st.sampled_from(sorted(LEAVES)).map(TypeDescription),
    lambda inner: (
        st.builds(TypeDescription, st.just(T.STRUCTURE), st.lists(inner, max_size=4).map(tuple))
        | st.builds(TypeDescription, st.just(T.ARRAY), st.tuples(inner), st.integers(0, 3))
    ),
    max_leaves=5,
)


@st.composite
def compact_arrays(draw: st.DrawFn) -> Data:
    description = draw(DESCRIPTIONS)
    # An octet in each element, so that their number can be read back.
    description = TypeDescription(T.STRUCTURE, (TypeDescription(T.UNSIGNED), description))
    elements = draw(st.lists(_elements(description), max_size=4).map(tuple))
    return Data(T.COMPACT_ARRAY, CompactArray(description, elements))


VALUES = st.recursive(
    st.one_of(*LEAVES.values(), compact_arrays()),
    lambda inner: st.builds(
        Data, st.sampled_from((T.ARRAY, T.STRUCTURE)), st.lists(inner, max_size=5).map(tuple)
    ),
    max_leaves=20,
)


@pytest.mark.conformance("integers", "client", "server")
@pytest.mark.conformance("strings", "client", "server")
@pytest.mark.conformance("floats", "client", "server")
@pytest.mark.conformance("compact-array", "client", "server")
@pytest.mark.conformance("delta", "client", "server")
@pytest.mark.conformance("nesting", "client", "server")
@given(VALUES)
def test_decoding_gives_back_what_was_encoded(value: Data) -> None:
    try:
        octets = encode(value)
    except LocalProtocolError:
        return  # deeper than sixteen
    assert decode_all(octets) == value
    if octets:
        with pytest.raises(TruncatedError):
            decode_all(octets[:-1])


def _decoded(octets: bytes) -> tuple[Data, int] | None:
    """The value in `octets`, or None after a well-formed refusal; any other error escapes."""
    refused: EncodingError | LimitError | None = None
    try:
        return decode(octets)
    except (EncodingError, LimitError) as error:
        refused = error
    assert refused.code
    assert refused.offset is not None
    assert 0 <= refused.offset <= len(octets)
    return None


@given(st.binary(max_size=300))
def test_arbitrary_octets_are_a_value_or_a_remote_error(octets: bytes) -> None:
    if decoded := _decoded(octets):
        value, behind = decoded
        assert 0 < behind <= len(octets)
        assert decode_all(encode(value)) == value or "nan" in repr(value)


@given(VALUES, st.data())
def test_one_changed_octet_is_a_value_or_a_remote_error(value: Data, data: st.DataObject) -> None:
    try:
        octets = bytearray(encode(value))
    except LocalProtocolError:
        return
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] = data.draw(st.integers(0, 255))
    _decoded(bytes(octets))


@pytest.mark.conformance("floats", "vector")
@pytest.mark.parametrize(
    ("octets", "tag", "value"),
    [
        ("47c35000", T.FLOAT32, 100000.0),
        ("7f7fffff", T.FLOAT32, 3.4028234663852886e38),
        ("3ff199999999999a", T.FLOAT64, 1.1),
        ("c010666666666666", T.FLOAT64, -4.1),
        ("7e37e43c8800759c", T.FLOAT64, 1.0e300),
    ],
)
def test_floats_that_are_published(octets: str, tag: DataTag, value: float) -> None:
    """The octets are those of RFC 8949, appendix A: COSEM and CBOR both take IEEE 754 as it is."""
    coded = bytes((tag,)) + bytes.fromhex(octets)
    assert decode_all(coded) == Data(tag, value)
    assert encode(Data(tag, value)) == coded
