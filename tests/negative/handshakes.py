"""What is said to either side while an association is being opened, or is about to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs

from hes_protocol.acse import Aare, Aarq, Mechanism, mechanism_name
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.client import Associate, ContinueNeeded
from hes_protocol.security import Protection
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    GetDataResult,
    GetRequestNormal,
    decode_apdu,
)
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    ENCRYPTION_KEY,
    SERVER_TITLE,
    ConnectionPair,
    apdu_of,
    events_of,
)
from tests.negative.scene import (
    AUTHENTICATED,
    CIPHERED,
    HLS,
    MECHANISMS,
    Keys,
    Scene,
    flips,
    forged,
    opened,
    pair_of,
    truncations,
)

PLAIN_CONTEXT: Final = bytes.fromhex("60857405080101")
INITIATE_RESPONSE: Final = bytes.fromhex("0800065f1f040000101d00c80007")
INITIATE_REQUEST: Final = bytes.fromhex("01000000065f1f040000181f0200")
EVERY: Final = tuple(Protection)
Changes = Callable[[bytes], Iterable[bytes]]

# --- scenes -------------------------------------------------------------------------------------


def before_aare(mechanism: Mechanism, protection: Protection) -> Scene:
    """The client has sent its AARQ, the AARE is under way."""
    pair = pair_of(mechanism, protection)
    scene = Scene(pair, mechanism, protection, pair.client.send(Associate()))
    pair.server.receive_data(scene.asked)
    (scene.truth,) = pair.server_answers()
    return scene


def before_pass_4(mechanism: Mechanism, protection: Protection) -> Scene:
    """Pass 3 has arrived, pass 4 is under way."""
    scene = before_pass_3(mechanism, protection)
    scene.pair.server.receive_data(scene.asked)
    (scene.truth,) = scene.pair.server_answers()
    return scene


def before_aarq(mechanism: Mechanism, protection: Protection) -> Scene:
    """The client's AARQ is under way."""
    pair = pair_of(mechanism, protection)
    return Scene(pair, mechanism, protection, pair.client.send(Associate()))


def before_pass_3(mechanism: Mechanism, protection: Protection) -> Scene:
    """AARQ and AARE have gone over, pass 3 is under way."""
    scene = before_aare(mechanism, protection)
    scene.pair.sent += [("client", scene.asked), ("server", scene.truth)]
    scene.pair.client.receive_data(scene.truth)
    (event,) = events_of(scene.pair.client)
    assert isinstance(event, ContinueNeeded)
    return Scene(scene.pair, mechanism, protection, scene.pair.client.send(event.reply))


def another_session(scene: Scene) -> ConnectionPair:
    """A session of the same two, recorded before, with challenges of its own."""
    pair = pair_of(scene.mechanism, scene.protection)
    pair.ask(Associate(challenge=b"the challenge of another time"))
    return pair


# --- AARE ---------------------------------------------------------------------------------------


def _aare(scene: Scene) -> Aare:
    aare = decode_apdu(apdu_of(scene.truth))
    assert isinstance(aare, Aare)
    return aare


def _evolved(**changes: Any) -> Callable[[Scene], Iterable[bytes]]:
    return lambda scene: [attrs.evolve(_aare(scene), **changes).encode()]


def aare_mechanisms(scene: Scene) -> Iterable[bytes]:
    """The server pretends another mechanism than was asked for."""
    for mechanism in Mechanism:
        if mechanism is not scene.mechanism:
            name = mechanism_name(mechanism) or b"\x60\x85\x74\x05\x08\x02\x00"
            yield attrs.evolve(_aare(scene), mechanism_name=name).encode()


def aare_information(
    make: Callable[[bytes], Iterable[bytes]],
) -> Callable[[Scene], Iterable[bytes]]:
    """The protected part changed."""

    def attack(scene: Scene) -> Iterable[bytes]:
        aare = _aare(scene)
        assert aare.user_information is not None
        for information in make(aare.user_information):
            yield attrs.evolve(aare, user_information=information).encode()

    return attack


def aare_keys(scene: Scene) -> Iterable[bytes]:
    for keys in (
        Keys(AUTHENTICATION_KEY, ENCRYPTION_KEY),
        Keys(ENCRYPTION_KEY, bytes(16)),
        Keys(bytes(16), AUTHENTICATION_KEY),
    ):
        information = forged(INITIATE_RESPONSE, SERVER_TITLE, scene.protection, keys=keys)
        yield attrs.evolve(_aare(scene), user_information=information).encode()


