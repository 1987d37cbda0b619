"""Examples of plans for the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

from hes.api import plan_schemas as schemas

_BERLIN: Final = timezone(timedelta(hours=1))
_SUMMER: Final = timezone(timedelta(hours=2))

PLAN: Final = schemas.Plan(
    id=1,
    name="daily",
    enabled=True,
    priority="normal",
    reads=[schemas.Read("profile", None, []), schemas.Read("billing", None, [])],
    selection=schemas.Selection(False, ["north"], [], []),
    recurrence="cron 0 1 * * *",
    zone="site",
    window_s=21_600,
    spread_s=3_600,
    deadline_s=14_400,
    target=Decimal("98.0"),
    members=9_800,
    since=datetime(2026, 3, 1, tzinfo=UTC),
    revision=3,
)

PLANS: Final = schemas.PlanList([PLAN], next_cursor=None, has_more=False, total_estimate=1)

REMOVED: Final = schemas.PlanRemoved(id=1, cancelled=12)

PREVIEW: Final = schemas.PlanPreview(
    members=9_800,
    zones=[
        schemas.ZonePreview(
            "Europe/Berlin",
            9_800,
            [
                schemas.ComingRun(
                    datetime(2026, 3, 29, 0, tzinfo=UTC),
                    datetime(2026, 3, 29, 1, tzinfo=_BERLIN),
                    datetime(2026, 3, 29, 4, tzinfo=UTC),
                    None,
                ),
                schemas.ComingRun(
                    datetime(2026, 3, 29, 23, tzinfo=UTC),
                    datetime(2026, 3, 30, 1, tzinfo=_SUMMER),
                    datetime(2026, 3, 30, 3, tzinfo=UTC),
                    "forward",
                ),
            ],
        )
    ],
)

RUNS: Final = schemas.PlanRunList(
    [
        schemas.PlanRun(
            run_at=datetime(2026, 3, 28, 0, tzinfo=UTC),
            timezone="Europe/Berlin",
            deadline_at=datetime(2026, 3, 28, 4, tzinfo=UTC),
            ends_at=datetime(2026, 3, 28, 6, tzinfo=UTC),
            asked=False,
            skipped=False,
            members=9_800,
            open=0,
            done=9_755,
            late=31,
            failed=2,
            expired=12,
            cancelled=0,
            ended_at=datetime(2026, 3, 28, 6, tzinfo=UTC),
        )
    ],
    next_cursor=None,
    has_more=False,
    total_estimate=None,
)

CAPACITY: Final = schemas.Capacity(
    available_per_s=100.0,
    measured=False,
    peak_per_s=0.681,
    fits=True,
    plans=[schemas.PlanNeed(1, "daily", 9_800, 3_763_200, 0.681)],
    hours=[
        schemas.HourNeed(datetime(2026, 3, 28, 23, tzinfo=UTC), 0.0, True),
        schemas.HourNeed(datetime(2026, 3, 29, 0, tzinfo=UTC), 0.681, True),
    ],
)
