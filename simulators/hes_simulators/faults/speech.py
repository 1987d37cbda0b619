"""
What a meter says, changed: one class for each fault that takes hold of APDUs.

Each is asked once about every answer (`answer`) and every request (`heard`) of one connection, and
keeps what it must remember of it. They know nothing of frames and streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from hes_protocol.acse import Aare, AssociationResult, Diagnostic, Mechanism, mechanism_name
from hes_protocol.xdlms.ciphered import join_ciphered, split_ciphered
from hes_simulators.faults.bombs import bomb
from hes_simulators.faults.kinds import (
    Bomb,
    BombFault,
    Fault,
    ForgedAnswer,
    Forgery,
    LateAnswer,
    Plaintext,
    Replay,
    WeakerMechanism,
    WrongInvokeId,
)
from hes_simulators.faults.seal import PLAIN, Cover, Seal, is_ciphered

_AARE: Final = bytes((Aare.TAG,))
_GET_RESPONSE: Final = b"\xc4"
# get-, set- and action-response: tag, choice, invoke-id-and-priority.
_INVOKED: Final = (b"\xc4", b"\xc5", b"\xc7")
_INVOKE_ID_OFFSET: Final = 2
_NO_SERVICES: Final = (b"\x60", b"\x62")  # AARQ, RLRQ
GENERAL_BLOCKS: Final = frozenset(
    {Bomb.GBT_GAP, Bomb.GBT_WRONG_ACK, Bomb.GBT_NEVER_LAST, Bomb.GBT_OVERRUN}
)
"""Bombs of general-block-transfer."""


@attrs.define
class Change:
    """Says everything as it is; others differ in what they override."""

    seal: Seal
    late_s: float | None = attrs.field(default=None, init=False)
    """How long to wait before `late` is to be asked; None: nothing waits."""

    def answer(self, apdus: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """What is said in place of the next answer."""
        return tuple(map(self.said, apdus))

    def said(self, apdu: bytes) -> bytes:
        """What is said in place of one APDU."""
        return apdu

    def heard(self, apdu: bytes) -> tuple[bytes, ...] | None:  # noqa: ARG002 - others look at it
        """The answer to a request that the meter never hears of; None: it hears of it."""
        return None

    def late(self) -> tuple[bytes, ...]:
        """What is said after `late_s` of silence."""
        return ()


@attrs.define
class Replaying(Change):
    """The first ciphered answer, again and again."""

    first: bytes | None = None

    def said(self, apdu: bytes) -> bytes:
        """Each ciphered one but the first is that one."""
        if not is_ciphered(apdu):
            return apdu
        if self.first is None:
            self.first = apdu
        return self.first


@attrs.define
class Forging(Change):
    """Who has no keys, but the octets of a true answer, says something, too."""

    fault: ForgedAnswer
    answers: int = 0

    def answer(self, apdus: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """From answer `fault.answer` on, forgeries of what is ciphered."""
        number = self.answers
        self.answers += 1
        if number < self.fault.answer:
            return apdus
        return tuple(said for apdu in apdus for said in self._with_forgery(apdu))

    def _with_forgery(self, apdu: bytes) -> tuple[bytes, ...]:
        if not is_ciphered(apdu):
            return (apdu,)
        forged = _forged(apdu, self.fault.counter)
        return (forged,) if self.fault.place is Forgery.INSTEAD else (forged, apdu)


def _forged(apdu: bytes, counter: int) -> bytes:
    """The same with another counter, and a tag that is right under no counter at all."""
    tag, title, content = split_ciphered(apdu)
    changed = bytearray(content)
    changed[1:5] = counter.to_bytes(4)  # behind security-control
    changed[-1] ^= 0x01
    return join_ciphered(tag, title, bytes(changed))


@attrs.define
class InClear(Change):
    """Service APDUs without their protection."""

    def said(self, apdu: bytes) -> bytes:
        """Opened; what is plain anyway stays."""
        return self.seal.open(apdu)[0]


@attrs.define
class Weaker(Change):
    """An AARE that accepts by password."""

    def said(self, apdu: bytes) -> bytes:
        """Any AARE, whatever it said, is one that says yes."""
        if apdu[:1] != _AARE:
            return apdu
        return attrs.evolve(
            Aare.decode(apdu),
            result=AssociationResult.ACCEPTED,
            diagnostic=Diagnostic(0),
            mechanism_name=mechanism_name(Mechanism.LLS),
            authentication_value=None,
        ).encode()


@attrs.define
class OtherInvokeId(Change):
    """Answers to a request that nobody has made."""

    def said(self, apdu: bytes) -> bytes:
        """One bit of the invoke id is another."""
        plain, cover = self.seal.open(apdu)
        if plain[:1] not in _INVOKED:
            return apdu
        changed = bytearray(plain)
        changed[_INVOKE_ID_OFFSET] ^= 0x08
        return self.seal.close(bytes(changed), cover)


@attrs.define
class Late(Change):
    """One answer comes after the time."""

    fault: LateAnswer
    answers: int = 0
    kept: tuple[bytes, ...] = ()

    def answer(self, apdus: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Answer `fault.answer` is kept; the next brings it along."""
        number = self.answers
        self.answers += 1
        if number != self.fault.answer:
            return self.late() + apdus
        self.kept, self.late_s = apdus, self.fault.seconds
        return ()

    def late(self) -> tuple[bytes, ...]:
        """What was kept, once."""
        kept, self.kept, self.late_s = self.kept, (), None
        return kept


@attrs.define
class Bombing(Change):
    """From the first answer to a GET on, nothing but a bomb until the client has enough."""

    fault: BombFault
    parts: Iterator[tuple[bytes, ...]] | None = None
    cover: Cover = PLAIN
    part: tuple[bytes, ...] = ()

    def answer(self, apdus: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The first GET response is the first part."""
        return tuple(said for apdu in apdus for said in self._instead_of(apdu))

    def _instead_of(self, apdu: bytes) -> tuple[bytes, ...]:
        if self.parts is not None:
            return (apdu,)
        plain, cover = self.seal.open(apdu)
        if plain[:1] != _GET_RESPONSE:
            return (apdu,)
        self.parts = bomb(self.fault.shape, plain[_INVOKE_ID_OFFSET])
        # Blocks of general-block-transfer carry no protection of their own.
        self.cover = PLAIN if self.fault.shape in GENERAL_BLOCKS else cover
        return self._next()

    def heard(self, apdu: bytes) -> tuple[bytes, ...] | None:
        """While it lasts, every request gets the next part."""
        if self.parts is None or apdu[:1] in _NO_SERVICES:
            return None
        return self._next()

    def _next(self) -> tuple[bytes, ...]:
        assert self.parts is not None
        self.part = next(self.parts, self.part)
        return tuple(self.seal.close(apdu, self.cover) for apdu in self.part)


def changes(faults: tuple[Fault, ...], seal: Seal) -> tuple[Change, ...]:
    """What the faults make of what is said; those of other places make nothing of it."""
    found: list[Change] = []
    for fault in faults:
        match fault:
            case Replay():
                found.append(Replaying(seal))
            case ForgedAnswer():
                found.append(Forging(seal, fault))
            case Plaintext():
                found.append(InClear(seal))
            case WeakerMechanism():
                found.append(Weaker(seal))
            case WrongInvokeId():
                found.append(OtherInvokeId(seal))
            case BombFault():
                found.append(Bombing(seal, fault))
            case LateAnswer():
                found.append(Late(seal, fault))
    return tuple(found)
