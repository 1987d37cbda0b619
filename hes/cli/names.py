"""The standard's names for the protocol's numbers, beside them in the translator's JSON."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

from hes_protocol.acse import Aare, Aarq, Rlre, Rlrq
from hes_protocol.acse.names import (
    ApplicationContext,
    Diagnostic,
    Mechanism,
    ReleaseRequestReason,
    ReleaseResponseReason,
)
from hes_protocol.xdlms import (
    AccessAction,
    AccessActionResult,
    AccessGet,
    AccessGetResult,
    AccessSet,
    AccessSetResult,
    ConfirmedServiceError,
    GeneralBlockTransfer,
)
from hes_protocol.xdlms.refusal import INITIATE, ConfirmedService, InitiateError

# 2.16.756.5.8.1 and .2, BER coded: what stands before the last arc of contexts and mechanisms.
_CONTEXT = bytes.fromhex("608574050801")
_MECHANISM = bytes.fromhex("608574050802")


def kebab(name: str) -> str:
    """`GetRequestNormal` and `GET_REQUEST` as people write them: `get-request-normal`."""
    if name.isupper():
        return name.lower().replace("_", "-")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def names_of(content: Any) -> dict[str, str]:
    """Names to stand beside the members of an APDU, or of a part of one."""
    match content:
        case Aarq() | Aare():
            return _association(content)
        case Diagnostic():
            return {"name": content.name}
        case Rlrq():
            return _named("reason_name", ReleaseRequestReason, content.reason)
        case Rlre():
            return _named("reason_name", ReleaseResponseReason, content.reason)
        case ConfirmedServiceError():
            names = _named("service_name", ConfirmedService, content.service)
            if content.kind == INITIATE:
                names |= {"kind_name": "initiate"}
                names |= _named("value_name", InitiateError, content.value)
            return names
        case AccessGet() | AccessGetResult():
            return {"kind": "get"}
        case AccessSet() | AccessSetResult():
            return {"kind": "set"}
        case AccessAction() | AccessActionResult():
            return {"kind": "action"}
        case GeneralBlockTransfer():
            return {"block_control": f"0x{content.encode()[1]:02x}"}
        case _:
            return {}


def _association(apdu: Aarq | Aare) -> dict[str, str]:
    context, mechanism = apdu.application_context_name, apdu.mechanism_name
    names: dict[str, str] = {}
    if context and context[:-1] == _CONTEXT:
        names |= _named("application_context", ApplicationContext, context[-1])
    if mechanism and mechanism[:-1] == _MECHANISM:
        names |= _named("mechanism", Mechanism, mechanism[-1])
    value = apdu.authentication_value
    if value and all(0x20 <= octet < 0x7F for octet in value):
        names["authentication_text"] = value.decode("ascii")
    return names


def _named(member: str, names: type[IntEnum], value: int | None) -> dict[str, str]:
    if value is None or value not in list(names):
        return {}
    return {member: kebab(names(value).name)}
