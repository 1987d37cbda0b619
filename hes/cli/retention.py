"""`hes retention`: how long what is kept, and letting go of what is older."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from hes.cli.output import output_option, write_rows
from hes.storage.retention import Kind

if TYPE_CHECKING:
    from hes.lifecycle.retention import Pruned, Retention
    from hes.storage.database import Database
    from hes_protocol.cosem import Obis

_RULE: Final = ("kind", "tenant", "profile", "keep_days")
_PRUNED: Final = ("table", "before", "tenant", "profile", "chunks", "rows")
_KINDS: Final = [kind.value for kind in Kind]
_FOREVER: Final = "forever"


@click.group()
def retention() -> None:
    """How long what is kept: docs/operations/retention.md."""


@retention.command()
@output_option
def ls(output: str) -> None:
    """List the rules; what none of them names is kept for ever."""
    from hes import wiring

    with wiring.open_database(application_name="hes retention") as database:
        names = _tenants(database)
        rows = [
            {
                "kind": rule.kind.value,
                "tenant": _name(names, rule.tenant_id),
                "profile": rule.source and str(rule.source),
                "keep_days": rule.keep_days,
            }
            for rule in _retention(database).rules()
        ]
    write_rows(rows, _RULE, output)


@retention.command("set")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("days", metavar="DAYS|forever")
@click.option("--tenant", help="Only of this tenant.")
@click.option("--profile", help="Only of this profile, by its OBIS code: 1.0.99.1.0.255.")
@click.option("--dry-run", is_flag=True, help="Only check the rule.")
def set_(kind: str, days: str, tenant: str | None, profile: str | None, dry_run: bool) -> None:
    """Keep so many days of something; `forever` removes the rule. Nothing goes before `run`."""
    from hes import wiring
    from hes.lifecycle.retention import RuleError
    from hes.storage.retention import Rule

    if days != _FOREVER and not (days.isdigit() and 1 <= int(days) <= 36_500):
        raise click.BadParameter("1 to 36500, or forever", param_hint="DAYS")
    source = _obis(profile)
    with wiring.open_database(application_name="hes retention") as database:
        tenant_id = _tenant_id(database, tenant)
        keeper = _retention(database)
        try:
            if days == _FOREVER:
                if not dry_run and not keeper.remove(Kind(kind), tenant_id, source):
                    click.echo("there was no such rule", err=True)
                return
            rule = Rule(Kind(kind), int(days), tenant_id, source)
            keeper.check(rule)
            if not dry_run:
                keeper.put(rule)
        except RuleError as error:
            raise click.UsageError(str(error)) from None


@retention.command()
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@output_option
def run(dry_run: bool, output: str) -> None:
    """Let go of what is older than its rule. May be ended at any time and run again."""
    from hes import wiring

    with wiring.open_database(application_name="hes retention") as database:
        names = _tenants(database)
        pruned = _retention(database).run(dry_run=dry_run)
        write_rows((_pruned(one, names) for one in pruned), _PRUNED, output)


def _retention(database: Database) -> Retention:
    from hes.lifecycle.retention import Retention

    return Retention(database, clock=lambda: datetime.now(UTC))


def _tenants(database: Database) -> dict[int, str]:
    from hes.storage.tenants import tenants

    with database.connection() as connection:
        return {tenant.tenant_id: tenant.name for tenant in tenants(connection)}


def _tenant_id(database: Database, name: str | None) -> int | None:
    if name is None:
        return None
    for tenant_id, known in _tenants(database).items():
        if known == name:
            return tenant_id
    raise click.BadParameter(f"there is no tenant {name!r}", param_hint="--tenant")


def _obis(text: str | None) -> Obis | None:
    from hes_protocol.cosem import Obis

    if text is None:
        return None
    try:
        return Obis.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--profile") from None


def _name(names: dict[int, str], tenant_id: int | None) -> str | None:
    return None if tenant_id is None else names.get(tenant_id, str(tenant_id))


def _pruned(one: Pruned, names: dict[int, str]) -> dict[str, object]:
    return {
        "table": one.table,
        "before": one.before,
        "tenant": _name(names, one.tenant_id),
        "profile": one.source and str(one.source),
        "chunks": one.chunks,
        "rows": one.rows,
    }
