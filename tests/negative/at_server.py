"""What a man in the middle, or a false head-end, says to a server of an open association."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hes_protocol.acse import Rlrq
from hes_protocol.client import Associate
from hes_protocol.security import Protection
from hes_protocol.xdlms import Ciphered
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    CLIENT_SAP,
    CLIENT_TITLE,
    ENCRYPTION_KEY,
    SERVER_TITLE,
    apdu_of,
)
from tests.negative.scene import (
    AUTHENTICATED,
    CIPHERED,
    GENERAL_GLO,
    Attack,
    Keys,
    Scene,
    content,
    flips,
    forged,
    opened,
    pair_of,
    truncations,
)

DED: Final = {0xC0: 0xD0, 0xC1: 0xD1, 0xC3: 0xD3}
GLO: Final = {0xC0: 0xC8, 0xC1: 0xC9, 0xC3: 0xCB}


def _request(scene: Scene) -> bytes:
    return opened(apdu_of(scene.asked), CLIENT_TITLE)


def _by(scene: Scene, **changes: Any) -> bytes:
    protection = changes.pop("protection", scene.protection)
    return forged(_request(scene), CLIENT_TITLE, protection, **changes)


def _requests_before(scene: Scene) -> list[bytes]:
    return [apdu for apdu in scene.said_by("client") if apdu[0] not in (0x60, 0x62)]


def bits(scene: Scene) -> Iterable[bytes]:
    yield from flips(apdu_of(scene.asked))


def cut(scene: Scene) -> Iterable[bytes]:
    yield from truncations(apdu_of(scene.asked))


def longer(scene: Scene) -> Iterable[bytes]:
    whole = apdu_of(scene.asked)
    yield from (whole + b"\0", whole + whole, b"\0" + whole)


def replayed(scene: Scene) -> Iterable[bytes]:
    yield from _requests_before(scene)


def rolled_back(scene: Scene) -> Iterable[bytes]:
    known = scene.pair.client_counters[CLIENT_SAP]
    for behind in (0, 1, 2, 1000, known):
        yield _by(scene, counter=max(0, known - behind))


def poisoned(scene: Scene) -> Iterable[bytes]:
    known = scene.pair.client_counters[CLIENT_SAP]
    for counter in (0xFFFF_FFFF, 0x8000_0000, known + 1):
        yield _by(scene, counter=counter, keys=Keys(bytes(16), bytes(16)))


def weaker(scene: Scene) -> Iterable[bytes]:
    for protection in Protection:
        if protection and not protection.covers(scene.protection):
            yield _by(scene, protection=protection)


def in_the_clear(scene: Scene) -> Iterable[bytes]:
    yield _request(scene)


def unciphered_control(scene: Scene) -> Iterable[bytes]:
    request = _request(scene)
    yield Ciphered(GLO[request[0]], bytes(5) + request).encode()
    yield Ciphered(GENERAL_GLO, bytes(5) + request, CLIENT_TITLE).encode()


def another_title(scene: Scene) -> Iterable[bytes]:
    for title in (b"another1", SERVER_TITLE, CLIENT_TITLE[::-1]):
        sealed = content(_request(scene), protection=scene.protection, title=title)
        yield Ciphered(GENERAL_GLO, sealed, title).encode()


def swapped_keys(scene: Scene) -> Iterable[bytes]:
    for keys in (
        Keys(AUTHENTICATION_KEY, ENCRYPTION_KEY),
        Keys(ENCRYPTION_KEY, ENCRYPTION_KEY),
        Keys(AUTHENTICATION_KEY, AUTHENTICATION_KEY),
        Keys(ENCRYPTION_KEY, bytes(16)),
    ):
        yield _by(scene, keys=keys)


def another_association(scene: Scene) -> Iterable[bytes]:
    yield _by(scene, keys=Keys(bytes(range(16)), bytes(range(16, 32))))
    yield _by(scene, title=b"HESother")


def foreign_service(scene: Scene) -> Iterable[bytes]:
    request = _request(scene)
    for tag, outer in GLO.items():
        if tag != request[0]:
            sealed = content(request, protection=scene.protection, title=CLIENT_TITLE)
            yield Ciphered(outer, sealed).encode()


def nested(scene: Scene) -> Iterable[bytes]:
    sealed = content(_by(scene), protection=scene.protection, title=CLIENT_TITLE, counter=2_000_000)
    yield Ciphered(GENERAL_GLO, sealed, CLIENT_TITLE).encode()


def dedicated(scene: Scene) -> Iterable[bytes]:
    request = _request(scene)
    sealed = content(request, protection=scene.protection, title=CLIENT_TITLE)
    yield Ciphered(DED[request[0]], sealed).encode()
    yield Ciphered(0xDC, sealed, CLIENT_TITLE).encode()


def broadcast(scene: Scene) -> Iterable[bytes]:
    yield _by(scene, control=0x40)


def other_suite(scene: Scene) -> Iterable[bytes]:
    yield from (_by(scene, control=suite) for suite in range(1, 16))


def compressed(scene: Scene) -> Iterable[bytes]:
    yield _by(scene, control=0x80)


def associated_again(scene: Scene) -> Iterable[bytes]:
    """The AARQ that opened this association must not begin another, nor end this one."""
    yield from (apdu for apdu in scene.said_by("client") if apdu[0] == 0x60)


def associated_by_a_stranger(scene: Scene) -> Iterable[bytes]:
    """AARQs of the same client SAP: in the clear, with weaker protection, with other keys."""
    for protection in Protection:
        if not protection.covers(scene.protection):
            stranger = pair_of(scene.mechanism, protection)
            yield apdu_of(stranger.client.send(Associate()))
    stranger = pair_of(scene.mechanism, scene.protection, encryption_key=bytes(16))
    yield apdu_of(stranger.client.send(Associate()))


def released(_: Scene) -> Iterable[bytes]:
    yield from (Rlrq(0).encode(), Rlrq(None).encode(), Rlrq(1).encode())


def released_again(scene: Scene) -> Iterable[bytes]:
    """An RLRQ around information that was used before."""
    used = forged(bytes.fromhex("01000000065f1f040000181f0200"), CLIENT_TITLE, scene.protection)
    known = scene.pair.client_counters.get(CLIENT_SAP, 0)
    old = forged(
        bytes.fromhex("01000000065f1f040000181f0200"),
        CLIENT_TITLE,
        scene.protection,
        counter=known,
    )
    yield Rlrq(0, old).encode()
    yield Rlrq(0, used[:-1] + bytes((used[-1] ^ 1,))).encode()
    yield Rlrq(0, bytes.fromhex("01000000065f1f040000181f0200")).encode()


def reflected(scene: Scene) -> Iterable[bytes]:
    yield from scene.said_by("server")


def answers(_: Scene) -> Iterable[bytes]:
    yield from (bytes.fromhex("c401c1001105"), bytes.fromhex("c501c100"), bytes.fromhex("d80101"))


def rubbish(_: Scene) -> Iterable[bytes]:
    yield from (b"\0", b"\xff" * 20, b"\xc8\x82\xff\xff", b"\xdb\x08" + CLIENT_TITLE, b"\x60\x80")


ATTACKS: Final[dict[str, tuple[Attack, tuple[Protection, ...], tuple[str, ...]]]] = {
    "bits": (bits, AUTHENTICATED, ("get", "set", "action")),
    "cut": (cut, AUTHENTICATED, ("get", "action")),
    "longer": (longer, AUTHENTICATED, ("get", "set")),
    "replayed": (replayed, CIPHERED, ("get", "set", "action")),
    "rolled-back": (rolled_back, AUTHENTICATED, ("get", "set", "action")),
    "poisoned": (poisoned, AUTHENTICATED, ("get", "action")),
    "weaker": (weaker, CIPHERED, ("get", "set", "action")),
    "in-the-clear": (in_the_clear, CIPHERED, ("get", "set", "action")),
    "unciphered-control": (unciphered_control, CIPHERED, ("get", "set", "action")),
    "another-title": (another_title, CIPHERED, ("get",)),
    "swapped-keys": (swapped_keys, AUTHENTICATED, ("get", "action")),
    "another-association": (another_association, AUTHENTICATED, ("get", "set")),
    "foreign-service": (foreign_service, CIPHERED, ("get", "set", "action")),
    "nested": (nested, CIPHERED, ("get", "action")),
    "dedicated": (dedicated, CIPHERED, ("get", "set", "action")),
    "broadcast": (broadcast, CIPHERED, ("get", "action")),
    "other-suite": (other_suite, CIPHERED, ("get",)),
    "compressed": (compressed, CIPHERED, ("get",)),
    "associated-again": (associated_again, AUTHENTICATED, ("get",)),
    "associated-by-a-stranger": (associated_by_a_stranger, AUTHENTICATED, ("get",)),
    "released": (released, CIPHERED, ("get", "action")),
    "released-again": (released_again, AUTHENTICATED, ("get",)),
    "reflected": (reflected, AUTHENTICATED, ("get",)),
    "answers": (answers, CIPHERED, ("get",)),
    "rubbish": (rubbish, CIPHERED, ("get",)),
}
