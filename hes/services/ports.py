"""
Free TCP ports on 127.0.0.1 that stay ours over a restart.

They are taken below the kernel's ephemeral range: a client that keeps dialling a dead server on an
ephemeral port can be given that very port as its own source port, connects to itself and so keeps
the server from coming back.
"""

import secrets
import socket

from hes.services.errors import ServiceError

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 29_999
_TRIES = 200


def is_free(port: int) -> bool:
    """Tell whether nobody listens on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def pick(preferred: int | None = None) -> int:
    """
    Choose a port that nobody listens on.

    Args: preferred: taken if it is free, so that an address noted yesterday holds today.
    Raises: ServiceError: none of 200 random ports was free.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(_TRIES):
        port = FIRST + secrets.randbelow(LAST - FIRST + 1)
        if is_free(port):
            return port
    raise ServiceError(f"no free port between {FIRST} and {LAST} on {HOST}")
