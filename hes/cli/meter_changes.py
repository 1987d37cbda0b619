"""
`hes meter state`, `exchange`, `change` and the others that change one meter.

What they do is recorded with the user's name. Secrets come in a file or on stdin, never as
arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import click

from hes.cli.acting import user
from hes.cli.output import cell, output_option, write_rows

if TYPE_CHECKING:
    from hes.keys import KeyService
    from hes.meters import Inventory, InventoryChanges
    from hes.storage.database import Database

Command = TypeVar("Command", bound=Callable[..., object])

_STATES: Final = (
    "discovered",
    "quarantined",
    "commissioned",
    "in_service",
    "suspended",
    "retired",
)


class _Instant(click.ParamType[datetime]):
    """An instant with its offset from UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        from hes.meters.fields import moment

        try:
            return value if isinstance(value, datetime) else moment(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


INSTANT: Final = _Instant()


def dry_run_option(command: Command) -> Command:
    """Give a command the option `--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")(command)


@click.command()
@click.argument("name", metavar="SERIAL|ID")
@click.argument("state", type=click.Choice(_STATES))
@click.option("--reason", required=True, help="Why; kept with the step.")
@click.option("--since", type=INSTANT, help="When it holds from; now, if left out.")
@dry_run_option
def state(name: str, state: str, reason: str, since: datetime | None, dry_run: bool) -> None:
    """Take a meter a step further in its life: put it in service, suspend, release, retire it."""
    from hes.domain.life import MeterState

    with _acting(dry_run) as (inventory, changes):
        meter_id = inventory.find(name)
        changed = changes.set_state(
            meter_id, MeterState(state), reason=reason, actor=user(), since=since
        )
    _say(f"{name} is {state}" if changed else f"{name} is {state} already", dry_run)


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW|FILE|-")
@click.option("--at", type=INSTANT, required=True, help="When the meters were exchanged.")
@click.option("--reason", required=True, help="Why; kept with the exchange.")
@click.option("--last", multiple=True, metavar="OBIS=VALUE", help="What the old one showed.")
@click.option("--first", multiple=True, metavar="OBIS=VALUE", help="What the new one showed.")
@dry_run_option
def exchange(
    old: str,
    new: str,
    at: datetime,
    reason: str,
    last: Sequence[str],
    first: Sequence[str],
    dry_run: bool,
) -> None:
    """
    Exchange a meter: the old one is retired, the new one hangs in its place since then.

    NEW is the serial of a meter in the inventory, or a file with a row of a meter file (JSON; -
    reads stdin).
    """
    from hes.meters import ExchangeWish

    row = _object(new) if _is_file(new) else {"serial": new}
    wish = ExchangeWish(row, at, reason, _registers(last), _registers(first))
    with _acting(dry_run) as (inventory, changes):
        changes.exchange(inventory.find(old), wish, actor=user())
    _say(f"{row.get('serial')} hangs in place of {old} since {cell(at)}", dry_run)


@click.command()
@click.argument("name", metavar="SERIAL|ID")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD=VALUE…")
@dry_run_option
def change(name: str, fields: Sequence[str], dry_run: bool) -> None:
    """Change fields of a meter, as in a meter file; FIELD= takes one away."""
    patch: dict[str, object] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise click.UsageError(f"{key}: FIELD=VALUE is expected")
        patch[key] = value or None
    with _acting(dry_run) as (inventory, changes):
        changes.change(inventory.find(name), patch, actor=user())
    _say(f"{name}: {', '.join(patch)} changed", dry_run)


@click.command()
@click.argument("name", metavar="SERIAL|ID")
@click.option("--add", multiple=True, metavar="TAG", help="May be given several times.")
@click.option("--remove", multiple=True, metavar="TAG", help="May be given several times.")
@dry_run_option
def tag(name: str, add: Sequence[str], remove: Sequence[str], dry_run: bool) -> None:
    """Put tags on a meter and take others off; without options, print them."""
    with _acting(dry_run) as (inventory, changes):
        meter_id = inventory.find(name)
        tags = _changed(inventory.get(meter_id).tags, add, remove)
        if add or remove:
            changes.set_tags(meter_id, tags)
    for each in tags:
        click.echo(each)


@click.command()
@click.argument("name", metavar="SERIAL|ID")
@click.option("--add", multiple=True, metavar="GROUP", help="May be given several times.")
@click.option("--remove", multiple=True, metavar="GROUP", help="May be given several times.")
@dry_run_option
def group(name: str, add: Sequence[str], remove: Sequence[str], dry_run: bool) -> None:
    """Put a meter in groups and take it out of others; without options, print them."""
    with _acting(dry_run) as (inventory, changes):
        meter_id = inventory.find(name)
        groups = _changed(inventory.get(meter_id).groups, add, remove)
        if add or remove:
            changes.set_groups(meter_id, groups)
    for each in groups:
        click.echo(each)


@click.command()
@output_option
def groups(output: str) -> None:
    """List all groups, and how many meters are in them."""
    with _acting(dry_run=True) as (inventory, _):
        rows = [{"group": each.name, "meters": each.meters} for each in inventory.groups()]
    write_rows(rows, ("group", "meters"), output)


@click.command()
@output_option
def tags(output: str) -> None:
    """List all tags, and how many meters have them."""
    with _acting(dry_run=True) as (inventory, _):
        rows = [{"tag": each.tag, "meters": each.meters} for each in inventory.tags()]
    write_rows(rows, ("tag", "meters"), output)


@click.command()
@click.argument("name", metavar="SERIAL|ID")
@click.argument("client_sap", type=click.IntRange(1, 65535))
@click.argument("file", type=click.File("rb"))
@dry_run_option
def associate(name: str, client_sap: int, file: BinaryIO, dry_run: bool) -> None:
    """
    Say how a client of ours talks to a meter: a JSON object from a file or - (stdin).

    Its fields are server_sap, mechanism, suite, role, transport, counter_object, secret, ek, ak.
    """
    fields = _parsed(file.read(16 * 1024 + 1))
    with _acting(dry_run) as (inventory, changes):
        changes.put_association(inventory.find(name), client_sap, fields)
    _say(f"{name}: association of client {client_sap} kept", dry_run)


@click.command()
@click.argument("name", metavar="SERIAL|ID")
@click.argument("client_sap", type=click.IntRange(1, 65535))
@dry_run_option
def dissociate(name: str, client_sap: int, dry_run: bool) -> None:
    """Forget how a client of ours talks to a meter, with its secrets."""
    with _acting(dry_run) as (inventory, changes):
        changes.remove_association(inventory.find(name), client_sap)
    _say(f"{name}: association of client {client_sap} gone", dry_run)


@click.command()
@click.argument("parent", metavar="PARENT")
@click.argument("channel", type=click.IntRange(1, 64))
@click.argument("child", metavar="CHILD")
@click.option("--since", type=INSTANT, help="Ends what hangs there; now, if left out, and free.")
@dry_run_option
def attach(parent: str, channel: int, child: str, since: datetime | None, dry_run: bool) -> None:
    """Hang a meter at an M-Bus channel of another one."""
    with _acting(dry_run) as (inventory, changes):
        changes.attach(inventory.find(parent), channel, inventory.find(child), since=since)
    _say(f"{child} hangs at channel {channel} of {parent}", dry_run)


@click.command()
@click.argument("parent", metavar="PARENT")
@click.argument("channel", type=click.IntRange(1, 64))
@click.option("--at", type=INSTANT, help="When it was taken down; now, if left out.")
@dry_run_option
def detach(parent: str, channel: int, at: datetime | None, dry_run: bool) -> None:
    """Take down what hangs at an M-Bus channel."""
    with _acting(dry_run) as (inventory, changes):
        ended = changes.detach(inventory.find(parent), channel, at=at)
    _say(f"channel {channel} of {parent} is free" + ("" if ended else " already"), dry_run)


COMMANDS: Final = (
    state,
    exchange,
    change,
    tag,
    group,
    groups,
    tags,
    associate,
    dissociate,
    attach,
    detach,
)


@contextmanager
def _acting(dry_run: bool) -> Iterator[tuple[Inventory, InventoryChanges]]:
    """The inventory, and what changes it; what is refused is an error of one line."""
    from hes import wiring
    from hes.meters import Inventory, InventoryChanges

    with wiring.open_database() as database:
        yield (
            Inventory(database),
            InventoryChanges(database, _keys(database), dry_run=dry_run),
        )


def _keys(database: Database) -> Callable[[], KeyService]:
    from hes import wiring

    return lambda: wiring.keys(database)


def _say(what: str, dry_run: bool) -> None:
    click.echo(f"dry run, nothing written: {what}" if dry_run else what, err=True)


def _changed(there: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> list[str]:
    return sorted({*there, *add} - set(remove))


def _registers(texts: Sequence[str]) -> dict[str, str]:
    return {obis: value for obis, _, value in (text.partition("=") for text in texts)}


def _is_file(text: str) -> bool:
    from pathlib import Path

    return text == "-" or Path(text).is_file()


def _object(name: str) -> dict[str, Any]:
    with click.open_file(name, "rb") as file:
        return _parsed(file.read(16 * 1024 + 1))


def _parsed(octets: bytes) -> dict[str, Any]:
    from hes.meters.fields import RowError, read_object

    try:
        return read_object(octets)
    except RowError as exc:
        # Its text quotes nothing of the file, which may hold keys.
        raise click.UsageError(exc.message) from None


__all__ = ["COMMANDS", "dry_run_option"]
