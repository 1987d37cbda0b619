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
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    ContinueNeeded,
    GetRequested,
    ServerEvent,
    ServerReply,
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
        while data := await stream.receive_some(_RECEIVE_OCTETS):
            server.receive_data(bytes(data))
            while (event := server.next_event()) is not None:
                scope.deadline = trio.current_time() + idle_timeout_s
                reply = _reply(event, meter, summary)
                if reply is not None:
                    await stream.send_all(server.send(reply))
    summary.timed_out = scope.cancelled_caught


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
        case AssociationReleased():
            pass
        case _:
            return meter.action(event)
    return None
