"""
Mutation score: plant a fault, run the tests that should notice, count those that do not.

    python -m tests.mutation [GROUP ...] [--list] [--sample N]

A mutant is one small change of one module: a comparison, an operator, a constant, a condition, a
statement left out, a word of SQL. The module is changed on import, in a forked process; no file is
touched. What cannot be noticed stands in `tests/mutation_equivalents.py` with the reason. Exit
status 1: below 90 % in one of the groups.

The group `storage` uses PostgreSQL: that of HES_DATABASE_URL, or one that is started for it.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import os
import random
import re
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from typing import Any, Final

import attrs

from tests.mutation_equivalents import EQUIVALENT

LEAST_SCORE: Final = 0.9
TIMEOUT_S: Final = 120
_CODE: Final = re.compile(r"[a-z]+(-[a-z0-9]+)+\Z")
_SQL: Final = (
    ("<=", "<"), (">=", ">"), (" > ", " >= "), (" = 0", " = 1"), ("greatest", "least"),
    ("least(", "greatest("), (" + ", " - "), (" - ", " + "), ("~ 0", "0"), (">>", "<<"),
    ("THEN false", "THEN true"), ("THEN true", "THEN false"), (" AND ", " OR "),
    ("IS NOT NULL", "IS NULL"), ("IS NULL", "IS NOT NULL"), ("coalesce", "nullif"),
)  # fmt: skip


@attrs.frozen
class Group:
    """Modules and the tests that must notice their faults, the quick ones first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


_SECURITY: Final = "tests/unit/hes_protocol/security"
GROUPS: Final[dict[str, Group]] = {
    "collector": Group(
        ("hes_collectors.dlms.counters",), ("tests/unit/hes_collectors/dlms/test_counters.py",)
    ),
    "storage": Group(("hes.storage.counters",), ("tests/integration/test_counters.py",)),
    "security": Group(
        tuple(
            f"hes_protocol.security.{path.stem}"
            for path in sorted(Path("protocol/hes_protocol/security").glob("*.py"))
            if path.stem != "__init__"
        ),
        (_SECURITY, "tests/unit/hes_protocol/test_negative_security.py"),
    ),
    "channel": Group(
        ("hes_protocol._channel", "hes_protocol._proofs"),
        (
            "tests/unit/hes_protocol/test_channel.py",
            "tests/unit/hes_protocol/test_proofs.py",
            "tests/unit/hes_protocol/test_signed_challenges.py",
            "tests/unit/hes_protocol/test_negative_security.py",
            "tests/unit/hes_protocol/test_association.py",
        ),
    ),
}


