"""Which APDU is it? The first octet decides (IEC 62056-5-3, `XDLMS-APDU` and `ACSE-APDU`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from hes_protocol.acse import Aare, Aarq, Rlre, Rlrq
from hes_protocol.errors import EncodingError, TruncatedError
from hes_protocol.xdlms.access import (
    ACCESS_REQUEST,
    ACCESS_RESPONSE,
    AccessRequest,
    AccessResponse,
    decode_access_request,
    decode_access_response,
)
from hes_protocol.xdlms.action import (
    ACTION_REQUEST,
    ACTION_RESPONSE,
    ActionRequest,
    ActionResponse,
    decode_action_request,
    decode_action_response,
)
from hes_protocol.xdlms.block_transfer import (
    GENERAL_BLOCK_TRANSFER,
    GeneralBlockTransfer,
    decode_general_block_transfer,
)
from hes_protocol.xdlms.ciphered import (
    GENERAL_DED,
    GENERAL_GLO,
    PLAIN_TAGS,
    Ciphered,
    decode_ciphered,
)
from hes_protocol.xdlms.get import (
    GET_REQUEST,
    GET_RESPONSE,
    GetRequest,
    GetResponse,
    decode_get_request,
    decode_get_response,
)
from hes_protocol.xdlms.initiate import (
    INITIATE_REQUEST,
    INITIATE_RESPONSE,
    InitiateRequest,
    InitiateResponse,
    decode_initiate_request,
    decode_initiate_response,
)
from hes_protocol.xdlms.notification import (
    DATA_NOTIFICATION,
    DATA_NOTIFICATION_CONFIRM,
    EVENT_NOTIFICATION,
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
    decode_data_notification,
    decode_data_notification_confirm,
    decode_event_notification,
)
from hes_protocol.xdlms.refusal import (
    CONFIRMED_SERVICE_ERROR,
    EXCEPTION_RESPONSE,
    ConfirmedServiceError,
    ExceptionResponse,
    decode_confirmed_service_error,
    decode_exception_response,
)
from hes_protocol.xdlms.set import (
    SET_REQUEST,
    SET_RESPONSE,
    SetRequest,
    SetResponse,
    decode_set_request,
    decode_set_response,
)

Apdu: TypeAlias = (
    Aarq
    | Aare
    | Rlrq
    | Rlre
    | InitiateRequest
    | InitiateResponse
    | GetRequest
    | GetResponse
    | SetRequest
    | SetResponse
    | ActionRequest
    | ActionResponse
    | AccessRequest
    | AccessResponse
    | DataNotification
    | DataNotificationConfirm
    | EventNotification
    | ExceptionResponse
    | ConfirmedServiceError
    | Ciphered
    | GeneralBlockTransfer
)
"""Every APDU that `decode_apdu` reads; each has `encode() -> bytes`."""

DECODERS: Final[Mapping[int, Callable[[bytes], Apdu]]] = {
    Aarq.TAG: Aarq.decode,
    Aare.TAG: Aare.decode,
    Rlrq.TAG: Rlrq.decode,
    Rlre.TAG: Rlre.decode,
    INITIATE_REQUEST: decode_initiate_request,
    INITIATE_RESPONSE: decode_initiate_response,
    CONFIRMED_SERVICE_ERROR: decode_confirmed_service_error,
    DATA_NOTIFICATION: decode_data_notification,
    DATA_NOTIFICATION_CONFIRM: decode_data_notification_confirm,
    GET_REQUEST: decode_get_request,
    SET_REQUEST: decode_set_request,
    EVENT_NOTIFICATION: decode_event_notification,
    ACTION_REQUEST: decode_action_request,
    GET_RESPONSE: decode_get_response,
    SET_RESPONSE: decode_set_response,
    ACTION_RESPONSE: decode_action_response,
    EXCEPTION_RESPONSE: decode_exception_response,
    ACCESS_REQUEST: decode_access_request,
    ACCESS_RESPONSE: decode_access_response,
    GENERAL_GLO: decode_ciphered,
    GENERAL_DED: decode_ciphered,
    GENERAL_BLOCK_TRANSFER: decode_general_block_transfer,
    **dict.fromkeys(PLAIN_TAGS, decode_ciphered),
}


def decode_apdu(octets: bytes) -> Apdu:
    """
    Read one whole APDU.

    What is ciphered comes as `Ciphered`, unopened. The `Data` of a normal get- or
    action-response and of blocks is not looked at: `data()` on the result does that.

    Args: octets: the APDU and nothing else.
    Raises: EncodingError: "unknown-apdu" with its first octet as `apdu_tag`, or octets that are
        no such APDU. TruncatedError: it ends early. LimitError: a value too deep.
    Source: IEC 62056-5-3, "Abstract syntax of ACSE and COSEM APDUs".
    """
    if not octets:
        raise TruncatedError("truncated", "an APDU is due", offset=0)
    decoder = DECODERS.get(octets[0])
    if decoder is None:
        raise EncodingError("unknown-apdu", offset=0, apdu_tag=octets[0])
    return decoder(octets)
