"""A board of made-up numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from hes.domain.clock import ClockChange, ClockHow, ClockOutcome
from hes.readings import Board, By, Cell, Drifts, MeterCompleteness, ProfileCompleteness
from hes.readings.boards import NamedCell
from hes.storage.clock_changes import DriftsOfModel, KnownChange
from hes.storage.losses import Loss, LossReason
from hes_protocol.cosem import Obis

PROFILE = Obis.parse("1.0.99.1.0.255")
CELL = Cell(100, 90, 3, 2, 1, 4, {"not-in-buffer": 2, "connect-timeout": 1})


@attrs.define
class FakeBoards:
    """`BoardsReader`; `asked` are the spans that were asked for."""

    now: datetime
    check: Callable[[], None]
    asked: list[tuple[datetime, datetime]] = attrs.field(factory=list)

    def board(self, by: By, from_: datetime, to: datetime) -> Board:
        self.check()
        self.asked.append((from_, to))
        cells = (NamedCell("daily", CELL, 98.0), NamedCell(None, Cell(4, pending=4)))
        return Board(from_, to, cells, CELL)

    def meter(self, meter_id: UUID, from_: datetime, to: datetime) -> MeterCompleteness:
        self.check()
        day = timedelta(days=1)
        change = ClockChange(meter_id, self.now, self.now, self.now + day, ClockHow.SEEN)
        return MeterCompleteness(
            (ProfileCompleteness(PROFILE, 900, from_, None, 1, CELL, ((from_, CELL),)),),
            [Loss(PROFILE, 900, from_, to, LossReason.BEYOND_BUFFER, to, None)],
            [KnownChange(1, change, ClockOutcome.DONE, None)],
        )

    def drifts(self, since: datetime) -> Drifts:
        self.check()
        return Drifts((-5.0, 5.0), (DriftsOfModel(None, 3, -6.0, 0.0, 7.0, (1, 1, 1)),))

    def order_clock(self, meter_id: UUID, *, reason: str, ordered_by: str) -> None:
        self.check()
