"""What may be said of a plan, and why not. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs

from hes.domain.errors import PermanentError
from hes.domain.plans import SITE, Terms
from hes.domain.recurrence import BadRecurrenceError, Recurrence, parse
from hes.domain.work import Priority, Read, ReadKind
from hes.storage import reads

MAX_NAMES: Final = 100
MAX_READS: Final = 32
MAX_ATTRIBUTES: Final = 256
MAX_WINDOW_S: Final = 31 * 86_400
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}", re.ASCII)


@attrs.frozen
class Fault:
    """What is wrong with one field of a plan; `field` is its name in `Terms`."""

    field: str
    message: str


class BadPlanError(PermanentError):
    """A plan that cannot be; `faults` names each field that is wrong."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in self.faults))


def usual_times(deadline_s: int, window_s: int | None, spread_s: int | None) -> tuple[int, int]:
    """
    Window and spread of who says only by when: tried until then, turns within its first third.

    The rest is for second tries.
    """
    return (
        deadline_s if window_s is None else window_s,
        deadline_s // 3 if spread_s is None else spread_s,
    )


def reads_of(entries: Sequence[Mapping[str, Any]]) -> tuple[Read, ...]:
    """
    What a plan reads, from what people send: `kind`, and as they like `source`, `attributes`.

    Raises: BadPlanError: one of them is none.
    """
    try:
        return reads.from_document(
            [{name: said for name, said in entry.items() if said} for entry in entries]
        )
    except (KeyError, ValueError, TypeError) as exc:
        raise BadPlanError([Fault("reads", str(exc))]) from exc


def recurrence_of(text: str) -> Recurrence:
    """A recurrence from its text. Raises: BadPlanError: it is none."""
    try:
        return parse(text)
    except BadRecurrenceError as exc:
        raise BadPlanError([Fault("recurrence", str(exc))]) from exc


def check(terms: Terms) -> Sequence[Fault]:
    """
    What is wrong with a plan by itself, nothing if it can be.

    Groups and zones are looked up by who keeps it.
    """
    found: list[Fault] = []

    def demand(holds: bool, field: str, message: str) -> None:
        if not holds:
            found.append(Fault(field, message))

    named = (terms.selection.groups, terms.selection.tags, terms.selection.models)
    demand(_is_name(terms.name), "name", "1 to 64 characters, none of them control characters")
    demand(terms.priority is not Priority.URGENT, "priority", "urgent is for commands")
    demand(bool(terms.reads), "reads", "a plan reads something")
    demand(len(set(terms.reads)) == len(terms.reads), "reads", "one of them twice")
    demand(len(terms.reads) <= MAX_READS, "reads", f"at most {MAX_READS}")
    demand(
        all(len(read.attributes) <= MAX_ATTRIBUTES for read in terms.reads),
        "reads",
        f"at most {MAX_ATTRIBUTES} attributes each",
    )
    demand(
        all(
            read.kind in (ReadKind.REGISTERS, ReadKind.POWER_QUALITY) or not read.attributes
            for read in terms.reads
        ),
        "reads",
        "only registers and power_quality name attributes",
    )
    demand(
        all(read.kind is not ReadKind.REGISTERS or read.source is None for read in terms.reads),
        "reads",
        "registers have no source: name attributes",
    )
    demand(
        terms.selection.all_meters != any(named),
        "selection",
        "either all meters, or groups, tags or models",
    )
    demand(
        all(len(names) <= MAX_NAMES and all(map(_is_name, names)) for names in named),
        "selection",
        f"at most {MAX_NAMES} names of each kind, of 1 to 64 characters each",
    )
    demand(
        terms.zone == SITE or _ZONE.fullmatch(terms.zone) is not None,
        "zone",
        f"{SITE!r}, or an IANA name such as Europe/Berlin",
    )
    demand(0 < terms.window_s <= MAX_WINDOW_S, "window_s", f"1 to {MAX_WINDOW_S} seconds (31 days)")
    demand(0 < terms.deadline_s <= terms.window_s, "deadline_s", "1 second to the window's end")
    demand(
        0 <= terms.spread_s < terms.deadline_s,
        "spread_s",
        "less than the deadline, or some meters have their turn when it is too late",
    )
    demand(
        terms.target.is_finite()
        and 0 < terms.target <= 100
        and terms.target == terms.target.quantize(Decimal("0.1")),
        "target",
        "0.1 to 100 per cent, with one decimal",
    )
    return found


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and bool(name.strip())
