"""Hypothesis strategies for every APDU that `decode_apdu` reads."""

from __future__ import annotations

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
    context_name,
    mechanism_name,
)
from hes_protocol.axdr import encode
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, Method
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
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResultCode,
    ActionReturn,
    Apdu,
    AttributeAccess,
    Ciphered,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataBlock,
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    InitiateRequest,
    InitiateResponse,
    ServiceError,
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
    StateError,
)
from hes_protocol.xdlms.ciphered import PLAIN_TAGS
from tests.strategies import trees

octet = st.integers(0, 0xFF)
uint16 = st.integers(0, 0xFFFF)
uint32 = st.integers(0, 0xFFFF_FFFF)
int8 = st.integers(-128, 127)
text = st.binary(max_size=40)
title = st.binary(min_size=8, max_size=8)
time = st.binary(min_size=12, max_size=12)
obis = st.binary(min_size=6, max_size=6).map(Obis)
attribute = st.builds(Attribute, uint16, obis, int8)
method = st.builds(Method, uint16, obis, int8)
selection = st.none() | st.builds(AccessSelection, octet, trees())
access = st.builds(AttributeAccess, attribute, selection)
block = st.builds(DataBlock, st.booleans(), uint32, text)
access_result = octet.map(DataAccessResult)
data_result = st.one_of(
    access_result.map(GetDataResult), trees().map(lambda data: GetDataResult(octets=encode(data)))
)
action_return = st.builds(ActionReturn, octet.map(ActionResultCode), st.none() | data_result)
conformance = st.integers(0, 0xFFFFFF).map(Conformance)
content = st.binary(min_size=5, max_size=60)
context = st.sampled_from(ApplicationContext).map(context_name) | st.binary(max_size=9)
mechanism = st.sampled_from(Mechanism).map(mechanism_name) | st.binary(max_size=9)
diagnostic = st.builds(Diagnostic, st.integers(-300, 300), st.sampled_from(DiagnosticSource))
optional_text = st.none() | text
optional_code = st.none() | st.integers(-(2**31), 2**31 - 1)
optional_id = st.none() | st.integers(0, 2**31 - 1)
optional_bits = st.none() | st.builds(
    lambda unused, bits: bytes((unused,)) + bits, st.integers(0, 7), st.binary(min_size=1)
)


def some(strategy: st.SearchStrategy) -> st.SearchStrategy:
    """A few, as a tuple."""
    return st.lists(strategy, max_size=4).map(tuple)


def invoked(kind: type, *parts: st.SearchStrategy) -> st.SearchStrategy:
    """An APDU with an invoke id."""
    return st.builds(kind, *parts, invoke_id_and_priority=octet)


def _exception(state: int, service: int, counter: int) -> ExceptionResponse:
    expected = counter if service == ServiceError.INVOCATION_COUNTER_ERROR else None
    return ExceptionResponse(StateError(state), ServiceError(service), expected)


def _block(last: bool, number: int, raw: bytes, result: DataAccessResult) -> tuple:
    return last, number, raw if result == DataAccessResult.SUCCESS else b"", result


get_block = st.builds(
    lambda parts, invoke: GetResponseWithDatablock(*parts, invoke_id_and_priority=invoke),
    st.builds(_block, st.booleans(), uint32, text, access_result | st.just(DataAccessResult(0))),
    octet,
)

specification = st.one_of(
    st.builds(AccessGet, attribute, selection),
    st.builds(AccessSet, attribute, selection),
    st.builds(AccessAction, method),
)
access_outcome = st.one_of(
    st.builds(AccessGetResult, access_result),
    st.builds(AccessSetResult, access_result),
    st.builds(AccessActionResult, octet.map(ActionResultCode)),
)


def long_invoked(kind: type, *parts: st.SearchStrategy) -> st.SearchStrategy:
    """An APDU with a long invoke id."""
    return st.builds(kind, *parts, long_invoke_id_and_priority=uint32, date_time=st.none() | time)


