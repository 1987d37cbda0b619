"""Examples of the board, of completeness and of clocks for the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from hes.api import board_schemas as schemas

_METER: Final = UUID("018f0000-0000-7000-8000-000000000001")
_DAY: Final = datetime(2026, 1, 31, tzinfo=UTC)
_PROFILE: Final = "1.0.99.1.0.255"
_CELL: Final = schemas.Cell(
    expected=960_000,
    on_time=950_100,
    late=4_000,
    lost=300,
    missing=1_600,
    pending=4_000,
    share=99.38,
    causes={"connect-timeout": 1_500, "not-in-buffer": 300, "not-reached": 100},
)

BOARD: Final = schemas.Board(
    by="plan",
    from_at=_DAY,
    to_at=_DAY + timedelta(days=1),
    cells=[schemas.NamedCell("daily", 98.0, _CELL)],
    total=_CELL,
)

_OF_METER: Final = schemas.Cell(96, 92, 1, 2, 1, 0, 95.83, {"not-in-buffer": 2, "not-reached": 1})

COMPLETENESS: Final = schemas.MeterCompleteness(
    meter_id=_METER,
    profiles=[
        schemas.ProfileCompleteness(
            source=_PROFILE,
            capture_period_s=900,
            since=_DAY - timedelta(days=30),
            until=None,
            plan=1,
            total=_OF_METER,
            days=[schemas.DayCell(_DAY, _OF_METER)],
        )
    ],
    losses=[
        schemas.Loss(
            source=_PROFILE,
            captured_from=_DAY + timedelta(hours=3),
            captured_to=_DAY + timedelta(hours=3, minutes=30),
            reason="not-in-buffer",
            lost_at=_DAY + timedelta(hours=8),
            ended_at=None,
        )
    ],
    clock_changes=[
        schemas.ClockChange(
            at=_DAY + timedelta(hours=6),
            before_at=_DAY + timedelta(hours=5, minutes=59, seconds=40),
            after_at=_DAY + timedelta(hours=6),
            how="shift",
            outcome="done",
            drift_s=0.2,
        )
    ],
)

DRIFTS: Final = schemas.Drifts(
    since=_DAY,
    bounds_s=[-60.0, -5.0, 5.0, 60.0],
    models=[schemas.ModelDrifts("idis-single-phase", 5_000, -41.0, 0.3, 12.5, [0, 3, 4_990, 7, 0])],
)

CLOCK_ORDER: Final = schemas.ClockOrder(_METER, "clock was never set at installation")
