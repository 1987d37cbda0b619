"""
Judges a simulation from outside: what meters captured, what went over the wire, what is stored.

Each rule reads the history and what is left, and yields what is wrong as text. No rule asks the
engine anything. That the rules can see is shown by planted faults (`test_planted`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from hes.domain.work import ItemState, WorkKind
from hes.storage.losses import LossReason
from hes_simulators import TruthRow
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.simulation.history import Event
from tests.simulation.scheduling import ENTRIES, PERIOD_S
from tests.simulation.talking import (
    TAKEN,
    leases_are_exclusive,
    no_counter_twice,
    nothing_leaves_without_a_lease,
    one_conversation_at_a_time,
)
from tests.simulation.world import Outcome
from tests.unit.hes_collectors.fakes import moment
from tests.unit.hes_collectors.support import START

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
# Overdue for so long, a gap was found, asked for and ended.
_GRACE: Final = timedelta(minutes=100)
# The longest rests and breakers have ended so long after the faults.
_RECOVERY: Final = timedelta(minutes=40)
Value = tuple[int, str, datetime, int | None]
"""Meter, OBIS, time of capture as the meter showed it, raw value."""


def violations(outcome: Outcome) -> list[str]:
    """All that is wrong with a run; nothing where all is well."""
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(outcome)]


# --- what is stored ---------------------------------------------------------------------------


def stored(outcome: Outcome) -> Counter[Value]:
    """All that the model of the database says of load profiles, revisions included."""
    storage = outcome.storage
    said = [(key, at, value) for (key, at), value in storage.values.items()]
    said += storage.revisions
    return Counter(
        (key.meter_id.int, str(key.obis), at, value.value)
        for key, at, value in said
        if key.source == LOAD_PROFILE and not isinstance(value.value, float | str)
    )


def captured(outcome: Outcome) -> set[Value]:
    """All that meters have captured."""
    return {
        (meter, obis, row.captured_at, value)
        for meter, rows in outcome.captured.items()
        for row in rows
        for obis, value in row.values.items()
    }


def nothing_unexpected(outcome: Outcome) -> Iterator[str]:
    """What is stored was captured by that meter at that time."""
    known = captured(outcome)
    for value in stored(outcome):
        if value not in known:
            yield f"{value} was never captured"


def nothing_acked_is_lost(outcome: Outcome) -> Iterator[str]:
    """What there is a receipt for is stored."""
    there = stored(outcome)
    for event in outcome.history.of("sink.publish"):
        if event.facts["said"] == "ok":
            for value in _values(event):
                if value not in there:
                    yield f"{value}, acknowledged at {event.at_s:.0f} s, is not there"


def nothing_is_doubled(outcome: Outcome) -> Iterator[str]:
    """No value is said twice of one instant, unless the meter's clock showed it twice."""
    shown = Counter(
        (meter, row.captured_at) for meter, rows in outcome.captured.items() for row in rows
    )
    for value, times in stored(outcome).items():
        if times > max(1, shown[value[0], value[2]]):
            yield f"{value} is there {times} times"


def done_means_held(outcome: Outcome) -> Iterator[str]:
    """
    When a run of a plan is done on a meter, all is stored that its buffer held when it was leased.

    Rows that showed a time later than that machine's clock had nobody asked for yet.
    """
    stored_at = _first_stored(outcome)
    begun: dict[int, Event] = {}
    kinds: dict[int, str] = {}
    for event in outcome.history.events:
        if event.what in TAKEN:
            kinds.update(event.facts["items"])
            begun[event.facts["token"]] = event
        elif event.what == "leases.finish" and any(
            state == "done" and kinds[item] in ("plan", "first")
            for item, state, _ in _results(event)
        ):
            meter, token = event.facts["meter"], event.facts["token"]
            for row in _readable(outcome.captured[meter], begun[token]):
                if any(
                    stored_at.get((meter, obis, row.captured_at), event.at_s + 1) > event.at_s
                    for obis in row.values
                ):
                    yield (
                        f"meter {meter}: {row.captured_at:%H:%M} is not stored when "
                        f"lease {token} ends at {event.at_s:.0f} s as done"
                    )


# --- what was to be done ----------------------------------------------------------------------


def every_item_ends_once(outcome: Outcome) -> Iterator[str]:
    """Each due item that can be over is over, in one final state, told once."""
    due = outcome.storage.due
    ended = Counter(result.item.item_id for result in due.results)
    open_ = {item_id: item for work in due.work.values() for item_id, item in work.items.items()}
    for item_id in range(1, max([*ended, *open_], default=0) + 1):
        times = ended[item_id] + (item_id in open_)
        if times != 1:
            yield f"item {item_id} has {ended[item_id]} results, open: {item_id in open_}"
    now = _ends_at(outcome)
    for item_id, item in open_.items():
        if item.expires_at < now - _MINUTE:
            yield f"item {item_id} should have expired at {item.expires_at:%H:%M}"
    for result in due.results:
        if result.state in (ItemState.DONE, ItemState.LATE):
            late = result.finished_at > result.item.deadline_at
            if late is not (result.state is ItemState.LATE):
                yield f"item {result.item.item_id} is {result.state} at {result.finished_at}"


