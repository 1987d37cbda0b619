"""
What clients ask of a meter, and what it answers: who may see, read, write and invoke what.

Owns the rules of access and the journal's notes of what was done; what attributes hold and methods
do is `classes`'. Requests come from `hes_protocol.server`, which has checked the association.
Source: IEC 62056-6-2, class_id 15, object_list; IEC 62056-5-3, Data-Access-Result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.cosem import Attribute, Method, Obis
from hes_protocol.models.classes import CLASSES
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    GetRequested,
    GetResult,
    SetRequested,
    SetResult,
)
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.classes import Answer, interface_class
from hes_simulators.clock import moment

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_LOGICAL_NAME = 1


def logical_name(obis: Obis) -> Data:
    """Attribute 1 of every object."""
    return Data(DataTag.OCTET_STRING, obis.octets)


def to_get(meter: Meter, request: GetRequested) -> GetResult:
    """Answer a GET, now."""
    answer = _read(meter, request)
    if isinstance(answer, DataAccessResult):
        return GetResult(request.invoke_id, answer)
    octets = answer if isinstance(answer, bytes) else encode(answer)
    return GetResult(request.invoke_id, octets=octets)


def to_set(meter: Meter, request: SetRequested) -> SetResult:
    """Answer a SET, now; what is written lasts."""
    result = _write(meter, request)
    meter.changed()
    _tell(meter, "set", request.attribute, request.client_sap, result)
    return SetResult(request.invoke_id, result)


def to_action(meter: Meter, request: ActionRequested) -> ActionResult:
    """Answer an ACTION, now."""
    method, sap = request.method, request.client_sap
    found = meter.kind.served.find(method.class_id, method.obis, sap)
    returned: Data | None = None
    if isinstance(found, DataAccessResult):
        result = ActionResultCode(found)
    elif not 1 <= method.index <= len(CLASSES[found.class_id].methods):
        result = ActionResultCode.OBJECT_UNDEFINED
    elif sap not in found.methods.get(method.index, ()):
        result = ActionResultCode.READ_WRITE_DENIED
    else:
        result, returned = meter.invoke(found, method.index, request.data, sap)
    _tell(meter, "action", method, sap, result)
    octets = b"" if returned is None else encode(returned)
    return ActionResult(request.invoke_id, result, octets)


def _read(meter: Meter, request: GetRequested) -> Answer:
    wanted, sap, selection = request.attribute, request.client_sap, request.selection
    found = meter.kind.served.find(wanted.class_id, wanted.obis, sap)
    if isinstance(found, DataAccessResult):
        return found
    if wanted.index == _LOGICAL_NAME:
        if selection is not None:
            return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
        return logical_name(found.obis)
    attribute = found.attributes.get(wanted.index)
    if attribute is None:
        return DataAccessResult.OBJECT_UNDEFINED
    if sap not in attribute.read:
        return DataAccessResult.READ_WRITE_DENIED
    return interface_class(found).read(meter, found, wanted.index, selection, sap)


def _write(meter: Meter, request: SetRequested) -> DataAccessResult:
    wanted, sap = request.attribute, request.client_sap
    found = meter.kind.served.find(wanted.class_id, wanted.obis, sap)
    if isinstance(found, DataAccessResult):
        return found
    if wanted.index == _LOGICAL_NAME:
        return DataAccessResult.READ_WRITE_DENIED
    attribute = found.attributes.get(wanted.index)
    if attribute is None:
        return DataAccessResult.OBJECT_UNDEFINED
    if sap not in attribute.write:
        return DataAccessResult.READ_WRITE_DENIED
    known = interface_class(found)
    return known.write(meter, found, wanted.index, request.data, request.selection, sap)


def _tell(meter: Meter, what: str, where: Attribute | Method, sap: int, result: object) -> None:
    meter.kind.journal.note(
        "executed",
        moment(meter.now_us),
        meter.identity.serial,
        what=what,
        class_id=where.class_id,
        obis=str(where.obis),
        index=where.index,
        sap=sap,
        result=result,
    )
