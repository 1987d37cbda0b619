"""
Rows `sim-memory` and `sim-memory-session`: octets of a fleet's process for each meter and session.

A meter is idle after a head-end has read it once (exchange `day` of `sim_load`); that makes it, and
whatever it keeps of what it was asked. A session is open with its association, and silent. 10,000
meters and 5,000 sessions, in five steps. Resident octets are those of the process: what the kernel
keeps of a socket is not among them. The rows `…-traced` are what Python has allocated (tracemalloc,
of a fleet a twentieth as large), without what the heap wastes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from socket import socket

import pytest

from tests.bench import sim_load
from tests.bench.conftest import Record
from tests.bench.sim_process import SERVER_CORE, Served, addresses, serving

STEPS = 5
AT_ONCE = 50
WARM = 50


def growth(server: Served, what: str, count: int, work: Callable[[], object]) -> list[float]:
    """Octets that each of so many makes the server hold, step by step."""
    held = [server.held()[what]]
    for _ in range(STEPS):
        work()
        held.append(server.held()[what])
    return [(after - before) / count for before, after in itertools.pairwise(held)]


@pytest.mark.parametrize(("what", "meters", "sessions"), [("rss", 2000, 1000), ("traced", 100, 50)])
def test_sim_memory(record: Record, what: str, meters: int, sessions: int) -> None:
    trace = ["--trace"] if what == "traced" else []
    population = WARM + STEPS * meters
    opened: list[socket] = []
    with serving("tests.bench.sim_server", SERVER_CORE, population, "lls", *trace) as server:
        fresh, known = addresses(server.ports[0]), addresses(server.ports[0])
        # Code, tables, and the heap's first arenas are no meter's.
        exchange = sim_load.record(next(addresses(server.ports[0])), sim_load.day())
        sim_load.replay(fresh, exchange, WARM, AT_ONCE)
        opened += sim_load.stay(known, exchange, WARM)
        of_meters = growth(
            server, what, meters, lambda: sim_load.replay(fresh, exchange, meters, AT_ONCE)
        )
        of_sessions = growth(
            server, what, sessions, lambda: opened.extend(sim_load.stay(known, exchange, sessions))
        )
        for sock in opened:
            sock.close()
    suffix = "" if what == "rss" else f"-{what}"
    record(f"sim-memory{suffix}", of_meters, unit="octets per meter", better="lower")
    record(f"sim-memory-session{suffix}", of_sessions, unit="octets per session", better="lower")
