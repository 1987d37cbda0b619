"""The next runs, and where clocks change."""

from datetime import UTC, datetime

from hes.plans.preview import ClockShift, coming
from tests.unit.hes.plans.test_expansion import a_plan

BERLIN = "Europe/Berlin"


def test_runs_keep_their_local_time_and_changes_of_clocks_are_marked() -> None:
    runs = coming(a_plan("cron 30 2 * * *"), BERLIN, datetime(2026, 3, 27, 12, tzinfo=UTC), 3)
    assert [each.local.isoformat() for each in runs] == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert [each.shift for each in runs] == [None, ClockShift.FORWARD, None]


def test_back_in_autumn() -> None:
    runs = coming(a_plan("cron 0 3 * * *"), BERLIN, datetime(2026, 10, 24, 0, tzinfo=UTC), 3)
    assert [each.shift for each in runs] == [None, ClockShift.BACK, None]
    assert runs[1].run_at == datetime(2026, 10, 25, 2, tzinfo=UTC)


def test_an_interval_runs_through() -> None:
    runs = coming(a_plan("every 1h"), BERLIN, datetime(2026, 10, 25, 0, 10, tzinfo=UTC), 2)
    assert [each.run_at.hour for each in runs] == [1, 2]
    assert [each.shift for each in runs] == [ClockShift.BACK, None]
