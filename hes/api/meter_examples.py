"""Examples of changed meters for the OpenAPI document."""

from __future__ import annotations

from typing import Final

from hes.api import meter_schemas

REPORT: Final = meter_schemas.ImportReport(
    dry_run=False,
    rows=3,
    created=2,
    replaced=0,
    kept=0,
    failed=1,
    errors=[
        meter_schemas.ImportedRowError(
            line=3, serial="SIM00000002", field="ek", message="12 octets where 16 are due"
        )
    ],
)

GROUPS: Final = meter_schemas.GroupList(
    [meter_schemas.Group("north", 9_800)], None, has_more=False, total_estimate=1
)

MEMBERSHIP: Final = meter_schemas.Membership("north", added=2, removed=0)

TAGS: Final = meter_schemas.TagList(
    [meter_schemas.Tag("solar", 120)], None, has_more=False, total_estimate=1
)
