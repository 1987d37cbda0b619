"""
APDUs that other projects publish with their meaning: read to it, and written to the same octets.

Unless a test says otherwise the bodies are those of milanbella/gocosem (dlms_test.go); before each
stand the tag, the choice and the invoke id that the standard gives it. Its ACTION requests with
list are left out: they have an octet before each parameter that the standard does not know.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hes_protocol.axdr import NULL, Data, DataTag, array, structure
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.cosem.objects import (
    Attribute,
    CaptureObject,
    EntrySelection,
    Method,
    RangeSelection,
)
from hes_protocol.xdlms import (
    AccessGet,
    AccessRequest,
    AccessSelection,
    AccessSet,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResultCode,
    ActionReturn,
    AttributeAccess,
    DataAccessResult,
    DataBlock,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
    decode_apdu,
)

FIRST = Attribute(1, Obis.parse("0.0.128.0.0.255"), 2)
SECOND = Attribute(1, Obis.parse("0.0.128.1.0.255"), 2)
METHOD = Method(1, Obis.parse("0.0.128.0.0.255"), 8)
OTHER_METHOD = Method(2, Obis.parse("0.0.129.0.0.253"), 7)
# 01 02 … 09 10 … 50: counted in decimal digits.
FIFTY = bytes(int(str(number), 16) for number in range(1, 51))
LONG = Data(DataTag.OCTET_STRING, FIFTY)
SHORT = Data(DataTag.VISIBLE_STRING, b"000")
ONE = "0001 0000800000ff 02 00"
TWO = f"02 {ONE} 0001 0000800100ff 02 00"
BOTH = (AttributeAccess(FIRST), AttributeAccess(SECOND))
SIX = bytes((1, 2, 3, 4, 5, 6))
SUCCESS = DataAccessResult.SUCCESS


def block(last: bool, number: int, octets: bytes) -> DataBlock:
    return DataBlock(last, number, octets)


def agree(octets: str, value: Any) -> None:
    """These octets are this value, both ways."""
    read = decode_apdu(bytes.fromhex(octets))
    assert read == value
    # Values that are decoded when they are looked at are compared by their octets.
    for name in ("result", "outcome"):
        if attrs.has(type(getattr(value, name, None))):
            assert getattr(read, name) == getattr(value, name)
    assert value.encode() == bytes.fromhex(octets)


@pytest.mark.conformance("get-normal", "vector")
@pytest.mark.conformance("strings", "vector")
def test_get() -> None:
    agree(f"c001c1 {ONE}", GetRequestNormal(FIRST))
    response = GetResponseNormal(GetDataResult(octets=bytes.fromhex("0906112233445566")))
    agree("c401c1 00 0906 112233445566", response)
    assert response.result.data() == Data(DataTag.OCTET_STRING, bytes.fromhex("112233445566"))


@pytest.mark.conformance("get-blocks", "vector")
def test_get_by_blocks() -> None:
    first = bytes((9, 50)) + FIFTY[:28]
    agree(f"c402c1 00 00000001 00 1e {first.hex()}", GetResponseWithDatablock(False, 1, first))
    agree("c002c1 00000001", GetRequestNext(1))


@pytest.mark.conformance("get-list", "vector")
@pytest.mark.conformance("strings", "vector")
def test_get_with_list() -> None:
    agree(f"c003c1 {TWO}", GetRequestWithList(BOTH))
    results = tuple(
        GetDataResult(octets=bytes.fromhex(octets)) for octets in ("090401020304", "0a03303030")
    )
    agree("c403c1 02 00 0904 01020304 00 0a03 303030", GetResponseWithList(results))
    assert [result.data().value for result in results] == [bytes((1, 2, 3, 4)), b"000"]


@pytest.mark.conformance("set-normal", "vector")
def test_set() -> None:
    agree(f"c101c1 {ONE} 0932 {FIFTY.hex()}", SetRequestNormal(FIRST, None, LONG))
    agree("c501c1 01", SetResponseNormal(DataAccessResult.HARDWARE_FAULT))


@pytest.mark.conformance("set-blocks", "vector")
def test_set_by_blocks() -> None:
    first = bytes((9, 50)) + FIFTY[:19]
    agree(
        f"c102c1 {ONE} 00 00000001 15 {first.hex()}",
        SetRequestWithFirstDatablock(FIRST, None, block(False, 1, first)),
    )
    agree("c502c1 00000001", SetResponseDatablock(1))
    agree(
        f"c103c1 01 00000002 08 {FIFTY[19:27].hex()}",
        SetRequestWithDatablock(block(True, 2, FIFTY[19:27])),
    )
    agree("c503c1 00 00000002", SetResponseLastDatablock(SUCCESS, 2))


@pytest.mark.conformance("set-list", "vector")
def test_set_with_list() -> None:
    agree(
        f"c104c1 {TWO} 02 0932 {FIFTY.hex()} 0a03 303030", SetRequestWithList(BOTH, (LONG, SHORT))
    )
    agree("c505c1 02 00 01", SetResponseWithList((SUCCESS, DataAccessResult.HARDWARE_FAULT)))


@pytest.mark.conformance("set-list-blocks", "vector")
def test_set_with_list_by_blocks() -> None:
    first = bytes((2, 9, 50)) + FIFTY[:7]
    agree(
        f"c105c1 {TWO} 00 00000001 0a {first.hex()}",
        SetRequestWithListAndFirstDatablock(BOTH, block(False, 1, first)),
    )
    agree("c504c1 02 00 00 00000003", SetResponseLastDatablockWithList((SUCCESS, SUCCESS), 3))


@pytest.mark.conformance("action-normal", "vector")
def test_action() -> None:
    agree(
        "c301c1 0001 0000800000ff 08 01 0906 010203040506",
        ActionRequestNormal(METHOD, Data(DataTag.OCTET_STRING, SIX)),
    )
    returned = GetDataResult(octets=bytes.fromhex("09051112131415"))
    agree(
        "c701c1 02 01 00 0905 1112131415",
        ActionResponseNormal(ActionReturn(ActionResultCode.TEMPORARY_FAILURE, returned)),
    )


@pytest.mark.conformance("action-blocks", "vector")
def test_action_by_blocks() -> None:
    agree(
        "c304c1 0001 0000800000ff 08 00 00000001 06 010203040506",
        ActionRequestWithFirstPblock(METHOD, block(False, 1, SIX)),
    )
    agree("c306c1 00 00000007 06 010203040506", ActionRequestWithPblock(block(False, 7, SIX)))
    agree("c302c1 00000007", ActionRequestNextPblock(7))
    agree("c702c1 00 00000007 06 010203040506", ActionResponseWithPblock(block(False, 7, SIX)))
    agree("c704c1 00000007", ActionResponseNextPblock(7))


@pytest.mark.conformance("action-list", "vector")
def test_action_with_list() -> None:
    outcomes = (
        ActionReturn(
            ActionResultCode.TEMPORARY_FAILURE,
            GetDataResult(octets=bytes.fromhex("09050102030405")),
        ),
        ActionReturn(
            ActionResultCode.READ_WRITE_DENIED,
            GetDataResult(octets=bytes.fromhex("090411121314")),
        ),
    )
    agree(
        "c703c1 02 02 01 00 0905 0102030405 03 01 00 0904 11121314",
        ActionResponseWithList(outcomes),
    )


@pytest.mark.conformance("action-list-blocks", "vector")
def test_action_with_list_by_blocks() -> None:
    agree(
        "c305c1 02 0001 0000800000ff 08 0002 0000810000fd 07 00 00000001 06 010203040506",
        ActionRequestWithListAndFirstPblock((METHOD, OTHER_METHOD), block(False, 1, SIX)),
    )


# youserj/DlmsSPODES-project publishes the descriptor and its selection; before them stands what a
# GET begins with.
@pytest.mark.conformance("selective-entry", "vector")
def test_get_by_entry() -> None:
    profile = Attribute(7, Obis.parse("1.0.94.7.4.255"), 2)
    everything = AccessSelection(EntrySelection.selector, EntrySelection().to_data())
    octets = "c001c1 0007 01005e0704ff 02 01 02 0204 0600000001 0600000000 120001 120000"
    agree(octets, GetRequestNormal(profile, everything))


# u9n/dlms-cosem publishes this range: its ends say neither weekday nor deviation.
@pytest.mark.conformance("selective-range", "vector")
@pytest.mark.conformance("deviation", "vector")
def test_get_by_range_without_deviation() -> None:
    from_ = CosemDateTime(2018, 2, 12, 0xFF, 0, 0, 0, 0, clock_status=0)
    to = CosemDateTime(2019, 2, 12, 0xFF, 0, 0, 0, 0, clock_status=0)
    range_ = RangeSelection.between(CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2), from_, to)
    octets = (
        "c001c1 0007 0100630100ff 02 01 01 0204 0204 120008 0906 0000010000ff 0f02 120000"
        "090c 07e2020cff00000000800000 090c 07e3020cff00000000800000 0100"
    )
    buffer = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
    agree(octets, GetRequestNormal(buffer, AccessSelection(range_.selector, range_.to_data())))


# "ACCESS service without block transfer", the request in the examples of the Green Book, as
# Gurux.DLMS.Java and youserj/COSEMpdu_project publish it; nobody publishes the response.
@pytest.mark.conformance("access", "vector")
@pytest.mark.conformance("nesting", "vector")
def test_access() -> None:
    calendar = Obis.parse("0.0.13.0.0.255")
    seasons = array(
        *(
            structure(
                Data(DataTag.OCTET_STRING, bytes((season,))),
                Data(DataTag.OCTET_STRING, b"\xff" * 7 + bytes(5)),
                Data(DataTag.OCTET_STRING, b"\xff"),
            )
            for season in range(4)
        )
    )
    weeks = array(
        *(
            structure(
                Data(DataTag.OCTET_STRING, bytes((week,))),
                *(Data(DataTag.UNSIGNED, day) for day in days),
            )
            for week, days in enumerate(([255] * 7, [2] + [1] * 6, [255] * 7, [1] + [2] * 6))
        )
    )
    request = AccessRequest(
        long_invoke_id_and_priority=0x40000000,
        specifications=(
            AccessGet(Attribute(1, Obis.parse("0.0.96.1.0.255"), 2)),
            AccessGet(Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)),
            AccessSet(Attribute(20, calendar, 7)),
            AccessSet(Attribute(20, calendar, 8)),
        ),
        values=(NULL, NULL, seasons, weeks),
    )
    season = "090c ffffffffffffff0000000000 0901ff"
    agree(
        "d9 40000000 00 04"
        "01 0001 0000600100ff 02  01 0008 0000010000ff 02"
        "02 0014 00000d0000ff 07  02 0014 00000d0000ff 08"
        "04 00 00"
        f"0104 0203 090100 {season} 0203 090101 {season} 0203 090102 {season} 0203 090103 {season}"
        "0104 0208 090100 11ff11ff11ff11ff11ff11ff11ff 0208 090101 1102110111011101110111011101"
        "0208 090102 11ff11ff11ff11ff11ff11ff11ff 0208 090103 1101110211021102110211021102",
        request,
    )
