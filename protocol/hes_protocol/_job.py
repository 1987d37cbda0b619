"""
A request taken apart: what the caller is asked, one at a time, and what it said.

Pure but for `Job.go_on`; `_answers.py` makes the APDU of the results. What the caller cannot be
asked, since we cannot read it, has its result from the beginning.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import NULL, Data
from hes_protocol.cosem.objects import Attribute, EntrySelection, Method, RangeSelection
from hes_protocol.errors import EncodingError, LocalProtocolError
from hes_protocol.events import ActionRequested, GetRequested, ServiceRequested, SetRequested
from hes_protocol.requests import ActionResult, GetResult, Selection, ServiceResult, SetResult
from hes_protocol.xdlms import (
    AccessAction,
    AccessGet,
    AccessRequest,
    AccessSelection,
    AccessSet,
    AccessSpecification,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionReturn,
    DataAccessResult,
    GetDataResult,
    GetRequestNormal,
    GetRequestWithList,
    SetRequestNormal,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
)
from hes_protocol.xdlms.access import BREAK_ON_ERROR, LONG_CONFIRMED
from hes_protocol.xdlms.descriptor import CONFIRMED

_PROFILE_GENERIC: Final = 7
_BUFFER: Final = 2

_Whole: TypeAlias = (
    GetRequestWithList
    | SetRequestNormal
    | SetRequestWithList
    | ActionRequestNormal
    | ActionRequestWithList
    | AccessRequest
)
_ByBlocks: TypeAlias = (
    SetRequestWithFirstDatablock
    | SetRequestWithListAndFirstDatablock
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
)
WholeRequest: TypeAlias = GetRequestNormal | _Whole
Request: TypeAlias = WholeRequest | _ByBlocks
Result: TypeAlias = GetDataResult | DataAccessResult | ActionReturn
"""How an element went: of a GET, a SET, an ACTION."""

Results: TypeAlias = tuple[Result, ...]

_Element: TypeAlias = ServiceRequested | GetDataResult | DataAccessResult
_ASKED: Final = (GetRequested, SetRequested, ActionRequested)
_GETS: Final = (GetRequestNormal, GetRequestWithList)


class _ListedAction:
    """An ACTION in a list, where null-data stands for no parameter."""


_Named: TypeAlias = tuple[type, Attribute | Method, AccessSelection | None]


@attrs.define
class Job:
    """
    Args: request: as it came, by blocks its first one. elements: what it asks for, or how it went
        where nobody needs to be asked. blocks: by how many blocks it came, 0 for whole.
    """

    request: Request
    elements: tuple[_Element, ...] = attrs.field(repr=False)
    blocks: int = 0
    results: Results = attrs.field(default=(), init=False, repr=False)
    asked: ServiceRequested | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.results, self.asked = self._settle(())

    @property
    def wants_answer(self) -> bool:
        """Whether the client waits: what came by blocks was acknowledged all the way."""
        request = self.request
        if self.blocks or isinstance(request, _GETS):
            return True
        if isinstance(request, AccessRequest):
            return bool(request.long_invoke_id_and_priority & LONG_CONFIRMED)
        return bool(request.invoke_id_and_priority & CONFIRMED)

    def read(self, said: ServiceResult) -> Result:
        """
        What the caller says to `asked`. Changes nothing.

        Raises: LocalProtocolError: SUCCESS without data, data without SUCCESS, another invoke_id
            or another service.
        """
        asked = self.asked
        if asked is None or asked.invoke_id != said.invoke_id:
            raise LocalProtocolError("another invoke_id was asked")
        match asked, said:
            case GetRequested(), GetResult():
                if (said.result == DataAccessResult.SUCCESS) is not bool(said.octets):
                    raise LocalProtocolError("data goes with SUCCESS, and only there")
                return GetDataResult(said.result, said.octets)
            case SetRequested(), SetResult():
                return said.result
            case ActionRequested(), ActionResult():
                returned = GetDataResult(octets=said.octets) if said.octets else None
                return ActionReturn(said.result, returned)
            case _:
                raise LocalProtocolError("another service was asked")

    def after(self, result: Result) -> tuple[Results, ServiceRequested | None]:
        """
        All results once the element that is asked has this one, of `read`. Changes nothing.

        Returns: for `go_on`: with it, what must be asked next, None if nothing is left.
        """
        return self._settle((*self.results, result))

    def go_on(self, results: Results, asked: ServiceRequested | None) -> None:
        """So far it has gone."""
        self.results, self.asked = results, asked

    def _settle(self, results: Results) -> tuple[Results, ServiceRequested | None]:
        """Put behind `results` those of elements that nobody needs to be asked."""
        elements = self.elements
        while len(results) < len(elements):
            if results and self._breaks_off(results[-1]):
                break
            element = elements[len(results)]
            if isinstance(element, _ASKED):
                return results, element
            results = (*results, element)
        return results, None

    def _breaks_off(self, last: Result) -> bool:
        """Whether an ACCESS ends with its last result, an error."""
        request = self.request
        return (
            isinstance(request, AccessRequest)
            and request.long_invoke_id_and_priority & BREAK_ON_ERROR != 0
            and code_of(last) != 0
        )


def code_of(result: Result) -> int:
    """The number that a result has in an APDU, 0 for success."""
    return result if isinstance(result, DataAccessResult) else result.result


# --- taking apart ---------------------------------------------------------------------------


def take_apart(request: WholeRequest, client_sap: int) -> Job | None:
    """A whole request; None if its lists do not fit each other."""
    if isinstance(request, GetRequestNormal):
        read = _get(request.attribute, request.selection, request.invoke_id, client_sap)
        return Job(request, (read,))
    return _job(request, _values_of(request), client_sap)


def put_together(
    request: _ByBlocks, values: tuple[Data, ...], blocks: int, client_sap: int
) -> Job | None:
    """A request whose `values` came by blocks; None if there are more or fewer than it names."""
    return _job(request, values, client_sap, blocks)


def _values_of(request: _Whole) -> tuple[Data | None, ...]:
    match request:
        case SetRequestNormal():
            return (request.value,)
        case ActionRequestNormal():
            return (request.parameters,)
        case SetRequestWithList() | AccessRequest():
            return request.values
        case ActionRequestWithList():
            return request.parameters
        case GetRequestWithList():
            return (None,) * len(request.accesses)


def _job(
    request: _Whole | _ByBlocks,
    values: tuple[Data | None, ...],
    client_sap: int,
    blocks: int = 0,
) -> Job | None:
    named = _named(request)
    if len(named) != len(values):
        return None
    return Job(
        request,
        tuple(
            _element(*each, value, request.invoke_id, client_sap)
            for each, value in zip(named, values, strict=True)
        ),
        blocks,
    )


def _named(request: _Whole | _ByBlocks) -> tuple[_Named, ...]:
    match request:
        case SetRequestNormal() | SetRequestWithFirstDatablock():
            return ((SetRequested, request.attribute, request.selection),)
        case ActionRequestNormal() | ActionRequestWithFirstPblock():
            return ((ActionRequested, request.method, None),)
        case GetRequestWithList():
            return tuple((GetRequested, one.attribute, one.selection) for one in request.accesses)
        case SetRequestWithList() | SetRequestWithListAndFirstDatablock():
            return tuple((SetRequested, one.attribute, one.selection) for one in request.accesses)
        case ActionRequestWithList() | ActionRequestWithListAndFirstPblock():
            return tuple((_ListedAction, method, None) for method in request.methods)
        case AccessRequest():
            return tuple(map(_named_by_access, request.specifications))


def _named_by_access(specification: AccessSpecification) -> _Named:
    match specification:
        case AccessAction():
            return _ListedAction, specification.method, None
        case AccessGet():
            return GetRequested, specification.attribute, specification.selection
        case AccessSet():
            return SetRequested, specification.attribute, specification.selection


def _element(
    event: type,
    target: Attribute | Method,
    selection: AccessSelection | None,
    value: Data | None,
    invoke_id: int,
    client_sap: int,
) -> _Element:
    if isinstance(target, Method):
        none = event is _ListedAction and value == NULL
        return ActionRequested(invoke_id, target, None if none else value, client_sap)
    if event is GetRequested:
        return _get(target, selection, invoke_id, client_sap)
    read = selection_of(target, selection)
    if isinstance(read, DataAccessResult):
        return read
    assert value is not None
    return SetRequested(invoke_id, target, value, read, client_sap)


def _get(
    attribute: Attribute, selection: AccessSelection | None, invoke_id: int, client_sap: int
) -> GetRequested | GetDataResult:
    read = None if selection is None else selection_of(attribute, selection)
    if isinstance(read, DataAccessResult):
        return GetDataResult(read)
    return GetRequested(invoke_id, attribute, read, client_sap)


def selection_of(
    attribute: Attribute, selection: AccessSelection | None
) -> Selection | DataAccessResult | None:
    """A request's selective access, None for none; a result where we cannot read it."""
    if selection is None:
        return None
    selectable = (attribute.class_id, attribute.index) == (_PROFILE_GENERIC, _BUFFER)
    if not selectable or selection.selector not in (1, 2):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    try:
        if selection.selector == RangeSelection.selector:
            return RangeSelection.from_data(selection.parameters)
        return EntrySelection.from_data(selection.parameters)
    except EncodingError:
        return DataAccessResult.TYPE_UNMATCHED
