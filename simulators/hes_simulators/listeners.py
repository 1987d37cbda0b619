"""
Sockets of a fleet that take connections and datagrams, and those that its meters open themselves.

On Linux one wildcard socket, bound to the device `lo` so that nothing outside the machine reaches
it, serves every address of 127.0.0.0/8; who was meant stands in the local address of what comes.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

import trio

from hes_simulators.reach import Target
from hes_simulators.roster import LOOPBACK_HOST
from hes_simulators.settings import FleetError, FleetSettings
from hes_simulators.streams import MeterStream

_BACKLOG: Final = 4096
_ADVICE: Final = "; give the fleet a port of its own, or end what listens there"
# Linux 4.2: the port is chosen when the connection is made, so that a source address may have as
# many connections as there are ports to each target and not in all.
_IP_BIND_ADDRESS_NO_PORT: Final = 24


def open_listeners(settings: FleetSettings) -> list[socket.socket]:
    """
    What takes the connections to all meters: sockets that listen and do not block.

    Raises: FleetError: an address or port cannot be used.
    """
    if settings.port_base is None:
        return [_listening(lo_socket(socket.SOCK_STREAM, settings.port), settings.port)]
    ports = range(settings.port_base, settings.port_base + settings.addresses)
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(_open_port_listener(port))  # noqa: PERF401 - closed if one fails
    except FleetError:
        for one in opened:
            one.close()
        raise
    return opened


def lo_socket(kind: socket.SocketKind, port: int) -> socket.socket:
    """
    A wildcard socket that only the machine itself can reach.

    Raises: FleetError: not on this system, or not this port.
    """
    device_option = getattr(socket, "SO_BINDTODEVICE", None)
    if device_option is None:
        raise FleetError("one address per meter needs Linux: use --port-base")
    opened = socket.socket(socket.AF_INET, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before bind: an ordinary user may bind a socket to a device that has none (Linux 5.7).
        opened.setsockopt(socket.SOL_SOCKET, device_option, b"lo")
        opened.bind(("0.0.0.0", port))  # noqa: S104 - the device is lo
    except OSError as error:
        opened.close()
        raise FleetError(f"port {port} on the device lo: {error.strerror}{_ADVICE}") from error
    return opened


async def connect_from(source: str, target: Target) -> MeterStream:
    """
    Connect to a target from a meter's own address.

    Raises: OSError: nobody is there.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind((source, 0))
        await _connect(opened, target)
    except BaseException:
        opened.close()
        raise
    return MeterStream(opened)


async def _connect(opened: socket.socket, target: Target) -> None:
    refused = opened.connect_ex((target.host, target.port))
    await trio.lowlevel.checkpoint()
    if refused == errno.EINPROGRESS:
        # On one machine it stands by now, as a rule, and need not be waited for.
        refused = opened.connect_ex((target.host, target.port))
    if refused == errno.EALREADY:
        await trio.lowlevel.wait_writable(opened)
        refused = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused not in (0, errno.EISCONN):
        raise OSError(refused, os.strerror(refused))


def _listening(bound: socket.socket, port: int, where: str = "the device lo") -> socket.socket:
    try:
        # What it accepts has it as well (Linux), without a call for each.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise FleetError(f"port {port} on {where}: {error.strerror}{_ADVICE}") from error
    return bound


def _open_port_listener(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((LOOPBACK_HOST, port))
    except OSError as error:
        opened.close()
        raise FleetError(f"port {port} on {LOOPBACK_HOST}: {error.strerror}{_ADVICE}") from error
    return _listening(opened, port, LOOPBACK_HOST)
