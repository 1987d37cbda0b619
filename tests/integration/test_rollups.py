"""Roll-ups on a real server against a plain model, over days on which the clock changes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hes.domain.quality import Quality
from hes.domain.readings import (
    StampedAt,
    ValueKind,
    ValueStore,
    microseconds,
)
from hes.storage import rollups
from hes.storage.database import Database
from tests.integration.rollup_store import BERLIN, REGISTER, WIDTHS, Store, quarters, value
from tests.rollup_model import Model, Said


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


ZONES = [BERLIN, "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"]
# The clock changes in one of these zones in each of these nights.
STARTS = ["2026-03-07T22:00Z", "2026-03-28T20:00Z", "2026-04-04T10:00Z", "2026-10-03T10:00Z",
          "2026-10-24T20:00Z", "2026-10-31T23:00Z"]  # fmt: skip

instants = st.builds(
    lambda night, quarter, off: (
        datetime.fromisoformat(night) + timedelta(minutes=15 * quarter, seconds=off)
    ),
    st.sampled_from(STARTS),
    st.integers(0, 4 * 30),
    st.sampled_from([0, 0, 0, 0, 1, 899]),
)
statements = st.builds(
    Said,
    series=st.sampled_from([(0, 30), (0, 30), (0, 30), (-2, 30), (1, 30), (0, 32)]),
    at=instants,
    value=st.one_of(
        st.none(),
        st.integers(-50, 50),
        st.integers(0, 10**6),
        st.sampled_from([2**63 - 1, -(2**63)]),
    ),
    quality=st.sampled_from([0, 0, 1, 128, 256]),
    source=st.sampled_from(["profile", "profile", "spot", "push"]),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(
    zone=st.sampled_from(ZONES),
    kind=st.sampled_from([*ValueKind, ValueKind.CUMULATIVE, ValueKind.CUMULATIVE]),
    stamped_at=st.sampled_from(StampedAt),
    period_s=st.sampled_from([0, 900, 3600, 86400]),
    batches=st.lists(st.lists(statements, min_size=1, max_size=8), min_size=1, max_size=5),
    roll_between=st.booleans(),
)
def test_as_the_model_says_in_whatever_order_things_are_told(
    store: Store, zone, kind, stamped_at, period_s, batches, roll_between
) -> None:
    model = Model(zone, kind, stamped_at, period_s)
    channel_id = store.channel(model)
    said: list[Said] = []
    for batch in batches:
        store.say(channel_id, batch)
        said += batch
        if roll_between:
            store.roll()
    store.roll()
    for width in WIDTHS:
        assert store.held(channel_id, width) == model.buckets(said, width), width


@pytest.mark.parametrize(
    ("start", "quarters_of_day"),
    [
        ("2026-03-29T00:15+01:00", 92),
        ("2026-10-25T00:15+02:00", 100),
        ("2026-06-01T00:15+02:00", 96),
    ],
)
def test_a_local_day_of_quarters_stamped_at_their_end(
    store: Store, start: str, quarters_of_day: int
) -> None:
    channel_id = store.channel(REGISTER)
    store.say(channel_id, quarters(start, quarters_of_day + 1))
    store.roll()
    days = store.held(channel_id, "day")
    midnight = (datetime.fromisoformat(start) - timedelta(minutes=15)).astimezone(UTC)
    day = days.pop(((0, 30), midnight))
    assert (day.samples, day.expected) == (quarters_of_day, quarters_of_day)
    # The value of the first quarter's end has none before it to have risen from.
    assert day.sum == 10 * (quarters_of_day - 1)
    (next_day,) = days.values()
    assert (next_day.samples, next_day.sum) == (1, 10)
    assert len(store.held(channel_id, "hour")) == quarters_of_day // 4 + 1


def test_late_data_change_the_bucket_after_them_too(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:00+02:00", 97)
    store.say(channel_id, [*rows[:4], rows[96]])
    store.roll()
    late = store.held(channel_id, "hour")
    assert sorted(one.sum for one in late.values() if one.samples == 1 and one.sum) == [930]
    store.say(channel_id, rows[4:96])
    store.roll()
    assert store.held(channel_id, "hour") == REGISTER.buckets(rows, "hour")
    assert store.held(channel_id, "day") == REGISTER.buckets(rows, "day")


def test_a_corrected_value_moves_what_rose_between_its_neighbours(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 8)
    store.say(channel_id, rows)
    store.roll()
    rows.append(attrs.evolve(rows[3], value=35, quality=Quality.CLOCK_DOUBTFUL))
    store.say(channel_id, rows[8:])
    store.roll()
    first, second = (
        one for _, one in sorted(store.held(channel_id, "hour").items(), key=lambda kv: kv[0][1])
    )
    assert (first.sum, first.last, first.quality) == (35, 35, Quality.CLOCK_DOUBTFUL)
    assert (second.sum, second.quality) == (35, 0)


def test_a_register_that_fell_is_said(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 6)
    rows[4] = attrs.evolve(rows[4], value=5)
    store.say(channel_id, rows)
    store.roll()
    (day,) = store.held(channel_id, "day").values()
    assert (day.falls, day.sum, day.min, day.max) == (1, 50, 0, 50)


def test_doing_it_again_writes_nothing(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 96)
    store.say(channel_id, rows)
    store.roll()

    def versions() -> list[tuple[object, ...]]:
        with store.database.connection() as connection:
            return [
                row
                for width in WIDTHS
                for row in connection.execute(
                    f"SELECT bucket_start, xmin::text, ctid::text FROM rollup_{width} ORDER BY 1"
                )
            ]

    before = versions()
    assert len(before) == 26
    with store.database.connection() as connection:
        rollups.mark_dirty(
            connection,
            np.full(96, store.series(channel_id), np.int32),
            np.array([microseconds(one.at) for one in rows], np.int64),
        )
    store.roll()
    assert versions() == before


def test_floats_as_the_shortest_decimals_that_stand_for_them(store: Store) -> None:
    model = Model(BERLIN, ValueKind.DELTA, StampedAt.END, 900)
    channel_id = store.channel(model, ValueStore.FLOAT)
    start = datetime(2026, 6, 1, 0, 15, tzinfo=UTC)
    given_values = [0.1, 0.2, 1e22, float("nan"), float("inf"), -1e22, 5e-324]
    store.say(
        channel_id,
        [
            value(start + timedelta(seconds=n), v, series=(3, 33))
            for n, v in enumerate(given_values)
        ],
        ValueStore.FLOAT,
    )
    store.roll()
    (hour,) = store.held(channel_id, "hour").values()
    assert (hour.samples, hour.first, hour.last) == (5, Decimal("0.1"), Decimal("5e-324"))
    assert hour.sum == Decimal("0.3") + Decimal("5e-324") or hour.sum - Decimal("0.3") > 0
    with store.database.connection() as connection:
        first, unit = connection.execute("SELECT first, unit FROM reading_hour").fetchone()
    assert (first, unit) == (Decimal("0.1"), 33)


def test_the_views_give_physical_values(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = [attrs.evolve(one, series=(-2, 30)) for one in quarters("2026-06-01T00:15+02:00", 9)]
    store.say(channel_id, rows)
    store.roll()
    with store.database.connection() as connection:
        for width, count in (("hour", 3), ("day", 1), ("month", 1)):
            found = connection.execute(
                f"SELECT sum(sum), max(last), sum(samples), min(unit) FROM reading_{width}"
                " WHERE channel_id = %s",
                (channel_id,),
            ).fetchone()
            assert found == (Decimal("0.8"), Decimal("0.8"), 9, 30)
            rows_found = connection.execute(f"SELECT count(*) FROM reading_{width}").fetchone()
            assert rows_found == (count,)
