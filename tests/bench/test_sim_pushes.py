"""
Rows `sim-pushes` and `sim-pushes-udp`: seconds until 10,000 meters have pushed, as in a storm.

Every run has a fresh fleet on one core, whose meters nobody has spoken to: each must be made, read
and sealed. `sim-pushes` is over a TCP connection of each meter's own. On the other core somebody
only counts what comes.
"""

from __future__ import annotations

import json
import select
import socket
import threading

import pytest

from tests.bench.conftest import Record
from tests.bench.sim_process import SERVER_CORE, serving

RUNS = 5
METERS = 10_000


class Counting:
    """Counts connections that brought octets, or datagrams; `port` is where."""

    def __init__(self, *, udp: bool) -> None:
        self.count = 0
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        if udp:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._udp = udp
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._datagrams if udp else self._connections)
        self._thread.start()

    def end(self) -> int:
        """How much has come."""
        self._ended.set()
        self._thread.join()
        self._socket.close()
        return self.count

    def _datagrams(self) -> None:
        self._socket.settimeout(0.2)
        while True:
            try:
                self.count += bool(self._socket.recv(4096))
            except TimeoutError:
                if self._ended.is_set():
                    return

    def _connections(self) -> None:
        self._socket.listen(4096)
        self._socket.setblocking(False)
        poll = select.epoll()
        poll.register(self._socket, select.EPOLLIN)
        opened: dict[int, tuple[socket.socket, list[int]]] = {}
        while not self._ended.is_set() or opened:
            for number, _ in poll.poll(0.2):
                if number == self._socket.fileno():
                    sock, _ = self._socket.accept()
                    opened[sock.fileno()] = sock, []
                    poll.register(sock, select.EPOLLIN)
                elif octets := len(opened[number][0].recv(4096)):
                    opened[number][1].append(octets)
                else:
                    sock, brought = opened.pop(number)
                    sock.close()
                    self.count += sum(brought) > 0
        poll.close()


@pytest.mark.parametrize(
    ("name", "transport"), [("sim-pushes", "wrapper"), ("sim-pushes-udp", "udp")]
)
def test_sim_pushes(record: Record, name: str, transport: str) -> None:
    seconds = [stormed(transport) for _ in range(RUNS)]
    record(name, seconds, unit=f"s for {METERS:,}", better="lower")


def stormed(transport: str) -> float:
    counting = Counting(udp=transport == "udp")
    arguments = (SERVER_CORE, METERS, counting.port, transport)
    try:
        with (
            serving("tests.bench.sim_pushing", *arguments) as server,
            socket.create_connection(("127.0.0.1", server.ports[0])) as sock,
        ):
            told = json.loads(sock.makefile().readline())
    finally:
        came = counting.end()
    assert told["sent"] == METERS
    # The kernel may drop datagrams for which the counter has no room.
    assert came >= METERS * (0.99 if transport == "udp" else 1)
    return float(told["seconds"])
