"""Whether plans fit into what collectors do."""

from datetime import UTC, datetime

import pytest

from hes.domain.work import Read, ReadKind
from hes.plans.capacity import ASSUMED_PER_S, Load, Pace, needed, pace, runs_per_day, values_per_day
from hes.storage.plan_load import Channels
from hes_protocol.cosem import Obis
from tests.unit.hes.plans.test_expansion import a_plan

NOW = datetime(2026, 3, 1, 12, 20, tzinfo=UTC)
LOAD_PROFILE = Obis.parse("1.0.99.1.0.255")
BILLING = Obis.parse("0.0.98.1.0.255")


def test_an_even_plan_needs_the_same_each_hour() -> None:
    capacity = needed([Load(a_plan(), {"Europe/Berlin": 6_000, "UTC": 3_000}, 0)], pace(0), NOW)
    assert capacity.hours[0].starts_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert [hour.needed_per_s for hour in capacity.hours] == [pytest.approx(10)] * 24
    assert capacity.fits


def test_a_daily_run_is_in_its_hours_by_the_zones_of_its_members() -> None:
    plan = a_plan("cron 0 1 * * *", deadline_s=5_400, window_s=20_000)
    load = Load(plan, {"Europe/Berlin": 5_400, "Europe/Athens": 10_800}, 0)
    capacity = needed([load], Pace(2.5, measured=True), NOW)
    by_hour = {hour.starts_at.hour: round(hour.needed_per_s, 6) for hour in capacity.hours}
    # 01:00 is 23:00 UTC in Athens, midnight UTC in Berlin.
    assert {hour: per_s for hour, per_s in by_hour.items() if per_s} == {23: 2.0, 0: 3.0, 1: 1.0}
    assert (capacity.peak_per_s, capacity.fits) == (pytest.approx(3), False)
    assert capacity.plans[0].needed_per_s == pytest.approx(3)


def test_plans_add_up_and_runs_under_way_count() -> None:
    running = a_plan("cron 30 11 * * *", deadline_s=3_600, window_s=3_600)
    loads = [Load(running, {"UTC": 3_600}, 0), Load(a_plan(), {"UTC": 900}, 0)]
    capacity = needed(loads, pace(0), NOW)
    assert [hour.needed_per_s for hour in capacity.hours[:2]] == [
        pytest.approx(2),
        pytest.approx(1),
    ]


def test_without_plans_nothing_is_needed() -> None:
    assert needed([], pace(0), NOW).peak_per_s == 0


def test_little_work_says_nothing_of_the_pace() -> None:
    assert pace(60) == Pace(ASSUMED_PER_S, measured=False)
    assert pace(9_000) == Pace(150, measured=True)


def test_values_are_those_of_what_is_read() -> None:
    channels = [Channels(LOAD_PROFILE, 900, 40), Channels(None, 0, 50), Channels(BILLING, 0, 9)]
    both = a_plan(reads=(Read(ReadKind.PROFILE), Read(ReadKind.REGISTERS)))
    assert values_per_day(both, channels, 2, 96) == 40 * 96 + 50 * 96 + 2 * 4 * 96
    other = a_plan(reads=(Read(ReadKind.PROFILE, Obis.parse("1.0.99.2.0.255")),))
    assert values_per_day(other, channels, 0, 96) == 0
    assert runs_per_day(both, "UTC", NOW) == 96
