"""The writer on a real server, with hypertables and with plain tables: what becomes of each row."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import attrs
import pytest
from structlog.testing import capture_logs

from hes.domain.errors import LeaseLostError
from hes.domain.quality import Quality
from hes.domain.readings import IntegerRows, ReadingBatch, Receipt, SourceKind, ValueStore
from hes.pipeline import DirectBus, WindowPolicy, Writer
from hes.pipeline.backlog import Limits, Published
from hes.pipeline.lane import BatchTooSlowError, Lane
from hes.storage import marks, quarantine
from hes.storage.database import Database, StatementTimeoutError
from hes.storage.features import partitions
from hes.storage.quarantine import Filter
from hes_protocol.cosem import Obis
from tests.batches import (
    DAY,
    EVIDENCE,
    IMPORT,
    LOAD_PROFILE,
    NOW,
    OBJECTS,
    add_meters,
    batch,
    channel,
    later,
    meter_id,
    open_bus,
    open_database,
    profile,
    provenance,
    series,
)

METER = meter_id(0)
COUNT = series(channel(METER))
PUSHED = series(channel(METER, source=None))
FLOAT = series(channel(METER, store=ValueStore.FLOAT))
TEXT = series(channel(METER, store=ValueStore.TEXT))


@pytest.fixture(params=["timescaledb", "plain"])
def database(request: pytest.FixtureRequest, database_url: str) -> Iterator[Database]:
    """A database at the current schema with three meters, on either kind of server."""
    with open_database(database_url, hypertables=request.param == "timescaledb") as opened:
        add_meters(opened, 3)
        yield opened


@pytest.fixture
def bus(database: Database) -> Iterator[DirectBus]:
    with open_bus(database) as opened:
        yield opened


def lane_on(database: Database) -> Lane:
    """A lane for groups that a test makes itself."""
    return Lane(Writer(database, WindowPolicy(), clock=lambda: NOW), Limits(), name="test")


def fetch(database: Database, query: bytes) -> list[tuple]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def readings(database: Database, table: str = "reading") -> list[tuple]:
    return fetch(
        database,
        f"SELECT captured_at, value, quality, scaler, unit FROM {table} JOIN series"
        " USING (series_id) ORDER BY captured_at, series_id".encode(),
    )


def revisions(database: Database) -> list[tuple]:
    return fetch(
        database,
        b"SELECT captured_at, value, quality, value_float, value_text FROM reading_revision"
        b" ORDER BY captured_at, revision_id",
    )


def counts(receipt: Receipt) -> tuple[int, int, int, int]:
    return receipt.stored, receipt.duplicates, receipt.revised, receipt.quarantined


def test_a_new_batch_is_stored_with_where_it_comes_from(database, bus) -> None:
    sent = profile([METER, meter_id(1)], intervals=4)
    sent = attrs.evolve(sent, provenance=attrs.evolve(sent.provenance, lease_token=7))
    for number in range(2):
        lease(database, meter_id(number), token=7)
    receipt = bus.publish(sent)
    assert counts(receipt) == (32, 0, 0, 0)
    rows = fetch(
        database,
        b"SELECT meter_id, obis, captured_at, value, batch_id FROM reading"
        b" JOIN series USING (series_id) JOIN channel USING (channel_id)",
    )
    expected = {
        (meter_id(m), OBJECTS[o].octets, later(DAY, i), 1_000_000 * m + 100_000 * o + i)
        for m in range(2)
        for o in range(4)
        for i in range(4)
    }
    assert Counter(row[:4] for row in rows) == Counter(expected)
    assert {row[4] for row in rows} == {receipt.batch_id}
    ((key, kind, session_id, token, received_at, stored, meters, visible),) = fetch(
        database,
        b"SELECT batch_key, source_kind, session_id, lease_token, received_at, stored, meter_ids,"
        b" xid < pg_snapshot_xmin(pg_current_snapshot()) FROM batch",
    )
    assert (key, kind, stored, visible) == (sent.batch_key, "profile", 32, True)
    assert session_id == sent.provenance.session_id
    assert (token, received_at) == (7, NOW)
    assert meters == sorted([METER, meter_id(1)])


# Leases.


def lease(database: Database, meter: UUID, *, token: int, seconds: float = 60) -> None:
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO due_work (meter_id, due_at, token, holder, leased_until)"
            " VALUES (%s, now(), %s, 'test', now() + make_interval(secs => %s))"
            " ON CONFLICT (meter_id) DO UPDATE"
            " SET token = excluded.token, leased_until = excluded.leased_until",
            (meter, token, seconds),
        )


def read_under(token: int, value: int = 1, kind: SourceKind = SourceKind.PROFILE) -> ReadingBatch:
    return batch([(COUNT, DAY, value)], lease_token=token, kind=kind)


def test_what_is_read_under_a_lease_that_is_over_is_not_stored(database, bus) -> None:
    def is_refused() -> bool:
        with pytest.raises(LeaseLostError):
            bus.publish(read_under(7))
        return readings(database) == [] and fetch(database, b"SELECT * FROM batch") == []

    assert is_refused()  # nobody has the lease
    lease(database, METER, token=8)
    assert is_refused()  # somebody else has it
    lease(database, METER, token=7, seconds=-1)
    assert is_refused()  # it ran out
    lease(database, meter_id(1), token=7)
    assert is_refused()  # it is one on another meter
    lease(database, METER, token=7)
    sent = read_under(7)
    receipt = bus.publish(sent)
    assert receipt.stored == 1
    lease(database, METER, token=8)
    assert bus.publish(sent) == receipt  # it was in time


def test_what_a_meter_pushes_in_a_session_needs_no_lease(database, bus) -> None:
    assert bus.publish(read_under(7, kind=SourceKind.PUSH)).stored == 1


def test_neighbours_of_a_lost_lease_are_stored(database) -> None:
    for number in range(3):
        lease(database, meter_id(number), token=number)
    batches = [
        batch([(series(channel(meter_id(number))), DAY, number)], lease_token=token)
        for number, token in ((0, 0), (1, 9), (2, 2))
    ]
    published = [Published(one) for one in batches]
    lane_on(database)._write(published)
    assert [one.outcome.exception() is None for one in published] == [True, False, True]
    assert isinstance(published[1].outcome.exception(), LeaseLostError)
    assert [row[1] for row in readings(database)] == [0, 2]


# Batches that the server never gets done.


def test_a_batch_that_takes_too_long_harms_no_other_and_ends(database, database_url: str) -> None:
    with database.connection() as connection:
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$"
        )
        connection.execute(
            f"CREATE TRIGGER slow BEFORE INSERT ON mark FOR EACH ROW"
            f" WHEN (NEW.meter_id = '{METER}') EXECUTE FUNCTION slow()".encode()
        )
    other = series(channel(meter_id(1)))
    with Database(database_url, statement_timeout_s=0.3) as impatient:
        lane = lane_on(impatient)
        for number in range(5):
            slow, fine = batch([(COUNT, DAY, 1)]), batch([(other, later(DAY, number), 1)])
            published = [Published(one) for one in (slow, fine)]
            lane._write(published)
            expected = StatementTimeoutError if number < 4 else BatchTooSlowError
            assert isinstance(published[0].outcome.exception(), expected)
            assert published[1].outcome.result().stored == 1
    assert len(readings(database)) == 5


# Channels without end.


def test_a_meter_has_only_so_many_channels(database) -> None:
    def pushed(*groups: int, meter: UUID = METER) -> ReadingBatch:
        names = (Obis.parse(f"1.{group >> 8}.{group & 255}.8.0.255") for group in groups)
        keys = (series(channel(meter, name, source=None)) for name in names)
        return batch([(key, later(DAY, 0), 1) for key in keys], kind=SourceKind.PUSH)

    policy = WindowPolicy(max_channels=10)
    with DirectBus(database, policy, clock=lambda: NOW) as bus:
        assert counts(bus.publish(pushed(*range(8)))) == (8, 0, 0, 0)
        assert counts(bus.publish(pushed(*range(4, 30)))) == (2, 4, 0, 20)
        assert counts(bus.publish(pushed(*range(30)))) == (0, 10, 0, 20)
        # A scaler that changes without end makes series, and these count.
        rescaled = [series(channel(METER, IMPORT, source=None), scaler) for scaler in range(3)]
        sent = batch([(key, DAY, 1) for key in rescaled], kind=SourceKind.PUSH)
        assert counts(bus.publish(sent)) == (0, 0, 0, 3)
        assert counts(bus.publish(pushed(*range(5), meter=meter_id(1)))) == (5, 0, 0, 0)
    # Another process, whose cache knows nothing, decides alike.
    with DirectBus(database, policy, clock=lambda: NOW) as bus:
        assert counts(bus.publish(pushed(*range(30)))) == (0, 10, 0, 20)
        both = [pushed(*range(5, 9), meter=meter_id(1)), pushed(*range(7, 12), meter=meter_id(1))]
        assert [counts(bus.publish(one))[3] for one in both] == [0, 2]
    entries = fetch(database, b"SELECT DISTINCT reason, meter_id FROM quarantine ORDER BY 2")
    assert set(entries) == {("too-many-channels", METER), ("too-many-channels", meter_id(1))}
    assert fetch(database, b"SELECT count(*) FROM series") == [(20,)]


def test_one_frame_with_thousands_of_names_does_not_hold_up_the_writer(database) -> None:
    """A flood of names costs what it brings, and not what the meter has already."""

    def flood(number: int) -> ReadingBatch:
        names = (
            Obis(b"\x01" + (number * 5400 + one).to_bytes(4, "big") + b"\xff")
            for one in range(5400)
        )
        keys = (series(channel(METER, name, source=None)) for name in names)
        return batch([(key, DAY, 1) for key in keys], kind=SourceKind.PUSH)

    with open_bus(database) as bus:
        for number in range(6):
            sent = flood(number)
            begun_s = time.monotonic()
            bus.publish(sent)
            took_s = time.monotonic() - begun_s
    assert took_s < 1.5  # as it was, the sixth took 5 s
    assert fetch(database, b"SELECT count(*) FROM series") == [(2000,)]


def test_the_same_rows_again_are_duplicates(database, bus) -> None:
    bus.publish(profile([METER]))
    assert counts(bus.publish(profile([METER]))) == (0, 384, 0, 0)
    assert len(readings(database)) == 384
    assert revisions(database) == []


def test_the_same_batch_again_gets_the_same_receipt(database, bus) -> None:
    sent = profile([METER])
    receipt = bus.publish(sent)
    assert bus.publish(sent) == receipt
    assert fetch(database, b"SELECT count(*) FROM batch") == [(1,)]


def test_another_value_or_quality_is_a_revision_and_nothing_is_overwritten(database, bus) -> None:
    at = [later(DAY, number) for number in range(5)]
    bus.publish(batch([(COUNT, at[0], 1), (COUNT, at[1], 2), (COUNT, at[2], None)]))
    receipt = bus.publish(
        batch([(COUNT, at[0], 1), (COUNT, at[1], 20), (COUNT, at[2], 3), (COUNT, at[3], 4)])
    )
    assert counts(receipt) == (1, 1, 2, 0)
    flagged = bus.publish(batch([(COUNT, at[3], 4)], quality=Quality.CLOCK_DOUBTFUL))
    nulled = bus.publish(batch([(COUNT, at[3], None)]))
    assert [counts(one) for one in (flagged, nulled)] == [(0, 0, 1, 0)] * 2
    assert [row[1] for row in readings(database)] == [1, 2, None, 4]
    assert [row[:3] for row in revisions(database)] == [
        (at[1], 20, 0),
        (at[2], 3, 0),
        (at[3], 4, Quality.CLOCK_DOUBTFUL),
        (at[3], None, 0),
    ]


def test_a_revision_read_again_is_a_duplicate_and_a_value_that_comes_back_is_not(
    database, bus
) -> None:
    values = (1, 2, 2, 1, 1, 2)
    receipts = [bus.publish(batch([(COUNT, DAY, value)])) for value in values]
    assert [one.revised for one in receipts] == [0, 1, 0, 1, 0, 1]
    assert [one.duplicates for one in receipts] == [0, 0, 1, 0, 1, 0]
    assert [row[1] for row in revisions(database)] == [2, 1, 2]


def test_one_key_several_times_in_one_batch_loses_nothing(database, bus) -> None:
    receipt = bus.publish(batch([(COUNT, DAY, value) for value in (1, 1, 2, None, None, 1)]))
    assert counts(receipt) == (1, 2, 3, 0)
    assert [row[1] for row in readings(database)] == [1]
    assert [row[1] for row in revisions(database)] == [2, None, 1]


def test_two_rows_of_one_time_are_told_again_as_often_as_one_likes(database, bus) -> None:
    """A clock was set back: the buffer holds both, and each reading of it brings both."""
    nan = float("nan")
    first = [(COUNT, DAY, 1), (COUNT, later(DAY, 1), 4), (FLOAT, DAY, nan), (TEXT, DAY, "a")]
    second = [(COUNT, DAY, 2), (COUNT, later(DAY, 1), 4), (FLOAT, DAY, 0.5), (TEXT, DAY, None)]
    assert counts(bus.publish(batch(first))) == (4, 0, 0, 0)
    assert counts(bus.publish(batch(first + second))) == (0, 5, 3, 0)
    for again in (first + second, second, first + second):
        assert counts(bus.publish(batch(again))) == (0, len(again), 0, 0)
    # The first row is gone from the buffer, and a third one of that time is there.
    assert counts(bus.publish(batch([(COUNT, DAY, 2), (COUNT, DAY, 1)]))) == (0, 1, 1, 0)
    assert counts(bus.publish(batch([(COUNT, DAY, n) for n in (1, 2, 1)]))) == (0, 3, 0, 0)
    assert [row[1] for row in readings(database)] == [1, 4]
    assert [row[1:] for row in revisions(database)] == [
        (2, 0, None, None),
        (None, 0, 0.5, None),
        (None, 0, None, None),
        (1, 0, None, None),
    ]
    new = later(DAY, 2)
    receipt = bus.publish(batch([(FLOAT, new, value) for value in (nan, 1.5, nan)]))
    assert counts(receipt) == (1, 0, 2, 0)
    told = [(COUNT, new, 7), (COUNT, new, 8)]
    writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
    receipts = writer.write([batch(told), batch(told)])
    assert sorted(map(counts, receipts)) == [(0, 2, 0, 0), (1, 0, 1, 0)]


def test_floats_and_texts(database, bus) -> None:
    at = [later(DAY, number) for number in range(4)]
    nan = float("nan")
    rows = [
        (FLOAT, at[0], 0.1),
        (FLOAT, at[1], nan),
        (FLOAT, at[2], None),
        (TEXT, at[0], "tab\t, \\N, Größe"),
        (TEXT, at[1], ""),
        (TEXT, at[2], None),
        (COUNT, at[0], -(2**63)),
        (COUNT, at[1], 2**63 - 1),
    ]
    assert counts(bus.publish(batch(rows))) == (8, 0, 0, 0)
    assert counts(bus.publish(batch(rows))) == (0, 8, 0, 0)
    changed = [(FLOAT, at[0], 0.2), (TEXT, at[1], "x"), (TEXT, at[3], "new")]
    assert counts(bus.publish(batch(changed))) == (1, 0, 2, 0)
    floats = [row[1] for row in readings(database, "reading_float")]
    assert floats[0] == 0.1
    assert floats[1] != floats[1]
    assert floats[2] is None
    texts = [row[1] for row in readings(database, "reading_text")]
    assert texts == ["tab\t, \\N, Größe", "", None, "new"]
    assert [row[1] for row in readings(database)] == [-(2**63), 2**63 - 1]
    assert [row[3:] for row in revisions(database)] == [(0.2, None), (None, "x")]


def test_a_batch_without_rows_has_a_receipt(database, bus) -> None:
    empty = ReadingBatch(meter_id(99), (), IntegerRows.empty(), (), provenance())
    assert counts(bus.publish(empty)) == (0, 0, 0, 0)
    assert fetch(database, b"SELECT count(*) FROM batch") == [(1,)]


def test_ids_are_not_burnt(database, bus) -> None:
    for value in range(5):
        bus.publish(batch([(COUNT, DAY, value)]))
    with open_bus(database) as other:
        other.publish(batch([(COUNT, DAY, 9), (PUSHED, DAY, 1)]))
    ids = fetch(database, b"SELECT channel_id, series_id FROM series ORDER BY 1")
    assert ids == [(1, 1), (2, 2)]


# Series: hes.pipeline.series has the rule.


def test_a_changed_scaler_makes_a_series_for_later_rows(database, bus) -> None:
    kilo = series(channel(METER), scaler=2)
    bus.publish(batch([(COUNT, later(DAY, number), 100 + number) for number in range(4)]))
    # Rows 2 and 3 were captured before the change; they are read once more, raw as they were.
    receipt = bus.publish(batch([(kilo, later(DAY, n), 100 + n) for n in range(2, 6)]))
    assert counts(receipt) == (2, 2, 0, 0)
    assert [(row[1], row[3]) for row in readings(database)] == [
        (100, -1),
        (101, -1),
        (102, -1),
        (103, -1),
        (104, 2),
        (105, 2),
    ]


def test_late_rows_of_a_profile_go_to_the_series_that_was_valid(database, bus) -> None:
    kilo = series(channel(METER), scaler=2)
    bus.publish(batch([(COUNT, later(DAY, 0), 10), (COUNT, later(DAY, 4), 14)]))
    receipt = bus.publish(batch([(kilo, later(DAY, n), 10 + n) for n in (-1, 2, 4, 5, 6)]))
    assert counts(receipt) == (4, 1, 0, 0)
    assert [(row[1], row[3]) for row in readings(database)] == [
        (9, -1),
        (10, -1),
        (12, -1),
        (14, -1),
        (15, 2),
        (16, 2),
    ]
    since = fetch(database, b"SELECT valid_from FROM series WHERE scaler = 2")
    assert since == [(later(DAY, 5),)]
    # Another process, whose cache knows nothing, decides alike.
    with open_bus(database) as other:
        other.publish(batch([(kilo, later(DAY, 1), 11), (kilo, later(DAY, 7), 17)]))
    assert [row[3] for row in readings(database)] == [-1, -1, -1, -1, -1, 2, 2, 2]


def test_old_rows_read_again_under_a_new_scaler_make_no_series(database, bus) -> None:
    kilo = series(channel(METER), scaler=2)
    bus.publish(batch([(COUNT, later(DAY, n), n) for n in range(3)]))
    receipt = bus.publish(batch([(kilo, later(DAY, n), n) for n in range(3)]))
    assert counts(receipt) == (0, 3, 0, 0)
    assert fetch(database, b"SELECT count(*) FROM series") == [(1,)]


def test_a_profile_with_an_old_scaler_goes_to_its_own_series(database, bus) -> None:
    kilo = series(channel(METER), scaler=2)
    bus.publish(batch([(COUNT, later(DAY, 0), 10)]))
    bus.publish(batch([(kilo, later(DAY, 1), 11)]))
    bus.publish(batch([(COUNT, later(DAY, 2), 12)]))
    assert [(row[1], row[3]) for row in readings(database)] == [(10, -1), (11, 2), (12, -1)]


def test_a_push_keeps_the_scaler_that_it_came_with(database, bus) -> None:
    other = series(channel(METER, source=None), scaler=3)
    for number, key in enumerate((PUSHED, other, PUSHED, other)):
        bus.publish(batch([(key, later(DAY, number), number)], kind=SourceKind.PUSH))
    # A retransmission, and one that comes late: the value belongs to its own scaler.
    bus.publish(batch([(other, later(DAY, 1), 1)], kind=SourceKind.PUSH))
    bus.publish(batch([(other, later(DAY, -1), 9)], kind=SourceKind.PUSH))
    assert [(row[1], row[3]) for row in readings(database)] == [
        (9, 3),
        (0, -1),
        (1, 3),
        (2, -1),
        (3, 3),
    ]
    assert fetch(database, b"SELECT count(*) FROM series") == [(2,)]


def test_two_scalers_of_a_new_channel_in_one_batch(database, bus) -> None:
    kilo = series(channel(METER), scaler=2)
    bus.publish(batch([(kilo, later(DAY, 1), 2), (COUNT, later(DAY, 0), 1)]))
    rows = fetch(database, b"SELECT scaler, isfinite(valid_from) FROM series ORDER BY valid_from")
    assert rows == [(-1, False), (2, True)]


# Window and quarantine.


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_clock_far_off_goes_to_quarantine_and_neighbours_are_unharmed(
    database, bus, year: int
) -> None:
    off = datetime(year, 1, 1, tzinfo=UTC)
    rows = [(COUNT, off + timedelta(days=9 * number), number) for number in range(50)]
    receipt = bus.publish(batch([(COUNT, DAY, 7), *rows, (TEXT, off, "x"), (TEXT, DAY, "y")]))
    assert counts(receipt) == (2, 0, 0, 51)
    assert [row[1] for row in readings(database)] == [7]
    with database.connection() as connection:
        (entry,) = quarantine.page(connection, before=None, limit=10)
        (mark,) = marks.select(connection, [METER])
    assert (entry.meter_id, entry.serial) == (METER, "S000000")
    assert entry.reason == ("before_window" if year == 1970 else "after_window")
    assert entry.raw == EVIDENCE
    assert entry.detail is not None
    assert entry.detail["rows"] == 51
    assert len(entry.detail["listed"]) == 51
    assert mark.captured_at == DAY
    assert fetch(database, b"SELECT count(*) FROM completeness") == [(1,)]


def test_an_unknown_meter_goes_to_quarantine(database, bus) -> None:
    stranger = meter_id(77)
    receipt = bus.publish(profile([stranger, METER], intervals=1))
    assert counts(receipt) == (4, 0, 0, 4)
    with database.connection() as connection:
        (entry,) = quarantine.page(connection, before=None, limit=10)
    assert (entry.meter_id, entry.identity) == (None, str(stranger))


def test_a_meter_fills_its_share_of_the_quarantine_and_no_more(database, bus) -> None:
    off = datetime(2099, 1, 1, tzinfo=UTC)
    with capture_logs() as logs:
        for number in range(8):
            bad = batch([(COUNT, later(off, number), 1), (COUNT, later(DAY, number), 1)])
            evidence = attrs.evolve(bad.provenance, evidence=bytes(1024 * 1024))
            receipt = bus.publish(attrs.evolve(bad, provenance=evidence))
            assert counts(receipt) == (1, 0, 0, 1)
    assert {line["event"] for line in logs} == {"rows_quarantined"}
    assert [line["kept"] for line in logs] == [True] * 3 + [False] * 5
    with database.connection() as connection:
        assert len(quarantine.page(connection, before=None, limit=9)) == 3
    assert counts(bus.publish(batch([(series(channel(meter_id(1))), off, 1)]))) == (0, 0, 0, 1)
    with database.connection() as connection:
        assert (
            len(quarantine.page(connection, before=None, limit=9, wanted=Filter(meter_id(1)))) == 1
        )


# Marks and completeness.


def test_marks_only_move_forward(database, bus) -> None:
    bus.publish(profile([METER, meter_id(1)], intervals=8))
    bus.publish(profile([METER], intervals=4))
    with database.connection() as connection:
        found = marks.select(connection, [METER, meter_id(1), meter_id(2)])
    assert {(mark.meter_id, mark.source, mark.captured_at) for mark in found} == {
        (METER, LOAD_PROFILE, later(DAY, 7)),
        (meter_id(1), LOAD_PROFILE, later(DAY, 7)),
    }


def test_intervals_add_up(database, bus) -> None:
    bus.publish(profile([METER], intervals=2))
    bus.publish(profile([METER], start=later(DAY, 95), intervals=2))
    with database.connection() as connection:
        days = marks.intervals(connection, METER, LOAD_PROFILE, date(2026, 1, 1), date(2027, 1, 1))
    assert [(day.day, day.bits) for day in days] == [
        (date(2026, 11, 20), "11" + "0" * 93 + "1"),
        (date(2026, 11, 21), "1" + "0" * 95),
    ]


# Groups.


def test_batches_of_one_group_have_receipts_of_their_own(database) -> None:
    writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
    twice = profile([METER], intervals=2, objects=[IMPORT])
    off = batch([(series(channel(meter_id(2))), datetime(2099, 1, 1, tzinfo=UTC), 1)])
    batches = [
        twice,
        profile([METER], intervals=3, objects=[IMPORT], offset=5),
        profile([meter_id(1)], intervals=1),
        twice,
        off,
    ]
    receipts = writer.write(batches)
    assert [counts(one) for one in receipts] == [
        (2, 0, 0, 0),
        (1, 0, 2, 0),
        (4, 0, 0, 0),
        (2, 0, 0, 0),
        (0, 0, 0, 1),
    ]
    assert receipts[0] == receipts[3]
    assert writer.write(batches) == receipts
    assert [row[1] for row in revisions(database)] == [5, 6]


def test_connections_that_others_make_while_chunks_are_made_do_no_harm(
    database, monkeypatch
) -> None:
    """The writer forgets what it knows when there are new ones; it must ask again, not fail."""
    ensure = partitions.ensure

    def beside_others(of: Database, numbers: Set[int], tables: Sequence[str]) -> None:
        ensure(of, numbers, tables)
        with of.connection(), of.connection(), of.connection():
            pass

    monkeypatch.setattr(partitions, "ensure", beside_others)
    writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
    (receipt,) = writer.write([profile([METER], intervals=4)])
    assert counts(receipt) == (16, 0, 0, 0)
