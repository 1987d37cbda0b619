"""Which statements are missing, from recorded answers of TimescaleDB's catalog."""

from hes.storage.features.chunks import READINGS
from hes.storage.features.community import Catalog, steps

FRESH = Catalog(compressed=(), policies={}, refreshed=None)
DONE = Catalog(compressed=READINGS, policies=dict.fromkeys(READINGS, 67.0), refreshed=True)


def text(found: Catalog, days: int = 67) -> list[list[str]]:
    return [
        [" ".join(one.split()) for one in group] for group in steps(found, compress_after_days=days)
    ]


def test_nothing_is_switched_on_yet() -> None:
    *tables, view, policy = text(FRESH)
    assert [group[0].split()[2] for group in tables] == list(READINGS)
    assert tables[0] == [
        (
            "ALTER TABLE reading SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = 'series_id',"
            " timescaledb.compress_orderby = 'captured_at')"
        ),
        "SELECT remove_compression_policy('reading', if_exists => true)",
        "SELECT add_compression_policy('reading', compress_after => interval '67 days')",
    ]
    # The view goes and its successor comes in one transaction, which only WITH NO DATA allows.
    assert view[0] == "DROP VIEW IF EXISTS stated_hour"
    assert view[1].startswith("CREATE MATERIALIZED VIEW stated_hour WITH (timescaledb.continuous,")
    assert view[1].endswith(" WITH NO DATA")
    assert "start_offset => interval '67 days'" in policy[0]


def test_the_second_time_nothing_is_missing() -> None:
    assert text(DONE) == []


def test_another_buffer_depth_moves_the_policies_and_compresses_nothing_anew() -> None:
    assert text(DONE, 97) == [
        [
            f"SELECT remove_compression_policy('{table}', if_exists => true)",
            f"SELECT add_compression_policy('{table}', compress_after => interval '97 days')",
        ]
        for table in READINGS
    ]


def test_what_broke_off_is_taken_up() -> None:
    half = Catalog(compressed=("reading",), policies={"reading": 67.0}, refreshed=False)
    assert [group[0].split()[2] for group in text(half)[:-1]] == ["reading_float", "reading_text"]
    assert text(half)[-1][0].startswith("SELECT add_continuous_aggregate_policy('stated_hour'")
