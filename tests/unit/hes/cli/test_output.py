"""Data on stdout, in the four forms."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from hes.cli.output import write_document, write_rows


class Colour(StrEnum):
    RED = "red"


COLUMNS = ("name", "when", "octets", "known", "count", "drift_s", "colour", "id")
ROWS: list[dict[str, Any]] = [
    {
        "name": 'a "b", c',
        "when": datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        "octets": b"\x00\xff",
        "known": True,
        "count": 7,
        "drift_s": -0.5,
        "colour": Colour.RED,
        "id": UUID(int=1),
    },
    {
        **dict.fromkeys(COLUMNS),
        "name": "Ä",
        "when": datetime(2026, 1, 1, microsecond=5, tzinfo=UTC),
    },
]
FIRST = {
    "name": 'a "b", c',
    "when": "2026-01-01T00:00:00Z",
    "octets": "00ff",
    "known": True,
    "count": 7,
    "drift_s": -0.5,
    "colour": "red",
    "id": "00000000-0000-0000-0000-000000000001",
}


def test_json_is_one_list(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, COLUMNS, "json")
    first, second = json.loads(capsys.readouterr().out)
    assert first == FIRST
    assert (second["name"], second["when"]) == ("Ä", "2026-01-01T00:00:00.000005Z")
    assert second["count"] is None


def test_ndjson_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, COLUMNS, "ndjson")
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == FIRST
    assert json.loads(second)["name"] == "Ä"


def test_csv_has_a_head_and_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, COLUMNS, "csv")
    head, first, second = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == list(COLUMNS)
    assert first == [*map(str, [FIRST[name] for name in COLUMNS[:3]]), "yes", "7", "-0.5", "red",
                     FIRST["id"]]  # fmt: skip
    assert second[3:] == [""] * 5


def test_a_table_cuts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    write_rows([{"a_b": long, "c": 1}, {"a_b": "y", "c": None}], ("a_b", "c"), "table")
    assert capsys.readouterr().out.splitlines() == [
        "A B" + " " * 299 + "C",
        long + "  1",
        "y",
    ]


@pytest.mark.parametrize(
    ("output", "printed"), [("table", "A\n"), ("json", "[]\n"), ("ndjson", ""), ("csv", "a\n")]
)
def test_of_no_rows(capsys: pytest.CaptureFixture[str], output: str, printed: str) -> None:
    write_rows([], ("a",), output)
    assert capsys.readouterr().out == printed


def test_what_has_no_form_is_our_bug() -> None:
    with pytest.raises(TypeError, match="object"):
        write_document(object())
