"""From where on due rows are asked for: never above a row that may be live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hes.storage.due_floor import SLACK, Floor

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_first_all_is_looked_at_then_what_is_new() -> None:
    floor = Floor()
    assert floor.ask(100.0, ()) is None
    floor.found(None, None, NOW, ())
    assert floor.ask(101.0, ()) == NOW - SLACK


def test_where_more_is_due_than_was_taken_the_rest_is_looked_at() -> None:
    floor = Floor()
    asked = floor.ask(100.0, ())
    floor.found(asked, NOW - HOUR, NOW, ())
    assert floor.ask(101.0, ()) == NOW - HOUR


def test_once_a_minute_all_is_looked_at() -> None:
    floor = Floor()
    floor.found(floor.ask(100.0, ()), None, NOW, ())
    assert floor.ask(159.0, ()) is not None
    assert floor.ask(160.5, ()) is None
    floor.found(None, None, NOW, ())
    assert floor.ask(161.0, ()) == NOW - SLACK


def test_what_was_passed_over_is_looked_at_once_its_segment_has_room() -> None:
    floor = Floor()
    floor.found(floor.ask(100.0, ()), NOW - HOUR, NOW, ())
    asked = floor.ask(101.0, ("cell",))
    floor.found(asked, None, NOW, ("cell",))
    later = NOW + timedelta(seconds=20)
    floor.found(floor.ask(121.0, ("cell",)), None, later, ("cell",))
    assert floor.ask(122.0, ("cell",)) == later - SLACK
    assert floor.ask(122.0, ()) == asked == NOW - HOUR
    floor.found(asked, None, later, ())
    assert floor.ask(123.0, ()) == later - SLACK


def test_a_segment_that_was_shut_from_the_first_look_is_looked_at_from_the_first_row() -> None:
    floor = Floor()
    floor.found(floor.ask(100.0, ("cell",)), None, NOW, ("cell",))
    assert floor.ask(101.0, ()) is None


def test_it_falls_when_the_databases_clock_is_set_back() -> None:
    floor = Floor()
    floor.found(floor.ask(100.0, ()), None, NOW, ())
    floor.found(floor.ask(101.0, ()), None, NOW - HOUR, ())
    assert floor.ask(102.0, ()) == NOW - HOUR - SLACK
