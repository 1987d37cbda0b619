"""
Writes `docs/reference/conformance.md`: what the marks prove, and whose captures were read.

The part about meters needs the captures (HES_VECTORS); where they are not it stays as it is.
Serial numbers never get into it: a meter is counted only by a model that is listed here.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

from tests.conformance import KINDS, ONE_SIDED, ROWS
from tests.conformance_marks import TESTS, Mark, read_marks

PAGE: Final = TESTS.parent / "docs" / "reference" / "conformance.md"
VECTORS: Final = Path(os.environ.get("HES_VECTORS") or TESTS.parents[1] / "shared" / "vectors")

_HEAD: Final = """\
# Conformance: what is spoken, and what proves it

Written by `python -m tests.conformance` from the marks of the tests; do not edit.

**Which DLMS profile is supported?** Logical-name referencing over TCP, UDP, HDLC and wired M-Bus,
with security suite 0, in the client's role (the head-end) and the server's (simulated meters, and
tests of other clients). No one companion profile (IDIS, DSMR, SPODES, …) is claimed: what a profile
asks for is there if the rows below that it uses are there. Short-name referencing, security suites
1 and 2, general-ciphering with agreed keys, and general-signing are not supported.

A number counts the test functions that prove a row in a role; many run with tables of cases.
*vector*: octets of a real meter, or an example published with its result, are read. "–" under
client or server: that role has nothing to prove there, for the reason below the table; under
vector: no public capture has it. **missing**: it is in scope and no test proves it.
"""

_METERS: Final = "## Meters whose captures are read\n"

# What may be said of a meter: maker, model, and what its name in the captures looks like.
_MODELS: Final = (
    ("Aidon", "6515", "6515"),
    ("Aidon", "6534", "6534"),
    ("Aidon", "other (list AIDON_V0001)", "Aidon"),
    ("Circutor", "", "Circutor"),
    ("Elgama", "GAMA 150", "GAMA 150"),
    ("Elgama", "GAMA 350", "GAMA 350"),
    ("Iskraemeco", "AM550", "AM550"),
    ("Iskraemeco", "MT174, MT382 and others", "Iskra"),
    ("Iskraemeco", "MX382", "MX382"),
    ("Kaifa", "MA105H2E", "MA105H2E"),
    ("Kaifa", "MA110, MA309", "MA110/MA309"),
    ("Kaifa", "MA304H3E", "MA304H3E"),
    ("Kaifa", "MA304H4, MA304H4PSE", "MA304H4"),
    ("Kaifa", "MA309, MA309M", "MA309"),
    ("Kaifa", "other", "Kaifa|KFM"),
    ("Kamstrup", "Omnipower", "(?i)omnipower"),
    ("Kamstrup", "other (list Kamstrup_V0001)", "Kamstrup"),
    ("Landis+Gyr", "E360", "E360"),
    ("Landis+Gyr", "E450", "E450"),
    ("Landis+Gyr", "E570", "E570"),
    ("Landis+Gyr", "other", r"Landis\\+Gyr"),
    ("Mikroelektronika", "MEL", "Mikroelektronika"),
    ("NES", "83335", "NES"),
    ("Sagemcom", "T210-D", "T210-D"),
    ("Sagemcom", "XT211", "XT211"),
    ("Sagemcom", "other", "Sagemcom"),
    ("Siemens", "", "Siemens"),
    ("SKQ", "", "SKQ"),
    ("", "SPODES meters (RU)", "SPODES"),
)
_EXAMPLES: Final = "Green Book|dlms-cosem unit test"


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(read_marks(), meters_part()), encoding="utf-8")


def page(marks: Collection[Mark], meters: str) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_tables(marks), _METERS + meters])


def meters_part() -> str:
    """What stands under `_METERS`: from the captures, or as the page has it."""
    captures = VECTORS / "captures.jsonl"
    if captures.exists():
        lines = captures.read_text(encoding="utf-8").splitlines()
        return _meters(json.loads(line) for line in lines)
    return PAGE.read_text(encoding="utf-8").partition(_METERS)[2] if PAGE.exists() else ""


def missing(marks: Collection[Mark]) -> frozenset[tuple[str, str]]:
    """(row, role) that no test proves and that are not excused."""
    proved = {(mark.row, mark.kind) for mark in marks}
    return frozenset(
        (row, role)
        for rows in ROWS.values()
        for row in rows
        for role in KINDS[:2]
        if (row, role) not in proved and (row, role) not in ONE_SIDED
    )


def _tables(marks: Collection[Mark]) -> Iterable[str]:
    for area, rows in ROWS.items():
        yield f"## {area}\n"
        yield "| row | client | server | vector |\n|---|---|---|---|"
        reasons = []
        for row, says in rows.items():
            cells = [_cell(marks, row, kind) for kind in KINDS]
            yield f"| {says} | {' | '.join(cells)} |"
            reasons += [
                f"- {says}, {role}: {ONE_SIDED[row, role]}"
                for role in KINDS[:2]
                if cells[KINDS.index(role)] == "–"
            ]
        yield "\n".join(["", *reasons, ""] if reasons else [""])


def _cell(marks: Collection[Mark], row: str, kind: str) -> str:
    proofs = [mark for mark in marks if (mark.row, mark.kind) == (row, kind)]
    if not proofs:
        return "–" if kind == "vector" or (row, kind) in ONE_SIDED else "**missing**"
    files = sorted({mark.path for mark in proofs})
    links = ", ".join(f"[{Path(path).stem.removeprefix('test_')}](../../{path})" for path in files)
    return f"{len(proofs)}: {links}"


def _meters(records: Iterable[dict[str, Any]]) -> str:
    counts: Counter[tuple[str, str]] = Counter()
    examples = unknown = 0
    for record in records:
        name = f"{record.get('maker', '')} {record.get('meter', '')}"
        if re.search(_EXAMPLES, name):
            examples += 1
            continue
        model = next(
            ((maker, model) for maker, model, shape in _MODELS if re.search(shape, name)), None
        )
        if model is None:
            unknown += 1
        else:
            counts[model] += 1
    lines = ["", "| maker | model | captures |", "|---|---|---|"]
    lines += [
        f"| {maker or 'not told'} | {model or 'not told'} | {count} |"
        for (maker, model), count in sorted(counts.items())
    ]
    total = sum(counts.values())
    return (
        "\n".join(lines)
        + f"""

{total} captures of known meters, {unknown} of meters that their source does not name, and
{examples} published examples (Green Book, test data of dlms-cosem), P1 telegrams among them, which
are out of scope. [captures.md](captures.md) says what their octets do not hold. They are kept
outside the repository, since they carry real serial numbers.
"""
    )
