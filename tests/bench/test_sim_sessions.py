"""
Row `sim-sessions`: sessions that a fleet serves per second of its core's time.

What a session is: `sim_load`. The peer is a server that knows the exchange by heart
(`minimal_server`); both serve it over trio, pinned to one core, to the same client on the other.
The figure is sessions per second of CPU of the server's process, kernel included: on a machine
that others use too it is the steady one. `sim-sessions-wall` is the same by the wall's clock.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench import sim_load
from tests.bench.conftest import Record
from tests.bench.sim_process import SERVER_CORE, addresses, serving

RUNS = 7
SESSIONS = 500
PEER_SESSIONS = 1500
AT_ONCE = 50
METERS = 1 + SESSIONS * (RUNS + 1)


def test_sim_sessions(record: Record, tmp_path: Path) -> None:
    recorded = tmp_path / "exchange"
    names = ("ours", "minimal server")
    by_cpu: dict[str, list[float]] = {name: [] for name in names}
    by_wall: dict[str, list[float]] = {name: [] for name in names}
    with serving("tests.bench.sim_server", SERVER_CORE, METERS, "lls") as ours:
        fresh = addresses(ours.ports[0])
        exchange = sim_load.record(next(fresh), sim_load.day())
        recorded.write_text(exchange.lines())
        with serving("tests.bench.minimal_server", recorded, SERVER_CORE) as minimal:
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
