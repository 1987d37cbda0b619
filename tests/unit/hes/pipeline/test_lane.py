import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt, SourceKind
from hes.pipeline.backlog import Limits, Published
from hes.pipeline.lane import Lane
from hes.storage.database import LockTimeoutError, OutcomeUnknownError, StatementTimeoutError
from tests.batches import DAY, batch, channel, later, meter_id, series

COUNT = series(channel(meter_id(0)))


class StubWriter:
    """Stands for the writer: notes groups, waits at a gate, fails where it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[ReadingBatch]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.poison: ReadingBatch | None = None
        self.error: Exception | None = None
        self.slow: dict[ReadingBatch, type[Exception]] = {}
        self.refused: dict[ReadingBatch, Exception] = {}
        self.quarantined: list[tuple[ReadingBatch, str]] = []
        self.quarantine_error: Exception | None = None

    def write(self, batches: Sequence[ReadingBatch]) -> list[Receipt]:
        self.busy.set()
        assert self.gate.wait(10)
        self.groups.append(list(batches))
        if self.error is not None:
            raise self.error
        if any(one is self.poison for one in batches):
            raise RuntimeError("poison")
        for one in batches:
            if one in self.refused:
                raise self.refused[one]
            if one in self.slow:
                raise self.slow[one]("out of time")
        return [Receipt(int(one.integers.value[0]), len(one), 0, 0, 0) for one in batches]

    def refuse(self, batch: ReadingBatch, reason: str) -> Receipt:
        if self.quarantine_error is not None:
            raise self.quarantine_error
        self.quarantined.append((batch, reason))
        return Receipt(int(batch.integers.value[0]), 0, 0, 0, len(batch))


@pytest.fixture
def writer() -> StubWriter:
    return StubWriter()


@pytest.fixture
def lane(writer: StubWriter):
    made = Lane(writer, Limits(), name="test")
    yield made
    writer.gate.set()
    made.stop()
    made.join()


def numbered(number: int) -> ReadingBatch:
    return batch([(COUNT, later(DAY, number), number)])


def test_a_receipt_goes_to_who_published(lane: Lane, writer: StubWriter) -> None:
    with ThreadPoolExecutor(8) as threads:
        receipts = threads.map(lane.publish, [numbered(number) for number in range(40)])
        assert [receipt.batch_id for receipt in receipts] == list(range(40))
    assert sum(len(group) for group in writer.groups) == 40


def test_what_comes_while_one_is_written_goes_together(lane: Lane, writer: StubWriter) -> None:
    writer.gate.clear()
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(lane.publish, numbered(0))]
        assert writer.busy.wait(10)
        futures += [threads.submit(lane.publish, numbered(number)) for number in range(1, 6)]
        while len(lane.backlog) < 5:
            threading.Event().wait(0.001)
        writer.gate.set()
        assert [future.result().batch_id for future in futures] == list(range(6))
    assert [len(group) for group in writer.groups] == [1, 5]


def test_neighbours_of_a_bad_batch_are_written(lane: Lane, writer: StubWriter) -> None:
    writer.gate.clear()
    batches = [numbered(number) for number in range(4)]
    writer.poison = batches[2]
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(lane.publish, batches[0])]
        assert writer.busy.wait(10)
        futures += [threads.submit(lane.publish, one) for one in batches[1:]]
        while len(lane.backlog) < 3:
            threading.Event().wait(0.001)
        writer.gate.set()
        assert [futures[number].result().batch_id for number in (0, 1, 3)] == [0, 1, 3]
        with pytest.raises(RuntimeError, match="poison"):
            futures[2].result()


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), OutcomeUnknownError("cut")])
def test_without_storage_nobody_gets_a_receipt(
    lane: Lane, writer: StubWriter, error: Exception
) -> None:
    writer.error = error
    with pytest.raises(type(error)):
        lane.publish(numbered(1))
    writer.error = None
    assert lane.publish(numbered(1)).batch_id == 1


def publish_together(lane: Lane, batches: Sequence[ReadingBatch]) -> list[Receipt | BaseException]:
    """Write batches as one group, whatever threads do; their outcomes."""
    published = [Published(one) for one in batches]
    lane._write(published)
    return [one.outcome.exception() or one.outcome.result() for one in published]


@pytest.mark.parametrize("slow", [StatementTimeoutError, LockTimeoutError])
def test_neighbours_of_a_slow_batch_are_written(
    lane: Lane, writer: StubWriter, slow: type[Exception]
) -> None:
    batches = [numbered(number) for number in range(4)]
    writer.slow = {batches[1]: slow}
    outcomes = publish_together(lane, batches)
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, False, True, True]
    assert type(outcomes[1]) is slow
    assert [len(group) for group in writer.groups] == [4, 1, 1, 1, 1]


@pytest.mark.parametrize("kind", [SourceKind.PUSH, SourceKind.PROFILE])
def test_a_batch_that_is_always_too_slow_is_refused_in_the_end(
    lane: Lane, writer: StubWriter, kind: SourceKind
) -> None:
    def again(number: int) -> ReadingBatch:
        # A session reads the meter again into another batch; a push comes as it was.
        key = UUID(int=1 if kind is SourceKind.PUSH else number)
        made = batch([(COUNT, DAY, number)], kind=kind, batch_key=key)
        writer.slow[made] = StatementTimeoutError
        return made

    for number in range(4):
        with pytest.raises(StatementTimeoutError):
            lane.publish(again(number))
    with pytest.raises(PermanentError):
        lane.publish(again(4))
    # It begins anew: whoever repairs the server need not start us anew.
    with pytest.raises(StatementTimeoutError):
        lane.publish(again(5))


def test_success_and_locks_are_no_strikes(lane: Lane, writer: StubWriter) -> None:
    slow = numbered(1)
    for _ in range(3):
        for error in (StatementTimeoutError, StatementTimeoutError, LockTimeoutError):
            writer.slow = {slow: error}
            with pytest.raises(error):
                lane.publish(slow)
        writer.slow = {}
        lane.publish(slow)


def test_a_server_that_is_slow_at_everything_is_asked_no_further(
    lane: Lane, writer: StubWriter
) -> None:
    batches = [numbered(number) for number in range(60)]
    writer.slow = dict.fromkeys(batches, StatementTimeoutError)
    outcomes = publish_together(lane, batches)
    assert {type(outcome) for outcome in outcomes} == {StatementTimeoutError}
    assert len(writer.groups) == 1 + 3


def test_a_server_that_goes_away_meanwhile_is_asked_no_further(
    lane: Lane, writer: StubWriter
) -> None:
    batches = [numbered(number) for number in range(9)]
    writer.slow = {batches[2]: StatementTimeoutError, batches[4]: StorageUnavailableError}
    outcomes = publish_together(lane, batches)
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 3
    assert [type(outcome) for outcome in outcomes[4:]] == [StorageUnavailableError] * 5


def test_closing_writes_what_was_published(lane: Lane, writer: StubWriter) -> None:
    writer.gate.clear()
    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(lane.publish, numbered(0))]
        assert writer.busy.wait(10)
        futures.append(threads.submit(lane.publish, numbered(1)))
        while not len(lane.backlog):
            threading.Event().wait(0.001)
        lane.stop()
        closing = threads.submit(lane.join)
        writer.gate.set()
        closing.result(10)
        assert [future.result(10).batch_id for future in futures] == [0, 1]
    with pytest.raises(StorageUnavailableError, match="closed"):
        lane.publish(numbered(2))


def refused(sqlstate: str) -> psycopg.Error:
    return psycopg.errors.lookup(sqlstate)("no")


@pytest.mark.parametrize("sqlstate", ["22003", "23514", "54000", "P0001"])
def test_what_the_server_refuses_for_good_is_quarantined_alone(
    lane: Lane, writer: StubWriter, sqlstate: str
) -> None:
    batches = [numbered(number) for number in range(3)]
    writer.refused = {batches[1]: refused(sqlstate)}
    outcomes = publish_together(lane, batches)
    assert [outcome.quarantined for outcome in outcomes] == [0, 1, 0]
    assert [reason.split()[0] for _, reason in writer.quarantined] == [sqlstate]


@pytest.mark.parametrize("sqlstate", ["42P01", "42501", "0A000"])
def test_what_is_not_the_batchs_fault_is_not_quarantined(
    lane: Lane, writer: StubWriter, sqlstate: str
) -> None:
    batches = [numbered(number) for number in range(2)]
    writer.refused = {batches[1]: refused(sqlstate)}
    outcomes = publish_together(lane, batches)
    assert isinstance(outcomes[0], Receipt)
    assert isinstance(outcomes[1], psycopg.Error)
    assert writer.quarantined == []


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), RuntimeError("bug")])
def test_no_receipt_unless_the_quarantine_has_it(
    lane: Lane, writer: StubWriter, error: Exception
) -> None:
    poison = numbered(0)
    writer.refused, writer.quarantine_error = {poison: refused("23514")}, error
    with pytest.raises(type(error)):
        lane.publish(poison)
    writer.quarantine_error = None
    assert lane.publish(poison).quarantined == 1


def test_a_lane_that_was_never_used_ends(writer: StubWriter) -> None:
    lane = Lane(writer, Limits(), name="test")
    lane.stop()
    lane.join()


def test_a_fault_of_the_lanes_own_leaves_nobody_waiting(
    lane: Lane, writer: StubWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as threads, monkeypatch.context() as patched:
        patched.setattr(writer, "write", lambda _batches: [])  # a receipt too few
        with pytest.raises(ValueError, match="zip"):
            threads.submit(lane.publish, numbered(1)).result(10)
    assert lane.publish(numbered(2)).batch_id == 2
