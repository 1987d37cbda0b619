"""
Where an attack takes place: an association, what is under way in it, and what forges need.

A scene is made anew for each case. `truth` is what the other side really says, held back: after
the attack it must still be taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.client import (
    Action,
    AnswerDiscarded,
    Associate,
    ContinueNeeded,
    ExceptionReceived,
    Get,
    Release,
    Set,
)
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.security import Protection
from hes_protocol.server import AssociationRefused, GetRequested, GetResult
from hes_protocol.xdlms import Ciphered, decode_apdu
from hes_protocol.xdlms.ciphered import GLO_TAGS
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    BUFFER,
    CAPTURE,
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


@attrs.frozen
class Keys:
    """Keys as an attacker has them; ciphered by the library itself, not by what is tested."""

    encryption: bytes
    authentication: bytes

    def seal(self, iv: bytes, octet: bytes, clear: bytes, secret: bytes) -> bytes:
        """Ciphertext and a tag of 12 octets."""
        additional = octet + self.authentication + clear
        return AESGCM(self.encryption).encrypt(iv, secret, additional)[:-4]

    def counter_mode(self, iv: bytes, octets: bytes) -> bytes:
        """Enciphered or deciphered, not authenticated."""
        return AESGCM(self.encryption).encrypt(iv, octets, None)[:-16]


KEYS: Final = Keys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
GENERAL_GLO: Final = 0xDB
FAR: Final = 1_000_000
"""A counter that neither side has reached: forged with the right keys it is fresh."""
PDU_SIZE: Final = 200
COUNTER_STEP: Final = 1000
"""Of both sides, so that there is room for others between what they say."""

MECHANISMS: Final = (
    Mechanism.NONE,
    Mechanism.LLS,
    Mechanism.HLS,
    Mechanism.HLS_MD5,
    Mechanism.HLS_SHA1,
    Mechanism.HLS_GMAC,
    Mechanism.HLS_SHA256,
)
HLS: Final = MECHANISMS[2:]
AUTHENTICATED: Final = (Protection.AUTHENTICATED, Protection.AUTHENTICATED_ENCRYPTED)
CIPHERED: Final = (*AUTHENTICATED, Protection.ENCRYPTED)

SERVICES: Final[dict[str, Any]] = {
    "get": Get(CLOCK),
    "block": Get(BUFFER),
    "set": Set(CLOCK, Data(DataTag.OCTET_STRING, bytes(12))),
    "action": Action(CAPTURE, Data(DataTag.INTEGER, 0)),
    "release": Release(),
}

Attack = Callable[["Scene"], Iterable[bytes]]


def _answer(event: Any) -> Any:
    """As `answer_of`, with a clock that fits one APDU."""
    if isinstance(event, GetRequested) and event.attribute == CLOCK:
        return GetResult(event.invoke_id, octets=encode(Data(DataTag.OCTET_STRING, bytes(12))))
    return answer_of(event)


def manufacturer(exchange: Any) -> bytes:
    """The secret function of some manufacturer."""
    mixed = exchange.challenge + b"|" + exchange.secret
    return bytes(sum(mixed[: i + 1]) & 0xFF for i in range(len(mixed)))


@attrs.define
class Scene:
    """`earlier` are frames that went over before, as (who, octets); `asked` the open request."""

    pair: ConnectionPair
    mechanism: Mechanism
    protection: Protection
    asked: bytes = b""
    truth: bytes = b""

    @property
    def earlier(self) -> list[tuple[str, bytes]]:
        return self.pair.sent

    def said_by(self, who: str) -> list[bytes]:
        """APDUs that one side has sent before."""
        return [apdu_of(frame) for sender, frame in self.earlier if sender == who]


def pair_of(mechanism: Mechanism, protection: Protection, **changes: Any) -> ConnectionPair:
    """A pair that insists on what it is made for."""
    function = {"hls_function": manufacturer} if mechanism is Mechanism.HLS else {}
    counters: dict[int, int] = {}
    settings: dict[str, Any] = {
        "mechanism": mechanism,
        "protection": protection,
        "max_receive_pdu_size": PDU_SIZE,
    }
    return ConnectionPair(
        make_client(client_settings(**(settings | function | changes)), counter_step=COUNTER_STEP),
        make_server(
            server_association(mechanism=mechanism, minimum_protection=protection, **function),
            client_counters=counters,
            counter_step=COUNTER_STEP,
        ),
        counters,
        _answer,
    )


def asked(mechanism: Mechanism, protection: Protection, service: str, **changes: Any) -> Scene:
    """An open association in which one request is under way, not yet with the server."""
    pair = pair_of(mechanism, protection, **changes).opened()
    pair.ask(Get(CLOCK))
    scene = Scene(pair, mechanism, protection)
    scene.asked = pair.client.send(SERVICES[service])
    return scene


def answered(mechanism: Mechanism, protection: Protection, service: str, **changes: Any) -> Scene:
    """The same with the answer under way, not yet with the client."""
    scene = asked(mechanism, protection, service, **changes)
    scene.pair.server.receive_data(scene.asked)
    (scene.truth,) = scene.pair.server_answers()
    return scene


def content(
    apdu: bytes,
    *,
    protection: Protection,
    counter: int = FAR,
    title: bytes,
    keys: Keys = KEYS,
    control: int = 0,
) -> bytes:
    """A ciphered APDU's content whose tag is right, whatever else its control octet says."""
    octet = bytes((protection | control,))
    iv = title + counter.to_bytes(4, "big")
    header = octet + iv[8:]
    if protection is Protection.AUTHENTICATED_ENCRYPTED:
        return header + keys.seal(iv, octet, b"", apdu)
    if protection is Protection.AUTHENTICATED:
        return header + apdu + keys.seal(iv, octet, apdu, b"")
    return header + keys.counter_mode(iv, apdu)


