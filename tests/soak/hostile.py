"""
Connections that mean a fleet no good, from one process.

`python -m tests.soak.hostile PORT SILENT DRIPPING THROWING`: so many that say nothing, so many that
send an octet of an AARQ now and then, and so many loops that connect, send something broken, and
connect again once it is answered or closed. Each connection is to another meter. Says `ready` when
the silent ones stand; on the end of its input, how many connections it has thrown.
"""

from __future__ import annotations

import random
import sys
from itertools import cycle

import trio

from tests.bench.sim_process import NETWORK

DRIP_S = 0.2
PATIENCE_S = 1.0
AARQ = bytes.fromhex("00010001000100126010a109060760857405080101be0204000000")
HEADER = bytes.fromhex("0001000100010000")


class Hostile:
    """All of them; `thrown` counts."""

    def __init__(self, port: int, seed: int = 1) -> None:
        self.thrown = 0
        self._port = port
        self._random = random.Random(seed)
        self._indices = cycle(range(5000))

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(str(NETWORK.address(next(self._indices))), self._port)

    async def be_silent(self, task_status: trio.TaskStatus[None]) -> None:
        """Connect, and again when the meter has had enough."""
        stream = await self.connect()
        task_status.started()
        while True:
            async with stream:
                await end_of(stream)
            stream = await self.connect()

    async def drip(self) -> None:
        while True:
            try:
                async with await self.connect() as stream:
                    for octet in AARQ:
                        await stream.send_all(bytes((octet,)))
                        await trio.sleep(DRIP_S)
            except (OSError, trio.BrokenResourceError):
                await trio.sleep(DRIP_S)

    async def throw(self) -> None:
        while True:
            try:
                async with await self.connect() as stream:
                    await stream.send_all(self.broken())
                    with trio.move_on_after(PATIENCE_S):
                        await stream.receive_some()
            except (OSError, trio.BrokenResourceError):
                pass
            self.thrown += 1

    def broken(self) -> bytes:
        """Noise, a length that lies, an AARQ with a flaw, or a request without association."""
        kind, octets = self._random.randrange(4), self._random.randbytes(64)
        match kind:
            case 0:
                return octets
            case 1:
                return HEADER[:6] + b"\xff\xff" + octets
            case 2:
                at = self._random.randrange(8, len(AARQ))
                return AARQ[:at] + octets[:1] + AARQ[at + 1 :]
        return HEADER[:6] + b"\x00\x0d" + bytes.fromhex("c001c10003010001080000ff02")


async def end_of(stream: trio.SocketStream) -> None:
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass


async def main(*numbers: int) -> None:
    port, silent, dripping, throwing = numbers
    hostile = Hostile(port)
    async with trio.open_nursery() as nursery:
        for _ in range(silent):
            await nursery.start(hostile.be_silent)
        for _ in range(dripping):
            nursery.start_soon(hostile.drip)
        for _ in range(throwing):
            nursery.start_soon(hostile.throw)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    print(hostile.thrown, flush=True)


if __name__ == "__main__":
    trio.run(main, *(int(number) for number in sys.argv[1:5]))
