"""Changes of meters that are only written down, for the tests of what the API makes of requests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from hes.domain.life import MeterState
from hes.meters import ExchangeWish, Format, ImportReport, OnExisting

FIRST = UUID(int=0x018F_0000_0000_7000_8000_0000_0000_0000)


@attrs.define
class FakeChanges:
    """`InventoryChanges`; `raises` is what the next call raises, `made` what was asked for."""

    check: Callable[[], None]
    raises: Exception | None = None
    made: list[tuple[Any, ...]] = attrs.field(factory=list)

    def _note(self, *call: Any) -> None:
        self.check()
        if self.raises is not None:
            raise self.raises
        self.made.append(call)

    def import_file(
        self,
        lines: Iterable[bytes | str],
        *,
        dry_run: bool,
        on_existing: OnExisting,
        format_: Format,
        actor: str,
        release: bool = False,
    ) -> ImportReport:
        self._note("import", list(lines), dry_run, on_existing, format_, actor, release)
        return ImportReport(dry_run, 1, 0, 0, 0, ())

    def create(self, row: Mapping[str, Any], *, actor: str) -> UUID:
        self._note("create", row, actor)
        return FIRST

    def change(self, meter_id: UUID, patch: Mapping[str, Any], *, actor: str) -> None:
        self._note("change", meter_id, patch, actor)

    def set_state(
        self,
        meter_id: UUID,
        state: MeterState,
        *,
        reason: str,
        actor: str,
        since: datetime | None = None,
    ) -> bool:
        self._note("state", meter_id, state, reason, actor, since)
        return True

    def exchange(self, old_id: UUID, wish: ExchangeWish, *, actor: str) -> UUID:
        self._note("exchange", old_id, wish, actor)
        return FIRST

    def set_tags(self, meter_id: UUID, tags: Sequence[str]) -> None:
        self._note("tags", meter_id, tags)

    def set_groups(self, meter_id: UUID, groups: Sequence[str]) -> None:
        self._note("groups", meter_id, groups)

    def change_members(
        self, group: str, *, add: Collection[UUID], remove: Collection[UUID]
    ) -> tuple[int, int]:
        self._note("members", group, add, remove)
        return len(add), len(remove)

    def put_association(self, meter_id: UUID, client_sap: int, fields: Mapping[str, Any]) -> None:
        self._note("association", meter_id, client_sap, fields)

    def remove_association(self, meter_id: UUID, client_sap: int) -> None:
        self._note("no association", meter_id, client_sap)

    def attach(
        self, parent_id: UUID, channel: int, child_id: UUID, *, since: datetime | None = None
    ) -> None:
        self._note("attach", parent_id, channel, child_id, since)

    def detach(self, parent_id: UUID, channel: int, *, at: datetime | None = None) -> bool:
        self._note("detach", parent_id, channel, at)
        return True
