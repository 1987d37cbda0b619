"""
Sockets of a fleet that take connections and datagrams, and those that its meters open themselves.

On Linux one wildcard socket, bound to the device `lo` so that nothing outside the machine reaches
it, serves every address of 127.0.0.0/8; who was meant stands in the local address of what comes.
"""

from __future__ import annotations

import socket
from typing import Final

import trio

from hes_simulators.reach import Target
from hes_simulators.roster import LOOPBACK_HOST
from hes_simulators.settings import FleetError, FleetSettings

_BACKLOG: Final = 4096
_ADVICE: Final = "; give the fleet a port of its own, or end what listens there"
# Linux 4.2: the port is chosen when the connection is made, so that a source address may have as
# many connections as there are ports to each target and not in all.
_IP_BIND_ADDRESS_NO_PORT: Final = 24


async def open_listeners(settings: FleetSettings) -> list[trio.SocketListener]:
    """
    What takes the connections to all meters.

    Raises: FleetError: an address or port cannot be used.
    """
    if settings.port_base is None:
        return [await _open_lo_listener(settings.port)]
    ports = range(settings.port_base, settings.port_base + settings.addresses)
    return [await _open_port_listener(port) for port in ports]


async def lo_socket(kind: socket.SocketKind, port: int) -> trio.socket.SocketType:
    """
    A wildcard socket that only the machine itself can reach.

    Raises: FleetError: not on this system, or not this port.
    """
    device_option = getattr(socket, "SO_BINDTODEVICE", None)
    if device_option is None:
        raise FleetError("one address per meter needs Linux: use --port-base")
    opened = trio.socket.socket(socket.AF_INET, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before bind: an ordinary user may bind a socket to a device that has none (Linux 5.7).
        opened.setsockopt(socket.SOL_SOCKET, device_option, b"lo")
        await opened.bind(("0.0.0.0", port))  # noqa: S104 - the device is lo
    except OSError as error:
        opened.close()
        raise FleetError(f"port {port} on the device lo: {error.strerror}{_ADVICE}") from error
    return opened


async def connect_from(source: str, target: Target) -> trio.SocketStream:
    """
    Connect to a target from a meter's own address.

    Raises: OSError: nobody is there.
    """
    opened = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        await opened.bind((source, 0))
        await opened.connect((target.host, target.port))
    except BaseException:
        opened.close()
        raise
    return trio.SocketStream(opened)


async def _open_lo_listener(port: int) -> trio.SocketListener:
    listening = await lo_socket(socket.SOCK_STREAM, port)
    try:
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise FleetError(f"port {port} on the device lo: {error.strerror}{_ADVICE}") from error
    return trio.SocketListener(listening)


async def _open_port_listener(port: int) -> trio.SocketListener:
    try:
        [listener] = await trio.open_tcp_listeners(port, host=LOOPBACK_HOST, backlog=_BACKLOG)
    except OSError as error:
        raise FleetError(f"port {port} on {LOOPBACK_HOST}: {error.strerror}") from error
    return listener
