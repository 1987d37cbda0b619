"""
Clients that ask simulated meters by heart, many at once, in one thread without a loop's cost.

Owns the exchange that the rows of simulators measure, recording it from a meter, and replaying it
to many. The replaying client is cheap, so that a core of it keeps a core of the server busy; it
checks of each answer its length, and its first octets up to the result.

The exchange `day` is what a head-end asks of a meter each day, in an association with LLS: AARQ;
clock, energy imported and exported, power, one GET each; a past day's 96 rows of the load profile
by range, which come in blocks at the fleet's default PDU size of 512 octets; RLRQ; close.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import attrs

from hes_protocol.acse import Mechanism
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    Client,
    ClientEvent,
    ClientRequest,
    ClientSettings,
    ContinueNeeded,
    Get,
    GetCompleted,
    Release,
)
from hes_protocol.cosem import Attribute, CosemDateTime, Obis, RangeSelection
from hes_protocol.cosem.objects import CaptureObject
from hes_protocol.wrapper import WrapperLink
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.identity import LLS_SECRET

Address = tuple[str, int]

CLOCK = Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)
REGISTERS = tuple(
    Attribute(3, Obis.parse(obis), 2)
    for obis in ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.1.7.0.255")
)
PROFILE = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
PROFILE_ROWS = 96
HEADER_OCTETS = 8
# Header, tag, choice, invoke-id-and-priority, result: what is the same of every meter.
KNOWN_OCTETS = 12
SETTINGS = ClientSettings(client_sap=1, server_sap=1, mechanism=Mechanism.LLS, secret=LLS_SECRET)


class WrongAnswerError(Exception):
    """A server that does not answer as it did when the exchange was recorded."""


@attrs.frozen
class Exchange:
    """Requests and their answers, as octets of the wrapper."""

    requests: tuple[bytes, ...]
    answers: tuple[bytes, ...]

    def lines(self) -> str:
        """As `minimal_server` reads it."""
        pairs = zip(self.requests, self.answers, strict=True)
        return "\n".join(octets.hex() for pair in pairs for octets in pair)


def past_day(days_ago: int) -> RangeSelection:
    """The 96 rows that were captured on a whole day (UTC)."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=days_ago)
    last = first + timedelta(hours=23, minutes=45)
    return RangeSelection.between(
        CaptureObject(8, CLOCK.obis, 2, 0),
        CosemDateTime.from_datetime(first),
        CosemDateTime.from_datetime(last),
    )


def day(days_ago: int = 1) -> tuple[ClientRequest, ...]:
    """What is asked in the exchange `day`."""
    gets = [Get(one) for one in (CLOCK, *REGISTERS)]
    return (Associate(), *gets, Get(PROFILE, past_day(days_ago)), Release())


def record(address: Address, asked: Iterable[ClientRequest]) -> Exchange:
    """Ask a meter with our client, check what it says, and keep the octets."""
    requests: list[bytes] = []
    answers: list[bytes] = []
    client = Client(SETTINGS, WrapperLink(SETTINGS.client_sap, SETTINGS.server_sap), _no_counter)
    with socket.create_connection(address) as sock:

        def said(octets: bytes) -> None:
            sock.sendall(octets)
            requests.append(octets)
            answers.append(_whole(sock))
            client.receive_data(answers[-1])

        for request in asked:
            said(client.send(request))
            while isinstance(event := client.next_event(), ContinueNeeded):
                said(client.send(event.reply))
            _check(request, event)
    return Exchange(tuple(requests), tuple(answers))


def replay(addresses: Iterator[Address], exchange: Exchange, times: int, at_once: int) -> float:
    """
    Have so many sessions, `at_once` of them open; every one is another address'.

    Returns: seconds that passed. Raises: WrongAnswerError.
    """
    sessions: dict[int, _Session] = {}
    poll = select.epoll()
    began = time.perf_counter()
    started = 0
    try:
        while started < times or sessions:
            while started < times and len(sessions) < at_once:
                session = _Session(next(addresses), exchange)
                sessions[session.sock.fileno()] = session
                poll.register(session.sock, select.EPOLLIN)
                started += 1
            for number, _ in poll.poll():
                if sessions[number].is_over():
                    sessions.pop(number).sock.close()
    finally:
        poll.close()
        for session in sessions.values():
            session.sock.close()
    return time.perf_counter() - began


def stay(addresses: Iterator[Address], exchange: Exchange, sessions: int) -> list[socket.socket]:
    """
    Associate with so many meters, one after another, and leave the associations open.

    Returns: their sockets, which the caller closes. Raises: WrongAnswerError.
    """
    opened = []
    for _ in range(sessions):
        session = _Session(next(addresses), exchange)
        opened.append(session.sock)
        while not session.is_associated:
            session.is_over()
    return opened


class _Session:
    def __init__(self, address: Address, exchange: Exchange) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._exchange = exchange
        self._step = 0
        self._received = b""
        self.sock.sendall(exchange.requests[0])

    @property
    def is_associated(self) -> bool:
        """Whether the first answer has come, the AARE."""
        return self._step > 0

    def is_over(self) -> bool:
        """Take what has come, and ask on; whether nothing is left."""
        octets = self.sock.recv(16_384)
        self._received += octets
        expected = self._exchange.answers[self._step]
        if not octets or len(self._received) > len(expected):
            raise WrongAnswerError(self._step, self._received)
        if len(self._received) < len(expected):
            return False
        if self._received[:KNOWN_OCTETS] != expected[:KNOWN_OCTETS]:
            raise WrongAnswerError(self._step, self._received)
        self._received = b""
        self._step += 1
        if self._step == len(self._exchange.requests):
            return True
        self.sock.sendall(self._exchange.requests[self._step])
        return False


def _whole(sock: socket.socket) -> bytes:
    octets = sock.recv(16_384)
    while len(octets) < HEADER_OCTETS + int.from_bytes(octets[6:8], "big"):
        more = sock.recv(16_384)
        if not more:
            raise EOFError("the meter closed the connection")
        octets += more
    return octets


def _check(request: ClientRequest, event: ClientEvent | None) -> None:
    """The exchange that is measured is one of success."""
    if isinstance(request, Associate):
        assert isinstance(event, AssociationAccepted), event
    elif isinstance(request, Get):
        assert isinstance(event, GetCompleted), event
        assert event.result is DataAccessResult.SUCCESS, event
        if request.attribute == PROFILE:
            assert len(event.data().value) == PROFILE_ROWS


def _no_counter() -> int:
    raise AssertionError("nothing is ciphered")
