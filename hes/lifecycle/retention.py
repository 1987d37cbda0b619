"""
How long what is kept: which rule counts, what goes whole and what row by row.

The most precise rule counts: a tenant's profile, a tenant, a profile, all. Where none says
anything things stay. What is older than every rule allows goes by whole chunks; what only some
rules let go is deleted in bounded transactions. Batches stay while rows of theirs may be there,
since their kind says which value is current. Billing evidence is never touched; the feed in Redis
bounds itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from hes.storage import retention as store
from hes.storage.database import Database
from hes.storage.features import aggregate, chunks, drop_older, list_chunks
from hes.storage.retention import Kind, Profile, Rule
from hes_protocol.cosem import Obis

_PROFILE_KINDS: Final = frozenset(store.OF_SERIES)


class RuleError(ValueError):
    """A rule that cannot be: sessions and the like belong to no profile."""


@attrs.frozen
class Pruned:
    """What went, or would: whole chunks of a table, or rows of a tenant (and a profile)."""

    table: str
    before: datetime
    tenant_id: int | None = None
    source: Obis | None = None
    chunks: int = 0
    rows: int = 0


def keep_days(
    rules: Sequence[Rule], kind: Kind, tenant_id: int | None, source: Obis | None
) -> int | None:
    """What counts for a tenant's profile; None: for ever."""
    for tenant, profile in ((tenant_id, source), (tenant_id, None), (None, source), (None, None)):
        for rule in rules:
            if (rule.kind, rule.tenant_id, rule.source) == (kind, tenant, profile):
                return rule.keep_days
    return None


class Retention:
    """
    The rules and their application.

    Args: clock: our clock, aware.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def rules(self) -> Sequence[Rule]:
        """All rules. Raises: StorageUnavailableError."""
        with self._database.connection() as connection:
            return store.rules(connection)

    def put(self, rule: Rule) -> None:
        """
        Set a rule; it is applied at the next `run`.

        Raises: RuleError, StorageUnavailableError.
        """
        self.check(rule)
        with self._database.connection() as connection:
            store.put_rule(connection, rule)

    @staticmethod
    def check(rule: Rule) -> None:
        """
        See that a rule can be.

        Raises: RuleError: a profile for what belongs to none, a tenant for what may be several's.
        """
        if rule.source is not None and rule.kind not in _PROFILE_KINDS:
            raise RuleError(f"{rule.kind} belong to no profile")
        if rule.tenant_id is not None and rule.kind is Kind.BATCHES:
            raise RuleError("batches may hold rows of several tenants: one rule is for all")

    def remove(self, kind: Kind, tenant_id: int | None, source: Obis | None) -> bool:
        """Remove a rule; tells whether there was one. Raises: StorageUnavailableError."""
        with self._database.connection() as connection:
            return store.remove_rule(connection, kind, tenant_id, source)

    def run(self, *, dry_run: bool = False) -> Iterator[Pruned]:
        """
        Let go of what is too old; may break off anywhere and begin again.

        Args: dry_run: only count. Of events, sessions and the like only chunks are counted.

        Returns: what went, as it goes.

        Raises: StorageUnavailableError.
        """
        now = self._clock()
        with self._database.connection() as connection:
            rules = store.rules(connection)
            profiles = store.profiles(connection)
            tenants = store.tenant_ids(connection)
        gone: datetime | None = None
        for kind in store.OF_SERIES:
            dropped = yield from self._series(kind, rules, profiles, now, dry_run=dry_run)
            gone = dropped if kind is Kind.READINGS else gone
        for kind in store.OF_METERS:
            yield from self._meters(kind, rules, tenants, now, dry_run=dry_run)
        days = keep_days(rules, Kind.BATCHES, None, None)
        if days is not None and gone is not None and not dry_run:
            before = now - timedelta(days=days)
            rows = store.delete_batches(self._database, before, gone)
            yield Pruned("batch", before, rows=rows)

    def _series(
        self,
        kind: Kind,
        rules: Sequence[Rule],
        profiles: Sequence[Profile],
        now: datetime,
        *,
        dry_run: bool,
    ) -> Generator[Pruned, None, datetime | None]:
        """Returns: before which no row is left."""
        cutoffs = {
            profile: None if days is None else now - timedelta(days=days)
            for profile in profiles
            for days in [keep_days(rules, kind, profile.tenant_id, profile.source)]
        }
        everywhere = _earliest(list(cutoffs.values()))
        for table in store.OF_SERIES[kind]:
            if everywhere is not None and table in chunks.TABLES:
                yield from self._chunks(table, everywhere, dry_run=dry_run)
        for profile, cutoff in cutoffs.items():
            if cutoff is None:
                continue
            with self._database.connection() as connection:
                series_ids = store.series_of(connection, profile)
            change = store.count_of_series if dry_run else store.delete_of_series
            for table, column in store.OF_SERIES[kind].items():
                rows = change(self._database, table, column, series_ids, before=cutoff)
                if rows:
                    yield Pruned(table, cutoff, profile.tenant_id, profile.source, rows=rows)
        latest = max((cutoff for cutoff in cutoffs.values() if cutoff is not None), default=None)
        if kind is Kind.READINGS and latest is not None and not dry_run:
            aggregate.forget(self._database, None, latest)
        return everywhere

    def _meters(
        self,
        kind: Kind,
        rules: Sequence[Rule],
        tenants: Sequence[int],
        now: datetime,
        *,
        dry_run: bool,
    ) -> Iterator[Pruned]:
        table, _ = store.OF_METERS[kind]
        cutoffs = {
            tenant: None if days is None else now - timedelta(days=days)
            for tenant in (None, *tenants)
            for days in [keep_days(rules, kind, tenant, None)]
        }
        everywhere = _earliest([cutoffs[tenant] for tenant in tenants])
        if everywhere is not None and table in chunks.TABLES:
            yield from self._chunks(table, everywhere, dry_run=dry_run)
        for tenant, cutoff in cutoffs.items():
            if cutoff is not None and not dry_run:
                rows = store.delete_of_meters(self._database, kind, tenant, cutoff)
                if rows:
                    yield Pruned(table, cutoff, tenant, rows=rows)

    def _chunks(self, table: str, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
        if dry_run:
            old = [one for one in list_chunks(self._database, table) if one.until <= before]
        else:
            old = list(drop_older(self._database, table, before))
        if old:
            yield Pruned(table, before, chunks=len(old))


def _earliest(cutoffs: Sequence[datetime | None]) -> datetime | None:
    """Before which everybody lets go; None: somebody keeps for ever, or there is nobody."""
    known = [cutoff for cutoff in cutoffs if cutoff is not None]
    return min(known) if known and len(known) == len(cutoffs) else None
