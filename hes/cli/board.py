"""`hes board`: of what was expected, how much came in time, late, never; and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hes.cli.output import output_option, write_document, write_rows

if TYPE_CHECKING:
    from hes.readings import Board, Cell, MeterCompleteness

_CELL: Final = ("expected", "on_time", "late", "lost", "missing", "pending", "share", "causes")
_BOARD: Final = ("of", *_CELL, "target")
_METER: Final = ("source", "day", *_CELL)
_SHOWN_CAUSES: Final = 3

Command = TypeVar("Command", bound=Callable[..., object])


class Time(click.ParamType[datetime]):
    """A time, as RFC 3339 says it; UTC unless it says otherwise."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-01-31T12:00:00Z", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@click.option(
    "--by",
    type=click.Choice(["plan", "group", "model", "segment", "feeder", "hour", "day"]),
    default="plan",
    help="What the rows are of; hours and days of UTC.",
)
@click.option("--meter", metavar="SERIAL|ID", help="Only this one: profile by profile, day by day.")
@click.option("--from", "from_", type=Time(), help="From the hour of this time on; else a day.")
@click.option("--to", type=Time(), help="Up to this time; else now.")
@output_option
def board(
    by: str, meter: str | None, from_: datetime | None, to: datetime | None, output: str
) -> None:
    """Which of the expected intervals came in time, late, never; and why."""
    from hes import wiring
    from hes.meters import Inventory
    from hes.readings import MOST_DAYS, BoardReader, By

    to = to or datetime.now(UTC)
    from_ = from_ or to - timedelta(days=1)
    if from_ >= to or to - from_ > timedelta(days=MOST_DAYS):
        raise click.UsageError(f"--from is before --to, and by at most {MOST_DAYS} days")
    with wiring.open_database(application_name="hes board") as database:
        reader = BoardReader(database)
        if meter is None:
            _write_board(reader.board(By(by), from_, to), output)
        else:
            _write_meter(reader.meter(Inventory(database).find(meter), from_, to), output)


def _write_board(found: Board, output: str) -> None:
    rows = [
        {"of": one.name, **_cell(one.cell, output), "target": one.target} for one in found.cells
    ]
    if output == "json":
        total = _cell(found.total, output)
        write_document({"from": found.from_, "to": found.to, "cells": rows, "total": total})
        return
    if len(rows) != 1 and output == "table":
        rows.append({"of": "all", **_cell(found.total, output), "target": None})
    write_rows(rows, _BOARD, output)


def _write_meter(found: MeterCompleteness, output: str) -> None:
    rows = [
        {"source": str(profile.source), "day": day.date().isoformat(), **_cell(cell, output)}
        for profile in found.profiles
        for day, cell in profile.days
    ]
    if output == "json":
        losses = [
            {
                "source": str(loss.source),
                "captured_from": loss.from_at,
                "captured_to": loss.to_at,
                "reason": loss.reason,
                "lost_at": loss.lost_at,
                "ended_at": loss.ended_at,
            }
            for loss in found.losses
        ]
        write_document({"days": rows, "losses": losses})
        return
    write_rows(rows, _METER, output)


def _cell(cell: Cell, output: str) -> dict[str, object]:
    causes: object = dict(cell.causes)
    if output in ("table", "csv"):
        shown = list(cell.causes.items())
        causes = ", ".join(f"{cause} {count}" for cause, count in shown[:_SHOWN_CAUSES])
        causes += ", …" if len(shown) > _SHOWN_CAUSES else ""
    return {
        "expected": cell.expected,
        "on_time": cell.on_time,
        "late": cell.late,
        "lost": cell.lost,
        "missing": cell.missing,
        "pending": cell.pending,
        "share": None if cell.share is None else round(cell.share, 2),
        "causes": causes,
    }
