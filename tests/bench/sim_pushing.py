"""
A fleet in a process of its own whose meters all push at once, when it is told to.

`python -m tests.bench.sim_pushing CORE METERS PORT TRANSPORT` writes a port once it serves. Whoever
connects there makes every meter send one data-notification to PORT of 127.0.0.1, enciphered and
authenticated with its own keys: its name and both energy registers. When each push is sent or lost,
a JSON line says how many seconds it took, and how many were sent.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from functools import partial

import structlog
import trio

from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models import ModelPush, PushForm, Transport
from hes_protocol.security import Protection
from hes_simulators import Fleet, FleetSettings, Security
from hes_simulators.reach import Reach, Target

NAMES = ((1, "0.0.42.0.0.255"), (3, "1.0.1.8.0.255"), (3, "1.0.2.8.0.255"))


async def push_all(fleet: Fleet, setup: ModelPush, stream: trio.SocketStream) -> None:
    counters, meters = fleet.counters, fleet.settings.count
    began = time.perf_counter()
    for index in range(meters):
        fleet.push(index, setup)
    # The fleet has no event for it.
    while counters.pushes_sent + counters.pushes_failed + counters.pushes_dropped < meters:  # noqa: ASYNC110
        await trio.sleep(0.005)
    told = {"seconds": time.perf_counter() - began, "sent": counters.pushes_sent}
    async with stream:
        await stream.send_all(json.dumps(told).encode() + b"\n")


async def main(meters: int, port: int, transport: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    setup = ModelPush(
        obis=Obis.parse("0.0.25.9.0.255"),
        objects=tuple(CaptureObject(class_id, Obis.parse(obis), 2) for class_id, obis in NAMES),
        form=PushForm.NAMED,
        transport=Transport(transport),
        protection=Protection.AUTHENTICATED_ENCRYPTED,
    )
    settings = FleetSettings(
        meters=meters,
        port=0,
        security=Security.GMAC,
        reach=Reach(push_to=Target("127.0.0.1", port)),
    )
    fleet = Fleet(settings, start_number=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        told = partial(push_all, fleet, setup)
        [listener] = await nursery.start(partial(trio.serve_tcp, told, 0, host="127.0.0.1"))
        print(listener.socket.getsockname()[1], flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    trio.run(main, int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
