"""Asks the database for what the board counts, and puts it into cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import attrs
import numpy as np

from hes.domain.readings import Int64Array
from hes.readings.board import Cell, Tally, tally
from hes.storage import board, clock_changes, losses
from hes.storage.board import ExpectedRow
from hes.storage.clock_changes import DriftsOfModel, KnownChange
from hes.storage.database import Connection, Database
from hes.storage.losses import Loss
from hes_protocol.cosem import Obis

_STATEMENT_TIMEOUT_S: Final = 30.0
_ID_OCTETS: Final = 16
NO_CAUSE: Final = "not-reached"
"""Why intervals are missing of a meter of which nothing was said."""
MOST_DAYS: Final = 92
_MOST_SHOWN: Final = 500


class By(StrEnum):
    """What the cells of a board are of."""

    PLAN = "plan"
    GROUP = "group"
    MODEL = "model"
    SEGMENT = "segment"
    FEEDER = "feeder"
    HOUR = "hour"
    DAY = "day"


@attrs.frozen
class NamedCell:
    """A cell with what it is of; None: of meters that have none. `target`: of a plan, per cent."""

    name: str | None
    cell: Cell
    target: float | None = None


@attrs.frozen
class Board:
    """The cells of [`from_`, `to`), and all of it together; `from_` begins an hour of UTC."""

    from_: datetime
    to: datetime
    cells: tuple[NamedCell, ...]
    total: Cell


@attrs.frozen
class ProfileCompleteness:
    """What became of a profile's intervals, day by day of UTC."""

    source: Obis
    capture_period_s: int
    since: datetime
    until: datetime | None
    plan_id: int
    total: Cell
    days: tuple[tuple[datetime, Cell], ...]


@attrs.frozen
class MeterCompleteness:
    """What became of a meter's intervals, what was lost of them, and changes of its clock."""

    profiles: tuple[ProfileCompleteness, ...]
    losses: Sequence[Loss]
    clock_changes: Sequence[KnownChange]


@attrs.frozen
class Drifts:
    """Histograms of clocks by model; see `DriftsOfModel`."""

    bounds_s: tuple[float, ...]
    models: tuple[DriftsOfModel, ...]


