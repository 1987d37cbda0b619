"""
A fleet in a process of its own, pinned to a core, that tells how much memory it holds.

`python -m tests.bench.sim_server CORE METERS SECURITY [--trace]` writes two ports once it serves:
of the meters, and of a socket where each connection is told, as a JSON line, what is held: the
process' resident octets, and with `--trace` what Python has allocated (tracemalloc).
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import structlog
import trio

from hes_simulators import Fleet, FleetSettings, Security

PAGE_OCTETS = os.sysconf("SC_PAGE_SIZE")


def held() -> dict[str, int]:
    """Octets, after what nobody holds is gone."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"rss": pages * PAGE_OCTETS, "traced": tracemalloc.get_traced_memory()[0]}


async def tell(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(json.dumps(held()).encode() + b"\n")


async def main(meters: int, security: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    fleet = Fleet(
        FleetSettings(meters=meters, port=0, security=Security(security), max_receive_pdu_size=512),
        start_number=1,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        [listener] = await nursery.start(partial(trio.serve_tcp, tell, 0, host="127.0.0.1"))
        print(fleet.port, listener.socket.getsockname()[1], flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    if "--trace" in sys.argv:
        tracemalloc.start()
    trio.run(main, int(sys.argv[2]), sys.argv[3])