def forged(apdu: bytes, sender: bytes, protection: Protection, **changes: Any) -> bytes:
    """What somebody with the keys can make of an APDU in the sender's name."""
    tag = GLO_TAGS.get(apdu[0], GENERAL_GLO)
    title = changes.pop("title", sender)
    ciphered = content(apdu, protection=protection, title=title, **changes)
    return Ciphered(tag, ciphered, title if tag == GENERAL_GLO else None).encode()


def opened(octets: bytes, sender: bytes) -> bytes:
    """What is inside a ciphered APDU; APDUs in the clear as they are."""
    apdu = decode_apdu(octets)
    if not isinstance(apdu, Ciphered):
        return octets
    iv = sender + apdu.content[1:5]
    control = apdu.content[0]
    text = apdu.content[5:-12] if control & 0x10 else apdu.content[5:]
    return KEYS.counter_mode(iv, text) if control & 0x20 else text


def flips(octets: bytes) -> Iterable[bytes]:
    """Every single-bit flip."""
    for bit in range(8 * len(octets)):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        yield bytes(flipped)


def truncations(octets: bytes) -> Iterable[bytes]:
    """Every proper prefix that is not empty."""
    return (octets[:end] for end in range(1, len(octets)))


# --- verdicts -----------------------------------------------------------------------------------


def refused_by_client(scene: Scene, apdus: Iterable[bytes]) -> int:
    """
    Feed the client; each APDU must be refused and change nothing.

    What it may tell is an exception-response in the clear, which it does not believe.
    """
    client, fed = scene.pair.client, 0
    for apdu in apdus:
        fed += 1
        before = scene.pair.state()
        client.receive_data(to_client(apdu))
        seen: list[object] = []
        told = _drained(client.next_event, seen)
        doubtful = [event for event in told if isinstance(event, ExceptionReceived)]
        assert told == doubtful, (apdu.hex(), told)
        assert not any(event.trusted for event in doubtful), apdu.hex()
        assert told or seen, f"taken in silence: {apdu.hex()}"
        assert scene.pair.state() == before, apdu.hex()
    return fed


