"""
A client's requests as APDUs: whole where they fit, else by blocks.

Pure functions of a request. IEC 62056-5-3, "Protocol for the GET service", "… SET …", "… ACTION …":
a long request is cut behind its descriptors, so all of these are in the first block; what the
blocks carry is the `Data` of the one attribute or method, or in a list their count and then each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from hes_protocol.axdr import NULL, Data, encode, write_length
from hes_protocol.errors import LocalProtocolError
from hes_protocol.requests import (
    Access,
    Action,
    ActionList,
    Get,
    GetList,
    Selection,
    ServiceRequest,
    Set,
    SetList,
)
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
    ActionRequestWithPblock,
    AttributeAccess,
    Conformance,
    DataBlock,
    GetRequestNormal,
    GetRequestWithList,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
)

_BlockRequest = (
    SetRequestWithFirstDatablock
    | SetRequestWithListAndFirstDatablock
    | SetRequestWithDatablock
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
    | ActionRequestWithPblock
)
_EMPTY_BLOCK: Final = DataBlock(last_block=False, block_number=1, raw_data=b"")


def whole(request: ServiceRequest, invoke: int) -> bytes:
    """
    The request in one APDU, however long.

    Args: invoke: invoke_id_and_priority, of an ACCESS long_invoke_id_and_priority.
    Raises: LocalProtocolError: a value that has no encoding.
    """
    match request:
        case Get():
            return GetRequestNormal(
                request.attribute, access(request.selection), invoke_id_and_priority=invoke
            ).encode()
        case Set():
            return SetRequestNormal(
                request.attribute,
                access(request.selection),
                request.data,
                invoke_id_and_priority=invoke,
            ).encode()
        case Action():
            return ActionRequestNormal(
                request.method, request.data, invoke_id_and_priority=invoke
            ).encode()
        case GetList():
            return GetRequestWithList(
                _accesses(request.gets), invoke_id_and_priority=invoke
            ).encode()
        case SetList():
            return SetRequestWithList(
                _accesses(request.sets),
                tuple(one.data for one in request.sets),
                invoke_id_and_priority=invoke,
            ).encode()
        case ActionList():
            return ActionRequestWithList(
                tuple(one.method for one in request.actions),
                _parameters(request.actions),
                invoke_id_and_priority=invoke,
            ).encode()
        case Access():
            ones = request.specifications
            return AccessRequest(
                tuple(map(_specification, ones)),
                tuple(map(_value, ones)),
                long_invoke_id_and_priority=invoke,
            ).encode()


def _specification(one: Get | Set | Action) -> AccessSpecification:
    match one:
        case Get():
            return AccessGet(one.attribute, access(one.selection))
        case Set():
            return AccessSet(one.attribute, access(one.selection))
        case Action():
            return AccessAction(one.method)


def _value(one: Get | Set | Action) -> Data:
    return NULL if isinstance(one, Get) or one.data is None else one.data


def access(selection: Selection | None) -> AccessSelection | None:
    """Selective access as an APDU carries it."""
    if selection is None:
        return None
    return AccessSelection(selection.selector, selection.to_data())


def _accesses(ones: tuple[Get, ...] | tuple[Set, ...]) -> tuple[AttributeAccess, ...]:
    return tuple(AttributeAccess(one.attribute, access(one.selection)) for one in ones)


def _parameters(actions: tuple[Action, ...]) -> tuple[Data, ...]:
    return tuple(map(_value, actions))


@attrs.define
class LongRequest:
    """
    A request cut into blocks.

    Args: first, later: make the APDU of a block. body: what is cut. room: how long an APDU may be
        before it is ciphered, octets.
    Raises: LocalProtocolError: the descriptors alone leave no room for data.
    """

    first: Callable[[DataBlock], _BlockRequest]
    later: Callable[[DataBlock], _BlockRequest]
    body: bytes = attrs.field(repr=False)
    room: int
    given_blocks: int = 0
    given_octets: int = 0
    _first_octets: int = attrs.field(init=False)
    _later_octets: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._first_octets = self._capacity(self.first)
        self._later_octets = self._capacity(self.later)
        if min(self._first_octets, self._later_octets) < 1:
            raise LocalProtocolError(f"{self.room} octets do not hold the descriptors")

    @property
    def finished(self) -> bool:
        """Whether the last block was given."""
        return self.given_octets >= len(self.body)

    def _capacity(self, make: Callable[[DataBlock], _BlockRequest]) -> int:
        overhead = len(make(_EMPTY_BLOCK).encode()) - 1 + len(write_length(max(0, self.room)))
        return self.room - overhead

    @property
    def _block_octets(self) -> int:
        return self._later_octets if self.given_blocks else self._first_octets

    def _block(self) -> DataBlock:
        behind = self.given_octets + self._block_octets
        return DataBlock(
            last_block=behind >= len(self.body),
            block_number=self.given_blocks + 1,
            raw_data=self.body[self.given_octets : behind],
        )

    def block(self) -> bytes:
        """The next block as an APDU; it counts as given only when `advance` says so."""
        make = self.later if self.given_blocks else self.first
        return make(self._block()).encode()

    def advance(self) -> None:
        """The next block has been given."""
        self.given_octets += self._block_octets
        self.given_blocks += 1


def blocks_of(request: ServiceRequest) -> Conformance:
    """What the server must know so that the request can go by blocks of its service; or NONE."""
    match request:
        case Set() | SetList():
            return Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
        case Action() | ActionList():
            return Conformance.BLOCK_TRANSFER_WITH_ACTION
        case _:
            return Conformance.NONE


def by_blocks(
    request: ServiceRequest, invoke: int, room: int, conformance: Conformance
) -> LongRequest:
    """
    A request that is longer than `room` octets.

    Args: conformance: what was negotiated.
    Raises: LocalProtocolError: it cannot be cut, or not without the server's consent.
    """
    match request:
        case Set() | SetList() if Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE & conformance:
            return _long_set(request, invoke, room)
        case Action() | ActionList() if Conformance.BLOCK_TRANSFER_WITH_ACTION & conformance:
            return _long_action(request, invoke, room)
    raise LocalProtocolError(f"the server takes {room} octets, and no blocks of this service")


def _long_set(request: Set | SetList, invoke: int, room: int) -> LongRequest:
    def later(block: DataBlock) -> SetRequestWithDatablock:
        return SetRequestWithDatablock(block, invoke_id_and_priority=invoke)

    if isinstance(request, Set):
        selection = access(request.selection)
        return LongRequest(
            lambda block: SetRequestWithFirstDatablock(
                request.attribute, selection, block, invoke_id_and_priority=invoke
            ),
            later,
            encode(request.data),
            room,
        )
    accesses = _accesses(request.sets)
    return LongRequest(
        lambda block: SetRequestWithListAndFirstDatablock(
            accesses, block, invoke_id_and_priority=invoke
        ),
        later,
        _encode_list(tuple(one.data for one in request.sets)),
        room,
    )


def _long_action(request: Action | ActionList, invoke: int, room: int) -> LongRequest:
    def later(block: DataBlock) -> ActionRequestWithPblock:
        return ActionRequestWithPblock(block, invoke_id_and_priority=invoke)

    if isinstance(request, Action):
        return LongRequest(
            lambda block: ActionRequestWithFirstPblock(
                request.method, block, invoke_id_and_priority=invoke
            ),
            later,
            encode(_value(request)),
            room,
        )
    methods = tuple(one.method for one in request.actions)
    return LongRequest(
        lambda block: ActionRequestWithListAndFirstPblock(
            methods, block, invoke_id_and_priority=invoke
        ),
        later,
        _encode_list(_parameters(request.actions)),
        room,
    )


def _encode_list(values: tuple[Data, ...]) -> bytes:
    return write_length(len(values)) + b"".join(map(encode, values))