def aare_weaker(scene: Scene) -> Iterable[bytes]:
    for protection in Protection:
        if not protection.covers(scene.protection):
            information = INITIATE_RESPONSE
            if protection:
                information = forged(INITIATE_RESPONSE, SERVER_TITLE, protection)
            yield attrs.evolve(_aare(scene), user_information=information).encode()


def aare_request(scene: Scene) -> Iterable[bytes]:
    """The client's own initiate-request, or another service, where the response is due."""
    for apdu in (INITIATE_REQUEST, bytes.fromhex("c401c1001105")):
        information = forged(apdu, SERVER_TITLE, scene.protection)
        yield attrs.evolve(_aare(scene), user_information=information).encode()


def answers_too_early(scene: Scene) -> Iterable[bytes]:
    """Answers and pushes before the association is open, in the clear."""
    yield from (bytes.fromhex("c401c1001105"), bytes.fromhex("c701c10000"), bytes.fromhex("6300"))


AARE: Final[dict[str, tuple[Any, tuple[Mechanism, ...], tuple[Protection, ...]]]] = {
    "mechanism": (aare_mechanisms, MECHANISMS, EVERY),
    "mechanism-rubbish": (_evolved(mechanism_name=b"\x2a"), HLS, EVERY),
    "mechanism-missing": (_evolved(mechanism_name=None), HLS, EVERY),
    "context-plain": (_evolved(application_context_name=PLAIN_CONTEXT), MECHANISMS, CIPHERED),
    "title-another": (_evolved(responding_ap_title=b"another1"), MECHANISMS, AUTHENTICATED),
    "title-missing": (_evolved(responding_ap_title=None), MECHANISMS, CIPHERED),
    "title-short": (_evolved(responding_ap_title=b"short"), MECHANISMS, CIPHERED),
    "title-ours": (_evolved(responding_ap_title=CLIENT_TITLE), MECHANISMS, CIPHERED),
    "challenge-missing": (_evolved(authentication_value=None), HLS, EVERY),
    "challenge-short": (_evolved(authentication_value=b"short"), HLS, EVERY),
    "challenge-long": (_evolved(authentication_value=bytes(65)), HLS, EVERY),
    "challenge-reflected": (_evolved(authentication_value=CTOS), HLS, EVERY),
    "information-missing": (_evolved(user_information=None), MECHANISMS, CIPHERED),
    "information-bits": (aare_information(flips), MECHANISMS, AUTHENTICATED),
    "information-cut": (aare_information(truncations), MECHANISMS, AUTHENTICATED),
    "information-weaker": (aare_weaker, MECHANISMS, CIPHERED),
    "information-keys": (aare_keys, MECHANISMS, AUTHENTICATED),
    "information-of-another-service": (aare_request, MECHANISMS, AUTHENTICATED),
    "answers-too-early": (answers_too_early, MECHANISMS, CIPHERED),
}

# --- pass 4 -------------------------------------------------------------------------------------


def _pass_4(scene: Scene, proof: bytes | None, protection: Protection | None = None) -> bytes:
    """An action-response around a proof, as a server with the keys would cipher it."""
    returned = None
    if proof is not None:
        returned = GetDataResult(octets=encode(Data(DataTag.OCTET_STRING, proof)))
    apdu = ActionResponseNormal(
        ActionReturn(ActionResultCode.SUCCESS, returned), invoke_id_and_priority=0xC1
    ).encode()
    protection = scene.protection if protection is None else protection
    return forged(apdu, SERVER_TITLE, protection) if protection else apdu


def proof_4_of(octets: bytes) -> bytes:
    """The proof in a pass 4."""
    apdu = decode_apdu(opened(octets, SERVER_TITLE))
    assert isinstance(apdu, ActionResponseNormal)
    assert apdu.outcome.return_parameters is not None
    return bytes(apdu.outcome.return_parameters.data().value)


def proof_3_of(octets: bytes) -> bytes:
    """The proof in a pass 3."""
    apdu = decode_apdu(opened(octets, CLIENT_TITLE))
    assert isinstance(apdu, ActionRequestNormal)
    assert apdu.parameters is not None
    return bytes(apdu.parameters.value)


