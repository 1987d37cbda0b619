"""Which runs are made, which are skipped; a meter's turn is the same each time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.plans import Plan, Run, Selection, turn_s
from hes.domain.recurrence import parse
from hes.domain.work import Read, ReadKind
from hes.plans.expansion import LOOK_BACK, MOST_SKIPPED, Expansion, run_of, runs_due

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def a_plan(recurrence: str = "every 900s", **terms: object) -> Plan:
    plan = Plan(
        plan_id=7,
        tenant_id=1,
        revision=1,
        since=SINCE,
        name="quarter hours",
        reads=(Read(ReadKind.PROFILE),),
        selection=Selection(all_meters=True),
        recurrence=parse(recurrence),
        spread_s=300,
        deadline_s=900,
        window_s=900,
    )
    return attrs.evolve(plan, **terms)  # type: ignore[arg-type]


def after(**span: float) -> datetime:
    return SINCE + timedelta(**span)


def instants(runs: tuple[Run, ...]) -> list[datetime]:
    return [run.run_at for run in runs]


def test_a_run_with_its_deadline_and_end() -> None:
    expansion = runs_due(a_plan(window_s=1800), "UTC", None, after(minutes=15))
    assert expansion == Expansion(
        Run(
            run_at=after(minutes=15),
            plan_id=7,
            zone="UTC",
            deadline_at=after(minutes=30),
            ends_at=after(minutes=45),
        )
    )


def test_nothing_before_the_first_run_nor_twice() -> None:
    plan = a_plan()
    assert runs_due(plan, "UTC", None, after(minutes=14, seconds=59)) == Expansion()
    assert runs_due(plan, "UTC", after(minutes=15), after(minutes=29)) == Expansion()
    again = runs_due(plan, "UTC", after(minutes=15), after(minutes=30))
    assert again == Expansion(run_of(plan, "UTC", after(minutes=30)))


def test_after_a_standstill_the_last_run_is_made_and_the_others_are_told() -> None:
    expansion = runs_due(a_plan(), "UTC", after(minutes=15), after(minutes=65))
    assert expansion.run is not None
    assert expansion.run.run_at == after(minutes=60)
    assert instants(expansion.skipped) == [after(minutes=30), after(minutes=45)]


def test_a_last_run_that_has_ended_is_skipped_too() -> None:
    expansion = runs_due(a_plan("cron 0 1 * * *"), BERLIN, None, after(hours=15))
    assert expansion.run is None
    assert instants(expansion.skipped) == [after(hours=12)]


def test_a_long_standstill_is_told_in_part() -> None:
    now = SINCE + LOOK_BACK * 3
    expansion = runs_due(a_plan("every 1m"), "UTC", None, now)
    assert expansion.run is not None
    assert len(expansion.skipped) == MOST_SKIPPED
    assert expansion.skipped[-1].run_at == now - timedelta(minutes=1)


def test_a_disabled_plan_has_no_runs_and_an_enabled_one_makes_none_up() -> None:
    assert runs_due(a_plan(enabled=False), "UTC", None, after(hours=5)) == Expansion()
    back = a_plan(since=after(hours=5))
    assert runs_due(back, "UTC", after(minutes=15), after(hours=5, minutes=1)) == Expansion()


def test_a_clock_that_goes_back_makes_no_run_again() -> None:
    assert runs_due(a_plan(), "UTC", after(hours=2), after(hours=1)) == Expansion()


def test_a_run_that_was_asked_for_is_made_once_and_expected_by_nobody() -> None:
    asked = after(minutes=20)
    plan = a_plan(asked_at=asked)
    run = run_of(plan, "UTC", asked, asked=True)
    assert runs_due(plan, "UTC", after(minutes=15), after(minutes=21)) == Expansion(run)
    assert runs_due(plan, "UTC", asked, after(minutes=21)) == Expansion()
    assert runs_due(plan, "UTC", after(minutes=15), after(minutes=19)) == Expansion()
    # What comes due just then reads them as well.
    regular = run_of(plan, "UTC", after(minutes=30))
    assert runs_due(plan, "UTC", after(minutes=15), after(minutes=30)) == Expansion(regular)
    # After a pause no run that somebody asked for before is made.
    back = a_plan(asked_at=asked, since=after(minutes=25))
    assert runs_due(back, "UTC", None, after(minutes=26)) == Expansion()


def test_zones_have_runs_of_their_own() -> None:
    plan = a_plan("cron 0 3 * * *")
    now = datetime(2026, 3, 2, 2, 10, tzinfo=UTC)
    berlin, athens = (runs_due(plan, zone, None, now) for zone in (BERLIN, "Europe/Athens"))
    assert berlin.run is not None
    assert berlin.run.run_at == datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert instants(athens.skipped) == [datetime(2026, 3, 2, 1, tzinfo=UTC)]


@given(
    looks=st.lists(st.integers(1, 200), max_size=20),
    text=st.sampled_from(["every 15m", "cron */20 * * * *", "cron 30 2 * * *", "cron 0 * * * *"]),
)
def test_each_run_is_told_once_however_often_one_looks(looks: list[int], text: str) -> None:
    # Over the night in which clocks are set forward in Berlin.
    begin = datetime(2026, 3, 28, 20, tzinfo=UTC)
    plan = a_plan(text, since=begin)
    now, last, told = begin, None, []
    for minutes in looks:
        now += timedelta(minutes=minutes)
        expansion = runs_due(plan, BERLIN, last, now)
        runs = [*expansion.skipped, *([expansion.run] if expansion.run else [])]
        told += [run.run_at for run in runs]
        last = told[-1] if told else None
        assert expansion.run is None or expansion.run.ends_at > now
    whole = runs_due(plan, BERLIN, None, now)
    assert told == [*instants(whole.skipped), *([whole.run.run_at] if whole.run else [])]


@pytest.mark.parametrize("make", [uuid4, None])
def test_turns_are_spread_evenly_and_stay(make: object) -> None:
    ids = [uuid4() if make else UUID(int=n) for n in range(2000)]
    turns = [turn_s(meter_id, 7, 300) for meter_id in ids]
    assert turns == [turn_s(meter_id, 7, 300) for meter_id in ids]
    tenths = [sum(1 for turn in turns if n <= turn / 30 < n + 1) for n in range(10)]
    assert sum(tenths) == 2000
    assert min(tenths) > 120
