"""
Meters whose clocks are off: one step a session, noted first, read back, and never too far.

Row 38 of the catalogue of faults: a clock that drifts, is set back, or forward over a boundary.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.clock import ClockHow, ClockOutcome
from hes.domain.meters import Role
from hes.domain.ports import SessionOutcome
from hes.models import models
from hes_collectors.dlms.clock_steps import ClockRules
from hes_collectors.dlms.session import Session, SessionResult
from hes_protocol.server import ActionRequested, ActionResult, SetRequested, SetResult
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.scenario.local import step_clock
from tests.unit.hes_collectors.fakes import ClockChanged, FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind, network
from tests.unit.hes_collectors.support import context, wall_clock

CLOCK_CLASS = 8
MODEL = next(model for model in models() if model.name == "idis-single-phase")


class Scene:
    """A meter whose clock may be set, and one session after another with it."""

    def __init__(self, drift_s: float, **changes: Any) -> None:
        kind = attrs.evolve(
            meter_kind(sim.Security.GMAC), model=MODEL, quirks=MODEL.quirks, drift_ppm=0
        )
        self.meter = SimulatedMeter(sim.Meter.of(kind, 0))
        self.storage = FakeStorage(wall_clock)
        self.storage.add_meter(
            attrs.evolve(self.meter.inventory(), model=MODEL.name, **changes), self.meter.secrets()
        )
        self.storage.own_counters[self.meter.meter_id] = 0
        step_clock(self.meter.meter, wall_clock(), round(drift_s * 1e6))

    async def session(
        self, outcome: SessionOutcome = SessionOutcome.OK, **rules: Any
    ) -> SessionResult:
        leases = self.storage.ports().leases
        [lease] = leases.take(holder="test", limit=1, lease_s=180)
        async with network(self.meter) as reached:
            surroundings = attrs.evolve(
                context(self.storage, reached.connect, clock=ClockRules(**rules)),
                models={MODEL.name: MODEL},
            )
            result = await Session(surroundings, lease, trio.current_time() + 180).run()
        leases.release([lease])
        assert result.report.outcome is outcome
        return result

    @property
    def drift_s(self) -> float:
        shown = self.meter.meter.time.shown_us(round(wall_clock().timestamp() * 1e6))
        return shown / 1e6 - wall_clock().timestamp()

    @property
    def changes(self) -> list[ClockChanged]:
        return self.storage.clock_changes


@pytest.mark.parametrize("drift_s", [-3.0, 3.0])
async def test_a_clock_that_is_near_enough_is_left_alone(
    drift_s: float, autojump_clock: MockClock
) -> None:
    scene = Scene(drift_s)
    await scene.session()
    assert (scene.changes, round(scene.drift_s)) == ([], drift_s)


@pytest.mark.parametrize("drift_s", [-40.0, 40.0])
async def test_a_clock_that_is_off_is_set_and_read_back(
    drift_s: float, autojump_clock: MockClock
) -> None:
    scene = Scene(drift_s)
    result = await scene.session()
    assert result.report.clock_drift_s == pytest.approx(drift_s, abs=1)  # as it was found
    (changed,) = scene.changes
    assert (changed.change.how, changed.outcome) == (ClockHow.SHIFT, ClockOutcome.DONE)
    assert changed.change.step_s == pytest.approx(-drift_s, abs=1)
    assert changed.change.session_id == result.report.session_id
    assert abs(scene.drift_s) <= 1


async def test_far_off_it_takes_a_step_a_session(autojump_clock: MockClock) -> None:
    scene = Scene(-150.0)
    for left_s in (-90, -30, 0):
        await scene.session()
        assert scene.drift_s == pytest.approx(left_s, abs=1.5)


async def test_it_waits_for_an_interval_in_which_the_step_fits(autojump_clock: MockClock) -> None:
    scene = Scene(-40.0)  # it is 10:06:20 there; profiles of 15 minutes
    await trio.sleep(8 * 60 + 20)  # 10:14:40 there
    before = trio.current_time()
    await scene.session()
    (changed,) = scene.changes
    assert trio.current_time() - before >= 20
    assert changed.change.before_at.minute == changed.change.after_at.minute == 15
    assert abs(scene.drift_s) <= 1


async def test_beyond_an_hour_only_by_order(autojump_clock: MockClock) -> None:
    scene = Scene(-7200.0)
    await scene.session()
    assert scene.changes == []
    scene.storage.clock_orders.add(scene.meter.meter_id)
    await scene.session()
    (changed,) = scene.changes
    assert (changed.change.how, changed.outcome) == (ClockHow.SET, ClockOutcome.DONE)
    assert abs(scene.drift_s) <= 1
    assert not scene.storage.clock_orders


async def test_where_shifting_is_refused_it_is_set(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke = sim.Meter.action

    def refuses(meter: sim.Meter, event: ActionRequested) -> Any:
        if event.method.class_id == CLOCK_CLASS:
            event = attrs.evolve(event, method=attrs.evolve(event.method, index=7))
        return invoke(meter, event)

    monkeypatch.setattr(sim.Meter, "action", refuses)
    scene = Scene(-40.0)
    await scene.session()
    assert [(one.change.how, one.outcome) for one in scene.changes] == [
        (ClockHow.SHIFT, ClockOutcome.REFUSED),
        (ClockHow.SET, ClockOutcome.DONE),
    ]
    assert abs(scene.drift_s) <= 1


async def test_a_meter_that_refuses_is_not_asked_each_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: sim.Meter, event: ActionRequested | SetRequested) -> ActionResult | SetResult:
        if isinstance(event, SetRequested):
            return SetResult(event.invoke_id, DataAccessResult.READ_WRITE_DENIED)
        return invoke(_, event if event.method.class_id != CLOCK_CLASS else nowhere(event))

    def nowhere(event: ActionRequested) -> ActionRequested:
        return attrs.evolve(event, method=attrs.evolve(event.method, index=7))

    invoke = sim.Meter.action
    monkeypatch.setattr(sim.Meter, "action", refuses)
    monkeypatch.setattr(sim.Meter, "set", refuses)
    scene = Scene(-40.0)
    for _ in range(3):
        await scene.session()
    assert [one.outcome for one in scene.changes] == [ClockOutcome.REFUSED] * 2


async def test_a_meter_that_does_not_do_what_it_says_is_told_of(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke = sim.Meter.action

    def only_says_so(meter: sim.Meter, event: ActionRequested) -> Any:
        said = invoke(meter, event)
        if event.method.class_id == CLOCK_CLASS:
            assert event.data is not None
            step_clock(meter, wall_clock(), -event.data.value * 1_000_000)
        return said

    monkeypatch.setattr(sim.Meter, "action", only_says_so)
    scene = Scene(-40.0)
    await scene.session()
    (changed,) = scene.changes
    assert changed.outcome is ClockOutcome.WITHOUT_EFFECT
    assert changed.drift_s == pytest.approx(-40, abs=1)


async def test_a_change_is_noted_before_the_meter_is_told(autojump_clock: MockClock) -> None:
    scene = Scene(-40.0)
    scene.meter.fault.hangs_before = lambda event: (
        isinstance(event, ActionRequested) and event.method.class_id == CLOCK_CLASS
    )
    result = await scene.session(SessionOutcome.TRANSPORT)
    assert result.stored > 0  # the readings are there
    (changed,) = scene.changes
    assert changed.outcome is ClockOutcome.SENT


@pytest.mark.parametrize("rules", [{"sets": False}, {}])
async def test_clocks_are_left_alone_where_that_is_the_rule(
    rules: dict[str, Any], autojump_clock: MockClock
) -> None:
    scene = Scene(-40.0)
    if not rules:
        kept = scene.storage.meters[scene.meter.meter_id]
        reader = attrs.evolve(kept.association, role=Role.READER)
        scene.storage.meters[scene.meter.meter_id] = attrs.evolve(kept, association=reader)
    await scene.session(**rules)
    assert scene.changes == []
