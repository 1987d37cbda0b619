"""What is asked for again and what is given up, by what is lacking."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hes.plans.gaps import GapRules, find
from hes.storage.completeness import OpenDay
from hes.storage.losses import LossReason
from hes_protocol.cosem import Obis

METER, OTHER = UUID(int=1), UUID(int=2)
PROFILE, DAILY = Obis.parse("1.0.99.1.0.255"), Obis.parse("1.0.99.2.0.255")
DAY = datetime(2026, 11, 20, tzinfo=UTC)
TODAY = DAY.date()
NOW = DAY + timedelta(days=1)
QUARTER = timedelta(minutes=15)
RULES = GapRules(join=0)


def lacks(*slots: int, day: date = TODAY, meter: UUID = METER, reach_s: int | None = None,
          gone: bool = False) -> OpenDay:  # fmt: skip
    bits = "".join("01"[slot in slots] for slot in range(96))
    return OpenDay(meter, PROFILE, 900, day, bits, reach_s, gone)


def spans(*days: OpenDay, rules: GapRules = RULES) -> list[tuple[int, int]]:
    """The gaps as slots counted from the day's midnight."""
    return [
        ((gap.start - DAY) // QUARTER, (gap.end - DAY) // QUARTER)
        for _, gap in find(days, NOW, rules).gaps
    ]


def test_runs_of_lacking_intervals_are_one_gap_each_oldest_first() -> None:
    assert spans(lacks(5, 6, 7, 20)) == [(5, 8), (20, 21)]
    before = (DAY - timedelta(days=1)).date()
    assert spans(lacks(0, 1), lacks(94, 95, day=before)) == [(-2, 2)]


def test_near_gaps_are_asked_for_together_and_none_is_too_large() -> None:
    assert spans(lacks(5, 9, 20), rules=GapRules(join=3)) == [(5, 10), (20, 21)]
    assert spans(lacks(*range(20)), rules=GapRules(join=0, per_gap=8)) == [
        (0, 8),
        (8, 16),
        (16, 20),
    ]


def test_a_meter_is_asked_for_a_few_at_a_time() -> None:
    every_other = lacks(*range(0, 96, 2))
    assert spans(every_other, rules=GapRules(join=0, per_meter=3)) == [(0, 1), (2, 3), (4, 5)]
    found = find([every_other, lacks(1, meter=OTHER)], NOW, GapRules(join=0, per_meter=3))
    assert [meter_id for meter_id, _ in found.gaps] == [METER] * 3 + [OTHER]


def test_what_the_buffer_does_not_reach_is_given_up() -> None:
    found = find([lacks(0, 1, 93, 94, reach_s=3600)], NOW, RULES)
    (lost,) = found.lost
    assert (lost.from_at, lost.to_at, lost.reason) == (
        DAY, DAY + 2 * QUARTER, LossReason.BEYOND_BUFFER
    )  # fmt: skip
    assert [gap.start for _, gap in found.gaps] == [DAY + 93 * QUARTER]
    unknown = find([lacks(0)], NOW, GapRules(reach=timedelta(hours=1)))
    assert (len(unknown.gaps), len(unknown.lost)) == (0, 1)


def test_of_a_meter_that_is_gone_nothing_is_asked() -> None:
    found = find([lacks(0, 95, gone=True)], NOW, RULES)
    assert found.gaps == ()
    assert {lost.reason for lost in found.lost} == {LossReason.METER_GONE}


def test_a_daily_profile_is_asked_for_its_whole_day() -> None:
    found = find([OpenDay(METER, DAILY, 86_400, DAY.date(), "1")], NOW, RULES)
    ((_, gap),) = found.gaps
    assert (gap.source, gap.start, gap.end) == (DAILY, DAY, NOW)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 95), min_size=1)), max_size=3,
             unique_by=lambda one: one[0]),
    st.integers(1, 4 * 86_400),
    st.integers(0, 9),
    st.integers(1, 96),
)  # fmt: skip
def test_each_lacking_interval_is_in_one_gap_or_one_loss(
    days: list[tuple[int, set[int]]], reach_s: int, join: int, per_gap: int
) -> None:
    rules = GapRules(join=join, per_gap=per_gap, per_meter=1000)
    opened = [
        lacks(*slots, day=(DAY - timedelta(days=number)).date(), reach_s=reach_s)
        for number, slots in days
    ]
    found = find(opened, NOW, rules)
    moments = [
        DAY - timedelta(days=number) + slot * QUARTER for number, slots in days for slot in slots
    ]
    given_up = [(lost.from_at, lost.to_at) for lost in found.lost]
    asked = [(gap.start, gap.end) for _, gap in found.gaps]
    for moment in moments:
        inside = [span for span in (*given_up, *asked) if span[0] <= moment < span[1]]
        assert len(inside) == 1
        # What was begun within the buffer's reach is asked for.
        assert (inside[0] in asked) == (moment + QUARTER > NOW - timedelta(seconds=reach_s))
    for start, end in asked:
        assert end - start <= per_gap * QUARTER
        assert start in moments
        assert end - QUARTER in moments
