"""
Row `sim-sessions`: sessions that a fleet serves per second of its core's time.

What a session is: exchange `day` of `sim_load`. As in a city, each meter was read once before, for
another day, and now for the last; no two sessions of the measurement have the same meter, so no
answer is one that was kept. The first reading, which makes the meter, is the row
`sim-sessions-first`.

The peer is a server that knows the exchange by heart (`minimal_server`); both serve it over trio,
pinned to one core, to the same client on the other. The figure is sessions per second of CPU of the
server's process, kernel included: on a machine that others use too it is the steady one.
`sim-sessions-wall` is the same by the wall's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.bench import sim_load
from tests.bench.conftest import Record
from tests.bench.sim_process import SERVER_CORE, Served, addresses, serving

RUNS = 7
SESSIONS = 500
PEER_SESSIONS = 1500
AT_ONCE = 50
METERS = SESSIONS * (RUNS + 1)


def test_sim_sessions(record: Record, tmp_path: Path) -> None:
    recorded = tmp_path / "exchange"
    first, ours, peer = _Rates(), _Rates(), _Rates()
    with serving("tests.bench.sim_server", SERVER_CORE, METERS, "lls") as fleet:
        known, fresh = addresses(fleet.ports[0]), addresses(fleet.ports[0])
        before, exchange = (
            sim_load.record(next(addresses(fleet.ports[0], METERS - 1)), sim_load.day(days_ago))
            for days_ago in (2, 1)
        )
        recorded.write_text(exchange.lines())
        with serving("tests.bench.minimal_server", recorded, SERVER_CORE) as minimal:
            of_peer = addresses(minimal.ports[0])
            for _ in range(RUNS + 1):
                first.measure(fleet, fresh, before, SESSIONS)
            for _ in range(RUNS + 1):
                ours.measure(fleet, known, exchange, SESSIONS)
                peer.measure(minimal, of_peer, exchange, PEER_SESSIONS)
    unit = "sessions/s per core"
    for name, mine, theirs in (
        ("sim-sessions", ours.by_cpu, peer.by_cpu),
        ("sim-sessions-wall", ours.by_wall, peer.by_wall),
        ("sim-sessions-first", first.by_cpu, peer.by_cpu),
    ):
        record(
            name, mine[1:], unit=unit, better="higher",
            peer="minimal server", peer_values=theirs[1:],
        )  # fmt: skip


@attrs.define
class _Rates:
    """Sessions per second of CPU, and by the wall's clock, run by run."""

    by_cpu: list[float] = attrs.field(factory=list)
    by_wall: list[float] = attrs.field(factory=list)

    def measure(
        self,
        server: Served,
        meters: Iterator[sim_load.Address],
        exchange: sim_load.Exchange,
        times: int,
    ) -> None:
        before_s = server.cpu_s()
        passed_s = sim_load.replay(meters, exchange, times, AT_ONCE)
        self.by_cpu.append(times / (server.cpu_s() - before_s))
        self.by_wall.append(times / passed_s)
