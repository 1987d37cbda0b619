"""
Row `collect-waiting`: what a session holds that waits for its meter, octets.

Sessions that have sent their AARQ and hear nothing: client, link, counters, buffers, task. What is
allocated by Python (tracemalloc), of the 900 beyond the first 100; no socket, which the kernel
holds. The bound is the issue's: 30 kB.
"""

from __future__ import annotations

import gc
import tracemalloc

import trio
import trio.abc
import trio.testing

from hes_collectors.dlms import CollectorSettings, Deadlines
from hes_collectors.dlms.outbound import run_outbound
from hes_collectors.dlms.settler import settling
from tests.bench.conftest import Record
from tests.unit.hes_collectors.dlms.test_storms import addresses
from tests.unit.hes_collectors.support import context

FEW, MANY = 100, 1000
PATIENT = Deadlines(associate_s=3600, request_s=3600, session_s=7000, release_s=0.01)
ROUNDS = 5
MOST_OCTETS = 30_000


class Silent(trio.abc.Stream):
    """A connection on which nobody ever says anything."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def silence(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
    await trio.lowlevel.checkpoint()
    return Silent()


async def held(sessions: int) -> int:
    """Octets that so many waiting sessions hold, with the collector around them."""
    storage = addresses(sessions)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    surroundings = context(
        storage, silence, max_sessions=sessions, urgent_share=0, deadlines=PATIENT, lease_s=7200
    )
    async with settling(surroundings) as settler, trio.open_nursery() as nursery:
        nursery.start_soon(run_outbound, surroundings, settler)
        running = surroundings.metrics.sessions_running._value
        while running.get() < sessions:  # noqa: ASYNC110 - a gauge has no event
            await trio.sleep(0.05)
        await trio.testing.wait_all_tasks_blocked(0.2)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        nursery.cancel_scope.cancel()
    tracemalloc.stop()
    return after - before


def test_collect_waiting(record: Record) -> None:
    found = []
    for _ in range(ROUNDS):
        few, many = trio.run(held, FEW), trio.run(held, MANY)
        found.append((many - few) / (MANY - FEW))
    row = record("collect-waiting", found, unit="octets/session", better="lower")
    assert row.ours <= MOST_OCTETS
