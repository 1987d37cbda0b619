"""Counters that every process exposes in Prometheus' text format on loopback, from 9464 up."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server

FIRST_PORT: Final = 9464
_PORTS: Final = 100


@contextmanager
def served(registry: CollectorRegistry, first_port: int = FIRST_PORT) -> Iterator[int]:
    """
    Serve `registry` on the first free port from `first_port` on; the server ends with the block.

    Yields: the port.
    Raises: OSError: none of a hundred ports is free.
    """
    for port in range(first_port, first_port + _PORTS):
        try:
            server, thread = start_http_server(port, "127.0.0.1", registry)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        try:
            yield port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        return
    raise OSError(errno.EADDRINUSE, f"no free port from {first_port} to {first_port + _PORTS - 1}")
