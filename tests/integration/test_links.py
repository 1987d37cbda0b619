"""Links over what the system has: UDP sockets, and a serial line (a pseudo-terminal)."""

from __future__ import annotations

import math
import os
import socket
import tty
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import pytest
import trio

from hes_protocol.acse import Mechanism
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationReleased,
    Client,
    ClientEvent,
    ClientRequest,
    ContinueNeeded,
    Get,
    GetCompleted,
    Release,
    Reply,
)
from hes_protocol.hdlc import HdlcAddress, HdlcLink, HdlcServerLink, LinkParameters
from hes_protocol.security import Protection
from hes_protocol.server import Server, ServerLink
from hes_protocol.settings import Link
from hes_protocol.wrapper import WrapperDatagramLink
from tests import connection_pair as pairs

Read = Callable[[], Awaitable[bytes]]
Write = Callable[[bytes], Awaitable[None]]

FULL = Protection.AUTHENTICATED_ENCRYPTED
SERVER_ADDRESS = HdlcAddress(1, 17)
PARAMETERS = LinkParameters(128, 128, 3, 3)


def server_of(link: ServerLink) -> Server:
    counters = count(1)
    association = pairs.server_association(
        mechanism=Mechanism.HLS_GMAC, minimum_protection=FULL, max_receive_pdu_size=300
    )
    return Server(
        {1: association},
        link,
        server_sap=1,
        system_title=pairs.SERVER_TITLE,
        next_counter=lambda: next(counters),
        next_challenge=lambda: pairs.STOC,
        client_counters={},
    )


def client_of(link: Link) -> Client:
    counters = count(1)
    settings = pairs.client_settings(mechanism=Mechanism.HLS_GMAC, protection=FULL)
    return Client(settings, link, lambda: next(counters))


async def serve(server: Server, read: Read, write: Write) -> None:
    """Be the meter until cancelled."""
    while True:
        waiting_s = server.timeout_s
        data = b""
        with trio.move_on_after(math.inf if waiting_s is None else waiting_s) as waiting:
            data = await read()
        if waiting.cancelled_caught:
            await write(server.handle_timeout())
        server.receive_data(data)
        while (event := server.next_event()) is not None:
            reply = pairs.answer_of(event)
            if reply is not None:
                await write(server.send(reply))
        await write(server.data_to_send())


async def ask(client: Client, request: ClientRequest, read: Read, write: Write) -> ClientEvent:
    """Send a request and wait for what completes it, as any adapter does."""
    outgoing: ClientRequest | Reply = request
    while True:
        await write(client.send(outgoing))
        while (event := client.next_event()) is None:
            await write(client.data_to_send())
            waiting_s = client.timeout_s
            with trio.move_on_after(math.inf if waiting_s is None else waiting_s) as waiting:
                client.receive_data(await read())
            if waiting.cancelled_caught:
                await write(client.handle_timeout())
        if not isinstance(event, ContinueNeeded):
            return event
        outgoing = event.reply


async def session(
    client: Client, server: Server, ends: tuple[tuple[Read, Write], tuple[Read, Write]]
) -> None:
    """Associate, read by blocks, release."""
    ours, theirs = ends
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, server, *theirs)
            assert isinstance(await ask(client, Associate(), *ours), AssociationAccepted)
            for _ in range(3):
                completed = await ask(client, Get(pairs.CLOCK), *ours)
                assert isinstance(completed, GetCompleted)
                assert completed.octets == pairs.VALUE
            assert isinstance(await ask(client, Release(), *ours), AssociationReleased)
            nursery.cancel_scope.cancel()


# --- UDP --------------------------------------------------------------------------------------


@pytest.mark.conformance("wrapper-udp", "client", "server")
async def test_a_session_over_udp() -> None:
    ours = trio.socket.socket(type=socket.SOCK_DGRAM)
    theirs = trio.socket.socket(type=socket.SOCK_DGRAM)
    with ours, theirs:
        await ours.bind(("127.0.0.1", 0))
        await theirs.bind(("127.0.0.1", 0))
        await ours.connect(theirs.getsockname())
        await theirs.connect(ours.getsockname())
        ends = (_datagrams(ours), _datagrams(theirs))
        client = client_of(WrapperDatagramLink(1, 1))
        await session(client, server_of(WrapperDatagramLink(1)), ends)


def _datagrams(sock: trio.socket.SocketType) -> tuple[Read, Write]:
    async def write(octets: bytes) -> None:
        if octets:
            await sock.send(octets)

    return (lambda: sock.recv(65536)), write


# --- a serial line ----------------------------------------------------------------------------


@pytest.fixture
def line() -> Iterator[tuple[int, int]]:
    """Both ends of a serial line in raw mode: what a terminal would interpret passes through."""
    ends = os.openpty()
    for end in ends:
        tty.setraw(end)
    yield ends
    for end in ends:
        os.close(end)


def _terminal(end: int, *, loses: Callable[[int], bool] = lambda _: False) -> tuple[Read, Write]:
    """Reads and writes of a file descriptor; `loses` says which writing does not arrive."""
    writings = count()
    os.set_blocking(end, False)

    async def read() -> bytes:
        await trio.lowlevel.wait_readable(end)
        return os.read(end, 64)

    async def write(octets: bytes) -> None:
        if not octets:
            return
        if loses(next(writings)):
            octets = octets[: len(octets) // 2]
        while octets:
            await trio.lowlevel.wait_writable(end)
            octets = octets[os.write(end, octets[:32]) :]

    return read, write


@pytest.mark.conformance("hdlc-serial", "client", "server")
@pytest.mark.parametrize("noisy", [False, True])
async def test_a_session_over_a_serial_line(line: tuple[int, int], noisy: bool) -> None:
    ours, theirs = line
    ends = (
        _terminal(ours, loses=lambda n: noisy and n % 7 == 3),
        _terminal(theirs, loses=lambda n: noisy and n % 5 == 2),
    )
    client = HdlcLink(HdlcAddress(1), SERVER_ADDRESS, PARAMETERS, answer_s=0.1, poll_s=0.05)
    server = HdlcServerLink(SERVER_ADDRESS, PARAMETERS, silence_s=0.05)
    await session(client_of(client), server_of(server), ends)
    assert (client.frames_discarded + server.frames_discarded > 0) is noisy
