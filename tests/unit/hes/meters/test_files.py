"""Files of rows, also from people who mean us no good."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.meters.fields import RowError
from hes.meters.files import FIELDS, Format, read_rows
from hes.meters.lines import bounded_lines
from hes.meters.rows import parse_fields

HEAD = "serial,timezone,address,port,secret,mechanism,group\n"


def rows(file: bytes | str, format_: Format = Format.AUTO) -> list[tuple[int, Any]]:
    """Line numbers with fields, or with what is wrong: (field, message)."""
    octets = file.encode() if isinstance(file, str) else file
    return [
        (number, (row.field, row.message) if isinstance(row, RowError) else row)
        for number, row in read_rows(bounded_lines(io.BytesIO(octets)), format_)
    ]


S1 = {"serial": "S1", "timezone": "Europe/Vienna"}


@pytest.mark.parametrize(
    "file",
    [
        "serial,timezone\nS1,Europe/Vienna\n",
        "serial;timezone\r\nS1;Europe/Vienna\r\n",
        "serial\ttimezone\rS1\tEurope/Vienna\r",
        '\ufeff"Serial"," TIMEZONE "\n"S1","Europe/Vienna"',
        'serial,timezone,model\n\n"S1","Europe/Vienna",""\n\n',
        '{"serial": "S1", "timezone": "Europe/Vienna"}\n',
        '\ufeff{"serial": "S1", "timezone": "Europe/Vienna"}',
    ],
)
def test_one_meter_in_many_clothes(file: str) -> None:
    [(_, row)] = rows(file)
    assert row == S1


def test_mixed_line_ends_keep_the_numbers_of_lines() -> None:
    file = b"serial,timezone\r\nA,x\nB,x\rC,x\r\n\r\nD,x"
    assert [(number, row["serial"]) for number, row in rows(file)] == [
        (2, "A"),
        (3, "B"),
        (4, "C"),
        (6, "D"),
    ]


def test_cells_hold_delimiters_and_quotes() -> None:
    [(_, row)] = rows('serial,site_address,group\nS1,"Mill ""Old"", 3",a|b\n')
    assert row == {"serial": "S1", "site_address": 'Mill "Old", 3', "group": "a|b"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'"S1,Europe/Vienna,,,,,\n', "a quote that is not closed"),
        (b'"S"1,Europe/Vienna,,,,,\n', "a quote that is not closed, or stands within"),
        (b"S1,Europe/Vienna\n", "2 cells where 7 are due"),
        (b"S1,Europe/Vienna,,,,,,\n", "8 cells where 7 are due"),
        (b"S\xe4,Europe/Vienna,,,,,\n", "not UTF-8; save the file as UTF-8"),
        (b"S1," + b"x" * 1_000_000 + b",,,,,\n", "longer than 16384 octets"),
    ],
)
def test_a_broken_line_costs_no_other_one(line: bytes, says: str) -> None:
    file = HEAD.encode() + b"A,Europe/Vienna,,,,,\n" + line + b"B,Europe/Vienna,,,,,\n"
    (_, first), (number, (field, message)), (_, last) = rows(file)
    assert (first["serial"], last["serial"]) == ("A", "B")
    assert (number, field) == (3, None)
    assert says in message


@pytest.mark.parametrize(
    ("cells", "field", "says"),
    [
        ("=1+1,Europe/Vienna,,,,,", "serial", "begins with =, as formulas do"),
        ("@SUM(A1),Europe/Vienna,,,,,", "serial", "begins with @"),
        ('"=""00123""",Europe/Vienna,,,,,', "serial", "begins with ="),
        ("S1,Europe/Vienna,,,,,-cmd", "group", "begins with -"),
        ("S\0,Europe/Vienna,,,,,", "serial", "cannot be printed"),
        ("S\u202e1,Europe/Vienna,,,,,", "serial", "cannot be printed"),
        ("S1,=cmd|' /C calc'!A0,,,,,", "timezone", "no IANA time zone"),
        ("S1,Europe/Vienna,10.0.0.1,=4059,,,", "port", "not a whole number"),
        ("S1,Europe/Vienna,,,hunter2,lls,", "secret", "not a text of hex digits"),
    ],
)
def test_a_hostile_cell_is_named_and_no_secret_quoted(cells: str, field: str, says: str) -> None:
    [(_, row)] = rows(HEAD + cells)
    with pytest.raises(RowError) as caught:
        parse_fields(row)
    assert caught.value.field == field
    assert says in caught.value.message
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "field", "says"),
    [
        ("serial,zone\nS1,x\nS2,x\n", "zone", "no such field"),
        ("serial,serial\nS1,x\n", "serial", "two columns of this name"),
        ("serial,,timezone\nS1,,x\n", None, "a column without a name"),
        ('serial,"timezone\nS1,x\n', None, "a quote that is not closed"),
        ("serial,associations\nS1,[]\n", "associations", "no such field"),
    ],
)
def test_names_that_cannot_be_end_the_file(file: str, field: str | None, says: str) -> None:
    [(number, error)] = rows(file)
    assert (number, error[0]) == (1, field)
    assert says in error[1]


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_a_wrong_encoding_is_said_once(encoding: str) -> None:
    text = "\ufeff" + HEAD + "S1,Europe/Vienna,,,,,\n" * 50
    found = rows(text.encode(encoding))
    assert found == [(1, (None, "UTF-16; save the file as UTF-8"))]


def test_a_format_that_was_said_is_not_guessed() -> None:
    assert rows("serial,timezone\nS1,x\n", Format.NDJSON)[0][1][0] is None
    [(_, error)] = rows('{"serial": "S1"}\n', Format.CSV)
    assert "a quote" in error[1] or "no such field" in error[1]


def test_no_file_has_no_rows() -> None:
    for file in ("", "\n\n", "\ufeff", "serial,timezone\n"):
        assert [row for _, row in rows(file) if isinstance(row, dict)] == []


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(str.strip)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), _TEXT, min_size=1), st.sampled_from(",;\t"))
def test_what_a_csv_writer_writes_comes_back(row: dict[str, str], delimiter: str) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(
        buffer, ["serial", *sorted(row.keys() - {"serial"})], delimiter=delimiter
    )
    writer.writeheader()
    writer.writerow(row)
    said = {name: text for name, text in row.items() if text}
    found = rows(buffer.getvalue(), Format.CSV)
    assert found == ([(2, said)] if said else [])


@given(st.binary(max_size=400), st.sampled_from(Format))
def test_whatever_a_file_holds_it_ends_in_rows_and_errors(octets: bytes, format_: Format) -> None:
    for _, row in read_rows(bounded_lines(io.BytesIO(octets)), format_):
        if isinstance(row, dict):
            with pytest.raises(RowError):
                parse_fields({**row, "no such": 1})
