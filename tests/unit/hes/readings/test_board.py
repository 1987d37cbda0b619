"""The board against a count interval by interval."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes.readings.board import Cell, tally
from hes.readings.completeness import DAY_S, Expected, local_day
from hes.storage.board import DayBlock, ExpectedRow, LossRow
from hes_protocol.cosem import Obis

START = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
SOURCE = Obis.parse("1.0.99.1.0.255")


def key(number: int) -> bytes:
    return UUID(int=number).bytes + SOURCE.octets


@attrs.frozen
class Day:
    """A profile's day, one letter a slot: h held, l held late, o overdue, x lost, - nothing."""

    row: int
    day: date
    slots: str


@attrs.frozen
class Scene:
    rows: tuple[ExpectedRow, ...]
    days: tuple[Day, ...]
    from_: datetime
    to: datetime

    def blocks(self) -> list[DayBlock]:
        found: dict[tuple[date, int], list[Day]] = {}
        for day in self.days:
            period_s = self.rows[day.row].capture_period_s
            found.setdefault((day.day, period_s), []).append(day)
        return [
            DayBlock(
                on,
                period_s,
                b"".join(self.rows[day.row].key for day in days),
                *(b"".join(record(day.slots, letters) for day in days) for letters in LETTERS),
            )
            for (on, period_s), days in found.items()
        ]

    def losses(self) -> list[LossRow]:
        return [
            LossRow(row.key, row.capture_period_s, begins, begins + length, "beyond-buffer")
            for day in self.days
            for row in (self.rows[day.row],)
            for slot, letter in enumerate(day.slots)
            if letter == "x"
            for length in (timedelta(seconds=row.capture_period_s),)
            for begins in (datetime.combine(day.day, time(), UTC) + slot * length,)
        ]


LETTERS = ("hl", "lox", "x")


def record(slots: str, letters: str) -> bytes:
    """As varbit_send."""
    bits = "".join("1" if letter in letters else "0" for letter in slots)
    octets = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return len(bits).to_bytes(4, "big") + octets


def naive(scene: Scene, row: int, hour: datetime) -> Cell:
    """One profile, one hour, slot by slot."""
    known = scene.rows[row]
    days = {day.day: day.slots for day in scene.days if day.row == row}
    length = timedelta(seconds=known.capture_period_s)
    expected = Expected(known.capture_period_s, known.since, known.until)
    counts: Counter[str] = Counter()
    for slot in range(DAY_S // known.capture_period_s):
        begins = datetime.combine(hour.date(), time(), UTC) + slot * length
        if not (hour <= begins < hour + HOUR and scene.from_ <= begins < scene.to):
            continue
        if slot not in expected.slots(hour.date()):
            continue
        counts[days.get(hour.date(), "-" * 2000)[slot]] += 1
    return Cell(counts.total(), counts["h"], counts["l"], counts["x"], counts["o"], counts["-"])


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    moments = st.integers(-2 * 1440, 3 * 1440).map(lambda m: START + timedelta(minutes=m))
    rows = []
    for number in range(draw(st.integers(1, 4))):
        since = draw(moments)
        lasts = draw(st.none() | st.integers(0, 4000))
        until = None if lasts is None else since + timedelta(minutes=lasts)
        period_s = draw(st.sampled_from([900, 3600, 7200, 86_400]))
        rows.append(ExpectedRow(key(number), period_s, since, until, 1))
    days = [
        Day(row, (START + timedelta(days=number)).date(), draw(
            st.text("hlox-", min_size=DAY_S // known.capture_period_s,
                    max_size=DAY_S // known.capture_period_s)))
        for row, known in enumerate(rows)
        for number in range(2)
        if draw(st.booleans())
    ]  # fmt: skip
    first = draw(st.integers(0, 40))
    last = draw(st.integers(first + 1, 48))
    return Scene(
        tuple(rows), tuple(draw(st.permutations(days))), START + first * HOUR, START + last * HOUR
    )


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_each_hour_of_each_profile_is_what_a_count_says(scene: Scene) -> None:
    whole = tally(scene.rows, scene.blocks(), scene.losses(), scene.from_, scene.to)
    for place, row in enumerate(scene.rows):
        alone = tally([row], scene.blocks(), scene.losses(), scene.from_, scene.to)
        hours = [naive(scene, place, alone.start + number * HOUR) for number in range(alone.hours)]
        assert [alone.of_hours(slice(n, n + 1)) for n in range(alone.hours)] == hours
        together = added(hours)
        assert whole.of_rows(slice(place, place + 1)) == together
        lost = {} if not together.lost else {(0, "beyond-buffer"): together.lost}
        assert alone.lost_by == lost
    everything = added([whole.of_rows(slice(n, n + 1)) for n in range(len(scene.rows))])
    assert whole.of_hours(slice(None)) == everything


def added(cells: list[Cell]) -> Cell:
    names = ("expected", "on_time", "late", "lost", "missing", "pending")
    return Cell(*(sum(getattr(cell, name) for cell in cells) for name in names))


def test_the_share_is_of_those_whose_deadline_has_passed() -> None:
    assert Cell(10, 6, 1, 1, 0, 2).share == 75.0
    assert Cell(2, pending=2).share is None


@pytest.mark.parametrize(
    ("day", "intervals"),
    [(date(2026, 3, 29), 92), (date(2026, 6, 1), 96), (date(2026, 10, 25), 100)],
)
def test_a_local_day_has_92_96_or_100_quarters(day: date, intervals: int) -> None:
    """Row 37 of the catalogue: days in which summer time begins or ends."""
    begins, ends = local_day(day, ZoneInfo("Europe/Vienna"))
    expected = Expected(900, begins, ends)
    utc_days = [begins.date() + timedelta(days=number) for number in range(3)]
    assert sum(len(expected.slots(utc_day)) for utc_day in utc_days) == intervals
