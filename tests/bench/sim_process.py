"""Simulated meters in processes of their own, each pinned to a core, and what those use."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from hes_simulators import MeterNetwork
from tests.bench.sim_load import Address

ROOT = Path(__file__).resolve().parents[2]
NETWORK = MeterNetwork()
SERVER_CORE, CLIENT_CORE = 0, (os.cpu_count() or 1) - 1


@attrs.frozen
class Served:
    """A server's process and the ports that it named when it was ready."""

    pid: int
    ports: tuple[int, ...]

    def cpu_s(self) -> float:
        """Seconds of CPU so far, of all its threads, kernel included."""
        return time.clock_gettime(~self.pid << 3 | 2)  # what clock_getcpuclockid(3) gives

    def held(self) -> dict[str, int]:
        """What `sim_server` says that it holds, octets: `rss`, `traced`."""
        with socket.create_connection(("127.0.0.1", self.ports[1])) as sock:
            held: dict[str, int] = json.loads(sock.makefile().readline())
        return held


@contextmanager
def serving(module: str, *arguments: object) -> Iterator[Served]:
    """`python -m module` on the server's core, until the block ends; we are on the client's."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CORE})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield Served(process.pid, tuple(map(int, process.stdout.readline().split())))
    finally:
        process.kill()
        process.communicate()
        os.sched_setaffinity(0, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def addresses(port: int, first: int = 0) -> Iterator[Address]:
    """Of meter `first` and those behind it, each once."""
    return ((str(NETWORK.address(index)), port) for index in range(first, NETWORK.capacity))
