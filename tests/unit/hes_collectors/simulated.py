"""
Simulated meters for the collector's tests: in memory, with faults by script.

The meters are those of `hes_simulators` (hes_protocol in the server role), reached through a
connector that opens a pair of memory streams instead of a socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import trio
from trio.testing import memory_stream_pair

import hes_simulators as sim
from hes.domain.meters import Association, Mechanism, Meter, Policy, Secrets, Transport
from hes_collectors.dlms import CollectorSettings
from hes_protocol.quirks import STANDARD, Quirks
from hes_protocol.security import Protection
from hes_protocol.server import (
    ActionRequested,
    ContinueNeeded,
    GetRequested,
    Notify,
    Reply,
    Server,
    ServerEvent,
    ServerReply,
    SetRequested,
)
from hes_protocol.xdlms import DataNotification
from hes_simulators.meter import MECHANISMS
from tests.unit.hes_collectors.support import START, wall_clock

ZONE = ZoneInfo("Europe/Berlin")
PROFILE_DAYS = 7
CLIENT_SAP = Association().client_sap

Tamper = Callable[[int, bytes], bytes | None]


def meter_kind(
    security: sim.Security,
    pdu_octets: int = 1024,
    *,
    hdlc: bool = False,
    quirks: Quirks = STANDARD,
) -> sim.MeterKind:
    """A kind of household meter whose clock is the test's."""
    random = Random(3)
    return sim.MeterKind(
        seed=1,
        zone=ZONE,
        security=security,
        max_receive_pdu_size=pdu_octets,
        profile_days=PROFILE_DAYS,
        now=wall_clock,
        next_challenge=lambda: random.randbytes(16),
        first_counter=1000,
        hdlc=hdlc,
        quirks=quirks,
    )


@attrs.define
class Fault:
    """
    What a meter does wrong. Each is off unless set.

    `hangs_before` says at which event it falls silent, `resets_after` after how many octets sent
    it closes, `slice_octets` in what pieces it sends and `pause_s` with what pauses between them,
    `tamper` what becomes of the n-th answer (None: it is not sent). No fault: what it pushes
    right before its answer to an event, `pushes_before`.
    """

    hangs_before: Callable[[ServerEvent], bool] = lambda _: False
    resets_after: int | None = None
    slice_octets: int | None = None
    pause_s: float = 0.0
    tamper: Tamper = lambda _, octets: octets
    pushes_before: Callable[[ServerEvent], list[DataNotification]] = lambda _: []


