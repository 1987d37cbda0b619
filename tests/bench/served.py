"""A meter in a child process that serves one connection after another: its CPU is its own."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from hes_protocol.server import (
    ContinueNeeded,
    GetRequested,
    GetResult,
    Server,
    ServerAssociation,
)
from hes_protocol.wrapper import WrapperLink

SERVER_SAP = 1
SERVER_TITLE = b"MTRbench"


@contextmanager
def served(
    associations: Mapping[int, ServerAssociation], buffer: bytes
) -> Iterator[tuple[str, int]]:
    """The address of a meter on the loopback that answers every GET with `buffer`."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if not child:
        try:
            _serve(listener, associations, buffer)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    try:
        yield listener.getsockname()
    finally:
        listener.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _serve(
    listener: socket.socket, associations: Mapping[int, ServerAssociation], buffer: bytes
) -> None:
    counters, challenges = count(1), count(1)
    client_counters: dict[int, int] = {}
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = Server(
            associations,
            WrapperLink(SERVER_SAP),
            server_sap=SERVER_SAP,
            system_title=SERVER_TITLE,
            next_counter=lambda: next(counters),
            next_challenge=lambda: next(challenges).to_bytes(16, "big"),
            client_counters=client_counters,
        )
        with sock:
            while data := sock.recv(65536):
                server.receive_data(data)
                while (event := server.next_event()) is not None:
                    match event:
                        case ContinueNeeded():
                            sock.sendall(server.send(event.reply))
                        case GetRequested():
                            sock.sendall(server.send(GetResult(event.invoke_id, octets=buffer)))
