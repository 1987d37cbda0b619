"""What can be said of a plan on the command line, and what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import click

from hes.domain.plans import Selection
from hes.domain.work import Priority, Read, ReadKind
from hes.plans.plan import reads_of, recurrence_of

_PRIORITIES: Final = {
    "high": Priority.HIGH,
    "normal": Priority.NORMAL,
    "low": Priority.LOW,
}
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)
# Value of a register (class_id 3) unless something else is said.
_REGISTER: Final = 3
_VALUE: Final = 2
_ATTRIBUTE: Final = re.compile(r"(?:([0-9]{1,5})/)?([0-9.]{1,23})(?:/([0-9]{1,3}))?", re.ASCII)

Command = TypeVar("Command", bound=Callable[..., object])


class _Duration(click.ParamType[int]):
    """Seconds, as `900`, `15m`, `4h`, `1d`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail("expected a duration such as 900, 15m, 4h, 1d", param, ctx)
        return int(match[1]) * _UNITS_S[match[2]]


class _Percent(click.ParamType[Decimal]):
    """Per cent, exact."""

    name = "percent"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            return Decimal(str(value))
        except InvalidOperation:
            self.fail("expected per cent such as 98.0", param, ctx)


def terms_options(command: Command) -> Command:
    """What can be said of a plan; all None or empty where nothing is said."""
    options = (
        click.option(
            "--read", "reads", multiple=True, metavar="KIND[:OBIS[,OBIS]]",
            help=f"What: {', '.join(ReadKind)}. With an OBIS code only that profile or log; "
            "of registers only these, CLASS/OBIS/ATTRIBUTE where it is not 3/OBIS/2.",
        ),
        click.option("--all", "all_meters", is_flag=True, help="Of all meters in service."),
        click.option("--group", "groups", multiple=True, help="Of meters in one of these groups."),
        click.option("--tag", "tags", multiple=True, help="Of meters with one of these tags."),
        click.option("--model", "models", multiple=True, help="Of meters of one of these models."),
        click.option("--when", help='"every 15m", or "cron 0 1 * * *".'),
        click.option("--zone", help="Zone of the runs: site (each site's own), or an IANA name."),
        click.option("--deadline", type=_Duration(), help="By when it counts as in time."),
        click.option("--window", type=_Duration(), help="How long it is tried."),
        click.option("--spread", type=_Duration(), help="Over how long turns are spread."),
        click.option("--priority", type=click.Choice(list(_PRIORITIES)), help="Which goes first."),
        click.option("--target", type=_Percent(), help="Per cent to be there by the deadline."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def changes(said: dict[str, Any]) -> dict[str, Any]:
    """What was said, as fields of `Terms`. Raises: BadPlanError, UsageError."""
    times = {"deadline": "deadline_s", "window": "window_s", "spread": "spread_s"}
    plain = (*times, "zone", "target", "name", "enabled")
    found = {times.get(name, name): said.get(name) for name in plain}
    if said["priority"] is not None:
        found["priority"] = _PRIORITIES[said["priority"]]
    if said["reads"]:
        found["reads"] = reads(said["reads"])
    if said["when"] is not None:
        found["recurrence"] = recurrence_of(said["when"])
    found["selection"] = selection(said)
    return {name: value for name, value in found.items() if value is not None}


def selection(said: dict[str, Any]) -> Selection | None:
    """None: nobody was named."""
    chosen = Selection(said["all_meters"], said["groups"], said["tags"], said["models"])
    return None if chosen == Selection() else chosen


def reads(texts: Sequence[str]) -> tuple[Read, ...]:
    """What is read, of `KIND[:OBIS[,OBIS]]`. Raises: BadPlanError, UsageError."""
    entries: list[dict[str, object]] = []
    for text in texts:
        kind, _, codes = text.partition(":")
        entry: dict[str, object] = {"kind": kind}
        if kind == ReadKind.REGISTERS:
            entry["attributes"] = [_attribute(code) for code in codes.split(",") if code]
        else:
            entry["source"] = codes
        entries.append(entry)
    return reads_of(entries)


def _attribute(text: str) -> dict[str, object]:
    """`OBIS` of a register's value, or `CLASS/OBIS/ATTRIBUTE`."""
    match = _ATTRIBUTE.fullmatch(text.strip())
    if match is None:
        raise click.UsageError(f"--read: expected OBIS or CLASS/OBIS/ATTRIBUTE, not {text!r}")
    return {
        "class_id": int(match[1] or _REGISTER),
        "obis": match[2],
        "attribute_index": int(match[3] or _VALUE),
    }
