"""
How a session comes to a stream: it dials the meter, or the meter has dialled in.

A line may be opened more than once in a session, one time after the other: the public client that
is asked for a counter comes before, or between, ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

import attrs
import trio
import trio.abc

from hes.domain.errors import AddressNotAllowedError
from hes.domain.meters import Meter
from hes.domain.reach import IPNetwork, canonical
from hes_collectors.dlms.context import Context


class Line(Protocol):
    """Where the octets of a session go."""

    @property
    def inbound(self) -> bool:
        """Whether the meter has dialled."""

    def opened(self) -> AbstractAsyncContextManager[trio.abc.Stream]:
        """
        A stream to the meter, for as long as the block lasts.

        Raises: OSError, AddressNotAllowedError, trio.TooSlowError: there is none.
        """

    def peer(self, stream: trio.abc.Stream) -> IPv4Address | IPv6Address:
        """Who is at the other end, as far as anybody can tell."""


@attrs.frozen
class Dialling:
    """
    We connect to the address of the meter, each time anew, and close what we have opened.

    `networks` are those of the meter's segment: where it is beside all that the settings allow.
    """

    context: Context
    meter: Meter
    networks: tuple[IPNetwork, ...] = ()
    inbound: bool = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[trio.abc.Stream]:
        """See `Line`; within the deadline of the settings."""
        context, meter = self.context, self.meter
        assert meter.address is not None, "only meters with an address are leased"
        assert meter.port is not None
        settings = context.settings
        if self.networks:
            reach = settings.reach.within(self.networks)
            settings = attrs.evolve(settings, allowed_networks=reach.networks)
        with trio.fail_after(settings.deadlines.connect_s):
            stream = await context.connect(meter.address, meter.port, settings)
        try:
            yield stream
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    def peer(self, stream: trio.abc.Stream) -> IPv4Address | IPv6Address:
        """See `Line`; the inventory may have a name."""
        address = self.meter.address or ""
        if isinstance(stream, trio.SocketStream):
            with suppress(OSError):
                address = str(stream.socket.getpeername()[0]).partition("%")[0]
        try:
            return canonical(address)
        except AddressNotAllowedError:
            return IPv4Address(0)


@attrs.frozen
class Given:
    """A connection that the meter has dialled; it stays open, whoever gave it closes it."""

    stream: trio.abc.Stream
    address: IPv4Address | IPv6Address
    inbound: bool = True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[trio.abc.Stream]:
        """See `Line`."""
        yield self.stream

    def peer(self, stream: trio.abc.Stream) -> IPv4Address | IPv6Address:  # noqa: ARG002
        """See `Line`."""
        return self.address
