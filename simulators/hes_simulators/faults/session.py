"""
The faults of one connection, put where they take hold: into the parts, and around the stream.

What the fleet does with each connection:

    with meter.kind.faults.session(meter.identity) as misdeeds:     # one more session
        if misdeeds.refuses:
            await reset(stream)
        else:
            await serve_stream(stream, meter, summary, idle_timeout_s, misdeeds)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import trio

from hes_protocol.server import ServerAssociation
from hes_protocol.settings import NO_GUARD
from hes_protocol.xdlms.results import Conformance
from hes_simulators.faults.frames import spoilers
from hes_simulators.faults.kinds import (
    BombFault,
    CounterNearEnd,
    CounterRollback,
    Drip,
    Fault,
    Hang,
    Latency,
    OneSession,
    RebootInSession,
    Refuse,
    Reset,
    Where,
    WrongKey,
)
from hes_simulators.faults.link import FaultyLink
from hes_simulators.faults.parts import ServerParts
from hes_simulators.faults.seal import Seal
from hes_simulators.faults.speech import GENERAL_BLOCKS, changes
from hes_simulators.faults.stream import FaultyStream, delays, end_rudely

if TYPE_CHECKING:  # it knows of faults
    from hes_simulators.meter import Meter

_COUNTERS: Final = 1 << 32
_One = TypeVar("_One", bound=Fault)


class SessionFaults:
    """
    What the meter does wrong on one connection; nothing where `faults` is empty.

    Args:
        faults: one of each kind.
        random: the session's own.
        others: how many connections the meter has beside.
    """

    __slots__ = ("_meter", "_random", "_stream", "faults", "others")

    def __init__(
        self,
        faults: tuple[Fault, ...] = (),
        random: Random | None = None,
        others: int = 0,
    ) -> None:
        self.faults = faults
        self.others = others
        self._random = random
        self._meter: Meter | None = None
        self._stream: trio.abc.Stream | None = None

    @property
    def refuses(self) -> bool:
        """Whether the connection is to be reset at once, and not served."""
        busy = self.others > 0 and self._find(OneSession) is not None
        return busy or self._find(Refuse) is not None

    def alter(self, parts: ServerParts) -> ServerParts:
        """The parts of the meter's server, with the faults of what it says."""
        if not self.faults:
            return parts
        assert self._random is not None
        if self._find(WrongKey):
            parts = _with_other_keys(parts, self._random)
        if (rollback := self._find(CounterRollback)) is not None:
            parts = attrs.evolve(parts, next_counter=_rolled_back(parts.next_counter, rollback.by))
        if (near_end := self._find(CounterNearEnd)) is not None:
            parts = attrs.evolve(parts, next_counter=self._ending(near_end.left))
        if (bomb := self._find(BombFault)) is not None and bomb.shape in GENERAL_BLOCKS:
            parts = _with_general_blocks(parts)
        return attrs.evolve(parts, link=self._link(parts))

    def stream(self, stream: trio.abc.Stream, meter: Meter) -> trio.abc.Stream:
        """The stream on which `meter` is to be served, with the faults of when and how far."""
        if not self.faults:
            return stream
        self._stream, self._meter = stream, meter
        latency, reset = self._find(Latency), self._find(Reset)
        drip = self._find(Drip)
        if latency is None and drip is None and reset is None:
            return stream
        assert self._random is not None
        return FaultyStream(
            stream,
            delay_s=(lambda: 0.0) if latency is None else delays(latency, self._random),
            drip=drip,
            resets_after=None if reset is None else reset.octet,
        )

    def _find(self, kind: type[_One]) -> _One | None:
        return next((fault for fault in self.faults if isinstance(fault, kind)), None)

    def _link(self, parts: ServerParts) -> FaultyLink:
        assert self._random is not None
        hang, reboot = self._find(Hang), self._find(RebootInSession)
        inner = parts.link
        return FaultyLink(
            inner,
            changes(self.faults, Seal(parts, lambda: inner.peer_sap)),
            spoilers(self.faults, self._random),
            silent_from=None if hang is None else hang.answer,
            breaks_at=None if reboot is None else reboot.answer,
            break_off=self._break_off,
        )

    def _ending(self, left: int) -> Callable[[], int]:
        counters = iter(range(_COUNTERS - left, _COUNTERS))

        def draw() -> int:
            for counter in counters:
                return counter
            raise ConnectionAbortedError("no invocation counter is left")

        return draw

    def _break_off(self) -> None:
        """The meter starts anew in the middle of it: RST, as whoever has lost its sockets sends."""
        fault = self._find(RebootInSession)
        if fault is not None and self._meter is not None:
            now = self._meter.kind.now()
            self._meter.reboot(now, until=now + timedelta(seconds=fault.dark_s))
        if self._stream is not None:
            end_rudely(self._stream)
        raise ConnectionResetError("the meter reboots")


WELL_BEHAVED = SessionFaults()


def _with_other_keys(parts: ServerParts, random: Random) -> ServerParts:
    # The guard is not told: who has the right key must not be locked out by a wrong one.
    others = {sap: _with_other_key(rules, random) for sap, rules in parts.associations.items()}
    return attrs.evolve(parts, associations=others, guard=NO_GUARD)


def _with_other_key(rules: ServerAssociation, random: Random) -> ServerAssociation:
    def other(octets: bytes | None) -> bytes | None:
        return None if octets is None else random.randbytes(len(octets))

    return attrs.evolve(
        rules,
        secret=other(rules.secret),
        encryption_key=other(rules.encryption_key),
        authentication_key=other(rules.authentication_key),
    )


def _with_general_blocks(parts: ServerParts) -> ServerParts:
    """The meter agrees to general-block-transfer, else its clients would not look at the blocks."""
    agreed = {
        sap: attrs.evolve(rules, conformance=rules.conformance | Conformance.GENERAL_BLOCK_TRANSFER)
        for sap, rules in parts.associations.items()
    }
    return attrs.evolve(parts, associations=agreed)


def _rolled_back(draw: Callable[[], int], by: int) -> Callable[[], int]:
    """Counters that begin so much lower, and go on from there."""
    first: int | None = None

    def lower() -> int:
        nonlocal first
        counter = draw()
        if first is None:
            first = counter
        return max(0, first - by) + counter - first

    return lower


def takes_hold_of_sessions(fault: Fault, *, own_line: bool = True) -> bool:
    """
    Whether it is a fault of connections, rather than of clocks, pushes and images.

    Args: own_line: whether the connection is the meter's alone; else only of what it says.
    """
    if not own_line:
        return fault.where in (Where.APDU, Where.FRAME) or isinstance(fault, Hang)
    return fault.where not in (Where.CLOCK, Where.PUSH, Where.IMAGE)
