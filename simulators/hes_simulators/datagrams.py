"""
UDP: pushes of meters in datagrams, and requests that come in them (wrapper over UDP, IEC 62056-47).

Owns one wildcard socket on the device `lo`. Which meter a datagram is for, and which one an answer
comes from, is in the control message IP_PKTINFO. Associations by UDP last from datagram to
datagram; who has been silent for longest makes room for others.
"""

from __future__ import annotations

import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, cast

import structlog
import trio

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.models import Transport
from hes_simulators.conversation import Conversation, SessionSummary, link_of, linked
from hes_simulators.counters import FleetCounters
from hes_simulators.listeners import lo_socket
from hes_simulators.meter import Meter

MAX_DATAGRAM: Final = 65_507
MAX_CONVERSATIONS: Final = 4096
# `in_pktinfo` of Linux: interface, local address (of what is sent), address (of what has come).
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)
_PKTINFO: Final = struct.Struct("=i4s4s")
_log = structlog.get_logger(__name__)
_SAP_OCTETS: Final = slice(4, 6)  # the destination in the wrapper's header

Peer = tuple[str, int]
MeterAt = Callable[[str, int], Meter | None]


class Datagrams:
    """
    The fleet's UDP socket; make it with `open`.

    Args: opened: bound. counters: of what came and was understood.
    """

    def __init__(self, opened: socket.socket, counters: FleetCounters) -> None:
        self._at_once = opened
        self._socket = trio.socket.from_stdlib_socket(opened)  # which makes it non-blocking
        self._counters = counters
        self._conversations: OrderedDict[tuple[str, int, Peer], Conversation] = OrderedDict()

    @classmethod
    async def open(cls, port: int, counters: FleetCounters) -> Datagrams:
        """
        Open the socket at a port, 0 for any.

        Raises: FleetError: not on this system, or not this port.
        """
        opened = lo_socket(socket.SOCK_DGRAM, port)
        opened.setsockopt(socket.SOL_IP, _IP_PKTINFO, 1)
        return cls(opened, counters)

    @property
    def port(self) -> int:
        """Where it is bound."""
        return int(self._socket.getsockname()[1])

    async def send(self, source: str, octets: bytes, peer: Peer) -> None:
        """
        One datagram from a meter's address; no checkpoint where there is room for it.

        Raises: OSError: more than a datagram has room for, or nowhere to go.
        """
        information = _PKTINFO.pack(0, socket.inet_aton(source), bytes(4))
        control = [(socket.SOL_IP, _IP_PKTINFO, information)]
        try:
            self._at_once.sendmsg([octets], control, 0, peer)
        except BlockingIOError:
            await self._socket.sendmsg([octets], control, 0, peer)

    async def serve(self, meter_at: MeterAt) -> None:
        """
        Answer requests until cancelled; the socket is closed then.

        Args: meter_at: who is meant by a local address and a SAP, None for nobody.
        """
        with self._socket:
            while True:
                try:
                    data, control, _, sender = await self._socket.recvmsg(MAX_DATAGRAM, 64)
                except OSError:
                    continue  # a datagram of ours was refused where it went
                host = _destination(control)
                if host is not None:
                    await self._answer(data, host, cast("Peer", sender), meter_at)

    async def _answer(self, data: bytes, host: str, peer: Peer, meter_at: MeterAt) -> None:
        sap = int.from_bytes(data[_SAP_OCTETS], "big")
        meter = meter_at(host, sap)
        if meter is None:
            return
        key = (host, sap, peer)
        conversation = self._conversations.pop(key, None)
        if conversation is None:
            misdeeds = meter.kind.faults.shared_session(meter.identity)
            link = linked(link_of(Transport.UDP, sap), misdeeds.alter)
            conversation = Conversation(meter, SessionSummary(), link)
        self._conversations[key] = conversation
        if len(self._conversations) > MAX_CONVERSATIONS:
            self._conversations.popitem(last=False)
        try:
            for answer in conversation.receive(data):
                self._counters.datagrams += 1
                if answer:
                    await self.send(host, answer, peer)
            if rest := conversation.server.data_to_send():
                await self.send(host, rest, peer)
        except RemoteProtocolError:
            self._counters.failed += 1
        except OSError:
            pass  # an answer that nobody can be sent
        except Exception:  # noqa: BLE001 - this meter's edge: the others go on
            self._counters.crashed += 1
            self._conversations.pop(key, None)
            _log.exception("sim_session_crashed", serial=meter.identity.serial)

    def forget(self, host: str) -> None:
        """Drop the associations of a meter that has lost its power."""
        for key in [key for key in self._conversations if key[0] == host]:
            del self._conversations[key]


def _destination(control: list[tuple[int, int, bytes]]) -> str | None:
    for level, kind, information in control:
        if (level, kind) == (socket.SOL_IP, _IP_PKTINFO):
            return socket.inet_ntoa(_PKTINFO.unpack(information[: _PKTINFO.size])[2])
    return None
