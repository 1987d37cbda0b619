"""
What one client and one meter have to say to each other: octets in, octets out. Sans-io.

Owns the step from the protocol's events to the meter's answers, and what is told of it afterwards.
Who carries the octets (`session` over a stream, `concentrator` among those of other meters,
`datagrams` over UDP) is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.hdlc import HdlcAddress, HdlcServerLink, LinkParameters
from hes_protocol.mbus import MBusPushLink
from hes_protocol.models import Transport
from hes_protocol.server import (
    ActionRequested,
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    ContinueNeeded,
    GetRequested,
    GetResult,
    NotificationConfirmed,
    Notify,
    Server,
    ServerAssociation,
    ServerEvent,
    ServerLink,
    ServerReply,
    SetRequested,
)
from hes_protocol.wrapper import WrapperDatagramLink, WrapperLink
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.faults import Alter, ServerParts, unaltered
from hes_simulators.meter import Meter

# Requests are no longer, but for blocks of an image: a link takes what a large PDU has.
_MAX_REQUEST_OCTETS = 4096
_LINK_OFFER = LinkParameters(512, 512, 4, 4)
# As much is read for one request: what is asked for beyond, in a list, is to be asked for again. A
# buffer counts as much at least, as it takes work even where it is short.
_MOST_READ_OCTETS = 1 << 20
_BUFFER_OCTETS = 1 << 16
_BUFFER = (7, 2)


@attrs.define
class SessionSummary:
    """
    What happened in a session, for the log; `sap` is the client that associated last.

    `crashes` are meters behind a concentrator that an error of ours has thrown out of it.
    """

    associations: int = 0
    refusals: int = 0
    reads: int = 0
    timed_out: bool = False
    crashes: int = 0
    sap: int | None = attrs.field(default=None, eq=False)
    mechanism: Mechanism | None = attrs.field(default=None, eq=False)


class Conversation:
    """
    Be the meter for whoever is at the other end.

    Args:
        summary: counted into.
        alter: what is different from the meter's own server: faults, another link.
    """

    __slots__ = (
        "_associations",
        "_opened",
        "_read_octets",
        "_waiting",
        "meter",
        "server",
        "summary",
    )

    def __init__(self, meter: Meter, summary: SessionSummary, alter: Alter = unaltered) -> None:
        self.meter = meter
        self.summary = summary
        self._associations: Mapping[int, ServerAssociation] = {}
        self._waiting: dict[int, Callable[[], None]] | None = None
        self._read_octets = 0
        self._opened: dict[int, AssociationOpened] = {}

        def noticed(parts: ServerParts) -> ServerParts:
            self._associations = parts.associations
            return alter(parts)

        self.server: Server = meter.server(noticed)

    def receive(self, data: bytes) -> Iterator[bytes]:
        """
        Take octets, and give the answer to each whole thing that they say, perhaps none (b"").

        Raises: RemoteProtocolError: what was said deserves no answer; see `Server.next_event`.
        """
        server = self.server
        self._read_octets = 0
        server.receive_data(data)
        while (event := server.next_event()) is not None:
            reply = self._reply(event)
            answer = b"" if reply is None else server.send(reply)
            if answer:
                self._read_octets = 0
            yield answer

    def push(self, notify: Notify) -> tuple[bytes, ...]:
        """
        What goes out for a push: it, or what a fault makes of it.

        Raises: LocalProtocolError: no such client, or no room for it on this transport.
        """
        octets = self.server.send(notify)
        return self.meter.kind.faults.pushes(self.meter.identity, octets)

    def when_confirmed(self, long_invoke_id: int, call: Callable[[], None]) -> None:
        """Call once when the client has confirmed the push of that number."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[long_invoke_id] = call

    def _reply(self, event: ServerEvent) -> ServerReply | None:
        match event:
            case ContinueNeeded():
                return event.reply
            case GetRequested():
                self.summary.reads += 1
                self.meter.current = self._opened.get(event.client_sap)
                return self._get(event)
            case AssociationOpened():
                self._opened[event.client_sap] = event
                self.summary.associations += 1
                self.summary.sap = event.client_sap
                self.summary.mechanism = self._associations[event.client_sap].mechanism
            case AssociationRefused():
                self.summary.refusals += 1
            case SetRequested():
                return self.meter.set(event)
            case ActionRequested():
                return self.meter.action(event)
            case NotificationConfirmed():
                call = (self._waiting or {}).pop(event.long_invoke_id, None)
                if call is not None:
                    call()
            case AssociationReleased():
                pass
        return None

    def _get(self, event: GetRequested) -> GetResult:
        if self._read_octets >= _MOST_READ_OCTETS:
            return GetResult(event.invoke_id, DataAccessResult.TEMPORARY_FAILURE)
        result = self.meter.get(event)
        is_buffer = (event.attribute.class_id, event.attribute.index) == _BUFFER
        self._read_octets += max(len(result.octets), _BUFFER_OCTETS if is_buffer else 0)
        return result


def linked(link: ServerLink, alter: Alter = unaltered) -> Alter:
    """Let the meter speak over another link than its own; faults come after."""

    def changed(parts: ServerParts) -> ServerParts:
        return alter(attrs.evolve(parts, link=link))

    return changed


def link_of(transport: Transport, server_sap: int) -> ServerLink:
    """
    A fresh link for a connection of that kind.

    Raises: LocalProtocolError: a SAP that the transport has no room for.
    """
    match transport:
        case Transport.HDLC:
            return HdlcServerLink(
                HdlcAddress(server_sap), _LINK_OFFER, max_apdu=_MAX_REQUEST_OCTETS
            )
        case Transport.MBUS:
            return MBusPushLink(server_sap)
        case Transport.UDP:
            return WrapperDatagramLink(server_sap, max_apdu=_MAX_REQUEST_OCTETS)
        case Transport.WRAPPER:
            return WrapperLink(server_sap, max_apdu=_MAX_REQUEST_OCTETS)