def pass_4_wrong(scene: Scene) -> Iterable[bytes]:
    true = proof_4_of(apdu_of(scene.truth))
    yield from (_pass_4(scene, proof) for proof in flips(true))
    yield from (_pass_4(scene, true[:end]) for end in range(len(true)))
    yield _pass_4(scene, true + b"\0")


def pass_4_missing(scene: Scene) -> Iterable[bytes]:
    yield from (_pass_4(scene, None), _pass_4(scene, b""), _pass_4(scene, bytes(17)))


def pass_4_reflected(scene: Scene) -> Iterable[bytes]:
    yield _pass_4(scene, proof_3_of(apdu_of(scene.asked)))


def pass_4_of_another_session(scene: Scene) -> Iterable[bytes]:
    other = another_session(scene).sent
    yield _pass_4(scene, proof_4_of(apdu_of(other[-1][1])))


def pass_4_bits(scene: Scene) -> Iterable[bytes]:
    yield from flips(apdu_of(scene.truth))


def pass_4_weaker(scene: Scene) -> Iterable[bytes]:
    true = proof_4_of(apdu_of(scene.truth))
    for protection in Protection:
        if not protection.covers(scene.protection):
            yield _pass_4(scene, true, protection)


PASS_4: Final[dict[str, tuple[Any, tuple[Mechanism, ...], tuple[Protection, ...]]]] = {
    "wrong": (pass_4_wrong, HLS, EVERY),
    "missing": (pass_4_missing, HLS, EVERY),
    "reflected": (pass_4_reflected, HLS, EVERY),
    "of-another-session": (pass_4_of_another_session, HLS, EVERY),
    "bits": (pass_4_bits, HLS, AUTHENTICATED),
    "weaker": (pass_4_weaker, HLS, CIPHERED),
}

# --- AARQ ---------------------------------------------------------------------------------------


def _aarq(scene: Scene) -> Aarq:
    aarq = decode_apdu(apdu_of(scene.asked))
    assert isinstance(aarq, Aarq)
    return aarq


def _changed(**changes: Any) -> Callable[[Scene], Iterable[bytes]]:
    return lambda scene: [attrs.evolve(_aarq(scene), **changes).encode()]


def aarq_mechanisms(scene: Scene) -> Iterable[bytes]:
    for mechanism in Mechanism:
        if mechanism is not scene.mechanism:
            yield attrs.evolve(_aarq(scene), mechanism_name=mechanism_name(mechanism)).encode()


def aarq_information(
    make: Callable[[bytes], Iterable[bytes]],
) -> Callable[[Scene], Iterable[bytes]]:
    def attack(scene: Scene) -> Iterable[bytes]:
        aarq = _aarq(scene)
        assert aarq.user_information is not None
        for information in make(aarq.user_information):
            yield attrs.evolve(aarq, user_information=information).encode()

    return attack


def aarq_weaker(scene: Scene) -> Iterable[bytes]:
    for protection in Protection:
        if not protection.covers(scene.protection):
            information = INITIATE_REQUEST
            if protection:
                information = forged(INITIATE_REQUEST, CLIENT_TITLE, protection)
            yield attrs.evolve(_aarq(scene), user_information=information).encode()


def aarq_keys(scene: Scene) -> Iterable[bytes]:
    for keys in (
        Keys(AUTHENTICATION_KEY, ENCRYPTION_KEY),
        Keys(ENCRYPTION_KEY, bytes(16)),
        Keys(bytes(16), AUTHENTICATION_KEY),
    ):
        information = forged(INITIATE_REQUEST, CLIENT_TITLE, scene.protection, keys=keys)
        yield attrs.evolve(_aarq(scene), user_information=information).encode()


def requests_too_early(scene: Scene) -> Iterable[bytes]:
    """Requests without an association, in the clear and as somebody with the keys sends them."""
    request = GetRequestNormal(CLOCK, invoke_id_and_priority=0xC1).encode()
    yield request
    if scene.protection:
        yield forged(request, CLIENT_TITLE, scene.protection)