@attrs.frozen
class Mutant:
    """One change: where, what stood there, and what stands there now."""

    module: str
    function: str
    line: int
    before: str
    after: str
    tree: ast.Module = attrs.field(repr=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it in the list of equivalents, whatever line it is on."""
        return self.module.rpartition(".")[2], self.function, self.before, self.after

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.function}: {self.before!r} -> {self.after!r}"


# --- what may be changed ------------------------------------------------------------------------

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.Mod: ast.Mult,
}  # fmt: skip


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may stand in place of one."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        for place, op in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[place] = _COMPARED[type(op)]()
            yield changed
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.BoolOp(other, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield ast.Pass()
    elif isinstance(node, ast.If | ast.IfExp):
        changed_if = copy.copy(node)
        changed_if.test = ast.UnaryOp(ast.Not(), node.test)
        if not isinstance(node.test, ast.UnaryOp | ast.Compare):
            yield changed_if


def _constants(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"!")
    elif isinstance(value, str) and _CODE.match(value):
        yield ast.Constant(value + "x")
    elif isinstance(value, str) and ("SELECT" in value or "UPDATE" in value or "WHERE" in value):
        for word, other in _SQL:
            for found in re.finditer(re.escape(word), value):
                yield ast.Constant(value[: found.start()] + other + value[found.end() :])


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = []
    for path, function in _places(tree):
        node = _at(tree, path)
        for number, changed in enumerate(_changes(node)):
            copied = copy.deepcopy(tree)
            parent, field, index = _at(copied, path[:-1]), *path[-1]
            ast.copy_location(changed, node)
            if index is None:
                setattr(parent, field, changed)
            else:
                getattr(parent, field)[index] = changed
            before, after = _told(node, changed, number)
            found.append(
                Mutant(
                    module, function, getattr(node, "lineno", 0), before, after,
                    ast.fix_missing_locations(copied),
                )
            )  # fmt: skip
    return found


_Path = tuple[tuple[str, int | None], ...]


def _told(node: ast.AST, changed: ast.AST, number: int) -> tuple[str, str]:
    if isinstance(node, ast.If | ast.IfExp):
        return ast.unparse(node.test), f"not ({ast.unparse(node.test)})"
    before, after = ast.unparse(node), ast.unparse(changed)
    if len(before) > 160:
        return f"{before[:40]}… {number}", _difference(before, after)
    return before, after


def _difference(before: str, after: str) -> str:
    pairs = zip(before, after, strict=False)
    place = next((place for place, (one, other) in enumerate(pairs) if one != other), 0)
    return f"…{after[max(0, place - 40) : place + 30]}…"


def _places(tree: ast.Module) -> Iterator[tuple[_Path, str]]:
    """Every node that runs, with its function; no annotation, docstring or decorator."""
    pending: list[tuple[ast.AST, _Path, str]] = [(tree, (), "")]
    while pending:
        node, path, function = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_params", "format_spec"):
                continue
            children = value if isinstance(value, list) else [value]
            for index, child in enumerate(children):
                if not isinstance(child, ast.AST) or _is_docstring(child):
                    continue
                if isinstance(child, ast.Import | ast.ImportFrom):
                    continue
                step = (field, index if isinstance(value, list) else None)
                below = (*path, step)
                yield below, function
                pending.append((child, below, function))


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _at(tree: ast.AST, path: _Path) -> Any:
    node: Any = tree
    for field, index in path:
        node = getattr(node, field)
        node = node if index is None else node[index]
    return node


# --- running ------------------------------------------------------------------------------------


@attrs.frozen
class _Changed(MetaPathFinder, Loader):
    """Gives one module from a changed tree, all others as they are."""

    mutant: Mutant
    origin: str

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.mutant.module:
            return None
        return spec_from_loader(name, self, origin=self.origin)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        module.__file__ = self.origin
        exec(compile(self.mutant.tree, self.origin, "exec"), module.__dict__)


def is_noticed(mutant: Mutant | None, origin: str, tests: Sequence[str]) -> bool:
    """Whether the tests fail with this change; None changes nothing."""
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            signal.alarm(TIMEOUT_S)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            if mutant is not None:
                sys.meta_path.insert(0, _Changed(mutant, origin))
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--no-header"]
            if pytest.main([*options, *tests]) == 0:
                os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return status != 0


def _score(name: str, sample: int) -> float:
    group = GROUPS[name]
    if is_noticed(None, "", group.tests):
        raise SystemExit(f"{name}: the tests fail without any fault")
    killed = survived = equivalent = 0
    begin = time.monotonic()
    for module in group.modules:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        all_of_them = mutants(module)
        _forget(module)
        if sample:
            all_of_them = random.Random(module).sample(all_of_them, min(sample, len(all_of_them)))
        for mutant in all_of_them:
            if mutant.key in EQUIVALENT:
                equivalent += 1
            elif any(is_noticed(mutant, spec.origin, [tests]) for tests in group.tests):
                killed += 1
            else:
                survived += 1
                print(f"survived: {mutant}", flush=True)
    score = killed / max(1, killed + survived)
    print(
        f"{name}: {killed} killed, {survived} survived, {equivalent} equivalent:"
        f" {score:.1%} in {time.monotonic() - begin:.0f} s",
        flush=True,
    )
    return score


@contextlib.contextmanager
def _database() -> Iterator[None]:
    """One PostgreSQL for all mutants; those of the tests' own would start anew for each."""
    from hes.services import database_service

    with tempfile.TemporaryDirectory() as folder:
        service = database_service(
            Path(folder),
            url=os.environ.get("HES_DATABASE_URL"),
            servers=Path(os.environ.get("HES_DATA") or ".hes") / "servers",
            durable=False,
            report=print,
        )
        with service:
            os.environ["HES_DATABASE_URL"] = service.url
            yield


def _forget(module: str) -> None:
    """What find_spec imported must be imported anew by the children, from the changed tree."""
    root = module.partition(".")[0]
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]


def main() -> int:
    """Parse and run."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS])
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--sample", type=int, default=0, help="so many of each module")
    given = parser.parse_args()
    names = given.groups or list(GROUPS)
    if given.list:
        for name in names:
            for module in GROUPS[name].modules:
                for mutant in mutants(module):
                    print(mutant)
        return 0
    with _database() if "storage" in names else contextlib.nullcontext():
        scores = [_score(name, given.sample) for name in names]
    return 0 if min(scores) >= LEAST_SCORE else 1


if __name__ == "__main__":
    # Imported once, before the forks; nothing of ours but the fixtures' owners may be among them.
    import cryptography.hazmat.primitives.ciphers.aead
    import hypothesis
    import numpy as np
    import pytest

    assert all((cryptography, hypothesis, np, pytest))
    sys.exit(main())
