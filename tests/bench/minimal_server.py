"""
The peer of row `sim-sessions`: a server that knows one exchange by heart, over trio.

It compares what a client sends with what was recorded and sends what was recorded as the answer:
no framing, no decoding, no association, no meter. It serves all of 127.0.0.0/8 by one socket, as
the fleet does. Frozen since it was written (design/contracts.md, Benchmarks): what it does is what
ours is compared with.

`python -m tests.bench.minimal_server FILE CORE`: FILE has a line for each request and each answer
by turns, in hex. Writes its port once it serves.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import partial
from pathlib import Path

import trio


async def serve(exchange: list[tuple[bytes, bytes]], stream: trio.SocketStream) -> None:
    async with stream:
        for request, answer in exchange:
            received = await stream.receive_some(16_384)
            while received != request:
                more = await stream.receive_some(16_384)
                if not more or len(received) > len(request):
                    return
                received += more
            await stream.send_all(answer)
        await stream.receive_some(1)


async def main(exchange: list[tuple[bytes, bytes]]) -> None:
    listening = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    await listening.bind(("0.0.0.0", 0))
    listening.listen(4096)
    print(listening.getsockname()[1], flush=True)
    await trio.serve_listeners(partial(serve, exchange), [trio.SocketListener(listening)])


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    lines = [bytes.fromhex(line) for line in Path(sys.argv[1]).read_text().split()]
    trio.run(main, list(zip(lines[::2], lines[1::2], strict=True)))
