"""
Reads the `conformance` marks from the sources of the tests, without running or importing them.

A mark stands on a function, on a class, or in a module's `pytestmark`, always spelt
`pytest.mark.conformance("row", "kind", ...)` with literals; on a class or module it counts once
for each test function in it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from tests.conformance import KINDS, NAMES

TESTS: Final = Path(__file__).resolve().parent


@attrs.frozen(order=True)
class Mark:
    """One test function that proves a row, as one kind."""

    row: str
    kind: str
    path: str
    function: str


class BadMarkError(ValueError):
    """A mark that names no row, no kind, or is not spelt in literals."""


def read_marks(folder: Path = TESTS) -> frozenset[Mark]:
    """
    All marks of the tests in a folder.

    Raises: BadMarkError.
    """
    marks: set[Mark] = set()
    for path in sorted(folder.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark.conformance(" in source:
            name = path.relative_to(folder.parent).as_posix()
            marks.update(marks_of(source, name))
    return frozenset(marks)


def marks_of(source: str, path: str) -> Iterator[Mark]:
    """The marks in one module."""
    module = ast.parse(source)
    read = 0
    shared = [
        mark
        for statement in module.body
        if isinstance(statement, ast.Assign)
        and any(
            isinstance(name, ast.Name) and name.id == "pytestmark" for name in statement.targets
        )
        for mark in _calls(statement.value, path)
    ]
    for function, marks in _functions(module.body, shared, path):
        for row, kinds in marks:
            for kind in kinds:
                read += 1
                yield Mark(row, kind, path, function)
    if not read:
        raise BadMarkError(f"{path}: no mark can be read")


def _functions(
    body: Iterable[ast.stmt], shared: list[tuple[str, tuple[str, ...]]], path: str
) -> Iterator[tuple[str, list[tuple[str, tuple[str, ...]]]]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own = shared + [
                mark for decorator in node.decorator_list for mark in _calls(decorator, path)
            ]
            if isinstance(node, ast.ClassDef):
                for name, marks in _functions(node.body, own, path):
                    yield f"{node.name}.{name}", marks
            elif node.name.startswith("test"):
                yield node.name, own


def _calls(node: ast.AST, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Marks anywhere in an expression, `pytest.param(..., marks=...)` included."""
    for call in ast.walk(node):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "conformance"
        ):
            words = [
                word.value
                for word in call.args
                if isinstance(word, ast.Constant) and isinstance(word.value, str)
            ]
            if len(words) < 2 or len(words) != len(call.args) or call.keywords:
                raise BadMarkError(f"{path}:{call.lineno}: a row and kinds, as literals")
            row, *kinds = words
            if row not in NAMES or not set(kinds) <= set(KINDS):
                raise BadMarkError(f"{path}:{call.lineno}: {row} {kinds}")
            yield row, tuple(kinds)
