"""
The other ends of `test_half_open`: meters that answer, and many that have gone without a word.

`python -m tests.bench.half_open_peers METERS CALLERS HEAD_END_PORT`: a fleet of so many meters, a
listener that accepts and never says anything, and, once a line comes on stdin, so many connections
to the head-end on which half a header is sent. Prints the ports when ready, and how many
connections are held. Ends with its stdin.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

import trio

from hes_simulators import Fleet, FleetSettings, MeterNetwork, Security

FLEET_NETWORK = IPv4Network("127.64.0.0/16")
CALLERS_NETWORK = IPv4Network("127.63.0.0/16")
SILENT_HOST = "127.65.0.1"
SEED = 1
_HALF_A_HEADER = b"\x00\x01\x00\x01"
_AT_ONCE = 200


def fleet_settings(meters: int) -> FleetSettings:
    """The fleet, as the head-end imports it."""
    return FleetSettings(
        meters=meters, port=0, seed=SEED, network=MeterNetwork(FLEET_NETWORK),
        security=Security.GMAC, profile_days=1,
    )  # fmt: skip


async def _hold(stream: trio.SocketStream) -> None:
    """Accepted, never answered, open until the other side closes."""
    async with stream:
        while await stream.receive_some(4096):
            pass


async def _call(number: int, port: int, turns: trio.Semaphore, held: list[int]) -> None:
    sock = trio.socket.socket()
    await sock.bind((str(CALLERS_NETWORK[1 + number]), 0))
    async with turns:
        await sock.connect(("127.0.0.1", port))
    stream = trio.SocketStream(sock)
    async with stream:
        await stream.send_all(_HALF_A_HEADER)
        held[0] += 1
        await stream.receive_some(1)


async def main(meters: int, callers: int, port: int) -> None:
    fleet = Fleet(fleet_settings(meters), start_number=1, now=lambda: datetime.now(UTC))
    commands = trio.wrap_file(sys.stdin)
    held = [0]
    async with trio.open_nursery() as nursery:
        [silent] = await trio.open_tcp_listeners(0, host=SILENT_HOST, backlog=4096)
        nursery.start_soon(trio.serve_listeners, _hold, [silent])
        await nursery.start(fleet.serve)
        print(silent.socket.getsockname()[1], next(iter(fleet.meter_file()))["port"], flush=True)
        await commands.readline()
        turns = trio.Semaphore(_AT_ONCE)
        for number in range(callers):
            nursery.start_soon(_call, number, port, turns, held)
        while held[0] < callers:  # noqa: ASYNC110 - sockets tell nobody
            await trio.sleep(0.05)
        print(held[0], flush=True)
        await commands.readline()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    assert IPv4Address(SILENT_HOST).is_loopback
    trio.run(main, *map(int, sys.argv[1:]))
