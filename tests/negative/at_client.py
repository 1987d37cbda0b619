"""What a man in the middle, or a false meter, says to a client whose request is under way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hes_protocol.acse import Rlre
from hes_protocol.axdr import Data, DataTag
from hes_protocol.security import Protection
from hes_protocol.xdlms import (
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    Ciphered,
    DataAccessResult,
    DataNotification,
    GetDataResult,
    GetResponseNormal,
    SetResponseNormal,
)
from tests.connection_pair import (
    AUTHENTICATION_KEY,
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
    truncations,
)

PUSH: Final = DataNotification(1, None, Data(DataTag.UNSIGNED, 7)).encode()
DED: Final = {0xC4: 0xD4, 0xC5: 0xD5, 0xC7: 0xD7}
GLO: Final = {0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF}


def _truth(scene: Scene) -> bytes:
    return opened(apdu_of(scene.truth), SERVER_TITLE)


def _lie(scene: Scene) -> bytes:
    """An answer that fits the request but was not given."""
    invoke = (scene.pair.client.pending_invoke_id or 0) | 0xC0
    return {
        0xC4: GetResponseNormal(GetDataResult(octets=b"\x11\x05"), invoke_id_and_priority=invoke),
        0xC5: SetResponseNormal(DataAccessResult.SUCCESS, invoke_id_and_priority=invoke),
        0xC7: ActionResponseNormal(
            ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=invoke
        ),
    }[_truth(scene)[0]].encode()


def _by(scene: Scene, **changes: Any) -> bytes:
    return forged(_lie(scene), SERVER_TITLE, changes.pop("protection", scene.protection), **changes)


def bits(scene: Scene) -> Iterable[bytes]:
    yield from flips(apdu_of(scene.truth))


def cut(scene: Scene) -> Iterable[bytes]:
    yield from truncations(apdu_of(scene.truth))


def longer(scene: Scene) -> Iterable[bytes]:
    whole = apdu_of(scene.truth)
    yield from (whole + b"\0", whole + whole, b"\0" + whole)


def replayed(scene: Scene) -> Iterable[bytes]:
    yield from (apdu for apdu in scene.said_by("server") if apdu[0] not in (0x61, 0x63))


def rolled_back(scene: Scene) -> Iterable[bytes]:
    known = scene.pair.client.server_counter or 0
    for behind in (0, 1, 2, 1000, known):
        yield _by(scene, counter=max(0, known - behind))


def poisoned(scene: Scene) -> Iterable[bytes]:
    """A counter far ahead without the key: were it kept, the true meter would be locked out."""
    for counter in (0xFFFF_FFFF, 0x8000_0000, (scene.pair.client.server_counter or 0) + 1):
        yield _by(scene, counter=counter, keys=Keys(bytes(16), bytes(16)))


def weaker(scene: Scene) -> Iterable[bytes]:
    for protection in Protection:
        if protection and not protection.covers(scene.protection):
            yield _by(scene, protection=protection)


def in_the_clear(scene: Scene) -> Iterable[bytes]:
    yield from (_lie(scene), _truth(scene), PUSH)


def unciphered_control(scene: Scene) -> Iterable[bytes]:
    """A ciphered form whose control octet says that nothing protects it."""
    header = bytes(5)
    yield Ciphered(GLO[_truth(scene)[0]], header + _lie(scene)).encode()
    yield Ciphered(GENERAL_GLO, header + _lie(scene), SERVER_TITLE).encode()


def another_title(scene: Scene) -> Iterable[bytes]:
    for title in (b"another1", CLIENT_TITLE, SERVER_TITLE[::-1]):
        sealed = content(_lie(scene), protection=scene.protection, title=title)
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
    """Answers of other meters: other keys, other title, and a colleague's with another request."""
    other = Keys(bytes(range(16)), bytes(range(16, 32)))
    yield _by(scene, keys=other)
    yield _by(scene, title=b"MTRother")
    yield forged(PUSH, SERVER_TITLE, scene.protection, keys=other)


def foreign_service(scene: Scene) -> Iterable[bytes]:
    """The outer tag, which no tag protects, names another service than is inside."""
    outer = GLO[_truth(scene)[0]]
    for inner in (PUSH, bytes.fromhex("c7010100"), bytes.fromhex("c401c200 00"), b""):
        if inner[:1] != bytes((_truth(scene)[0],)):
            sealed = content(inner, protection=scene.protection, title=SERVER_TITLE)
            yield Ciphered(outer, sealed).encode()


