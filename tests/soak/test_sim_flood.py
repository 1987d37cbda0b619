"""
A fleet with 5,000 open sessions, read by an honest head-end while others flood it.

How long an honest session takes (exchange `day` of `tests.bench.sim_load`, thirteen questions) is
measured one after another: alone, beside 5,000 sessions that are open and silent, and with a flood
beside these: connections that say nothing, that drip, and that throw broken octets as fast as a
core can. The slowest are bounded, none fails, and the fleet holds afterwards what it held before.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import sim_load
from tests.bench.sim_process import ROOT, SERVER_CORE, Served, addresses, serving

SECONDS = float(os.environ.get("HES_SOAK_SECONDS", "60"))
METERS = 10_000
OPEN = 5_000
SILENT, DRIPPING, THROWING = 1000, 500, 50
# What a session may take in the flood: thirteen answers, each of which waits for the turns of 50
# throwers, and a SYN or two that the kernel sends again after 1 s, on cores that others use too.
P99_S = 6.0
HELD_OCTETS_PER_THROWN = 64


@contextmanager
def flood(server: Served) -> Iterator[list[int]]:
    """A hostile process; when the block ends, the list has how many connections it threw."""
    numbers = (server.ports[0], SILENT, DRIPPING, THROWING)
    command = [sys.executable, "-m", "tests.soak.hostile", *map(str, numbers)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    thrown: list[int] = []
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield thrown
        thrown.append(int(process.communicate("", timeout=60)[0]))
    finally:
        process.kill()
        process.communicate()


def honest(
    meters: Iterator[sim_load.Address], exchange: sim_load.Exchange, seconds: float
) -> list[float]:
    """How long each session took, s; one that fails raises."""
    ends = time.perf_counter() + seconds
    taken = []
    while time.perf_counter() < ends:
        taken.append(sim_load.replay(meters, exchange, 1, 1))
    return taken


def say(name: str, taken: list[float]) -> float:
    """Print the figures; the p99."""
    p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
    print(
        f"{name}: {len(taken)} sessions, p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms,"
        f" longest {max(taken) * 1000:.0f} ms"
    )
    return p99


def test_honest_sessions_beside_a_flood() -> None:
    with serving("tests.bench.sim_server", SERVER_CORE, METERS, "lls") as server:
        port = server.ports[0]
        exchange = sim_load.record(next(addresses(port)), sim_load.day())
        say("alone", honest(addresses(port), exchange, 5))
        opened = sim_load.stay(addresses(port), exchange, OPEN)
        try:
            quiet_p99 = say(f"beside {OPEN} open", honest(addresses(port), exchange, 5))
            before = server.held()["rss"]
            with flood(server) as thrown:
                p99 = say("in the flood", honest(addresses(port), exchange, SECONDS))
            after = server.held()["rss"]
            print(f"thrown: {thrown[0]}, held: {before / 1e6:.0f} MB, {after / 1e6:.0f} MB")
            for sock in opened[:: OPEN // 10]:  # they still stand
                sock.sendall(exchange.requests[1])
                assert sock.recv(4096)[8:12] == exchange.answers[1][8:12]
        finally:
            for sock in opened:
                sock.close()
    assert quiet_p99 < P99_S / 10
    assert p99 < P99_S
    assert thrown[0] > 1000
    assert after - before < HELD_OCTETS_PER_THROWN * thrown[0] + 50_000_000