def nothing_is_done_twice(outcome: Outcome) -> Iterator[str]:
    """No two sessions end the same item."""
    by: dict[int, int] = {}
    for event in outcome.history.of("leases.finish"):
        for item, state, _ in _results(event):
            if (
                state is not None
                and by.setdefault(item, event.facts["session"]) != (event.facts["session"])
            ):
                yield f"item {item} is ended by two sessions, again at {event.at_s:.0f} s"


def every_interval_is_accounted_for(outcome: Outcome) -> Iterator[str]:
    """What was expected is held or lost, but for what was overdue too short a time ago."""
    now = _ends_at(outcome)
    for meter_id in outcome.storage.meters:
        for slot in outcome.scheduler.overdue(meter_id, now):
            if slot < now - _GRACE and (meter_id, slot) not in outcome.scheduler.lost:
                yield f"meter {meter_id.int}: {slot:%H:%M} is neither held nor lost"


def what_is_lost_is_gone(outcome: Outcome) -> Iterator[str]:
    """What a meter is said not to have is not in its buffer."""
    for event in outcome.history.of("lost"):
        rows = outcome.captured[event.facts["meter"]]
        at = START + timedelta(seconds=event.at_s)
        held = [row for row in rows if (row.true_at or row.captured_at) <= at][-ENTRIES + 1 :]
        if event.facts["reason"] == LossReason.NOT_IN_BUFFER and any(
            _floor(row.captured_at) == event.facts["slot"] for row in held
        ):
            yield f"meter {event.facts['meter']} has {event.facts['slot']:%H:%M}"


def in_the_calm_all_is_in_time(outcome: Outcome) -> Iterator[str]:
    """Liveness: what began some time after the faults is done, and by its deadline."""
    calm_at = next(e.at_s for e in outcome.history.of("calm"))
    since = START + timedelta(seconds=calm_at) + _RECOVERY
    for result in outcome.storage.due.results:
        if (
            result.item.kind is WorkKind.PLAN
            and result.item.run_at >= since
            and (result.state is not ItemState.DONE)
        ):
            yield (
                f"meter {result.meter_id.int}: the run of {result.item.run_at:%H:%M} is "
                f"{result.state}, {result.cause}"
            )


def no_task_crashed(outcome: Outcome) -> Iterator[str]:
    """No error of our own came to light."""
    for line in outcome.logs:
        if line["event"] in ("collector_task_crashed", "lease_take_failed"):
            yield f"{line['event']}: {line.get('error')} {line.get('where')}"


RULES: Final[tuple[Callable[[Outcome], Iterator[str]], ...]] = (
    nothing_unexpected,
    nothing_acked_is_lost,
    nothing_is_doubled,
    done_means_held,
    every_item_ends_once,
    nothing_is_done_twice,
    every_interval_is_accounted_for,
    what_is_lost_is_gone,
    in_the_calm_all_is_in_time,
    leases_are_exclusive,
    nothing_leaves_without_a_lease,
    one_conversation_at_a_time,
    no_counter_twice,
    no_task_crashed,
)


def _values(event: Event) -> Iterator[Value]:
    for meter, obis, at_us, value in event.facts["rows"]:
        yield meter, obis, moment(at_us), value


def _first_stored(outcome: Outcome) -> dict[tuple[int, str, datetime], float]:
    """When a value of that instant was stored for the first time."""
    found: dict[tuple[int, str, datetime], float] = {}
    for event in outcome.history.of("sink.publish"):
        if event.facts["said"] in ("ok", "unknown"):
            for meter, obis, at, _ in _values(event):
                found.setdefault((meter, obis, at), event.at_s)
    return found


def _readable(rows: list[TruthRow], start: Event) -> list[TruthRow]:
    """The rows that stood in the buffer when a lease was taken, and had come to pass."""
    begun_at = START + timedelta(seconds=start.at_s)
    held = [row for row in rows if (row.true_at or row.captured_at) <= begun_at][-ENTRIES:]
    shown = begun_at + timedelta(seconds=start.facts["skew_s"]) - 2 * _SECOND
    return [row for row in held if row.captured_at <= shown]


def _results(event: Event) -> tuple[tuple[int, str | None, str | None], ...]:
    """What a finish has said of items and was kept."""
    if event.facts["said"] not in ("ok", "unknown") or event.facts["lost"]:
        return ()
    results: tuple[tuple[int, str | None, str | None], ...] = event.facts["results"]
    return results


def _ends_at(outcome: Outcome) -> datetime:
    return START + timedelta(seconds=next(e.at_s for e in outcome.history.of("ends")))


def _floor(at: datetime) -> datetime:
    return at - timedelta(seconds=at.timestamp() % PERIOD_S)
