from datetime import UTC, date, datetime, timedelta

import attrs
import pytest

from hes.domain.quality import Quality
from hes.domain.readings import SourceKind
from hes.pipeline.group import group
from hes.pipeline.progress import intervals, marks
from tests.batches import (
    DAY,
    IMPORT,
    LOAD_PROFILE,
    NOW,
    OBJECTS,
    batch,
    channel,
    later,
    meter_id,
    profile,
    series,
)

METER = meter_id(0)
COUNT = series(channel(METER))


def test_a_mark_is_the_latest_instant_of_a_profile() -> None:
    together = group([profile([METER, meter_id(1)], intervals=3), profile([METER], intervals=5)])
    found = {mark.meter_id: mark.captured_at for mark in marks(together, NOW)}
    assert found == {METER: later(DAY, 4), meter_id(1): later(DAY, 2)}


def test_a_mark_is_never_ahead_of_our_clock() -> None:
    ahead = batch([(COUNT, NOW + timedelta(minutes=30), 1)])
    (mark,) = marks(group([ahead]), NOW)
    assert mark.captured_at == NOW


def test_a_mark_does_not_pass_what_was_asked_for() -> None:
    early, late = batch([(COUNT, DAY, 1)]), batch([(COUNT, later(DAY, 90), 1)])
    asked = attrs.evolve(late.provenance, asked_until=later(DAY, 10))
    (mark,) = marks(group([early, attrs.evolve(late, provenance=asked)]), NOW)
    assert mark.captured_at == later(DAY, 10)


def test_pushes_have_neither_mark_nor_intervals() -> None:
    push = batch([(series(channel(METER, source=None)), DAY, 1)], kind=SourceKind.PUSH)
    assert marks(group([push]), NOW) == []
    assert intervals(group([push])) == []


def test_a_whole_day_over_several_batches_and_objects() -> None:
    halves = [profile([METER], intervals=48), profile([METER], start=later(DAY, 48), intervals=48)]
    (day,) = intervals(group(halves))
    assert (day.meter_id, day.source, day.capture_period_s) == (METER, LOAD_PROFILE, 900)
    assert (day.day, day.bits) == (date(2026, 11, 20), "1" * 96)


def test_days_are_utc_and_bits_count_from_midnight() -> None:
    rows = [(COUNT, later(DAY, position), 1) for position in (-1, 0, 3)]
    before, day = intervals(group([batch(rows)]))
    assert (before.day, before.bits) == (date(2026, 11, 19), "0" * 95 + "1")
    assert (day.day, day.bits) == (date(2026, 11, 20), "1001" + "0" * 92)


def test_a_day_that_begins_at_local_midnight_falls_into_its_utc_day() -> None:
    daily = series(channel(METER, period_s=86_400))
    (day,) = intervals(group([batch([(daily, datetime(2026, 11, 19, 23, tzinfo=UTC), 1)])]))
    assert (day.day, day.bits) == (date(2026, 11, 19), "1")


def test_years_before_1970_and_single_seconds() -> None:
    second = series(channel(METER, period_s=1))
    (day,) = intervals(group([batch([(second, datetime(1969, 12, 31, 0, 0, 1, tzinfo=UTC), 1)])]))
    assert day.day == date(1969, 12, 31)
    assert (len(day.bits), day.bits.index("1"), day.bits.count("1")) == (86_400, 1, 1)


def test_an_interval_that_the_meter_misses_counts() -> None:
    (day,) = intervals(group([batch([(COUNT, DAY, None)], quality=Quality.MISSING)]))
    assert day.bits.startswith("10")


def test_a_row_off_the_grid_does_not_count() -> None:
    assert intervals(group([batch([(COUNT, DAY, 1)], quality=Quality.OFF_GRID)])) == []


@pytest.mark.parametrize("period_s", [0, 420, 7 * 86_400])
def test_periods_without_a_grid_of_days(period_s: int) -> None:
    odd = series(channel(METER, period_s=period_s))
    assert intervals(group([batch([(odd, DAY, 1)])])) == []


def test_profiles_of_many_meters_and_periods_are_kept_apart() -> None:
    hourly = series(channel(meter_id(1), IMPORT, period_s=3600))
    together = group(
        [profile([METER], intervals=2, objects=OBJECTS[:1]), batch([(hourly, DAY, 1)])]
    )
    found = {(day.meter_id, day.capture_period_s): day.bits for day in intervals(together)}
    assert found == {(METER, 900): "11" + "0" * 94, (meter_id(1), 3600): "1" + "0" * 23}
