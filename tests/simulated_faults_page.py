"""
Writes `docs/reference/simulated-faults.md` from the code: `python -m tests.simulated_faults_page`.

A test compares the two, so that the page says what meters do.
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from hes_simulators.faults import FAULTS, Fault, Where
from hes_simulators.faults.kinds import Bomb, parameter_text
from hes_simulators.proxy import Toxics

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "simulated-faults.md"

_HEAD = """\
# Faults of simulated meters

<!-- Made by `python -m tests.simulated_faults_page`; do not edit. -->

What simulated meters do wrong on request: in a scenario file (`[[fault]]`, or `do = "fault"` in
the timeline), or while a fleet runs:

    hes sim fault set hang answer=5 --share 0.1 --for 10min     # a tenth, at their sixth answer
    hes sim fault set reset octet=300 --meters 1-20 --every 3   # in every third session
    hes sim fault ls
    hes sim fault clear hang
    hes sim fault outage --for 30s --over 10s --share 0.5       # half lose power within 10 s
    hes sim fault event cover_opened --meters 61             # where its model has a code for it
    hes sim fault clock -15min --district Town
    hes sim fault play reboot --over 2min                       # any line of a timeline, now

Which meters: all, unless `--meters` (numbers from 1), `--population`, `--district`, `--feeder` and
`--share` say fewer. What is random (`--share`, `--probability`, times) follows from the fleet's
seed, the rule's name, the meter and the number of its session: the same seed gives the same faults.
A later rule for the same fault takes the place of an earlier one. Every session that a fault
strikes, and every change of the rules, stands in the truth log (kind `fault`).

Answers are counted over one connection from 0: the AARE, with HLS the second proof, then each
answer or block. *Row* is that of the fault catalogue that the project was begun with.

The commands talk to a unix socket in the data folder (`sim/fault-PORT.sock`, mode 0600), one JSON
object a line: `{"do": "kinds"}`, `{"do": "list"}`, `{"do": "set", "fault": …, "parameters": {…},
"meters"|"share"|…, "every", "probability", "for", "name"}`, `{"do": "clear", "name": …}`,
`{"do": "play", "line": {…}}`. An answer is an object, or `{"error": {"code", "detail"}}`.

Behind a concentrator, and over UDP, many meters share a line: there a meter may say wrong things or
nothing (`hang`), but what would concern the line is left out.
"""

_WHERE = {
    Where.ADMISSION: "Whether a connection is taken",
    Where.APDU: "What is said",
    Where.FRAME: "The frames around it",
    Where.STREAM: "When and how far it goes",
    Where.PUSH: "Pushes",
    Where.CLOCK: "Clock",
    Where.IMAGE: "Firmware",
}

_PROXY = """
## The fault proxy

`hes sim proxy --listen 127.0.0.1:5000 --to 127.16.0.1:4159 --direction down --latency 0.5` stands
between a client on this machine and a server anywhere (it listens on loopback only), for TCP or,
with `--udp`, for datagrams. With `--control SOCKET` it can be changed while it runs: `hes sim proxy
--control SOCKET --direction up --reset-after 1000`; without settings that prints how it stands;
`--cut` resets every connection.
The same in a test: `async with hes_simulators.proxy.serve(server, down=Toxics(…)) as between`.

| Setting | Default | Of one direction of every connection, or of every datagram |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for where, title in _WHERE.items():
        parts.append(f"\n## {title}\n\n| Fault | Does | Parameters | Row |\n|---|---|---|---|\n")
        parts += [_fault_row(kind) for kind in FAULTS.values() if kind.where is where]
        if where is Where.APDU:
            parts.append("\n| Shape of a bomb | What it is |\n|---|---|\n")
            parts += [f"| `{shape}` | {text} |\n" for shape, text in _shapes()]
    parts.append(_PROXY)
    texts = _arguments(Toxics)
    for field in attrs.fields(Toxics):
        default = "off" if not field.default else field.default
        parts.append(f"| `{field.name}` | {default} | {texts[field.name]} |\n")
    return "".join(parts)


def _fault_row(kind: type[Fault]) -> str:
    parameters = "<br>".join(_parameter(field) for field in attrs.fields(kind)) or "–"
    does = _paragraphs(kind.__doc__)[0]
    return f"| `{kind.name}` | {does} | {parameters} | {kind.row or '–'} |\n"


def _parameter(field: attrs.Attribute[Any]) -> str:
    return f"`{field.name}={field.default}` {parameter_text(field)}"


def _shapes() -> list[tuple[str, str]]:
    """Documentation of members stands behind them in the source, where only a reader finds it."""
    lines = inspect.getsource(Bomb).splitlines()
    found = []
    for line, below in pairwise(lines):
        name, _, value = line.strip().partition(" = ")
        if name.isupper():
            found.append((value.strip('"'), below.strip().strip('"')))
    return found


def _paragraphs(doc: str | None) -> list[str]:
    return [" ".join(part.split()) for part in (doc or "").strip().split("\n\n")]


def _arguments(kind: type) -> dict[str, str]:
    """`name: text` of the Args of a docstring; text may go on in lines that stand deeper."""
    found: dict[str, str] = {}
    name = ""
    for line in (kind.__doc__ or "").partition("Args:")[2].partition("Raises:")[0].splitlines():
        head, colon, text = line.strip().partition(": ")
        if colon and line.startswith(" " * 8) and not line.startswith(" " * 12):
            name = head
            found[name] = text
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
