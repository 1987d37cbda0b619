"""
A fleet with HLS-GMAC in a process of its own: `python -m tests.bench.collect_fleet METERS DAYS`.

Writes its port once it serves. Not pinned: the machine's cores are for the meters, the collector
and the database alike.
"""

from __future__ import annotations

import logging
import sys

import structlog
import trio

from hes_protocol.quirks import Quirks
from hes_simulators import Fleet, FleetSettings, Security


def fleet(meters: int, days: int, port: int = 0) -> Fleet:
    """The fleet, also for whoever wants its meter file; `days`: depth of the load profiles."""
    settings = FleetSettings(
        meters=meters,
        port=port,
        security=Security.GMAC,
        profile_days=days,
        # dlms-cosem, the peer, knows no other proof.
        quirks=Quirks(counter_reuse=True),
        max_connections=20_000,
    )
    return Fleet(settings, start_number=1)


async def main(meters: int, days: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    served = fleet(meters, days)
    async with trio.open_nursery() as nursery:
        await nursery.start(served.serve)
        print(served.port, flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]))
