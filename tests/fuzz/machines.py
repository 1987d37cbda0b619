"""
Client and server fed with whatever somebody on the line sends.

The first octet chooses mechanism, protection and the state that the machine is brought to; the
second, which of the APDUs are ciphered with the right keys and fresh counters, as a peer that has
them would; then APDUs follow, each behind its length. What the machine wants to say is said, a
request that it allows is made in between, so that a session goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Action,
    Associate,
    Client,
    ContinueNeeded,
    Get,
    GetList,
    Release,
    Set,
)
from hes_protocol.errors import LocalProtocolError, RemoteProtocolError
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.server import Notify, Server
from hes_protocol.xdlms import Ciphered, DataNotification
from hes_protocol.xdlms.ciphered import GLO_TAGS
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    ENCRYPTION_KEY,
    SERVER_TITLE,
    ConnectionPair,
    answer_of,
    apdu_of,
    client_settings,
    make_client,
    make_server,
    server_association,
    to_client,
    to_server,
)

_KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
_PDU_SIZE = 200
_SETUPS: Final = tuple(
    (mechanism, protection)
    for mechanism in (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC)
    for protection in Protection
)
_MOST_APDUS: Final = 6
REQUESTS: Final[tuple[Any, ...]] = (
    Get(CLOCK),
    Get(BUFFER),
    Set(BUFFER, Data(DataTag.OCTET_STRING, bytes(300))),
    GetList((Get(CLOCK), Get(BUFFER))),
    Action(CAPTURE, Data(DataTag.INTEGER, 0)),
    Release(),
)
"""What a state is reached by, and what a fuzzed client goes on with."""


def _pair(setup: int) -> ConnectionPair:
    mechanism, protection = _SETUPS[setup % len(_SETUPS)]
    return ConnectionPair.protected(protection, mechanism, max_receive_pdu_size=_PDU_SIZE)


@cache
def _recorded(setup: int) -> tuple[tuple[str, bytes], ...]:
    """The frames of a session: association, a short and a long GET, ACTION, release."""
    pair = _pair(setup)
    for request in (Associate(), *REQUESTS):
        pair.ask(request)
    return tuple(pair.sent)


@cache
def _association_frames(setup: int) -> int:
    return len(_pair(setup).opened().sent)


def apdus_of(octets: bytes) -> list[bytes]:
    """The APDUs in a fuzzed input, each behind its length."""
    found, offset = [], 0
    while offset + 1 < len(octets) and len(found) < _MOST_APDUS:
        length = octets[offset]
        apdu = octets[offset + 1 : offset + 1 + length]
        if apdu:
            found.append(apdu)
        offset += 1 + length
    return found


def joined(first: int, second: int, apdus: list[bytes]) -> bytes:
    """An input made of two octets of control and APDUs."""
    return bytes((first, second)) + b"".join(
        bytes((len(apdu),)) + apdu for apdu in apdus if len(apdu) < 256
    )


def _ciphered(apdu: bytes, protection: Protection, counter: int, title: bytes) -> bytes:
    content = protect(_KEYS, title, protection or Protection.AUTHENTICATED, counter, apdu)
    tag = GLO_TAGS.get(apdu[0], 0xDB)
    return Ciphered(tag, content, title if tag == 0xDB else None).encode()


def _settle(client: Client) -> str:
    """Take the client's events and send what it must; their initials."""
    seen = ""
    while True:
        try:
            event = client.next_event()
        except RemoteProtocolError as error:
            seen += error.code
            continue
        if event is None:
            return seen
        seen += type(event).__name__[:13]
        if isinstance(event, ContinueNeeded):
            client.send(event.reply)


def _reach(client: Client, setup: int, state: int) -> None:
    """Play `state` frames of the recorded session to the client."""
    requests = iter((Associate(), *REQUESTS))
    frames = _recorded(setup)
    for who, frame in frames[: state % len(frames)]:
        if who == "server":
            client.receive_data(frame)
            _settle(client)
        elif client.pending_invoke_id is None:
            _try(client.send, next(requests, Get(CLOCK)))


def _try(send: Callable[[Any], bytes], request: Any) -> None:
    try:
        send(request)
    except LocalProtocolError:
        return


def client(octets: bytes) -> str:
    """A client; the octets are what its server says."""
    if len(octets) < 3:
        return ""
    seen = ""
    setup = octets[0] % len(_SETUPS)
    mechanism, protection = _SETUPS[setup]
    peer = make_client(
        client_settings(mechanism=mechanism, protection=protection, max_receive_pdu_size=_PDU_SIZE)
    )
    _reach(peer, setup, octets[0] // len(_SETUPS))
    for number, apdu in enumerate(apdus_of(octets[2:])):
        if octets[1] >> number & 1:
            apdu = _ciphered(apdu, protection, 1_000_000 + number, SERVER_TITLE)
        peer.receive_data(to_client(apdu))
        seen += _settle(peer)
        if octets[1] & 0x80:
            peer.abandon()
        _try(peer.send, REQUESTS[number % len(REQUESTS)])
    return seen


def server(octets: bytes) -> str:
    """A server; the octets are what its client says."""
    if len(octets) < 3:
        return ""
    seen = ""
    setup = octets[0] % len(_SETUPS)
    mechanism, protection = _SETUPS[setup]
    peer = make_server(server_association(mechanism=mechanism, minimum_protection=protection))
    frames = [frame for who, frame in _recorded(setup) if who == "client"]
    for frame in frames[: octets[0] // len(_SETUPS) % (len(frames) + 1)]:
        peer.receive_data(frame)
        _answer(peer)
    for number, apdu in enumerate(apdus_of(octets[2:])):
        if octets[1] >> number & 1:
            apdu = _ciphered(apdu, protection, 1_000_000 + number, CLIENT_TITLE)
        peer.receive_data(to_server(apdu))
        seen += _answer(peer)
        if octets[1] & 0x80:
            peer.send(Notify(_PUSH, CLIENT_SAP, protection))
    return seen


_PUSH = DataNotification(1, None, Data(DataTag.UNSIGNED, 7))


def _answer(peer: Server) -> str:
    seen = ""
    while True:
        try:
            event = peer.next_event()
        except RemoteProtocolError as error:
            seen += error.code
            continue
        if event is None:
            return seen
        seen += type(event).__name__[:13]
        reply = answer_of(event)
        if reply is not None:
            peer.send(reply)


def _seeds(who: str) -> tuple[bytes, ...]:
    seeds = []
    for setup in range(len(_SETUPS)):
        frames = [apdu_of(frame) for sender, frame in _recorded(setup) if sender == who]
        opened = len(frames) // 3 * len(_SETUPS) + setup
        plain = _recorded(setup % len(_SETUPS) & ~3)
        clear = [apdu_of(frame) for sender, frame in plain if sender == who]
        seeds.append(joined(setup, 0, frames[:_MOST_APDUS]))
        seeds.append(joined(opened, 0x3F, clear[1:]))
        seeds.append(joined(opened, 0xBF, clear[-_MOST_APDUS:]))
    return tuple(seeds)


CLIENT_SEEDS: Final = _seeds("server")
SERVER_SEEDS: Final = _seeds("client")
