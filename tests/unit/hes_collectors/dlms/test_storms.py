"""
Everybody at once: fleets that do not answer, that come back together, and storage that was away.

Rows 40 (outbound) and 41 of the catalogue of faults. What fails at connecting costs no protocol, so
that these fleets can be large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import trio
from trio.testing import MockClock

from hes.domain.ports import Segment
from hes.domain.work import Priority, Read, ReadKind, WorkKind
from hes.storage.due_items import NewItem
from hes_collectors.dlms import CollectorSettings, Context
from hes_collectors.dlms.outbound import run_outbound
from hes_collectors.dlms.settler import settling
from tests.unit.hes_collectors.dlms.test_outbound import collecting, complete, fleet
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import SECRETS, context, meter, wall_clock

Connect = Callable[[str, int, CollectorSettings], Awaitable[trio.abc.Stream]]


class Dead:
    """A network that refuses every connection, and when it was asked for one."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []

    async def connect(self, host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
        await trio.sleep(0.05)
        self.asked.append((trio.current_time(), host))
        raise ConnectionRefusedError

    def per(self, seconds: float) -> Counter[int]:
        return Counter(int(at / seconds) for at, _ in self.asked)


def addresses(count: int) -> FakeStorage:
    """Meters that are due, and nothing behind their addresses."""
    storage = FakeStorage(wall_clock)
    for n in range(count):
        known = meter(
            meter_id=UUID(int=n + 1),
            serial=f"HES{n:08}",
            system_title=n.to_bytes(8, "big"),
            address=f"127.16.{n // 250}.{n % 250 + 1}",
        )
        storage.add_meter(known, SECRETS)
        storage.own_counters[known.meter_id] = 0
    return storage


def outbound(
    storage: FakeStorage, connect: Connect, **changes: Any
) -> AbstractAsyncContextManager[Context]:
    @asynccontextmanager
    async def at_work() -> Any:
        surroundings = context(storage, connect, **changes)
        async with settling(surroundings) as settler, trio.open_nursery() as nursery:
            nursery.start_soon(run_outbound, surroundings, settler)
            yield surroundings
            nursery.cancel_scope.cancel()

    return at_work()


async def test_a_fleet_that_does_not_answer_is_retried_by_a_fifth_of_the_sessions(
    autojump_clock: MockClock,
) -> None:
    storage, dead = addresses(300), Dead()
    async with outbound(storage, dead.connect, connections_per_s=10) as surroundings:
        await trio.sleep(600)
        held_back = surroundings.metrics.put_off.labels("retry-budget")._value.get()
    first: set[str] = set()
    retries: Counter[int] = Counter()
    for at, host in dead.asked:
        retries[int(at / 60)] += host in first
        first.add(host)
    assert len(first) == 300
    sessions = dead.per(60)
    for minute, times in retries.items():
        # A minute by the wall is not the budget's sliding one: twice as much at its edges.
        around = max(sessions[minute], sessions[minute - 1])
        assert times <= max(2 * 10, 2 * 0.2 * around), (minute, times, sessions)
    assert held_back > 0
    # What was held back is no fault of its own.
    assert max(work.failures for work in storage.work.values()) <= 12


async def test_connections_are_made_no_faster_than_told(autojump_clock: MockClock) -> None:
    storage, dead = addresses(400), Dead()
    async with outbound(storage, dead.connect, connections_per_s=20):
        await trio.sleep(30)
    per_s = dead.per(1)
    assert max(per_s.values()) <= 2 * 20  # a second's tokens may meet the next second's
    assert max(dead.per(5).values()) <= 6 * 20
    assert len({host for _, host in dead.asked}) == 400


async def test_a_cell_that_is_dark_is_left_alone_and_the_others_are_not(
    autojump_clock: MockClock,
) -> None:
    storage, dead = addresses(300), Dead()
    for n, meter_id in enumerate(storage.meters):
        storage.due.segment_of[meter_id] = "dark" if n < 150 else f"cell {n % 9}"
    dark = {
        str(known.address)
        for meter_id, known in storage.meters.items()
        if storage.due.segment_of[meter_id] == "dark"
    }
    reached: set[str] = set()

    async def connect(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
        if host in dark:
            return await dead.connect(host, port, settings)
        reached.add(host)
        raise ZeroDivisionError  # our bug, and no failure of transport

    async with outbound(storage, connect, max_sessions=40) as surroundings:
        await trio.sleep(25)
        tried = len(dead.asked)
        assert 20 <= tried < 150  # those that ran when it opened come on top
        assert surroundings.metrics.breakers_open._value.get() == 1
        assert len(reached) == 150
        await trio.sleep(60)
    after = [at for at, _ in dead.asked[tried:]]
    assert after, "a few find out whether it is back"
    assert len(after) <= 3 * 5


async def test_a_segments_rate_and_size_are_kept(autojump_clock: MockClock) -> None:
    storage, dead = addresses(60), Dead()
    storage.segments.append(Segment("line", max_sessions=4, connections_per_s=2.0))
    storage.due.maxima["line"] = 4
    for meter_id in storage.meters:
        storage.due.segment_of[meter_id] = "line"
    at_once = 0

    async def connect(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
        nonlocal at_once
        running = sum(work.token is not None for work in storage.work.values())
        at_once = max(at_once, running)
        return await dead.connect(host, port, settings)

    async with outbound(storage, connect):
        await trio.sleep(8)
    assert at_once <= 4
    assert max(dead.per(1).values()) <= 2 * 2
    assert len(dead.asked) >= 8


async def test_urgent_work_finds_a_place_however_much_is_due(autojump_clock: MockClock) -> None:
    """The reserved share: 200 hanging meters hold all other slots, the command comes through."""
    storage = addresses(200)
    urgent = list(storage.meters)[150]
    asked: list[tuple[float, str]] = []

    async def hang(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
        asked.append((trio.current_time(), host))
        await trio.sleep_forever()
        raise AssertionError

    async with outbound(storage, hang, max_sessions=20):
        await trio.sleep(2)
        assert len(asked) == 18
        storage.due.reads[1] = (Read(ReadKind.REGISTERS),)
        now = wall_clock()
        storage.due.add(
            [
                NewItem(
                    urgent, WorkKind.PLAN, now, now, now + timedelta(minutes=1),
                    now + timedelta(minutes=1), Priority.URGENT, plan_id=1,
                )
            ]
        )  # fmt: skip
        await trio.sleep(2.5)
    [came] = [at for at, host in asked if host == storage.meters[urgent].address]
    assert came <= 4.5


async def test_ten_minutes_without_storage_are_made_good_within_seconds(
    autojump_clock: MockClock,
) -> None:
    """Row 41: nobody is asked meanwhile, the database is probed gently, and then all comes in."""
    storage, meters = fleet(8)
    async with collecting(storage, meters) as surroundings:
        await trio.sleep(90)
        storage.away = True
        await trio.sleep(20)
        asked, calls = sum(one.connections for one in meters), storage.calls.total()
        await trio.sleep(580)
        assert sum(one.connections for one in meters) == asked
        assert storage.calls.total() - calls < 600  # one process, one question a second at most
        storage.away = False
        back_at = trio.current_time()
        while not complete(storage, meters):
            await trio.sleep(0.5)
            assert trio.current_time() < back_at + 30
        assert surroundings.gate.is_open
        await trio.sleep(30)
        # One session each for all that had become due, and one for the plan's next run.
        assert sum(one.connections for one in meters) - asked <= 2 * len(meters)
    assert all(work.failures == 0 for work in storage.work.values())
    assert attrs.asdict(storage.reports[0])["outcome"] == "ok"
