import json
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from hes.domain.readings import ReadingBatch, ValueStore
from hes.pipeline.group import group
from hes.pipeline.window import Verdict, WindowPolicy, judge, refusals
from tests.batches import (
    COMMISSIONED,
    DAY,
    EVIDENCE,
    NOW,
    batch,
    channel,
    later,
    meter_id,
    profile,
    series,
)

METER = meter_id(0)
KNOWN = {METER: COMMISSIONED}
COUNT = series(channel(METER))
TEXT = series(channel(METER, store=ValueStore.TEXT))
FLOAT = series(channel(METER, store=ValueStore.FLOAT))
POLICY = WindowPolicy(buffer_depth=timedelta(days=60))
MICROSECOND = timedelta(microseconds=1)


def verdicts(*batches: ReadingBatch) -> list[int]:
    found: list[int] = judge(group(batches), KNOWN, POLICY, NOW).tolist()
    return found


@pytest.mark.parametrize(
    ("captured_at", "verdict"),
    [
        (COMMISSIONED - timedelta(days=60), Verdict.ACCEPTED),
        (COMMISSIONED - timedelta(days=60) - MICROSECOND, Verdict.BEFORE_WINDOW),
        (NOW + timedelta(hours=1), Verdict.ACCEPTED),
        (NOW + timedelta(hours=1) + MICROSECOND, Verdict.AFTER_WINDOW),
        (datetime(1970, 1, 1, tzinfo=UTC), Verdict.BEFORE_WINDOW),
        (datetime(2099, 1, 1, tzinfo=UTC), Verdict.AFTER_WINDOW),
        (datetime.min.replace(tzinfo=UTC), Verdict.BEFORE_WINDOW),
        (datetime.max.replace(tzinfo=UTC), Verdict.AFTER_WINDOW),
    ],
)
@pytest.mark.parametrize("key", [COUNT, TEXT])
def test_the_window_is_closed_at_both_ends(key, captured_at, verdict) -> None:
    value = 1 if key is COUNT else "1"
    assert verdicts(batch([(key, captured_at, value)])) == [verdict]


def test_a_meter_that_nobody_knows() -> None:
    stranger = series(channel(meter_id(1)))
    found = verdicts(batch([(stranger, DAY, 1), (COUNT, DAY, 1)]))
    assert found == [Verdict.UNKNOWN_METER, Verdict.ACCEPTED]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (TEXT, "with \0"),
        (TEXT, "lone \ud800"),
        (TEXT, 1.0),
        (FLOAT, "1.0"),
        (series(channel(METER), scaler=128), 1),
        (series(channel(METER), unit=256), 1),
        (series(channel(METER, period_s=-1)), 1),
        (series(attrs.evolve(channel(METER), class_id=65536)), 1),
        (series(attrs.evolve(channel(METER), attribute_index=128)), 1),
    ],
)
def test_what_the_tables_cannot_hold(key, value) -> None:
    assert verdicts(batch([(key, DAY, value), (COUNT, DAY, 1)])).count(Verdict.MALFORMED) == 1


@pytest.mark.parametrize("value", [None, "", "Größe ✓", "\x01"])
def test_texts_that_the_tables_hold(value) -> None:
    assert verdicts(batch([(TEXT, DAY, value)])) == [Verdict.ACCEPTED]


@pytest.mark.parametrize("value", [None, 0.1, float("nan"), float("-inf")])
def test_floats_that_the_tables_hold(value) -> None:
    assert verdicts(batch([(FLOAT, DAY, value)])) == [Verdict.ACCEPTED]


def test_rows_of_the_wrong_kind_for_their_channel() -> None:
    good = batch([(COUNT, DAY, 1), (TEXT, DAY, "a")])
    swapped = attrs.evolve(good, series=good.series[::-1])
    assert verdicts(swapped) == [Verdict.MALFORMED, Verdict.MALFORMED]


def entries(*batches: ReadingBatch):
    together = group(batches)
    return list(refusals(together, judge(together, KNOWN, POLICY, NOW), KNOWN))


def test_an_entry_holds_the_octets_and_lists_the_rows() -> None:
    bad = batch([(COUNT, datetime(2099, 1, 1, tzinfo=UTC), 5), (COUNT, DAY, 1)])
    (entry,) = entries(bad, batch([(COUNT, DAY, 2)]))
    assert (entry.reason, entry.raw, entry.meter_id) == ("after_window", EVIDENCE, METER)
    assert entry.session_id == bad.provenance.session_id
    assert entry.detail["rows"] == 1
    (row,) = entry.detail["listed"]
    assert row["captured_at"] == "2099-01-01T00:00:00+00:00"
    assert (row["obis"], row["value"], row["scaler"]) == ("1.0.1.8.0.255", "5", -1)


def test_one_entry_per_batch_meter_and_reason() -> None:
    future, past = datetime(2099, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
    stranger = series(channel(meter_id(1)))
    first = batch([(COUNT, future, 1), (COUNT, past, 1), (stranger, DAY, 1), (COUNT, DAY, 1)])
    second = batch([(COUNT, later(future, 1), 1), (COUNT, later(future, 2), None)])
    found = {(entry.session_id, entry.reason, entry.identity) for entry in entries(first, second)}
    assert found == {
        (first.provenance.session_id, "after_window", None),
        (first.provenance.session_id, "before_window", None),
        (first.provenance.session_id, "unknown_meter", str(meter_id(1))),
        (second.provenance.session_id, "after_window", None),
    }


def test_the_list_is_bounded_and_the_count_is_not() -> None:
    (entry,) = entries(profile([METER], start=datetime(2099, 1, 1, tzinfo=UTC)))
    assert entry.detail["rows"] == 4 * 96
    assert len(entry.detail["listed"]) == 100


def test_the_list_is_json_whatever_the_meter_sends() -> None:
    year_300000 = 10**19 - 10**18
    bad = batch([(TEXT, DAY, "\0\ud800"), (FLOAT, datetime(2099, 1, 1, tzinfo=UTC), float("nan"))])
    rows = attrs.evolve(bad.others[1], captured_at=year_300000)
    for entry in entries(attrs.evolve(bad, others=[bad.others[0], rows])):
        text = json.dumps(entry.detail, allow_nan=False)
        assert "\\u0000" not in text