class BoardReader:
    """
    Reads the board, and takes orders for clocks. Thread-safe.

    Args: primary: takes orders. reader: may be a standby: what it says may be some seconds old.
    """

    def __init__(
        self,
        primary: Database,
        reader: Database | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._primary = primary
        self._database = reader or primary
        self._clock = clock

    def board(self, by: By, from_: datetime, to: datetime) -> Board:
        """
        The board of the intervals that begin in [from_'s hour, to), as far as they have begun.

        Raises:
            ValueError: more than `MOST_DAYS`.
            StorageUnavailableError: the database is away or took too long.
        """
        from_, to = self._hours(from_, to)
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            rows = board.expected(connection, from_, to)
            counted = _tally(connection, rows, from_, to, None, hours=by in (By.HOUR, By.DAY))
            causes = _causes(connection, rows, counted, from_)
            cells = _cells(connection, by, rows, counted, causes)
        return Board(
            from_, to, tuple(cells), counted.of_rows(causes=_sum(causes, range(len(rows))))
        )

    def meter(self, meter_id: UUID, from_: datetime, to: datetime) -> MeterCompleteness:
        """
        What became of one meter's intervals in the hours of [from_, to).

        Raises: as `board`.
        """
        from_, to = self._hours(from_, to)
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            profiles = []
            for row in board.expected(connection, from_, to, [meter_id]):
                counted = _tally(connection, [row], from_, to, [meter_id], hours=True)
                causes = _causes(connection, [row], counted, from_)
                profiles.append(_profile(row, counted, causes.get(0, {})))
            return MeterCompleteness(
                tuple(profiles),
                losses.of_meter(connection, meter_id, from_, to, limit=_MOST_SHOWN),
                clock_changes.of_meter(connection, meter_id, limit=_MOST_SHOWN),
            )

    def drifts(self, since: datetime) -> Drifts:
        """
        How far clocks are ahead, by model, of meters that were talked to since then.

        Raises: StorageUnavailableError: the database is away or took too long.
        """
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            return Drifts(
                clock_changes.DRIFT_BOUNDS_S, tuple(clock_changes.drifts(connection, since))
            )

    def order_clock(self, meter_id: UUID, *, reason: str, ordered_by: str) -> None:
        """
        Have a meter's clock set by its next session, however far it is off.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        with self._primary.connection() as connection:
            clock_changes.order(connection, meter_id, reason=reason, ordered_by=ordered_by)

    def _hours(self, from_: datetime, to: datetime) -> tuple[datetime, datetime]:
        hour = timedelta(hours=1)
        now = self._clock()
        from_ = from_.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        to = min(to, now).astimezone(UTC)
        if to <= from_:
            to = from_ + hour
        if to - from_ > timedelta(days=MOST_DAYS) + hour:
            raise ValueError(f"more than {MOST_DAYS} days")
        return from_, to


def _tally(
    connection: Connection,
    rows: Sequence[ExpectedRow],
    from_: datetime,
    to: datetime,
    meter_ids: Sequence[UUID] | None,
    *,
    hours: bool,
) -> Tally:
    last = (to - timedelta(microseconds=1)).date()
    blocks = board.days(connection, from_.date(), last, meter_ids)
    lost = board.losses(connection, from_, to, meter_ids)
    return tally(rows, blocks, lost, from_, to, hours=hours)


def _causes(
    connection: Connection, rows: Sequence[ExpectedRow], counted: Tally, from_: datetime
) -> dict[int, Counter[str]]:
    """Per row why intervals are lost or missing, with how many they are."""
    found: dict[int, Counter[str]] = {}
    for (row, reason), count in counted.lost_by.items():
        found.setdefault(row, Counter())[reason] += count
    places = np.flatnonzero(counted.missing).tolist()
    ids = {place: UUID(bytes=rows[place].key[:_ID_OCTETS]) for place in places}
    said = board.causes(connection, set(ids.values()), from_)
    for place, meter_id in ids.items():
        cause = said.get(meter_id) or NO_CAUSE
        found.setdefault(place, Counter())[cause] += int(counted.missing[place])
    return found


def _cells(
    connection: Connection,
    by: By,
    rows: Sequence[ExpectedRow],
    counted: Tally,
    causes: Mapping[int, Counter[str]],
) -> list[NamedCell]:
    if by in (By.HOUR, By.DAY):
        step = 1 if by is By.HOUR else 24
        return [
            NamedCell(
                (counted.start + timedelta(hours=hour)).isoformat(),
                cell,
            )
            for hour in range(0, counted.hours, step)
            if (cell := counted.of_hours(slice(hour, hour + step))).expected
        ]
    if by is By.PLAN:
        plans = board.plans(connection)
        of_plan: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            of_plan.setdefault(row.plan_id, []).append(place)
        return [
            NamedCell(name, _cell(counted, places, causes), target)
            for plan_id, places in of_plan.items()
            for name, target in (plans.get(plan_id, (None, None)),)
        ]
    of_meter: dict[bytes, list[int]] = {}
    for place, row in enumerate(rows):
        of_meter.setdefault(row.key[:_ID_OCTETS], []).append(place)
    named: dict[str | None, list[int]] = {}
    left = set(of_meter)
    for meter_id, name in board.names(connection, by.value):
        if meter_id.bytes in of_meter:
            named.setdefault(name, []).extend(of_meter[meter_id.bytes])
            left.discard(meter_id.bytes)
    for key in left:
        named.setdefault(None, []).extend(of_meter[key])
    return [
        NamedCell(name, _cell(counted, named[name], causes))
        for name in sorted(named, key=lambda name: (name is None, name))
    ]


def _cell(counted: Tally, places: Sequence[int], causes: Mapping[int, Counter[str]]) -> Cell:
    rows: Int64Array = np.array(places, np.int64)
    return counted.of_rows(rows, _sum(causes, places))


def _sum(causes: Mapping[int, Counter[str]], places: Sequence[int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for place in places:
        total.update(causes.get(place, {}))
    return dict(total.most_common())


def _profile(row: ExpectedRow, counted: Tally, causes: Mapping[str, int]) -> ProfileCompleteness:
    days = [
        (counted.start + timedelta(hours=hour), cell)
        for hour in range(0, counted.hours, 24)
        if (cell := counted.of_hours(slice(hour, hour + 24))).expected
    ]
    return ProfileCompleteness(
        Obis(row.key[_ID_OCTETS:]),
        row.capture_period_s,
        row.since,
        row.until,
        row.plan_id,
        counted.of_rows(causes=causes),
        tuple(days),
    )
