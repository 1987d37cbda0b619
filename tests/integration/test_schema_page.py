"""The page and the picture of the schema show the schema that the migrations make."""

import xml.etree.ElementTree as ET

import pytest

from hes.storage.database import Database
from tests.schema_page import PAGE, PICTURE, Table, page, read
from tests.schema_picture import draw


@pytest.fixture
def tables(shared_url: str) -> list[Table]:
    with Database(shared_url) as database, database.connection() as connection:
        return list(read(connection))


def test_what_is_kept_is_fresh(tables: list[Table]) -> None:
    assert PAGE.read_text() == page(tables), "run `python -m tests.schema_page`"
    assert PICTURE.read_text() == draw(tables), "run `python -m tests.schema_page`"


def test_the_picture_has_every_table_and_no_box_covers_another(tables: list[Table]) -> None:
    picture = ET.fromstring(draw(tables))
    heads = [text.text for text in picture.findall(".//{*}text") if text.get("fill") == "#ffffff"]
    assert heads == [table.name for table in tables]
    boxes = [
        tuple(int(rect.get(name) or 0) for name in ("x", "y", "width", "height"))
        for rect in picture.findall(".//{*}rect")
        if rect.get("fill") == "#fbfbfc"
    ]
    assert len(boxes) == len(tables)
    for number, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, *_ in boxes[number + 1 :]:
            assert other_x != x or other_y >= y + height
            assert other_x == x or abs(other_x - x) >= width


def test_references_are_read_from_the_server(tables: list[Table]) -> None:
    columns = {(table.name, column.name): column for table in tables for column in table.columns}
    assert columns["site", "transformer_id"].refers_to == "transformer"
    assert columns["installation", "meter_id"].enforced
    series_of_reading = columns["reading", "series_id"]
    assert (series_of_reading.refers_to, series_of_reading.enforced) == ("series", False)
    assert columns["event", "meter_id"].refers_to == "meter"
    assert columns["reading", "captured_at"].refers_to is None
    assert columns["meter", "system_title"].refers_to is None
