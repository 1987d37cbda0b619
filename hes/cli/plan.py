"""`hes plan`: what is read regularly, of whom, when and by when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from hes.cli import plan_terms
from hes.cli.output import output_option, write_document, write_rows
from hes.domain.plans import Selection, Terms

if TYPE_CHECKING:
    from hes.domain.plans import Plan
    from hes.plans.service import PlanService, PlanView

_LIST: Final = (
    "plan", "enabled", "members", "recurrence", "zone", "spread", "deadline", "window", "priority",
    "target", "reads",
)  # fmt: skip
_RUN: Final = ("zone", "members", "run_at", "local", "deadline_at", "clocks")
_RECORD: Final = (
    "run_at", "zone", "deadline_at", "asked", "skipped", "members", "open", "done", "late",
    "failed", "expired", "cancelled",
)  # fmt: skip
_HOUR: Final = ("hour", "sessions_per_s", "available_per_s", "fits")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be; keep nothing.")


@click.group()
def plan() -> None:
    """What is read regularly, of whom, when: docs/how-to/plan-collection.md."""


@plan.command()
@output_option
def ls(output: str) -> None:
    """List the plans, the most important first."""
    with _service() as service:
        write_rows([_row(view) for view in service.plans()], _LIST, output)


@plan.command()
@click.argument("name")
@output_option
def show(name: str, output: str) -> None:
    """Show one plan, whole."""
    with _service() as service:
        _write(service.find(name), output)


@plan.command()
@click.argument("name")
@plan_terms.terms_options
@click.option("--disabled", is_flag=True, help="Do not run it yet.")
@_dry_run
@output_option
def add(name: str, disabled: bool, dry_run: bool, output: str, **said: Any) -> None:
    """Make a plan. Its first run is the next one."""
    from hes.plans.plan import recurrence_of, usual_times

    for needed in ("reads", "when", "deadline"):
        if not said[needed]:
            raise click.UsageError(f"a plan needs --{needed.removesuffix('s')}")
    with _service() as service, _as_usage():
        window_s, spread_s = usual_times(said["deadline"], said["window"], said["spread"])
        terms = Terms(
            name=name,
            reads=plan_terms.reads(said["reads"]),
            selection=plan_terms.selection(said) or Selection(),
            recurrence=recurrence_of(said["when"]),
            deadline_s=said["deadline"],
            window_s=window_s,
            spread_s=spread_s,
            enabled=not disabled,
        )
        view = service.add(attrs.evolve(terms, **plan_terms.changes(said)), dry_run=dry_run)
        _write(view, output)


@plan.command("set")
@click.argument("name")
@plan_terms.terms_options
@click.option("--name", "new_name", help="Call it so from now on.")
@click.option("--enable/--disable", "enabled", default=None, help="Have it run, or not.")
@_dry_run
@output_option
def set_(
    name: str, new_name: str | None, enabled: bool | None, dry_run: bool, output: str, **said: Any
) -> None:
    """
    Change a plan; what is not said stays as it is.

    Runs that are under way keep their members, turns and deadlines. What is open of a plan that is
    disabled is cancelled.
    """
    with _service() as service, _as_usage():
        changes = plan_terms.changes({**said, "name": new_name, "enabled": enabled})
        if not changes:
            raise click.UsageError("nothing to change: see --help")
        kept = service.find(name).plan
        terms = attrs.evolve(kept, **changes)
        _write(service.change(kept.plan_id, terms, kept.revision, dry_run=dry_run), output)


@plan.command()
@click.argument("name")
@_dry_run
def rm(name: str, dry_run: bool) -> None:
    """Remove a plan and cancel what is open of it; what its runs came to stays."""
    with _service() as service:
        kept = service.find(name).plan
        cancelled = service.remove(kept.plan_id, kept.revision, dry_run=dry_run)
    would = "would be removed" if dry_run else "removed"
    click.echo(f"{name} {would}; {cancelled} due items cancelled", err=True)


@plan.command()
@click.argument("name")
@click.option(
    "--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@output_option
def runs(name: str, last: int, output: str) -> None:
    """List the last runs, and how their items ended."""
    with _service() as service:
        found = service.runs(service.find(name).plan.plan_id, last)
    rows = [
        {
            "run_at": each.run.run_at,
            "zone": each.run.zone,
            "deadline_at": each.run.deadline_at,
            "asked": each.run.asked,
            **{column: getattr(each, column) for column in _RECORD[4:]},
        }
        for each in found
    ]
    write_rows(rows, _RECORD, output)


@plan.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say how many meters would be read.")
def run(name: str, dry_run: bool) -> None:
    """Have a plan run now, besides its recurrence; turns are spread as ever."""
    with _service() as service:
        view = service.find(name)
        if not dry_run:
            view = service.run_now(view.plan.plan_id)
    would = "would be read" if dry_run else "are read now"
    click.echo(f"{view.members} meters {would}, within {view.plan.spread_s} s", err=True)


@plan.command()
@click.argument("name")
@click.option(
    "--runs", type=click.IntRange(1, 100), default=10, show_default=True, help="How many per zone."
)
@output_option
def preview(name: str, runs: int, output: str) -> None:
    """List the next runs by zone; `clocks` says where clocks change in the day before."""
    with _service() as service:
        zones = service.preview(service.find(name).plan.plan_id, runs)
    rows = [
        {
            "zone": zone.zone,
            "members": zone.members,
            "run_at": each.run_at,
            "local": each.local.isoformat(sep=" ", timespec="minutes"),
            "deadline_at": each.deadline_at,
            "clocks": each.shift,
        }
        for zone in zones
        for each in zone.runs
    ]
    write_rows(rows, _RUN, output)


@plan.command()
@output_option
def capacity(output: str) -> None:
    """
    Tell by the hour what all plans need, against what collectors do.

    Exit code 3 if it does not fit.
    """
    from hes.cli.errors import PARTIAL

    with _service() as service:
        found = service.capacity()
    rows = [
        {
            "hour": hour.starts_at,
            "sessions_per_s": round(hour.needed_per_s, 2),
            "available_per_s": round(found.pace.per_s, 2),
            "fits": hour.needed_per_s <= found.pace.per_s,
        }
        for hour in found.hours
    ]
    write_rows(rows, _HOUR, output)
    basis = "measured, the best minute of the last day" if found.pace.measured else "assumed"
    click.echo(
        f"at most {found.peak_per_s:.2f} sessions/s are needed, {found.pace.per_s:.0f} available "
        f"({basis})",
        err=True,
    )
    if not found.fits:
        click.echo("it does not fit: more time, more spread, or more collectors", err=True)
        raise SystemExit(PARTIAL)


@contextmanager
def _service() -> Iterator[PlanService]:
    from hes import wiring
    from hes.plans.service import PlanService

    with wiring.open_database(application_name="hes plan") as database:
        yield PlanService(database)


@contextmanager
def _as_usage() -> Iterator[None]:
    from hes.plans.plan import BadPlanError

    try:
        yield
    except BadPlanError as error:
        raise click.UsageError(str(error)) from None


def _row(view: PlanView) -> dict[str, object]:
    kept = view.plan
    return {
        "plan": kept.name,
        "enabled": kept.enabled,
        "members": view.members,
        "recurrence": str(kept.recurrence),
        "zone": kept.zone,
        "spread": kept.spread_s,
        "deadline": kept.deadline_s,
        "window": kept.window_s,
        "priority": kept.priority.name.lower(),
        "target": str(kept.target),
        "reads": ", ".join(read.kind for read in kept.reads),
    }


def _write(view: PlanView, output: str) -> None:
    if output in ("table", "csv"):
        write_rows([_row(view)], _LIST, output)
    else:
        write_document(_document(view.plan, view.members))


def _document(kept: Plan, members: int) -> dict[str, object]:
    from hes.storage.reads import to_document

    return {
        "id": kept.plan_id,
        "name": kept.name,
        "enabled": kept.enabled,
        "priority": kept.priority.name.lower(),
        "reads": to_document(kept.reads),
        "selection": attrs.asdict(kept.selection),
        "recurrence": str(kept.recurrence),
        "zone": kept.zone,
        "window_s": kept.window_s,
        "spread_s": kept.spread_s,
        "deadline_s": kept.deadline_s,
        "target": str(kept.target),
        "members": members,
        "since": kept.since,
        "revision": kept.revision,
    }
