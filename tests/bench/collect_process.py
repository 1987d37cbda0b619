"""
A collector with its writer in a process of its own, as `hes collect dlms` is.

`python -m tests.bench.collect_process URL KEK SESSIONS [--profile FILE]` says `ready`; then, for
each line on its input, it collects until nothing is due any more and writes a line of JSON: seconds
by the wall's clock and of CPU of all its threads, and the most resident octets so far.
"""

from __future__ import annotations

import cProfile
import json
import logging
import resource
import sys
import time

import attrs
import structlog
import trio
from prometheus_client import CollectorRegistry

from hes import wiring
from hes.pipeline import DirectBus
from hes.settings import load
from hes.storage.database import Database
from hes_collectors.dlms import Context, run

_POLL_S = 0.2


def left(database: Database) -> int:
    """How many items are due."""
    with database.connection() as connection:
        row = connection.execute("SELECT count(*) FROM due_item").fetchone()
    assert row is not None
    return int(row[0])


async def collect(context: Context, database: Database) -> None:
    """Until nothing is due."""
    async with trio.open_nursery() as nursery:
        await nursery.start(run, context)
        while await trio.to_thread.run_sync(left, database):  # noqa: ASYNC110 - no event in there
            await trio.sleep(_POLL_S)
        nursery.cancel_scope.cancel()


def surroundings(url: str, kek: str, sessions: int, database: Database, sink: DirectBus) -> Context:
    """A collector of the settings' defaults, for meters on the loopback."""
    chosen = load().settings
    chosen = attrs.evolve(
        chosen,
        database=attrs.evolve(chosen.database, url=url),
        keys=attrs.evolve(chosen.keys, kek_file=kek),
        collector=attrs.evolve(
            chosen.collector,
            allowed_networks=("127.0.0.0/8",),
            allowed_ports=("1024-65535",),
            max_sessions=sessions,
            listen_udp=False,
        ),
    )
    context = wiring.dlms_collector(database, sink, chosen, CollectorRegistry())
    return attrs.evolve(context, settings=attrs.evolve(context.settings, listen_port=0))


def main(url: str, kek: str, sessions: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with Database(url, max_connections=24) as database, DirectBus(database) as sink:
        context = surroundings(url, kek, sessions, database, sink)
        print("ready", flush=True)
        for _ in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            trio.run(collect, context, database)
            told = {
                "wall_s": time.perf_counter() - wall,
                "cpu_s": time.process_time() - cpu,
                "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if "--profile" in sys.argv:
        # Of the loop's thread only, by its CPU time.
        profiler = cProfile.Profile(time.thread_time)
        profiler.runcall(main, *arguments)
        profiler.dump_stats(sys.argv[5])
    else:
        main(*arguments)
