"""The page of faults names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "faults.md"
ROWS = (*range(1, 6), *range(7, 20), 21, *range(35, 42))


def names(path: Path) -> set[str]:
    """The tests of a file, those of a class with its name."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        found.add(getattr(node, "name", ""))
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{getattr(each, 'name', '')}" for each in node.body}
    return found


def test_each_row_has_tests_and_each_test_exists() -> None:
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", page, re.MULTILINE))
    assert set(map(int, rows)) >= set(ROWS)
    for row, tests in rows.items():
        assert re.search(r"`[\w/]+\.py::", tests), row
    for path, name in re.findall(r"`([\w/]+\.py)::([\w:]+)`", page):
        assert name in names(TESTS / path), f"{path}::{name}"
