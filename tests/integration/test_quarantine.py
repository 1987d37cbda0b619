"""Entries of the quarantine are looked at, replayed and dropped; what they take is given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import attrs
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import BatchSink, KeptFrame, Sender
from hes.domain.readings import ReadingBatch, SourceKind, ValueStore
from hes.pipeline import DirectBus, WindowPolicy
from hes.pipeline.replay import ReplayLoop, ReplayRefusedError, Replays
from hes.readings import Quarantine, QuarantineFilter
from hes.storage import kept_rows, quarantine
from hes.storage.database import Database
from hes.storage.inbound import InboundStore
from hes.storage.quarantine import Decision, EntryHandledError, EntryUnknownError, State
from tests.batches import (
    DAY,
    EVIDENCE,
    NOW,
    add_meters,
    batch,
    channel,
    later,
    meter_id,
    open_bus,
    open_database,
    profile,
    series,
)

METER = meter_id(0)
COUNT = series(channel(METER))
TEXT = series(channel(METER, source=None, store=ValueStore.TEXT))
FLOAT = series(channel(METER, source=None, store=ValueStore.FLOAT))
FAR = datetime(2026, 11, 21, 15, tzinfo=UTC)  # three hours ahead of NOW
BY = Decision("ann", "the clock was wrong")


@pytest.fixture(params=[True, False], ids=["hypertables", "partitions"])
def database(database_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    with open_database(database_url, hypertables=request.param) as opened:
        add_meters(opened, 2)
        yield opened


@pytest.fixture
def bus(database: Database) -> Iterator[DirectBus]:
    with open_bus(database) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Quarantine:
    return Quarantine(database, clock=lambda: NOW)


def replays(database: Database, now: datetime = NOW, **more: object) -> Replays:
    return Replays(database, WindowPolicy(), clock=lambda: now, **more)  # type: ignore[arg-type]


def usage(database: Database) -> list[tuple[object, ...]]:
    return fetch(database, "SELECT sender, frames, octets FROM quarantine_usage ORDER BY 1")


def fetch(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.connection() as connection:
        return connection.execute(query.encode()).fetchall()


def only(store: Quarantine, state: State | None = State.OPEN) -> quarantine.Entry:
    (entry,) = store.page(None, 9, QuarantineFilter(state=state)).items
    return entry


def test_refused_rows_are_kept_whole_and_replayed_once(database, bus, store) -> None:
    rows = [(COUNT, FAR, 7), (COUNT, later(FAR, 1), None), (TEXT, FAR, "x"), (FLOAT, FAR, 0.5)]
    assert bus.publish(batch([(COUNT, DAY, 1), *rows], quality=4)).quarantined == 4
    entry = only(store)
    detail = store.get(entry.quarantine_id)
    assert [(row.captured_at, row.value, row.quality) for row in detail.rows] == [
        (at, value, 4) for _, at, value in rows
    ]
    assert detail.raw == EVIDENCE
    assert entry.has_rows
    with pytest.raises(ReplayRefusedError, match="after_window"):
        replays(database).replay(entry.quarantine_id, BY)
    assert only(store).attempt_said == "after_window"
    assert fetch(database, "SELECT count(*) FROM batch") == [(1,)]

    receipt = replays(database, FAR).replay(entry.quarantine_id, BY)
    assert (receipt.stored, receipt.quarantined) == (4, 0)
    done = only(store, State.REPLAYED)
    assert (done.handled_by, done.handled_why, done.batch_id) == (BY.by, BY.why, receipt.batch_id)
    assert done.handled_at == FAR
    # It stays what it was: evidence, and found by whoever erases a person's data.
    assert store.get(done.quarantine_id) == attrs.evolve(detail, entry=done)
    assert usage(database) == []
    assert fetch(database, "SELECT value, quality FROM reading ORDER BY captured_at") == [
        (1, 4), (7, 4), (None, 4),
    ]  # fmt: skip
    assert fetch(database, "SELECT value FROM reading_text") == [("x",)]
    assert fetch(database, "SELECT value FROM reading_float") == [(0.5,)]
    with pytest.raises(EntryHandledError, match="is replayed"):
        replays(database, FAR).replay(entry.quarantine_id, BY)
    with pytest.raises(EntryUnknownError):
        replays(database).replay(4711, BY)


def test_a_replay_keeps_kind_and_time_of_receipt_and_moves_no_mark(database, bus, store) -> None:
    bus.publish(batch([(COUNT, DAY, 1)]))
    bus.publish(batch([(COUNT, FAR, 7)]))
    replays(database, FAR).replay(only(store).quarantine_id, BY)
    assert fetch(database, "SELECT captured_at FROM mark") == [(DAY,)]
    assert fetch(database, "SELECT source_kind, received_at FROM batch ORDER BY batch_id")[1] == (
        "profile", NOW,
    )  # fmt: skip


@pytest.mark.parametrize("year", [1999, 2099])
def test_an_operator_may_take_rows_of_any_time(database, bus, store, year: int) -> None:
    bus.publish(batch([(COUNT, datetime(year, 1, 1, tzinfo=UTC), 7)]))
    entry = only(store)
    with pytest.raises(ReplayRefusedError):
        replays(database).replay(entry.quarantine_id, BY)
    receipt = replays(database).replay(entry.quarantine_id, attrs.evolve(BY, any_time=True))
    assert receipt.stored == 1


def test_rows_all_over_time_would_lock_everything(database, bus, store) -> None:
    off = datetime(2090, 1, 1, tzinfo=UTC)
    bus.publish(batch([(COUNT, off + timedelta(days=9 * day), day) for day in range(100)]))
    entry = only(store)
    with pytest.raises(ReplayRefusedError, match="spread over"):
        replays(database).replay(entry.quarantine_id, attrs.evolve(BY, any_time=True))
    assert only(store).state is State.OPEN


def test_what_is_refused_again_stays_as_an_entry_of_its_own(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1), (COUNT, later(FAR, 8), 2)]))
    first = only(store)
    receipt = replays(database, FAR).replay(first.quarantine_id, BY)
    assert (receipt.stored, receipt.quarantined) == (1, 1)
    rest = only(store)
    assert rest.quarantine_id != first.quarantine_id
    assert [row.value for row in store.get(rest.quarantine_id).rows] == [2]
    ((sender, frames, _),) = usage(database)
    assert (sender, frames) == (f"meter {METER}", 1)
    assert replays(database, later(FAR, 8)).replay(rest.quarantine_id, BY).stored == 1
    assert usage(database) == []


def test_a_share_that_is_full_stands_in_no_replays_way(database, bus, store) -> None:
    """What is refused again needs room before the entry gives its own back."""
    policy = WindowPolicy(max_quarantined_octets=3200)
    bad = batch([(COUNT, FAR, 1), (COUNT, later(FAR, 8), 2)])
    evidence = attrs.evolve(bad.provenance, evidence=bytes(2500))
    with DirectBus(database, policy, clock=lambda: NOW) as small:
        small.publish(attrs.evolve(bad, provenance=evidence))
        assert small.publish(batch([(COUNT, FAR, 3)])).quarantined == 1
    entry = only(store)
    receipt = Replays(database, policy, clock=lambda: FAR).replay(entry.quarantine_id, BY)
    assert (receipt.stored, receipt.quarantined) == (1, 1)


def test_rows_of_a_meter_that_nobody_knew(database, bus, store) -> None:
    stranger = meter_id(2)
    bus.publish(profile([stranger], intervals=2))
    entry = only(store)
    with pytest.raises(ReplayRefusedError, match="unknown_meter"):
        replays(database).replay(entry.quarantine_id, BY)
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO meter (meter_id, serial, timezone, transport, commissioned_at)"
            " VALUES (%s, 'NEW', 'Europe/Berlin', 'wrapper', '2026-01-01Z')",
            (stranger,),
        )
    assert replays(database).replay(entry.quarantine_id, BY).stored == 8
    assert only(store, State.REPLAYED).meter_id == stranger


def test_what_the_server_refuses_is_poison_until_it_does_not(database, bus, store) -> None:
    with database.connection() as connection:
        connection.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'never %', NEW.value; END $$;"
            "CREATE TRIGGER no BEFORE INSERT ON reading_text FOR EACH ROW EXECUTE FUNCTION no()"
        )
    receipt = bus.publish(batch([(COUNT, DAY, 1), (TEXT, DAY, "x")]))
    assert (receipt.stored, receipt.quarantined) == (0, 2)
    entry = only(store)
    assert entry.reason == "refused"
    assert entry.detail is not None
    assert entry.detail["error"] == "P0001 never x"
    with pytest.raises(ReplayRefusedError, match="P0001 never x"):
        replays(database).replay(entry.quarantine_id, BY)
    assert only(store).attempt_said == "P0001 never x"
    with database.connection() as connection:
        connection.execute("DROP TRIGGER no ON reading_text")
    assert replays(database).replay(entry.quarantine_id, BY).stored == 2


@pytest.mark.parametrize(("times", "stored"), [(2, True), (3, False)])
def test_a_race_that_is_lost_is_run_again(database, bus, store, times: int, stored: bool) -> None:
    bus.publish(batch([(TEXT, FAR, "x")]))
    with database.connection() as connection:
        # A sequence counts on when its transaction is undone.
        connection.execute(
            "CREATE SEQUENCE tries;"
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('tries') <= {times} THEN RAISE unique_violation; END IF;"
            " RETURN NEW; END $$;"
            "CREATE TRIGGER lose BEFORE INSERT ON reading_text FOR EACH ROW EXECUTE FUNCTION lose()"
        )
    if stored:
        assert replays(database, FAR).replay(1, BY).stored == 1
    else:
        with pytest.raises(ReplayRefusedError, match="23505"):
            replays(database, FAR).replay(1, BY)


def test_a_session_that_the_server_ends_leaves_the_entry_open(database, bus, store) -> None:
    bus.publish(batch([(TEXT, FAR, "x")]))
    store.request_replay(1, BY)
    with database.connection() as connection:
        connection.execute(
            "CREATE SEQUENCE tries;"
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
            " RETURN NEW; END $$;"
            # Late: rows are merged, the batch is recorded, the entry is about to end.
            "CREATE TRIGGER die BEFORE UPDATE ON quarantine FOR EACH ROW EXECUTE FUNCTION die()"
        )
    with pytest.raises(StorageUnavailableError):
        replays(database, FAR).run_once()
    assert only(store).requested_at == NOW
    assert fetch(database, "SELECT count(*) FROM reading_text") == [(0,)]
    assert replays(database, FAR).run_once() == 1
    assert only(store, State.REPLAYED).batch_id is not None
    assert fetch(database, "SELECT count(*) FROM reading_text") == [(1,)]


def test_a_dry_run_says_what_would_happen_and_does_nothing(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1)]))
    before = only(store), usage(database)
    receipt = replays(database, FAR).replay(before[0].quarantine_id, BY, dry_run=True)
    assert receipt.stored == 1
    with pytest.raises(ReplayRefusedError, match="after_window"):
        replays(database).replay(before[0].quarantine_id, BY, dry_run=True)
    assert (only(store), usage(database)) == before
    assert fetch(database, "SELECT count(*) FROM reading") == [(0,)]


def test_two_who_replay_at_once_store_it_once(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1)]))
    entry = only(store)
    outcomes: list[object] = []
    start = threading.Barrier(4)

    def replay() -> None:
        start.wait()
        try:
            outcomes.append(replays(database, FAR).replay(entry.quarantine_id, BY).stored)
        except EntryHandledError:
            outcomes.append("handled")

    threads = [threading.Thread(target=replay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["1", "handled", "handled", "handled"]
    assert fetch(database, "SELECT count(*) FROM batch") == [(2,)]


def test_listeners_are_told_of_a_replay(database, bus, store) -> None:
    class Listener:
        def __init__(self) -> None:
            self.values: list[int] = []

        def committed(self, committed) -> None:
            self.values += committed.value.tolist()

    bus.publish(batch([(COUNT, FAR, 7)]))
    listener = Listener()
    replays(database, FAR, listeners=[listener]).replay(only(store).quarantine_id, BY)
    assert listener.values == [7]


def test_what_is_dropped_leaves_who_and_why_and_gives_its_share_back(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1), (COUNT, later(FAR, 1), 2)]))
    entry = only(store)
    store.drop(entry.quarantine_id, BY)
    dropped = store.get(entry.quarantine_id)
    assert (dropped.raw, dropped.rows, dropped.entry.detail) == (b"", (), {"rows": 2})
    assert (dropped.entry.state, dropped.entry.handled_by) == (State.DROPPED, "ann")
    assert usage(database) == []
    with pytest.raises(EntryHandledError):
        store.drop(entry.quarantine_id, BY)
    with pytest.raises(EntryHandledError):
        store.request_replay(entry.quarantine_id, BY)
    with pytest.raises(EntryHandledError):
        replays(database).replay(entry.quarantine_id, BY)
    with pytest.raises(EntryUnknownError):
        store.get(4711)


def test_limits_are_of_what_is_open(database, store) -> None:
    inbound = InboundStore(database, max_unknown_senders=1)
    for number in range(3):
        sender = Sender(ip_address("192.0.2.1"), number.to_bytes(8))
        inbound.quarantine(sender, "unknown-meter", b"abc", meter_id=None, received_at=NOW)
        assert len(usage(database)) == 1
        store.drop(only(store).quarantine_id, BY)
    assert usage(database) == []


def test_who_deletes_entries_gives_their_room_back(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1)]))
    bus.publish(batch([(COUNT, FAR, 1)]))
    with database.connection() as connection:
        ((sender, octets),) = connection.execute(
            "DELETE FROM quarantine WHERE quarantine_id = 1 RETURNING sender, octets"
        ).fetchall()
        quarantine.give_back(connection, [(sender, octets), (None, None)])
    assert usage(database) == [(sender, 1, octets)]
    with database.connection() as connection:
        quarantine.give_back(connection, [(sender, octets)])
    assert usage(database) == []


def test_many_rows_make_several_entries_with_the_octets_once(
    database, bus, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_rows, "MAX_ROWS", 10)
    bus.publish(batch([(COUNT, later(FAR, number), number) for number in range(25)]))
    entries = store.page(None, 9).items
    assert [entry.raw for entry in entries] == [b"", b"", EVIDENCE]
    now = later(FAR, 25)
    stored = [replays(database, now).replay(entry.quarantine_id, BY).stored for entry in entries]
    assert stored == [5, 10, 10]
    assert fetch(database, "SELECT value FROM reading ORDER BY 1") == [(n,) for n in range(25)]


def test_pages_by_what_is_wanted(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1)]))
    bus.publish(batch([(series(channel(meter_id(1))), datetime(1999, 1, 1, tzinfo=UTC), 1)]))
    InboundStore(database).quarantine(
        Sender(ip_address("192.0.2.1")), "unknown-meter", b"abc", meter_id=None,
        received_at=NOW + timedelta(hours=1),
    )  # fmt: skip

    def ids(**wanted: object) -> list[int]:
        page = store.page(None, 9, QuarantineFilter(**wanted))  # type: ignore[arg-type]
        return [entry.quarantine_id for entry in page.items]

    assert ids() == [3, 2, 1]
    assert ids(meter_id=meter_id(1)) == [2]
    assert ids(reason="after_window") == [1]
    assert ids(since=NOW + timedelta(minutes=1)) == [3]
    store.drop(2, BY)
    assert ids(state=State.OPEN) == [3, 1]
    assert ids(state=State.DROPPED) == [2]


# What is asked for is done by a collector.


def test_what_is_asked_for_is_replayed_or_says_why_not(database, bus, store) -> None:
    bus.publish(batch([(COUNT, FAR, 1)]))
    bus.publish(batch([(COUNT, later(FAR, 40), 2)]))
    fine, early = 1, 2
    for quarantine_id in (fine, early):
        assert store.request_replay(quarantine_id, BY).requested_by == "ann"
    assert replays(database, FAR).run_once() == 2
    assert replays(database, FAR).run_once() == 0
    assert store.get(fine).entry.state is State.REPLAYED
    left = store.get(early).entry
    assert (left.state, left.requested_at, left.attempt_said) == (State.OPEN, None, "after_window")
    store.request_replay(early, attrs.evolve(BY, any_time=True))
    with ReplayLoop(replays(database, FAR), every_s=0.01):
        for _ in range(500):
            if store.get(early).entry.state is State.REPLAYED:
                return
            threading.Event().wait(0.02)
    pytest.fail("nobody has replayed it")


class Reader:
    """`FrameReader` that makes of a frame what the test says."""

    def __init__(self, made: ReadingBatch | str | Exception) -> None:
        self.made = made
        self.frames: list[KeptFrame] = []

    def read(self, frame: KeptFrame, sink: BatchSink, *, dry_run: bool) -> str | None:
        self.frames.append(frame)
        if isinstance(self.made, Exception):
            raise self.made
        if isinstance(self.made, str):
            return self.made
        sink.publish(self.made)
        return None


def keep_frame(database: Database) -> None:
    InboundStore(database).quarantine(
        Sender(ip_address("192.0.2.1"), b"\x01" * 8), "unknown-meter", b"frame",
        meter_id=None, received_at=NOW,
    )  # fmt: skip


def test_a_frame_is_read_again_with_what_is_known_of_it(database, store) -> None:
    keep_frame(database)
    reader = Reader(batch([(TEXT, DAY, "x")], kind=SourceKind.PUSH))
    receipt = replays(database, frames=reader).replay(1, BY)
    assert receipt.stored == 1
    (frame,) = reader.frames
    assert (frame.raw, frame.peer, frame.received_at) == (b"frame", ip_address("192.0.2.1"), NOW)
    assert store.get(1).raw == b"frame"
    assert usage(database) == []


def test_a_frame_that_is_stored_by_now_is_stored_once(database, bus, store) -> None:
    keep_frame(database)
    repeated = batch([(TEXT, DAY, "x")], kind=SourceKind.PUSH)
    first = bus.publish(repeated)
    assert replays(database, frames=Reader(repeated)).replay(1, BY) == first
    assert only(store, State.REPLAYED).batch_id == first.batch_id


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("unknown-meter", "unknown-meter"),
        (batch([(TEXT, FAR, "x")]), "after_window"),
    ],
)
def test_a_frame_that_is_no_reading_stays(database, store, made, said: str) -> None:
    keep_frame(database)
    with pytest.raises(ReplayRefusedError, match=said):
        replays(database, frames=Reader(made)).replay(1, BY)
    assert (only(store).attempt_said, len(usage(database))) == (said, 1)


def test_our_own_fault_is_said_and_stops_no_others(database, bus, store) -> None:
    keep_frame(database)
    bus.publish(batch([(COUNT, FAR, 1)]))
    store.request_replay(1, BY)
    store.request_replay(2, BY)
    assert replays(database, FAR, frames=Reader(KeyError("oh"))).run_once() == 2
    assert store.get(1).entry.attempt_said == "internal-error: KeyError"
    assert store.get(2).entry.state is State.REPLAYED