def refused_by_server(scene: Scene, apdus: Iterable[bytes], client_sap: int = 1) -> int:
    """Feed the server; each APDU must be refused, be it by an answer, and change nothing."""
    server, fed = scene.pair.server, 0
    for apdu in apdus:
        fed += 1
        before = scene.pair.state()
        server.receive_data(to_server(apdu, client_sap))
        seen: list[object] = []

        def next_event(seen: list[object] = seen) -> object:
            event = server.next_event()
            if isinstance(event, ContinueNeeded):
                assert event.reply.purpose in ("exception", "association"), event
                seen.append(server.send(event.reply))
            return event

        told = _drained(next_event, seen)
        assert all(isinstance(event, ContinueNeeded | AssociationRefused) for event in told), told
        assert seen, f"taken in silence: {apdu.hex()}"
        assert scene.pair.state() == before, apdu.hex()
    return fed


def harmless_to_client(scene: Scene, apdus: Iterable[bytes]) -> int:
    """
    Feed the client what the meter itself says out of turn, ciphered as it should be.

    Its counter counts; what is under way, and the association, are as they were.
    """
    client, fed = scene.pair.client, 0
    for apdu in apdus:
        fed += 1
        before = (client.pending_invoke_id, client._state.current, client.server_system_title)
        client.receive_data(to_client(_next(scene, apdu)))
        told = _drained(client.next_event, [])
        assert all(isinstance(event, AnswerDiscarded) for event in told), (apdu.hex(), told)
        after = (client.pending_invoke_id, client._state.current, client.server_system_title)
        assert after == before, apdu.hex()
    return fed


def harmless_to_server(scene: Scene, apdus: Iterable[bytes]) -> int:
    """The same for a server: nothing reaches the meter's objects, the association stands."""
    server, fed = scene.pair.server, 0
    for apdu in apdus:
        fed += 1
        known = scene.pair.client_counters.get(1, 0)
        sealed = apdu
        if scene.protection:
            sealed = forged(apdu, CLIENT_TITLE, scene.protection, counter=known + 1)
        server.receive_data(to_server(sealed))
        for event in iter(server.next_event, None):
            assert isinstance(event, ContinueNeeded), (apdu.hex(), event)
            server.send(event.reply)
        assert server.is_associated(1), apdu.hex()
    return fed


def _next(scene: Scene, apdu: bytes) -> bytes:
    known = scene.pair.client.server_counter or 0
    if not scene.protection:
        return apdu
    return forged(apdu, SERVER_TITLE, scene.protection, counter=known + 1)


def _drained(next_event: Callable[[], Any], errors: list[object]) -> list[Any]:
    told = []
    while True:
        try:
            event = next_event()
        except RemoteProtocolError as error:
            assert error.code
            errors.append(error)
            continue
        if event is None:
            return told
        told.append(event)


def go_on(pair: ConnectionPair, frame: bytes) -> None:
    """Give the client a frame and play until nobody has anything to say."""
    pair.client.receive_data(frame)
    while octets := b"".join(
        pair.client.send(event.reply)
        for event in pair.take_client_events()
        if isinstance(event, ContinueNeeded)
    ):
        pair.carry_to_server(octets)


def still_works(scene: Scene) -> None:
    """What was held back is taken, and an honest exchange follows."""
    pair = scene.pair
    if scene.truth:
        go_on(pair, scene.truth)
    elif scene.asked:
        pair.carry_to_server(scene.asked)
        go_on(pair, b"")
    if not pair.server.is_associated(1):
        pair.ask(Associate(challenge=b"a fresh challenge"))
    assert pair.client.pending_invoke_id is None
    (read,) = pair.ask(Get(CLOCK))
    assert read.result == 0, read
