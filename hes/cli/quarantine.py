"""
`hes quarantine`: what became no reading, and what is to become of it.

Whoever replays or drops says why; who it was is the user that runs the command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hes.cli import acting
from hes.cli.errors import FAILURE, PARTIAL
from hes.cli.output import cell, output_option, write_document, write_rows, write_table

if TYPE_CHECKING:
    from hes.readings import Decision, Quarantine, QuarantineFilter, QuarantineRow
    from hes.storage.database import Database

_PAGE: Final = 500

_COLUMNS: Final = (
    "id",
    "received_at",
    "state",
    "reason",
    "meter",
    "identity",
    "peer",
    "rows",
    "octets",
    "requested_by",
    "said",
    "handled_at",
    "handled_by",
    "handled_why",
    "batch_id",
)
_TABLE_COLUMNS: Final = (
    "id",
    "received_at",
    "state",
    "reason",
    "meter",
    "identity",
    "rows",
    "octets",
    "said",
)
_ROW_COLUMNS: Final = (
    "captured_at",
    "source",
    "obis",
    "attribute_index",
    "value",
    "scaler",
    "unit",
    "quality",
)
_OUTCOME_COLUMNS: Final = (
    "id",
    "outcome",
    "stored",
    "duplicates",
    "revised",
    "quarantined",
    "said",
)

Command = TypeVar("Command", bound=Callable[..., object])


class _Time(click.ParamType[datetime]):
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


def _filter_options(command: Command) -> Command:
    for option in (
        click.option("--since", type=_Time(), help="Received then or later; UTC unless it says."),
        click.option("--meter", metavar="SERIAL|ID", help="Only this meter's."),
        click.option("--reason", help="Only with this reason."),
    ):
        command = option(command)
    return command


def _acting_options(command: Command) -> Command:
    for option in (
        output_option,
        click.option("--dry-run", is_flag=True, help="Say what would happen, do nothing."),
        click.option("--why", required=True, help="Kept with the entry."),
        click.option("--all", "whole", is_flag=True, help="Every entry that is open."),
        _filter_options,
        click.argument("ids", nargs=-1, type=click.IntRange(1), metavar="[ID]..."),
    ):
        command = option(command)
    return command


@click.group()
def quarantine() -> None:
    """What became no reading: look at it, replay it, drop it."""


@quarantine.command()
@_filter_options
@click.option(
    "--state",
    type=click.Choice(["open", "replayed", "dropped", "any"]),
    default="open",
    help="What became of it.",
)
@click.option("--limit", type=click.IntRange(1), default=100, help="How many at most.")
@output_option
def ls(
    reason: str | None,
    meter: str | None,
    since: datetime | None,
    state: str,
    limit: int,
    output: str,
) -> None:
    """List entries, newest first."""
    from itertools import islice

    from hes.readings import Quarantine

    with _database() as database:
        wanted = _wanted(database, reason, meter, since, None if state == "any" else state)
        found = list(islice(_entries(Quarantine(database), wanted), limit + 1))
    columns = _TABLE_COLUMNS if output == "table" else _COLUMNS
    write_rows((_row(entry) for entry in found[:limit]), columns, output)
    if len(found) > limit:
        click.echo(f"there are more than {limit}; see --limit", err=True)


@quarantine.command()
@click.argument("entry_id", metavar="ID", type=click.IntRange(1))
@output_option
def show(entry_id: int, output: str) -> None:
    """Show one entry: why, its octets in hex, its rows."""
    from hes.readings import Quarantine

    with _database() as database:
        detail = Quarantine(database).get(entry_id)
    rows = [{name: getattr(row, name) for name in _ROW_COLUMNS} for row in detail.rows]
    if output == "csv":
        write_rows(rows, _ROW_COLUMNS, output)
        return
    document = {
        **_row(detail.entry),
        "session_id": detail.entry.session_id,
        "error": (detail.entry.detail or {}).get("error"),
        "raw": detail.raw,
        "refused": rows,
    }
    if output == "ndjson":
        write_rows([document], (), output)
    elif output == "json":
        write_document(document)
    else:
        facts = [(name, cell(value)) for name, value in document.items() if name != "refused"]
        write_table([fact for fact in facts if fact[1]])
        if rows:
            click.echo()
            write_rows(rows, _ROW_COLUMNS, output)


@quarantine.command()
@_acting_options
@click.option("--any-time", is_flag=True, help="Take rows however odd their time.")
@click.pass_context
def replay(
    ctx: click.Context,
    ids: Sequence[int],
    reason: str | None,
    meter: str | None,
    since: datetime | None,
    whole: bool,
    why: str,
    dry_run: bool,
    output: str,
    any_time: bool,
) -> None:
    """
    Send entries the way of all readings again, by today's inventory, keys and window.

    What is refused again stays open and says why. Exit code 3 if that is so for some.
    """
    from hes import wiring
    from hes.pipeline.replay import ReplayRefusedError
    from hes.readings import EntryHandledError, EntryUnknownError

    decision = _decision(why, any_time=any_time)
    with _database() as database, wiring.replays(database, wiring.settings()) as replays:

        def act(entry_id: int) -> dict[str, object]:
            try:
                receipt = replays.replay(entry_id, decision, dry_run=dry_run)
            except (ReplayRefusedError, EntryHandledError, EntryUnknownError) as exc:
                return {"outcome": "refused", "said": str(exc)}
            return {
                "outcome": "replayed",
                "stored": receipt.stored,
                "duplicates": receipt.duplicates,
                "revised": receipt.revised,
                "quarantined": receipt.quarantined,
            }

        chosen = _chosen(database, ids, reason, meter, since, whole)
        _act(ctx, chosen, act, dry_run, output)


@quarantine.command()
@_acting_options
@click.pass_context
def drop(
    ctx: click.Context,
    ids: Sequence[int],
    reason: str | None,
    meter: str | None,
    since: datetime | None,
    whole: bool,
    why: str,
    dry_run: bool,
    output: str,
) -> None:
    """Let go of what entries hold, for good. That they were there, and who dropped them, stays."""
    from hes.readings import EntryHandledError, EntryUnknownError, Quarantine

    decision = _decision(why)
    with _database() as database:
        store = Quarantine(database)

        def act(entry_id: int) -> dict[str, object]:
            try:
                store.drop(entry_id, decision, dry_run=dry_run)
            except (EntryHandledError, EntryUnknownError) as exc:
                return {"outcome": "refused", "said": str(exc)}
            return {"outcome": "dropped"}

        chosen = _chosen(database, ids, reason, meter, since, whole)
        _act(ctx, chosen, act, dry_run, output)


def _act(
    ctx: click.Context,
    ids: Sequence[int],
    act: Callable[[int], dict[str, object]],
    dry_run: bool,
    output: str,
) -> None:
    """Do it for each, tell what became of it, and leave with what that means."""
    refused = 0

    def outcomes() -> Iterator[dict[str, object]]:
        nonlocal refused
        hidden = not sys.stderr.isatty()
        with click.progressbar(ids, file=sys.stderr, hidden=hidden) as bar:
            for entry_id in bar:
                outcome = act(entry_id)
                refused += outcome["outcome"] == "refused"
                yield dict.fromkeys(_OUTCOME_COLUMNS) | {"id": entry_id} | outcome

    write_rows(outcomes(), _OUTCOME_COLUMNS, output)
    suffix = "; nothing was done" if dry_run else ""
    click.echo(f"{len(ids) - refused} of {len(ids)} entries{suffix}", err=True)
    if refused:
        ctx.exit(FAILURE if refused == len(ids) else PARTIAL)


def _chosen(
    database: Database,
    ids: Sequence[int],
    reason: str | None,
    meter: str | None,
    since: datetime | None,
    whole: bool,
) -> Sequence[int]:
    """The ids that were named, or those of the open entries that fit, oldest first."""
    from hes.readings import Quarantine

    filtered = reason is not None or meter is not None or since is not None
    if bool(ids) + (filtered or whole) != 1:
        raise click.UsageError("name entries, or filter them, or say --all")
    if ids:
        return list(dict.fromkeys(ids))
    wanted = _wanted(database, reason, meter, since, "open")
    return sorted(entry.quarantine_id for entry in _entries(Quarantine(database), wanted))


def _entries(store: Quarantine, wanted: QuarantineFilter) -> Iterator[QuarantineRow]:
    before: int | None = None
    while True:
        page = store.page(before, _PAGE, wanted)
        yield from page.items
        if not page.has_more:
            return
        before = page.items[-1].quarantine_id


def _wanted(
    database: Database,
    reason: str | None,
    meter: str | None,
    since: datetime | None,
    state: str | None,
) -> QuarantineFilter:
    from hes.meters import Inventory
    from hes.readings import QuarantineFilter, State

    return QuarantineFilter(
        meter_id=None if meter is None else Inventory(database).find(meter),
        reason=reason,
        since=since,
        state=None if state is None else State(state),
    )


def _decision(why: str, *, any_time: bool = False) -> Decision:
    from hes.readings import Decision

    if not why.strip():
        raise click.UsageError("--why must say something")
    return Decision(acting.user(), why.strip(), any_time)


def _row(entry: QuarantineRow) -> dict[str, object]:
    return {
        "id": entry.quarantine_id,
        "received_at": entry.received_at,
        "state": entry.state,
        "reason": entry.reason,
        "meter": entry.serial,
        "identity": entry.identity,
        "peer": entry.peer,
        "rows": (entry.detail or {}).get("rows"),
        "octets": entry.raw_octets,
        "requested_by": entry.requested_by,
        "said": entry.attempt_said,
        "handled_at": entry.handled_at,
        "handled_by": entry.handled_by,
        "handled_why": entry.handled_why,
        "batch_id": entry.batch_id,
    }


def _database() -> Database:
    from hes import wiring

    return wiring.open_database(application_name="hes quarantine")
