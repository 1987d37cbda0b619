"""
Pushes by UDP: a datagram is one frame of the wrapper (IEC 62056-47), or of another framing.

Rule 1: nobody waits for an answer, so nobody can be told to wait: so many datagrams are held until
storage has taken them, what comes beyond is dropped and counted, as the network would do it. Rule
2: what a source sends faster than it may is dropped before anybody looks at it. Rule 3: nothing is
ever sent back: whose address a datagram bears is for anybody to write.
"""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

import trio

from hes.domain.errors import AddressNotAllowedError
from hes.domain.reach import IPAddress, canonical
from hes_collectors.dlms.admission import SourceRates, source_of
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.framing import framer_for
from hes_collectors.dlms.intake import Arrival
from hes_collectors.dlms.outcomes import log_crash
from hes_collectors.dlms.push_reports import keep_reports, tell_refused
from hes_collectors.dlms.reception import Reception
from hes_protocol.errors import FramingError, RemoteProtocolError

_MAX_DATAGRAM: Final = 65_507
_MOST_HELD: Final = 1024
_RECEIVE_BUFFER: Final = 4 * 1024 * 1024
_BURST_S: Final = 5.0


async def run_datagrams(
    context: Context, *, task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED
) -> None:
    """
    Take pushes in by UDP until cancelled.

    `task_status` tells the address that is bound. Raises: OSError: it cannot be bound.
    """
    settings = context.settings
    [(family, *_), *_] = await trio.socket.getaddrinfo(
        settings.listen_host, settings.listen_port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )
    with trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        await sock.bind((settings.listen_host, settings.listen_port))
        receiver = Datagrams(context)
        async with trio.open_nursery() as nursery:
            for _ in range(settings.worker_threads):
                nursery.start_soon(receiver.serve)
            task_status.started(sock.getsockname()[:2])
            while True:
                with suppress(OSError):  # of a datagram that could not be delivered
                    data, sender = await sock.recvfrom(_MAX_DATAGRAM)
                    receiver.take(data, str(sender[0]))


class Datagrams:
    """What has come and is not stored yet."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reception = Reception(context)
        per_s = context.settings.inbound.datagrams_per_s_per_source
        self._rates = SourceRates(per_s, per_s * _BURST_S)
        self._put, self._held = trio.open_memory_channel[tuple[bytes, IPAddress]](_MOST_HELD)

    def take(self, data: bytes, sender: str) -> None:
        """Hold a datagram, or drop it. Raises: nothing."""
        result = "dropped"
        with suppress(trio.WouldBlock, AddressNotAllowedError):
            peer = canonical(sender.partition("%")[0])
            if data and self._rates.has_turn(source_of(peer)):
                self._put.send_nowait((data, peer))
                result = "held"
        self._context.metrics.inbound_datagrams.labels(result).inc()

    async def serve(self) -> None:
        """Take in what is held, one after the other, until cancelled."""
        async for data, peer in self._held:
            try:
                await self._store(data, peer)
            except RemoteProtocolError as error:
                tell_refused(self._context, peer, "datagram", error)
            except Exception as error:  # noqa: BLE001 - one datagram must not end the others
                log_crash(error)

    async def _store(self, data: bytes, peer: IPAddress) -> None:
        """Raises: RemoteProtocolError: it is no push, or only a part of one."""
        received_at, connection_id = self._context.now(), uuid4()
        octets_by_meter: Counter[UUID] = Counter()
        framer = framer_for(data[0], self._context.settings.inbound)
        framer.receive_data(data)
        try:
            while (message := framer.next_message()) is not None:
                arrival = Arrival(peer, message, received_at, connection_id)
                result = await self._reception.take(arrival)
                if result.meter_id is not None and result.believed:
                    octets_by_meter[result.meter_id] += len(message.frames)
            if framer.pending:
                raise FramingError("message-cut", "a datagram holds whole messages")
        finally:
            await keep_reports(self._context, connection_id, received_at, octets_by_meter)
