"""
A mutation fuzzer without overhead: every execution is a function of the target and of one seed.

Inputs that give something not seen before (a value, an error code at a place) join the pool. The
budget of CPU and memory is watched on every execution and proved on the spot: what was slow is run
again, what made the process grow is measured.
"""

from __future__ import annotations

import gc
import random
import resource
import time
import tracemalloc
from collections.abc import Sequence
from typing import Final

import attrs

from hes_protocol.errors import RemoteProtocolError
from tests.fuzz.targets import Run, Target

BUDGET_S: Final = 1e-3
BUDGET_S_PER_OCTET: Final = 1e-6
MARGIN: Final = 3
"""Times the budget that the best of several runs may take: the machine is not ours alone."""
MEMORY_OCTETS: Final = 16_000_000
_POOL: Final = 1024
_TELLING: Final = (0, 1, 2, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFE, 0xFF)
_LENGTHS: Final = (b"\x81\xff", b"\x82\xff\xff", b"\x84\xff\xff\xff\xff", b"\x84\x7f\xff\xff\xff")


@attrs.frozen
class Finding:
    """An input that does what none may."""

    target: str
    what: str
    octets: bytes

    def __str__(self) -> str:
        return f"{self.target}: {self.what} for {self.octets.hex()}"


@attrs.define
class Outcome:
    """What a run has come to."""

    target: str
    seed: int
    executions: int = 0
    kinds: int = 0
    findings: list[Finding] = attrs.field(factory=list)


class Mutator:
    """Makes inputs from a pool, deterministically."""

    def __init__(self, seeds: Sequence[bytes], seed: int, most_octets: int) -> None:
        self.pool = list(seeds)
        self._most_octets = most_octets
        self._chance = random.Random(seed)

    def next(self) -> bytes:
        """The next input."""
        below = self._below
        octets = bytearray(self.pool[below(len(self.pool))])
        for _ in range(1 + below(4)):
            self._change(octets, below(10))
        return bytes(octets[: self._most_octets])

    def keep(self, octets: bytes) -> None:
        """An input worth going on from."""
        if len(self.pool) < _POOL:
            self.pool.append(octets)
        else:
            self.pool[self._below(_POOL)] = octets

    def _below(self, bound: int) -> int:
        return int(self._chance.random() * bound)

    def _change(self, octets: bytearray, kind: int) -> None:
        below, size = self._below, len(octets)
        place = below(size + 1)
        if kind == 0 or not size:
            octets[place:place] = self._chance.randbytes(1 + below(8))
        elif place == size:
            del octets[below(size) :]
        elif kind == 1:
            octets[place] = below(256)
        elif kind == 2:
            octets[place] ^= 1 << below(8)
        elif kind == 3:
            octets[place] = _TELLING[below(len(_TELLING))]
        elif kind == 4:
            del octets[place : place + 1 + below(8)]
        elif kind == 5:
            octets[place:place] = octets[place : place + 1 + below(32)] * (1 + below(4))
        elif kind == 6:
            other = self.pool[below(len(self.pool))]
            octets[place:] = other[below(len(other) + 1) :]
        elif kind == 7:
            other = self.pool[below(len(self.pool))]
            begin = below(len(other) + 1)
            octets[place:place] = other[begin : begin + 1 + below(32)]
        elif kind == 8:
            length = _LENGTHS[below(len(_LENGTHS))]
            octets[place : place + below(2) * len(length)] = length
        else:
            octets[place] = octets[place] + below(5) - 2 & 0xFF


def fuzz(
    name: str, target: Target, *, seed: int, executions: int = 0, seconds: float = 0.0
) -> Outcome:
    """Run a target so many times, or for so long; every seed of it first."""
    mutator = Mutator(target.seeds, seed, target.most_octets)
    outcome = Outcome(name, seed)
    seen: set[object] = set()
    end = time.monotonic() + seconds
    grown_kib = _peak_kib()
    gc.collect()
    gc.freeze()
    pending = list(target.seeds)
    run, clock = target.run, time.process_time
    while outcome.executions < executions or time.monotonic() < end:
        octets = pending.pop() if pending else mutator.next()
        outcome.executions += 1
        begin = clock()
        kind = _kind(name, run, octets, outcome)
        spent = clock() - begin
        if spent > budget_s(octets, target):
            _prove_slow(name, target, octets, outcome)
        if outcome.executions % 64 == 0 and (peak := _peak_kib()) > grown_kib:
            if (peak - grown_kib) * 1024 > MEMORY_OCTETS:
                _prove_large(name, run, octets, outcome)
            grown_kib = peak
        if kind not in seen:
            seen.add(kind)
            mutator.keep(octets)
    outcome.kinds = len(seen)
    return outcome


def budget_s(octets: bytes, target: Target) -> float:
    """CPU that the octets may cost, with the harness's own."""
    return BUDGET_S + BUDGET_S_PER_OCTET * len(octets) + target.extra_s


def _kind(name: str, run: Run, octets: bytes, outcome: Outcome) -> object:
    try:
        result = run(octets)
    except RemoteProtocolError as error:
        return error.code, error.apdu_tag, (error.offset or 0) & 31, error.detail[:12]
    except Exception as error:
        outcome.findings.append(Finding(name, repr(error)[:300], octets))
        return repr(error)[:60]
    return octets[:1], result


def _prove_slow(name: str, target: Target, octets: bytes, outcome: Outcome) -> None:
    best_s = float("inf")
    for _ in range(5):
        begin = time.process_time()
        _kind(name, target.run, octets, Outcome(name, 0))
        best_s = min(best_s, time.process_time() - begin)
    if best_s > MARGIN * budget_s(octets, target):
        outcome.findings.append(Finding(name, f"{best_s * 1000:.1f} ms", octets))


def _prove_large(name: str, run: Run, octets: bytes, outcome: Outcome) -> None:
    tracemalloc.start()
    try:
        _kind(name, run, octets, Outcome(name, 0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak > MEMORY_OCTETS:
        outcome.findings.append(Finding(name, f"{peak} octets of memory", octets))


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
