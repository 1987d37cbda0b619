"""The fields of a row that say where its meter hangs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hes.meters.fields import RowError
from hes.meters.place_rows import PlaceSpec
from hes.meters.rows import MeterSpec, parse_row
from hes.storage.installations import Ratio
from hes.storage.sites import Measured


def parse(**fields: Any) -> MeterSpec:
    return parse_row(json.dumps({"serial": "S1", "timezone": "Europe/Vienna", **fields}).encode())


def test_a_row_that_says_nothing_has_no_place() -> None:
    spec = parse(site="", usage_point=None, group=" ")
    assert (spec.place, spec.groups) == (None, None)


def test_reads_all_fields() -> None:
    spec = parse(
        site=" Mill ", site_address="River 1, Ö", usage_point="AT1", transformer="T1",
        feeder="F1", installed_at="2026-05-01T00:00:00+02:00", ct_ratio="200 / 5", vt_ratio=100,
        group=["b", "a", "b"],
    )  # fmt: skip
    assert spec.place == PlaceSpec(
        usage_point="AT1",
        measures=Measured.SITE,
        site="Mill",
        site_address="River 1, Ö",
        transformer="T1",
        feeder="F1",
        installed_at=datetime(2026, 4, 30, 22, tzinfo=UTC),
        ct=Ratio(200, 5),
        vt=Ratio(100, 1),
    )
    assert spec.groups == ("b", "a")


@pytest.mark.parametrize(
    ("fields", "measures", "usage_point"),
    [
        ({"site": "X"}, Measured.SITE, "X"),
        ({"measures": "transformer", "transformer": "T", "feeder": "F"}, Measured.TRANSFORMER, "T"),
        ({"measures": "feeder", "feeder": "F", "usage_point": "P"}, Measured.FEEDER, "P"),
    ],
)
def test_a_usage_point_is_named_as_what_is_measured_there(
    fields: dict[str, Any], measures: Measured, usage_point: str
) -> None:
    place = parse(**fields).place
    assert place is not None
    assert (place.measures, place.usage_point) == (measures, usage_point)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"usage_point": "P"}, "site", "missing; usage_point needs it"),
        ({"ct_ratio": 40}, "site", "missing; ct_ratio needs it"),
        ({"installed_at": "2026-05-01T00:00:00Z"}, "site", "missing; installed_at needs it"),
        ({"measures": "transformer"}, "transformer", "missing; measures needs it"),
        ({"measures": "transformer", "transformer": "T", "site": "X"}, "site", "has no place"),
        ({"measures": "feeder", "feeder": "F", "transformer": "T"}, "transformer", "has no place"),
        ({"site": "X", "feeder": "F"}, "transformer", "missing; a feeder feeds sites through one"),
        ({"site": "X", "measures": "house"}, "measures", "none of site, transformer, feeder"),
        ({"site": "X", "installed_at": "2026-05-01"}, "installed_at", "no offset"),
        ({"site": "X" * 65}, "site", "longer than 64"),
        ({"site": 7}, "site", "not a text"),
        ({"site": "X", "site_address": "a\nb"}, "site_address", "cannot be printed"),
        ({"site": "X", "site_address": "a" * 1001}, "site_address", "longer than 1000"),
        ({"site": "X", "site_address": ["a"]}, "site_address", "not a text"),
        ({"group": ["a", ""]}, "group", "an empty name"),
        ({"group": {"a": 1}}, "group", "not a text"),
        ({"group": [str(i) for i in range(101)]}, "group", "more than 100"),
    ],
)
def test_says_what_cannot_be(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        parse(**fields)
    assert (caught.value.field, caught.value.serial) == (field, "S1")
    assert message in caught.value.message


@pytest.mark.parametrize(
    "ratio", ["0", "5/0", "0/5", "-5", "1.5", 1.5, True, "200/5/1", "x", [200, 5], "1" * 10, "²"]
)
def test_refuses_what_is_no_ratio(ratio: object) -> None:
    with pytest.raises(RowError, match="no ratio such as 200/5 or 40"):
        parse(site="X", ct_ratio=ratio)
