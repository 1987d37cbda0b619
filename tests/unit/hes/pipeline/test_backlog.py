import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import attrs
import pytest

from hes.domain.errors import OverloadedError, StorageUnavailableError
from hes.domain.readings import ReadingBatch, SourceKind, ValueStore
from hes.pipeline.backlog import Backlog, Limits, Priority, Published, Terms, octets, priority
from tests.batches import DAY, NOW, batch, channel, meter_id, profile, series

COUNT = series(channel(meter_id(0)))
TEXT = series(channel(meter_id(0), store=ValueStore.TEXT))
AT_ONCE = {
    Priority.PUSH: Terms(1.0, 0.0),
    Priority.SPOT: Terms(0.8, 0.0),
    Priority.PROFILE: Terms(0.6, 0.0),
    Priority.BACKFILL: Terms(0.4, 0.0),
}


def rows(count: int, of: Priority = Priority.PUSH) -> ReadingBatch:
    """A batch of so many rows and of this priority."""
    kind = {Priority.PUSH: SourceKind.PUSH, Priority.SPOT: SourceKind.SPOT}.get(
        of, SourceKind.PROFILE
    )
    last = NOW - timedelta(days=2) if of is Priority.BACKFILL else NOW
    made = batch([(COUNT, last - timedelta(hours=n), n) for n in range(count)], kind=kind)
    return attrs.evolve(made, provenance=attrs.evolve(made.provenance, evidence=b""))


@pytest.mark.parametrize("of", Priority)
def test_how_urgent_a_batch_is(of: Priority) -> None:
    assert priority(rows(3, of)) is of


def test_a_profile_that_reaches_into_yesterday_is_no_backfill() -> None:
    day = profile([meter_id(0)], start=NOW - timedelta(days=2), intervals=97)
    assert priority(day) is Priority.PROFILE
    assert priority(profile([meter_id(0)], start=NOW - timedelta(days=2))) is Priority.BACKFILL


def test_what_counts_as_octets() -> None:
    assert octets(batch([(TEXT, DAY, "x" * 1000)])) > 1000
    with_evidence = rows(1)
    evidence = attrs.evolve(with_evidence.provenance, evidence=b"x" * 500)
    assert octets(attrs.evolve(with_evidence, provenance=evidence)) >= 500


@pytest.mark.parametrize(
    "limits",
    [
        Limits(rows=100, octets=10**9, terms=AT_ONCE),
        Limits(rows=10**9, octets=100 * octets(rows(1)), terms=AT_ONCE),
    ],
)
@pytest.mark.parametrize(
    ("of", "room"),
    [
        (Priority.PUSH, 100),
        (Priority.SPOT, 80),
        (Priority.PROFILE, 60),
        (Priority.BACKFILL, 40),
    ],
)
def test_each_priority_fills_the_queue_up_to_its_share(
    limits: Limits, of: Priority, room: int
) -> None:
    backlog = Backlog(limits)
    for _ in range(room // 10):
        backlog.put(Published(rows(10, of)))
    with pytest.raises(OverloadedError):
        backlog.put(Published(rows(10, of)))
    more_urgent = [one for one in Priority if one < of]
    for one in reversed(more_urgent):
        backlog.put(Published(rows(10, one)))
    assert len(backlog) == room // 10 + len(more_urgent)


def test_there_is_room_again_for_what_was_taken_out() -> None:
    backlog = Backlog(Limits(rows=100, terms=AT_ONCE))
    for _ in range(3):
        for _ in range(10):
            backlog.put(Published(rows(10)))
        assert sum(len(backlog.take(25)) for _ in range(4)) == 10


def test_a_batch_that_is_larger_than_the_queue_is_taken_alone() -> None:
    backlog = Backlog(Limits(rows=10, terms=AT_ONCE))
    backlog.put(Published(rows(50, Priority.BACKFILL)))
    with pytest.raises(OverloadedError):
        backlog.put(Published(rows(1)))
    assert [len(one.batch) for one in backlog.take(10)] == [50]
    backlog.put(Published(rows(50, Priority.BACKFILL)))


def test_waits_for_room_and_no_longer_than_its_time() -> None:
    terms = AT_ONCE | {Priority.PUSH: Terms(1.0, 30.0), Priority.PROFILE: Terms(1.0, 0.05)}
    backlog = Backlog(Limits(rows=10, terms=terms))
    first, patient = Published(rows(10)), Published(rows(10))
    backlog.put(first)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(backlog.put, patient)
        begun_s = time.monotonic()
        with pytest.raises(OverloadedError, match="profile of 10 rows"):
            backlog.put(Published(rows(10, Priority.PROFILE)))
        assert 0.05 <= time.monotonic() - begun_s < 5
        assert not waiting.done()
        assert backlog.take(1) == [first]
        waiting.result(10)
    assert backlog.take(1) == [patient]


def test_takes_what_is_there_up_to_a_limit() -> None:
    backlog = Backlog(Limits())
    put = [Published(rows(10)) for _ in range(5)]
    for one in put:
        backlog.put(one)
    assert [backlog.take(25), backlog.take(25)] == [put[:3], put[3:]]


def test_closing_ends_who_waits_and_leaves_what_was_put() -> None:
    backlog = Backlog(Limits(rows=10))
    put = Published(rows(10))
    backlog.put(put)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(backlog.put, Published(rows(10)))
        threading.Event().wait(0.01)
        backlog.close()
        with pytest.raises(StorageUnavailableError, match="closed"):
            waiting.result(10)
    assert [backlog.take(1), backlog.take(1)] == [[put], []]
