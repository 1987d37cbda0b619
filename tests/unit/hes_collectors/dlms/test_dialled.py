"""Meters that dial in: who they are, who speaks first, one line each, and nothing at the cost of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

import hes_simulators as sim
from hes.domain.meters import Mechanism, Meter, Policy, Secrets
from hes.domain.work import ItemState
from hes_collectors.dlms import InboundLimits
from hes_collectors.dlms.dialled import Dialled, dials_in
from hes_collectors.dlms.inbound import InboundServer
from hes_collectors.dlms.settler import settling
from hes_protocol.models import Model, parse_model
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, notification, wrapped
from tests.unit.hes_collectors.simulated import SimulatedMeter
from tests.unit.hes_collectors.support import context, wall_clock

PEER = "192.0.2.7"
OTHER = "192.0.2.8"


class Line:
    """Our end of a connection that a meter has dialled."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.closed = trio.Event()

    async def push(self, octets: bytes) -> None:
        await self.stream.send_all(octets)


class Setup:
    """A collector's inbound side on fakes, with the meters that it knows."""

    def __init__(self, *meters: SimulatedMeter, **changes: Any) -> None:
        self.storage = FakeStorage(wall_clock)
        self.models: dict[str, Model] = {}
        for meter in meters:
            self.add(meter)
        limits = InboundLimits(**changes.pop("limits", {}))
        self.context = context(self.storage, inbound=limits, **changes)
        self.nursery: trio.Nursery

    def add(self, meter: SimulatedMeter, **changes: Any) -> Meter:
        known = attrs.evolve(meter.inventory(), address=None, port=None, **changes)
        self.storage.add_meter(known, meter.secrets())
        return known

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with settling(self.context) as settler, trio.open_nursery() as nursery:
            self.nursery = nursery
            self.dialled = Dialled(self.context, settler)
            nursery.start_soon(self.dialled.run)
            self.server = InboundServer(self.context, self.dialled)
            yield
            nursery.cancel_scope.cancel()

    def connect(self, peer: str = PEER) -> Line:
        ours, theirs = memory_stream_pair()
        line = Line(ours)

        async def serve() -> None:
            await self.server.serve(theirs, ip_address(peer))
            line.closed.set()

        self.nursery.start_soon(serve)
        return line

    async def dial(self, meter: SimulatedMeter, greeting: bytes = b"", peer: str = PEER) -> Line:
        """A meter calls, perhaps says something, and answers from then on."""
        line = self.connect(peer)
        if greeting:
            await line.push(greeting)
        self.nursery.start_soon(meter.serve, line.stream)
        return line

    def codes(self) -> list[str]:
        return [event.code for event in self.storage.events]


def hello(meter: SimulatedMeter, counter: int = 7) -> bytes:
    """A ciphered push that says who it is and no more."""
    secrets, title = meter.secrets(), meter.meter.identity.system_title
    assert secrets.ek is not None
    assert secrets.ak is not None
    return wrapped(ciphered(counter, ek=secrets.ek, ak=secrets.ak, title=title))


def rows(setup: Setup) -> int:
    """How many instants of profiles are stored."""
    return len({at for channel, at in setup.storage.values if channel.source is not None})


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.1)


def read(setup: Setup, count: int = 1) -> Callable[[], bool]:
    """Whether so many sessions have ended well."""
    return lambda: (
        sum(r.inbound and r.octets_out > 0 and r.cause is None for r in setup.storage.reports)
        >= count
    )


# --- who speaks first, who it is ------------------------------------------------------------------


async def test_a_meter_that_says_who_it_is_is_read_over_its_own_connection(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    async with setup.at_work():
        line = await setup.dial(meter, hello(meter))
        await until(read(setup))
        assert trio.current_time() < 5  # not only when a silent one would be asked
        assert rows(setup) == len(meter.truth())
        assert meter.connections == 1
        assert len(setup.dialled) == 1
        assert not line.closed.is_set()
        # The next item of its is served over the same connection.
        meter_id = meter.meter_id
        [*_] = setup.storage.due.items.values() if hasattr(setup.storage.due, "items") else []
        setup.storage.due.put_in_service([meter_id])
        await trio.sleep(30)
        assert meter.connections == 1
    assert setup.storage.events == []


@pytest.mark.parametrize("security", [sim.Security.GMAC, sim.Security.SHA256, sim.Security.NONE])
@pytest.mark.parametrize("hdlc", [False, True])
async def test_a_silent_meter_is_asked_who_it_is(
    security: sim.Security, hdlc: bool, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(security=security, hdlc=hdlc)
    setup = Setup(meter)
    async with setup.at_work():
        line = await setup.dial(meter)
        await until(read(setup))
        assert trio.current_time() >= 5
        assert rows(setup) == len(meter.truth())
        assert not line.closed.is_set()
    assert setup.storage.events == []
