"""
A collector's session meets each fault of a simulated meter that it is to survive.

It ends typed and within its time, what it stored is true and whole rows only, and the next session,
with a meter that behaves, has all of it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.ports import SessionOutcome, SessionPhase
from hes_collectors.dlms.session import Session
from hes_protocol.errors import RemoteProtocolError
from hes_simulators.faults import Rule, fault, reset
from hes_simulators.faults.kinds import Bomb, Forgery, HdlcCheck, HdlcNumber
from tests.unit.hes_collectors.dlms.test_session import (
    PATIENT,
    session,
    storage_with,
    stored,
    truth,
)
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, network
from tests.unit.hes_collectors.support import context

LEASE_S = 180.0
MOST_S = 30.0  # far below the lease: nobody else is kept waiting
GMAC, NONE, LLS = sim.Security.GMAC, sim.Security.NONE, sim.Security.LLS


@attrs.define(eq=False)
class FaultyMeter(SimulatedMeter):
    """Served as a fleet serves it, the faults of its plan included."""

    async def serve(self, stream: trio.abc.Stream) -> None:
        meter = self.meter
        self.connections += 1
        self.open_connections += 1
        try:
            with (
                suppress(RemoteProtocolError, trio.BrokenResourceError, OSError),
                meter.kind.faults.session(meter.identity) as misdeeds,
            ):
                if misdeeds.refuses:
                    await reset(stream)
                else:
                    await sim.serve_stream(stream, meter, sim.SessionSummary(), 1000.0, misdeeds)
        finally:
            self.open_connections -= 1
            await trio.aclose_forcefully(stream)

    def let(self, name: str, parameters: dict[str, Any]) -> None:
        self.meter.kind.faults.add(Rule(name=name, fault=fault(name, parameters)))


@attrs.frozen
class Case:
    """A fault, and how a session with it ends."""

    name: str
    parameters: dict[str, Any]
    outcome: SessionOutcome
    phase: SessionPhase
    cause: str
    security: sim.Security = GMAC
    hdlc: bool = False

    def __str__(self) -> str:
        how = " ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.name} {how} {self.security}{' hdlc' * self.hdlc}"


def lost(name: str, phase: SessionPhase, cause: str, **parameters: Any) -> Case:
    """The connection, or the patience, is at its end."""
    return Case(name, parameters, SessionOutcome.TRANSPORT, phase, cause)


def refused(name: str, phase: SessionPhase, cause: str, **parameters: Any) -> Case:
    """What came proves nothing."""
    return Case(name, parameters, SessionOutcome.SECURITY, phase, cause)


def bombs() -> list[Case]:
    """
    By shape, with and without keys: what cannot be is told by its cause, what never ends by a cap.

    General blocks carry no protection of their own, so the cap on them is all there is with keys,
    too.
    """
    causes = {
        Bomb.NESTED: "too-deep",
        Bomb.OVERSIZED: "truncated",
        Bomb.COMPACT_ARRAY: "too-large",
        Bomb.ENDLESS_BLOCKS: "too-many-blocks",
        Bomb.GBT_GAP: "bad-block-number",
        Bomb.GBT_WRONG_ACK: "bad-block-number",
        Bomb.GBT_NEVER_LAST: "too-many-blocks",
        Bomb.GBT_OVERRUN: "too-many-blocks",
    }
    return [
        Case("bomb", {"shape": shape}, SessionOutcome.APPLICATION, ASKING, causes[shape], security)
        for shape in Bomb
        for security in (NONE, GMAC)
    ]


LATE, GONE = "deadline-exceeded", "connection-lost"
OPENING, ASKING = SessionPhase.ASSOCIATE, SessionPhase.REQUEST
CASES = [
    lost("refuse", OPENING, GONE),
    *(lost("hang", OPENING, LATE, answer=k) for k in (0, 1)),
    *(lost("hang", ASKING, LATE, answer=k) for k in (2, 3, 5, 8, 13, 21)),
    attrs.evolve(lost("hang", ASKING, LATE, answer=4), security=NONE, hdlc=True),
    lost("drip", OPENING, LATE, every_s=9.0),
    lost("latency", OPENING, LATE, seconds=200.0),
    *(lost("reset", OPENING, GONE, octet=n) for n in (0, 1, 7, 8, 9, 100)),
    *(lost("reset", ASKING, GONE, octet=n) for n in (500, 2000)),
    attrs.evolve(lost("reset", ASKING, GONE, octet=300), security=NONE, hdlc=True),
    refused("wrong-key", OPENING, "association-authentication-failure"),
    attrs.evolve(refused("wrong-key", OPENING, "association-authentication-failure"), security=LLS),
    refused("counter-rollback", OPENING, "counter-replayed", by=500),
    refused("replay", ASKING, "counter-replayed"),
    *(refused("forged-answer", ASKING, "tag-mismatch", place=place) for place in Forgery),
    attrs.evolve(refused("forged-answer", ASKING, "tag-mismatch", answer=4), hdlc=True),
    refused("plaintext", OPENING, "policy-violated"),
    refused("weaker-mechanism", OPENING, "mechanism-mismatch"),
    lost("wrong-invoke-id", OPENING, LATE),
    attrs.evolve(lost("wrong-invoke-id", ASKING, LATE), security=NONE),
    lost("late-answer", ASKING, LATE, answer=3, seconds=100.0),
    lost("counter-near-end", ASKING, GONE, left=8),
    *bombs(),
    attrs.evolve(bombs()[0], hdlc=True),
    *(
        attrs.evolve(lost("wrong-check", OPENING, LATE, check=check), security=NONE, hdlc=True)
        for check in HdlcCheck
    ),
    *(
        attrs.evolve(lost("wrong-sequence", OPENING, LATE, number=number), security=NONE, hdlc=True)
        for number in HdlcNumber
    ),
    lost("lying-length", OPENING, "bad-length", length=0),
    lost("lying-length", OPENING, LATE, length=65_535),
    attrs.evolve(lost("lying-length", OPENING, LATE, length=2000), security=NONE, hdlc=True),
]


def check_whole_rows(storage: FakeStorage, meter: FaultyMeter) -> None:
    """What is stored is true, and no row is there in part."""
    kept, right = stored(storage), truth(meter)
    assert kept.items() <= right.items()
    begun = {at for at, _ in kept}
    assert kept.keys() == {key for key in right if key[0] in begun}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_session_with_a_fault_ends_typed_and_the_next_one_has_all(
    case: Case, autojump_clock: MockClock
) -> None:
    meter = FaultyMeter.of(0, case.security, 300, hdlc=case.hdlc)
    storage = storage_with(meter)
    if case.name == "counter-rollback":  # what never counted cannot go back
        await session(storage, meter, LEASE_S)
    meter.let(case.name, case.parameters)
    begun = trio.current_time()
    result = await session(storage, meter, LEASE_S)
    report = result.report
    assert (report.outcome, report.phase, report.cause) == (case.outcome, case.phase, case.cause)
    assert trio.current_time() - begun <= MOST_S
    check_whole_rows(storage, meter)
    with trio.fail_after(MOST_S):
        while meter.open_connections:  # noqa: ASYNC110 - the meter has no event for it
            await trio.sleep(0.1)

    meter.meter.kind.faults.clear()
    await trio.sleep(3600)
    result = await session(storage, meter, LEASE_S)
    assert (result.report.outcome, result.report.cause) == (SessionOutcome.OK, None)
    assert stored(storage).items() >= truth(meter).items()
    assert storage.revisions == []


@pytest.mark.parametrize(
    ("name", "parameters", "hdlc"),
    [
        ("latency", {"distribution": "uniform", "seconds": 0.5, "spread": 0.5}, False),
        ("latency", {"distribution": "lognormal", "seconds": 0.3, "spread": 0.5}, False),
        ("drip", {"every_s": 0.0, "octets": 1}, False),
        ("drip", {"every_s": 0.0, "octets": 3}, True),
        ("wrong-check", {"check": "fcs", "share": 0.1}, True),
        ("wrong-check", {"check": "hcs", "share": 0.1}, True),
        ("repeated-frame", {}, True),
        ("wrong-sequence", {"number": "send", "share": 0.1}, True),
        ("wrong-sequence", {"number": "receive", "share": 0.1}, True),
        ("late-answer", {"answer": 3, "seconds": 9.0}, False),
        ("one-session", {}, False),
    ],
    ids=str,
)
async def test_what_can_be_mended_is_no_failure(
    name: str, parameters: dict[str, Any], hdlc: bool, autojump_clock: MockClock
) -> None:
    meter = FaultyMeter.of(0, NONE if hdlc else GMAC, 300, hdlc=hdlc)
    storage = storage_with(meter)
    meter.let(name, parameters)
    result = await session(storage, meter, LEASE_S, deadlines=PATIENT)
    assert (result.report.outcome, result.report.cause) == (SessionOutcome.OK, None)
    assert stored(storage).items() <= truth(meter).items()
    assert len(stored(storage)) >= 96 * 4


async def test_broken_frames_are_counted(autojump_clock: MockClock) -> None:
    meter = FaultyMeter.of(0, NONE, 300, hdlc=True)
    meter.let("wrong-check", {"check": "fcs", "share": 0.2})
    storage = storage_with(meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=LEASE_S)
    async with network(meter) as reached:
        surroundings = context(storage, reached.connect, deadlines=PATIENT)
        result = await Session(surroundings, lease, trio.current_time() + LEASE_S).run()
    assert result.report.outcome is SessionOutcome.OK
    [samples] = surroundings.metrics.frames_discarded.collect()
    [count] = [one.value for one in samples.samples if one.name.endswith("_total")]
    assert count > 3
