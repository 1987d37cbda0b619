"""
One connection to one meter: octets between a trio stream and the protocol's server.

Owns the loop and its deadline, nothing else: framing, associations and security are the
protocol's, the answers the meter's. Does not close the stream; that is the caller's.
"""

from __future__ import annotations

import math

import attrs
import trio

from hes_protocol.server import (
    ActionRequested,
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    ContinueNeeded,
    GetRequested,
    NotificationConfirmed,
    Server,
    ServerEvent,
    ServerReply,
    SetRequested,
)
from hes_simulators.meter import Meter

_RECEIVE_OCTETS = 16_384


@attrs.define
class SessionSummary:
    """What happened in a session, for the log."""

    associations: int = 0
    refusals: int = 0
    reads: int = 0
    timed_out: bool = False


async def serve_stream(
    stream: trio.abc.Stream, meter: Meter, summary: SessionSummary, idle_timeout_s: float = math.inf
) -> None:
    """
    Be the meter until the client goes away, or says nothing whole for `idle_timeout_s`.

    The time runs from APDU to APDU, so that a client which sends an octet now and then, or does
    not take its answers, is dropped as well.

    Args: summary: counted into while the session runs, so that it is right also when this raises.
    Raises: RemoteProtocolError: the client broke the protocol; the connection is of no use now.
        trio.BrokenResourceError: the connection broke.
    """
    server = meter.server()
    with trio.move_on_after(idle_timeout_s) as scope:
        while data := await _receive(stream, server):
            server.receive_data(data)
            while (event := server.next_event()) is not None:
                scope.deadline = trio.current_time() + idle_timeout_s
                reply = _reply(event, meter, summary)
                if reply is not None:
                    await _write(stream, server.send(reply))
            await _write(stream, server.data_to_send())
    summary.timed_out = scope.cancelled_caught


async def _receive(stream: trio.abc.Stream, server: Server) -> bytes:
    """What the client sends; meanwhile the link may find that it has waited long enough."""
    while (waiting_s := server.timeout_s) is not None:
        with trio.move_on_after(waiting_s):
            return bytes(await stream.receive_some(_RECEIVE_OCTETS))
        await _write(stream, server.handle_timeout())
    return bytes(await stream.receive_some(_RECEIVE_OCTETS))


async def _write(stream: trio.abc.Stream, octets: bytes) -> None:
    if octets:
        await stream.send_all(octets)


def _reply(event: ServerEvent, meter: Meter, summary: SessionSummary) -> ServerReply | None:
    match event:
        case ContinueNeeded():
            return event.reply
        case GetRequested():
            summary.reads += 1
            return meter.get(event)
        case AssociationOpened():
            summary.associations += 1
        case AssociationRefused():
            summary.refusals += 1
        case SetRequested():
            return meter.set(event)
        case ActionRequested():
            return meter.action(event)
        case AssociationReleased() | NotificationConfirmed():
            pass
    return None