def nested(scene: Scene) -> Iterable[bytes]:
    inner = _by(scene)
    general = Ciphered(
        GENERAL_GLO,
        content(_lie(scene), protection=scene.protection, title=SERVER_TITLE),
        SERVER_TITLE,
    ).encode()
    for apdu in (inner, general):
        sealed = content(apdu, protection=scene.protection, title=SERVER_TITLE, counter=2_000_000)
        yield Ciphered(GENERAL_GLO, sealed, SERVER_TITLE).encode()


def dedicated(scene: Scene) -> Iterable[bytes]:
    """With the global key, by the tags of a dedicated one that was never agreed on."""
    sealed = content(_lie(scene), protection=scene.protection, title=SERVER_TITLE)
    yield Ciphered(DED[_truth(scene)[0]], sealed).encode()
    yield Ciphered(0xDC, sealed, SERVER_TITLE).encode()


def broadcast(scene: Scene) -> Iterable[bytes]:
    yield _by(scene, control=0x40)


def other_suite(scene: Scene) -> Iterable[bytes]:
    yield from (_by(scene, control=suite) for suite in range(1, 16))


def compressed(scene: Scene) -> Iterable[bytes]:
    yield _by(scene, control=0x80)


def associated_again(scene: Scene) -> Iterable[bytes]:
    """The AARE that opened this association, and one in the clear."""
    yield from (apdu for apdu in scene.said_by("server") if apdu[0] == 0x61)
    yield bytes.fromhex(
        "6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f0400001e1d00800007"
    )


def exceptions(_: Scene) -> Iterable[bytes]:
    yield from (bytes.fromhex("d80101"), bytes.fromhex("d80206ffffffff"), bytes.fromhex("d80306"))


def service_errors(_: Scene) -> Iterable[bytes]:
    yield from (bytes.fromhex("0e010600"), bytes.fromhex("0e050102"))


def released(_: Scene) -> Iterable[bytes]:
    """An RLRE that nobody asked for."""
    yield from (Rlre(0).encode(), Rlre(None).encode())


def reflected(scene: Scene) -> Iterable[bytes]:
    yield apdu_of(scene.asked)
    yield from scene.said_by("client")


def requests(scene: Scene) -> Iterable[bytes]:
    """A meter that asks: a client answers nobody."""
    yield bytes.fromhex("c001c1000800000100 00ff0200")
    yield bytes.fromhex("601da109060760857405080101be10040e01000000065f1f040000181f0200")


def rubbish(_: Scene) -> Iterable[bytes]:
    yield from (b"\0", b"\xff" * 20, b"\xcc\x82\xff\xff", b"\xdb\x08" + SERVER_TITLE, b"\x61\x80")


ATTACKS: Final[dict[str, tuple[Attack, tuple[Protection, ...], tuple[str, ...]]]] = {
    "bits": (bits, AUTHENTICATED, ("get", "set", "action")),
    "cut": (cut, AUTHENTICATED, ("get", "action")),
    "longer": (longer, AUTHENTICATED, ("get", "block")),
    "replayed": (replayed, CIPHERED, ("get", "block", "set", "action")),
    "rolled-back": (rolled_back, AUTHENTICATED, ("get", "set", "action")),
    "poisoned": (poisoned, AUTHENTICATED, ("get", "block")),
    "weaker": (weaker, CIPHERED, ("get", "set", "action")),
    "in-the-clear": (in_the_clear, CIPHERED, ("get", "block", "set", "action")),
    "unciphered-control": (unciphered_control, CIPHERED, ("get", "action")),
    "another-title": (another_title, CIPHERED, ("get",)),
    "swapped-keys": (swapped_keys, AUTHENTICATED, ("get", "action")),
    "another-association": (another_association, AUTHENTICATED, ("get", "set")),
    "foreign-service": (foreign_service, CIPHERED, ("get", "set", "action")),
    "nested": (nested, CIPHERED, ("get", "action")),
    "dedicated": (dedicated, CIPHERED, ("get", "set", "action")),
    "broadcast": (broadcast, CIPHERED, ("get",)),
    "other-suite": (other_suite, CIPHERED, ("get",)),
    "compressed": (compressed, CIPHERED, ("get",)),
    "associated-again": (associated_again, CIPHERED, ("get", "block")),
    "exceptions": (exceptions, CIPHERED, ("get", "block", "set", "action")),
    "service-errors": (service_errors, CIPHERED, ("get",)),
    "released": (released, CIPHERED, ("get", "block")),
    "reflected": (reflected, CIPHERED, ("get", "action")),
    "requests": (requests, CIPHERED, ("get",)),
    "rubbish": (rubbish, CIPHERED, ("get",)),
}
"""Attack, the protections that must withstand it, and which request is under way."""
