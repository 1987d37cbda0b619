"""
Row `sim-sessions`: sessions that a fleet serves per second of its core's time.

What a session is: `sim_load`. The peer is a server that knows the exchange by heart
(`minimal_server`); both serve it over trio, pinned to one core, to the same client on the other.
The figure is sessions per second of CPU of the server's process, kernel included: on a machine
that others use too it is the steady one. `sim-sessions-wall` is the same by the wall's clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from hes_simulators import MeterNetwork
from tests.bench import sim_load
from tests.bench.conftest import Record

ROOT = Path(__file__).resolve().parents[2]
RUNS = 7
SESSIONS = 500
PEER_SESSIONS = 1500
AT_ONCE = 50
METERS = 1 + SESSIONS * (RUNS + 1)
NETWORK = MeterNetwork()


@attrs.frozen
class Served:
    """A server's process and what it said when it was ready."""

    pid: int
    ports: tuple[int, ...]

    def cpu_s(self) -> float:
        """Seconds of CPU so far, of all its threads, kernel included."""
        return time.clock_gettime(~self.pid << 3 | 2)  # what clock_getcpuclockid(3) gives


@contextmanager
def serving(module: str, *arguments: object) -> Iterator[Served]:
    """`python -m module`, until the block ends."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield Served(process.pid, tuple(map(int, process.stdout.readline().split())))
    finally:
        process.kill()
        process.communicate()


@contextmanager
def pinned(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def addresses(port: int, first: int = 0) -> Iterator[sim_load.Address]:
    """Of meter `first` and those behind it, each once."""
    return ((str(NETWORK.address(index)), port) for index in range(first, NETWORK.capacity))


def test_sim_sessions(record: Record, tmp_path: Path) -> None:
    ours_core, client_core = 0, (os.cpu_count() or 1) - 1
    recorded = tmp_path / "exchange"
    names = ("ours", "minimal server")
    by_cpu: dict[str, list[float]] = {name: [] for name in names}
    by_wall: dict[str, list[float]] = {name: [] for name in names}
    with pinned(client_core), serving("tests.bench.sim_server", ours_core, METERS, "lls") as ours:
        fresh = addresses(ours.ports[0])
        exchange = sim_load.record(next(fresh), sim_load.day())
        recorded.write_text(exchange.lines())
        with serving("tests.bench.minimal_server", recorded, ours_core) as minimal:
            of_peer = addresses(minimal.ports[0])
            for _ in range(RUNS + 1):
                for name, server, meters, times in (
                    ("ours", ours, fresh, SESSIONS),
                    ("minimal server", minimal, of_peer, PEER_SESSIONS),
                ):
                    before = server.cpu_s()
                    passed_s = sim_load.replay(meters, exchange, times, AT_ONCE)
                    by_cpu[name].append(times / (server.cpu_s() - before))
                    by_wall[name].append(times / passed_s)
    for name, values in (("sim-sessions", by_cpu), ("sim-sessions-wall", by_wall)):
        record(
            name, values["ours"][1:], unit="sessions/s per core", better="higher",
            peer="minimal server", peer_values=values["minimal server"][1:],
        )  # fmt: skip
