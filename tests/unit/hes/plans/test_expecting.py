"""Which of a meter's profiles are expected, and by whose deadlines."""

from __future__ import annotations

from datetime import UTC, datetime

from hes.domain.work import Read, ReadKind
from hes.plans.expecting import SelectingPlan, expected
from hes.storage.expectations import KnownProfile
from hes_protocol.cosem import Obis

LOAD, QUALITY, BILLING, EVENTS = (
    Obis.parse(f"{code}.255") for code in ("1.0.99.1.0", "1.0.99.14.0", "0.0.98.1.0", "0.0.99.98.0")
)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def plan(plan_id: int, *reads: Read) -> SelectingPlan:
    return SelectingPlan(plan_id, "UTC", reads, SINCE)


def chosen(profiles: list[KnownProfile], *plans: SelectingPlan) -> dict[Obis, int]:
    return {one.source: one.plan_id for one in expected(profiles, plans)}


def test_profiles_are_expected_by_the_kind_that_is_read() -> None:
    profiles = [KnownProfile(one, 900, None) for one in (LOAD, QUALITY, BILLING)]
    both = plan(1, Read(ReadKind.PROFILE), Read(ReadKind.POWER_QUALITY))
    assert chosen(profiles, plan(1, Read(ReadKind.PROFILE))) == {LOAD: 1}
    assert chosen(profiles, both) == {LOAD: 1, QUALITY: 1}
    assert chosen(profiles, plan(1, Read(ReadKind.REGISTERS))) == {}


def test_the_first_plan_that_reads_it_counts() -> None:
    profiles = [KnownProfile(LOAD, 900, 3600)]
    only_quality, all_profiles = (
        plan(1, Read(ReadKind.PROFILE, QUALITY)),
        plan(2, Read(ReadKind.PROFILE)),
    )
    (wanted,) = expected(profiles, [only_quality, all_profiles])
    assert (wanted.plan_id, wanted.reach_s, wanted.since) == (2, 3600, SINCE)


def test_what_has_no_grid_within_the_day_is_not_expected() -> None:
    reads = plan(1, *(Read(kind) for kind in ReadKind))
    for source, period_s in ((EVENTS, 0), (LOAD, 0), (LOAD, 7 * 86_400), (LOAD, 420)):
        assert chosen([KnownProfile(source, period_s, None)], reads) == {}
    assert chosen([KnownProfile(LOAD, 86_400, None)], reads) == {LOAD: 1}
