"""A database's clock that is set is noticed; one that runs, and looks that come late, are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hes.storage.clock_watch import ClockWatch

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_steps_are_told_once() -> None:
    watch = ClockWatch()
    assert watch.step_s(at(0), 50.0) == 0
    assert watch.step_s(at(600), 651.0) == 0
    assert watch.step_s(at(4201), 652.0) == 3600
    assert watch.step_s(at(4202), 653.0) == 0
    assert watch.step_s(at(603), 654.0) == -3600


def test_leases_are_doubted_until_all_from_before_a_step_are_over() -> None:
    watch = ClockWatch()
    assert watch.trusted(at(0), 0.0, 60)
    assert not watch.trusted(at(3601), 1.0, 60)
    assert not watch.trusted(at(3660), 60.0, 60)
    assert watch.trusted(at(3661), 61.0, 60)
    assert watch.trusted(at(62), 62.0, 60)  # set back: none looks older than it is
