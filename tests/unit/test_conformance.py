"""The conformance page is what the marks say, and no row that is in scope lacks its tests."""

from __future__ import annotations

import pytest

from tests.conformance import KINDS, NAMES, ONE_SIDED, OPEN
from tests.conformance_marks import BadMarkError, Mark, marks_of, read_marks
from tests.conformance_page import PAGE, meters_part, missing, page

MARK = "mark.conformance"  # apart, so that this module is not read as one with marks


def test_the_page_is_what_the_marks_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_marks(), meters_part()), (
        "run python -m tests.conformance"
    )


def test_no_role_of_a_row_lacks_a_test() -> None:
    assert missing(read_marks()) <= OPEN


def test_excuses_name_rows_and_roles() -> None:
    assert {row for row, _ in ONE_SIDED} <= NAMES
    assert {role for _, role in ONE_SIDED} <= set(KINDS[:2])


def test_marks_of_functions_classes_and_modules() -> None:
    source = f"""
pytestmark = [pytest.{MARK}("llc", "client")]

@pytest.{MARK}("mbus", "vector")
class TestIt:
    @pytest.{MARK}("lls", "client", "server")
    async def test_one(self): ...

    def helper(self): ...

def test_two(): ...
"""
    assert set(marks_of(source, "x.py")) == {
        Mark("llc", "client", "x.py", "TestIt.test_one"),
        Mark("mbus", "vector", "x.py", "TestIt.test_one"),
        Mark("lls", "client", "x.py", "TestIt.test_one"),
        Mark("lls", "server", "x.py", "TestIt.test_one"),
        Mark("llc", "client", "x.py", "test_two"),
    }


@pytest.mark.parametrize(
    "mark",
    [
        '("no such row", "client")',
        '("lls", "nobody")',
        '("lls")',
        "(ROW, 'client')",
        '("lls", kind="client")',
    ],
)
def test_marks_that_say_nothing(mark: str) -> None:
    with pytest.raises(BadMarkError):
        list(marks_of(f"@pytest.{MARK}{mark}\ndef test_it(): ...", "x.py"))


def test_a_mark_where_none_is_read() -> None:
    with pytest.raises(BadMarkError):
        list(marks_of(f"@pytest.{MARK}('lls', 'client')\ndef helper(): ...", "x.py"))
