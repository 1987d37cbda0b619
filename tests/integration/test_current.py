"""
The rule of the current value stands in Python, for queries, and in SQL, for roll-ups: they agree.

One instant per hour, so that an hour's first value is what the roll-up takes for current.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hes.domain.readings import StampedAt, ValueKind, ValueStore, moment
from hes.storage.database import Database
from hes.storage.queries import latest, ranges, selection
from tests.integration.rollup_store import Store
from tests.rollup_model import Model, Said

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
SPOT_READS = Model("UTC", ValueKind.INSTANTANEOUS, StampedAt.START, 0)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


statements = st.builds(
    Said,
    series=st.sampled_from([(0, 30), (0, 30), (-2, 30), (0, 32)]),
    at=st.integers(0, 2).map(lambda hour: BEGIN + timedelta(hours=hour)),
    value=st.one_of(st.none(), st.integers(-9, 9)),
    quality=st.sampled_from([0, 1, 128]),
    source=st.sampled_from(["profile", "spot", "push"]),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(
    transactions=st.lists(st.lists(statements, min_size=1, max_size=5), min_size=1, max_size=4),
    forgotten=st.sets(st.integers(0, 19), max_size=3),
    kept_as=st.sampled_from([ValueStore.INTEGER, ValueStore.FLOAT]),
    at_once=st.booleans(),
)
def test_queries_and_roll_ups_take_the_same_value_for_current(
    store: Store, transactions, forgotten, kept_as, at_once
) -> None:
    channel_id = store.channel(SPOT_READS, kept_as)
    for said in transactions:
        store.say(channel_id, said, kept_as)
    with store.database.connection() as connection:
        newest = connection.execute(
            "SELECT batch_id FROM batch ORDER BY batch_id DESC LIMIT %s",
            (sum(map(len, transactions)),),
        ).fetchall()
        if at_once:  # as far as the clock tells
            ids = [batch_id for (batch_id,) in newest]
            connection.execute(
                "UPDATE batch SET stored_at = now() WHERE batch_id = ANY (%s)", (ids,)
            )
            connection.execute(
                "UPDATE reading_revision SET recorded_at = now() WHERE batch_id = ANY (%s)", (ids,)
            )
        gone = [batch_id for index, (batch_id,) in enumerate(newest) if index in forgotten]
        connection.execute("DELETE FROM batch WHERE batch_id = ANY (%s)", (gone,))
    store.roll()

    with store.database.connection() as connection:
        rolled = connection.execute(
            "SELECT bucket_start, scaler, unit, first, quality FROM rollup_hour"
            " JOIN series USING (series_id) WHERE channel_id = %s ORDER BY 1",
            (channel_id,),
        ).fetchall()
        found = selection.of_ids(connection, [channel_id])
        columns = ranges.values(connection, found, BEGIN, BEGIN + timedelta(days=1))
        (last,) = latest.of_channels(connection, [channel_id], now=BEGIN)
    asked = [
        (moment(at), scaler, unit, None if null else value, quality)
        for at, scaler, unit, null, value, quality in zip(
            columns.captured_at.tolist(),
            columns.scaler.tolist(),
            columns.unit.tolist(),
            columns.null.tolist(),
            columns.value.tolist(),
            columns.quality.tolist(),
            strict=True,
        )
    ]
    assert asked == rolled
    assert asked[-1] == (last.captured_at, last.scaler, last.unit, last.value, last.quality)