BY_NAME: dict[str, st.SearchStrategy[Apdu]] = {
    "aarq": st.builds(
        Aarq,
        context,
        optional_text,
        optional_text,
        optional_text,
        optional_id,
        st.booleans(),
        mechanism,
        optional_text,
        optional_text,
        optional_bits,
        optional_text,
        optional_id,
        optional_id,
        optional_id,
        optional_text,
    ),
    "aare": st.builds(
        Aare,
        context,
        st.sampled_from(AssociationResult),
        diagnostic,
        optional_text,
        optional_text,
        optional_id,
        st.booleans(),
        mechanism,
        optional_text,
        optional_text,
        optional_bits,
        optional_id,
        optional_text,
    ),
    "rlrq": st.builds(Rlrq, optional_code, optional_text),
    "rlre": st.builds(Rlre, optional_code, optional_text),
    "initiate-request": st.builds(
        InitiateRequest,
        conformance=conformance,
        client_max_receive_pdu_size=uint16,
        dedicated_key=optional_text,
        response_allowed=st.booleans(),
        quality_of_service=st.none() | int8,
        dlms_version=octet,
    ),
    "initiate-response": st.builds(
        InitiateResponse,
        conformance=conformance,
        server_max_receive_pdu_size=uint16,
        vaa_name=uint16,
        quality_of_service=st.none() | int8,
        dlms_version=octet,
    ),
    "get-request-normal": invoked(GetRequestNormal, attribute, selection),
    "get-request-next": invoked(GetRequestNext, uint32),
    "get-request-with-list": invoked(GetRequestWithList, some(access)),
    "get-response-normal": invoked(GetResponseNormal, data_result),
    "get-response-with-datablock": get_block,
    "get-response-with-list": invoked(GetResponseWithList, some(data_result)),
    "set-request-normal": invoked(SetRequestNormal, attribute, selection, trees()),
    "set-request-first": invoked(SetRequestWithFirstDatablock, attribute, selection, block),
    "set-request-datablock": invoked(SetRequestWithDatablock, block),
    "set-request-with-list": invoked(SetRequestWithList, some(access), some(trees())),
    "set-request-list-first": invoked(SetRequestWithListAndFirstDatablock, some(access), block),
    "set-response-normal": invoked(SetResponseNormal, access_result),
    "set-response-datablock": invoked(SetResponseDatablock, uint32),
    "set-response-last": invoked(SetResponseLastDatablock, access_result, uint32),
    "set-response-last-list": invoked(
        SetResponseLastDatablockWithList, some(access_result), uint32
    ),
    "set-response-with-list": invoked(SetResponseWithList, some(access_result)),
    "action-request-normal": invoked(ActionRequestNormal, method, st.none() | trees()),
    "action-request-next": invoked(ActionRequestNextPblock, uint32),
    "action-request-with-list": invoked(ActionRequestWithList, some(method), some(trees())),
    "action-request-first": invoked(ActionRequestWithFirstPblock, method, block),
    "action-request-list-first": invoked(ActionRequestWithListAndFirstPblock, some(method), block),
    "action-request-pblock": invoked(ActionRequestWithPblock, block),
    "action-response-normal": invoked(ActionResponseNormal, action_return),
    "action-response-pblock": invoked(ActionResponseWithPblock, block),
    "action-response-with-list": invoked(ActionResponseWithList, some(action_return)),
    "action-response-next": invoked(ActionResponseNextPblock, uint32),
    "access-request": long_invoked(AccessRequest, some(specification), some(trees())),
    "access-response": long_invoked(
        AccessResponse,
        some(trees().map(encode)),
        some(access_outcome),
        st.none() | some(specification),
    ),
    "data-notification-confirm": st.builds(DataNotificationConfirm, uint32, st.none() | time),
    "data-notification": st.builds(DataNotification, uint32, st.none() | time, trees()),
    "event-notification": st.builds(EventNotification, attribute, trees(), st.none() | time),
    "exception-response": st.builds(_exception, octet, octet | st.just(6), uint32),
    "confirmed-service-error": st.builds(ConfirmedServiceError, octet, octet, octet),
    "general-ciphering": st.builds(Ciphered, st.sampled_from([0xDB, 0xDC]), content, title),
    "service-ciphering": st.builds(Ciphered, st.sampled_from(sorted(PLAIN_TAGS)), content),
    "general-block-transfer": st.builds(
        GeneralBlockTransfer, st.booleans(), st.booleans(), st.integers(0, 63), uint16, uint16, text
    ),
}


def apdus() -> st.SearchStrategy[Apdu]:
    """Any APDU."""
    return st.one_of(*BY_NAME.values())
