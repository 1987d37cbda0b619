"""Meters that do wrong, in memory, and a client's end of a connection to one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import attrs
import trio
from trio.testing import memory_stream_pair

from hes_protocol.errors import RemoteProtocolError
from hes_simulators import Fleet, FleetSettings, Meter, Security, SessionSummary, serve_stream
from hes_simulators.faults import Fault, FaultPlan, Rule, reset
from hes_simulators.faults.kinds import fault as fault_of
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
ENERGY = (3, "1.0.1.8.0.255", 2)
PROFILE = (7, "1.0.99.1.0.255", 2)


@attrs.define
class World:
    """A small fleet and its time."""

    fleet: Fleet
    now: datetime = NOW

    @property
    def plan(self) -> FaultPlan:
        return self.fleet.meter(0).kind.faults

    def let(self, name: str, /, **parameters: Any) -> Fault:
        """Every meter does this wrong in every session."""
        fault = fault_of(name, parameters)
        self.plan.add(Rule(name=name, fault=fault))
        return fault

    def reader(self, stream: trio.abc.Stream, index: int = 0, **changes: Any) -> Reader:
        return Reader(list(self.fleet.meter_file())[index], stream, **changes)


def world(security: Security = Security.GMAC, **changes: Any) -> World:
    settings: dict[str, Any] = {"meters": 3, "security": security, "profile_days": 2} | changes
    made: list[World] = []
    fleet = Fleet(
        FleetSettings(**settings),
        start_number=1,
        now=lambda: made[0].now if made else NOW,
        next_challenge=lambda: bytes(16),
    )
    made.append(World(fleet))
    return made[0]


async def serve(stream: trio.abc.Stream, meter: Meter) -> None:
    """As the fleet does."""
    with suppress(RemoteProtocolError, trio.BrokenResourceError, OSError):
        async with stream:
            with meter.kind.faults.session(meter.identity) as misdeeds:
                if misdeeds.refuses:
                    await reset(stream)
                else:
                    await serve_stream(stream, meter, SessionSummary(), misdeeds=misdeeds)


@attrs.define
class Tap(trio.abc.Stream):
    """Keeps the pieces that come, and when."""

    inner: trio.abc.Stream
    pieces: list[bytes] = attrs.field(factory=list)
    moments: list[float] = attrs.field(factory=list)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.inner.receive_some(max_bytes)
        self.pieces.append(bytes(data))
        self.moments.append(trio.current_time())
        return data

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.inner.aclose()


@asynccontextmanager
async def connection(
    there: World, index: int = 0, serve: Callable[..., Any] = serve
) -> AsyncIterator[Tap]:
    """A client's end; the meter serves until the block ends."""
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, theirs, there.fleet.meter(index))
        async with ours:
            yield Tap(ours)
        nursery.cancel_scope.cancel()