@attrs.define(eq=False)
class SimulatedMeter:
    """One meter with what the inventory knows of it, and what happened to it."""

    meter: sim.Meter
    fault: Fault = attrs.field(factory=Fault)
    connections: int = 0
    open_connections: int = 0
    answers: int = 0
    events: list[ServerEvent] = attrs.field(factory=list)
    octets_sent: int = 0
    refuses: bool = False
    clock_skew_s: float = 0.0

    @classmethod
    def of(
        cls,
        index: int = 0,
        security: sim.Security = sim.Security.GMAC,
        pdu_octets: int = 1024,
        *,
        hdlc: bool = False,
        quirks: Quirks = STANDARD,
    ) -> SimulatedMeter:
        kind = meter_kind(security, pdu_octets, hdlc=hdlc, quirks=quirks)
        return cls(sim.Meter.of(kind, index))

    @property
    def meter_id(self) -> UUID:
        return UUID(int=self.meter.identity.index + 1)

    @property
    def released(self) -> bool:
        """Whether a client has said goodbye since the last connection."""
        return any(
            isinstance(e, ContinueNeeded) and e.reply.purpose == "release" for e in self.events
        )

    def gets(self, class_id: int) -> list[GetRequested]:
        """What was read of objects of a class."""
        return [
            event
            for event in self.events
            if isinstance(event, GetRequested) and event.attribute.class_id == class_id
        ]

    def inventory(self) -> Meter:
        """As `hes meter import` would know it."""
        security = self.meter.kind.security
        gmac = security is sim.Security.GMAC
        return Meter(
            meter_id=self.meter_id,
            serial=self.meter.identity.serial,
            timezone=ZONE.key,
            transport=Transport.HDLC if self.meter.kind.hdlc else Transport.WRAPPER,
            association=Association(
                mechanism=Mechanism(MECHANISMS[security]),
                policy=Policy.AUTHENTICATED_ENCRYPTED if gmac else Policy.PLAIN,
            ),
            commissioned_at=START - timedelta(days=30),
            system_title=self.meter.identity.system_title,
            address=f"127.16.0.{self.meter.identity.index + 1}",
            port=4159,
        )

    def secrets(self) -> Secrets:
        identity = self.meter.identity
        if self.meter.kind.security is sim.Security.GMAC:
            return Secrets(
                ek=identity.encryption_key,
                ak=identity.authentication_key,
                key_fingerprint=b"of %d" % identity.index,
            )
        return Secrets(secret=self.meter.kind.security.secret(identity))

    def truth(self) -> list[sim.TruthRow]:
        """The rows of the last day up to now, as a first read of one day should find them."""
        now = wall_clock()
        grid = (now - timedelta(days=1)).replace(second=0, microsecond=0)
        grid -= timedelta(minutes=grid.minute % 15)
        return list(sim.rows(self.meter, grid, now + timedelta(seconds=1)))

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Be the meter on one connection, faults included."""
        self.connections += 1
        self.open_connections += 1
        self.events.clear()
        self.octets_sent = 0
        server = self.meter.server()
        try:
            while data := await stream.receive_some(16_384):
                server.receive_data(bytes(data))
                await self._answer(server, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open_connections -= 1
            await trio.aclose_forcefully(stream)

    async def _answer(self, server: Server, stream: trio.abc.Stream) -> None:
        while (event := server.next_event()) is not None:
            self.events.append(event)
            for notification in self.fault.pushes_before(event):
                await self._send(stream, self._push(server, notification))
            if self.fault.hangs_before(event):
                await trio.sleep_forever()
            reply = self._reply(event)
            if reply is None:
                continue
            await self._say(stream, server.send(reply))
        if said := server.data_to_send():
            await self._say(stream, said)

    async def _say(self, stream: trio.abc.Stream, answer: bytes) -> None:
        if not answer:
            return  # of a list, before its last element
        octets = self.fault.tamper(self.answers, answer)
        self.answers += 1
        if octets:
            await self._send(stream, octets)

    def _push(self, server: Server, notification: DataNotification) -> bytes:
        gmac = self.meter.kind.security is sim.Security.GMAC
        protection = Protection.AUTHENTICATED_ENCRYPTED if gmac else Protection.PLAIN
        return server.send(Notify(notification, CLIENT_SAP, protection))

    def _reply(self, event: ServerEvent) -> ServerReply | Reply | None:
        if isinstance(event, ContinueNeeded):
            return event.reply
        if isinstance(event, GetRequested):
            return self.meter.get(event)
        if isinstance(event, ActionRequested):
            return self.meter.action(event)
        if isinstance(event, SetRequested):
            return self.meter.set(event)
        return None

    async def _send(self, stream: trio.abc.Stream, octets: bytes) -> None:
        limit = self.fault.resets_after
        if limit is not None and self.octets_sent + len(octets) > limit:
            await stream.send_all(octets[: limit - self.octets_sent])
            raise trio.BrokenResourceError
        self.octets_sent += len(octets)
        size = self.fault.slice_octets or len(octets)
        for at in range(0, len(octets), size):
            await stream.send_all(octets[at : at + size])
            if self.fault.pause_s:
                await trio.sleep(self.fault.pause_s)


class Network:
    """Connects to simulated meters by the address that the inventory has."""

    def __init__(self, nursery: trio.Nursery, meters: list[SimulatedMeter]) -> None:
        self._nursery = nursery
        self._meters = {meter.inventory().address: meter for meter in meters}
        self._streams: list[trio.abc.Stream] = []

    async def connect(self, host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        meter = self._meters[host]
        if meter.refuses:
            raise ConnectionRefusedError
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(meter.serve, theirs)
        self._streams.append(ours)
        return ours

    async def all_closed(self) -> bool:
        """Whether the collector has closed every connection that it opened."""
        for stream in self._streams:
            try:
                await stream.send_all(b"")
            except trio.ClosedResourceError:
                continue
            return False
        return True


@asynccontextmanager
async def network(*meters: SimulatedMeter) -> AsyncIterator[Network]:
    """Meters that answer until the block ends."""
    async with trio.open_nursery() as nursery:
        yield Network(nursery, list(meters))
        nursery.cancel_scope.cancel()