AARQ: Final[dict[str, tuple[Any, tuple[Mechanism, ...], tuple[Protection, ...]]]] = {
    "mechanism": (aarq_mechanisms, MECHANISMS, EVERY),
    "context-plain": (_changed(application_context_name=PLAIN_CONTEXT), MECHANISMS, CIPHERED),
    "context-rubbish": (_changed(application_context_name=b"\x2a\x03"), MECHANISMS, EVERY),
    "title-missing": (_changed(calling_ap_title=None), MECHANISMS, CIPHERED),
    "title-short": (_changed(calling_ap_title=b"short"), MECHANISMS, CIPHERED),
    "title-of-the-server": (_changed(calling_ap_title=SERVER_TITLE), MECHANISMS, CIPHERED),
    "title-another": (_changed(calling_ap_title=b"another1"), MECHANISMS, AUTHENTICATED),
    "secret": (_changed(authentication_value=b"00000001"), (Mechanism.LLS,), EVERY),
    "secret-empty": (_changed(authentication_value=b""), (Mechanism.LLS,), EVERY),
    "secret-longer": (_changed(authentication_value=b"000000000"), (Mechanism.LLS,), EVERY),
    "challenge-missing": (_changed(authentication_value=None), HLS, EVERY),
    "challenge-short": (_changed(authentication_value=b"short"), HLS, EVERY),
    "challenge-long": (_changed(authentication_value=bytes(65)), HLS, EVERY),
    "information-missing": (_changed(user_information=None), MECHANISMS, CIPHERED),
    "information-bits": (aarq_information(flips), MECHANISMS, AUTHENTICATED),
    "information-cut": (aarq_information(truncations), MECHANISMS, AUTHENTICATED),
    "information-weaker": (aarq_weaker, MECHANISMS, CIPHERED),
    "information-keys": (aarq_keys, MECHANISMS, AUTHENTICATED),
    "requests-too-early": (requests_too_early, MECHANISMS, EVERY),
}

# --- pass 3 -------------------------------------------------------------------------------------


def _pass_3(scene: Scene, proof: bytes, protection: Protection | None = None) -> bytes:
    true = decode_apdu(opened(apdu_of(scene.asked), CLIENT_TITLE))
    assert isinstance(true, ActionRequestNormal)
    data = Data(DataTag.OCTET_STRING, proof)
    apdu = attrs.evolve(true, parameters=data).encode()
    protection = scene.protection if protection is None else protection
    return forged(apdu, CLIENT_TITLE, protection) if protection else apdu


def pass_3_wrong(scene: Scene) -> Iterable[bytes]:
    true = proof_3_of(apdu_of(scene.asked))
    yield from (_pass_3(scene, proof) for proof in flips(true))
    yield from (_pass_3(scene, true[:end]) for end in range(len(true)))
    yield _pass_3(scene, true + b"\0")


def pass_3_reflected(scene: Scene) -> Iterable[bytes]:
    """The server's own challenge, ours, and a proof that the server gave another time."""
    other = another_session(scene).sent
    yield _pass_3(scene, proof_4_of(apdu_of(other[-1][1])))
    yield _pass_3(scene, CTOS)


def pass_3_of_another_session(scene: Scene) -> Iterable[bytes]:
    """A proof that this client gave to a server with another challenge."""
    other = pair_of(scene.mechanism, scene.protection)
    other.server._next_challenge = lambda: b"the server's challenge of another time"
    other.opened()
    yield _pass_3(scene, proof_3_of(apdu_of(other.sent[2][1])))


def pass_3_bits(scene: Scene) -> Iterable[bytes]:
    yield from flips(apdu_of(scene.asked))


def pass_3_weaker(scene: Scene) -> Iterable[bytes]:
    true = proof_3_of(apdu_of(scene.asked))
    for protection in Protection:
        if not protection.covers(scene.protection):
            yield _pass_3(scene, true, protection)


def pass_3_skipped(scene: Scene) -> Iterable[bytes]:
    """A request in place of the proof, in the clear where that is allowed to be looked at."""
    yield GetRequestNormal(CLOCK, invoke_id_and_priority=0xC1).encode()


PASS_3: Final[dict[str, tuple[Any, tuple[Mechanism, ...], tuple[Protection, ...]]]] = {
    "wrong": (pass_3_wrong, HLS, EVERY),
    "reflected": (pass_3_reflected, HLS, EVERY),
    "of-another-session": (pass_3_of_another_session, HLS, EVERY),
    "bits": (pass_3_bits, HLS, AUTHENTICATED),
    "weaker": (pass_3_weaker, HLS, CIPHERED),
    "skipped": (pass_3_skipped, HLS, EVERY),
}
