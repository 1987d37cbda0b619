"""From due items to the steps of a session."""

from __future__ import annotations

from datetime import timedelta

from hes.domain.meters import MeterKnowledge, ProfileKnowledge
from hes.domain.work import Attribute, DueItem, Gap, Priority, Read, ReadKind, WorkKind
from hes_collectors.dlms.work import StepKind, steps
from hes_protocol.cosem import Obis
from tests.unit.hes_collectors.support import START

HOUR = timedelta(hours=1)
LOAD, DAILY = Obis.parse("1.0.99.1.0.255"), Obis.parse("1.0.99.2.0.255")
BILLS, LOG = Obis.parse("0.0.98.1.0.255"), Obis.parse("0.0.99.98.0.255")
ENERGY = Attribute(3, Obis.parse("1.0.1.8.0.255"), 2)
KNOWN = MeterKnowledge(
    (),
    (
        ProfileKnowledge(LOG, 0, ()),
        ProfileKnowledge(BILLS, 0, ()),
        ProfileKnowledge(DAILY, 86_400, ()),
        ProfileKnowledge(LOAD, 900, ()),
    ),
)
ALL = (
    Read(ReadKind.EVENTS),
    Read(ReadKind.BILLING),
    Read(ReadKind.REGISTERS),
    Read(ReadKind.PROFILE),
)


def item(
    item_id: int,
    *reads: Read,
    gap: Gap | None = None,
    deadline_h: float = 1,
    priority: int = Priority.NORMAL,
    kind: WorkKind = WorkKind.PLAN,
) -> DueItem:
    return DueItem(
        item_id, kind, START, START, START + deadline_h * HOUR, START + 9 * HOUR, priority,
        reads=reads, gap=gap,
    )  # fmt: skip


def gap(hours_ago: float) -> Gap:
    return Gap(LOAD, START - hours_ago * HOUR, START)


def test_gaps_oldest_first_then_profiles_registers_billing_logs() -> None:
    made = steps((item(1, *ALL), item(2, gap=gap(2)), item(3, gap=gap(5))), KNOWN)
    assert [(one.kind, one.source) for one in made] == [
        (StepKind.GAP, LOAD),
        (StepKind.GAP, LOAD),
        (StepKind.PROFILE, LOAD),
        (StepKind.PROFILE, DAILY),
        (StepKind.REGISTERS, None),
        (StepKind.BILLING, BILLS),
        (StepKind.EVENTS, LOG),
    ]
    assert [one.item_ids for one in made[:2]] == [{3}, {2}]


def test_what_two_items_want_is_asked_once() -> None:
    early, late = (
        item(1, Read(ReadKind.PROFILE), deadline_h=1),
        item(2, Read(ReadKind.PROFILE, LOAD)),
    )
    [load, daily] = steps((late, early), KNOWN)
    assert load.item_ids == {1, 2}
    assert load.deadline_at == early.deadline_at
    assert daily.source == DAILY
    assert daily.item_ids == {1}
    assert len(steps((item(1, gap=gap(2)), item(2, gap=gap(2))), KNOWN)) == 1


def test_the_profile_with_the_next_deadline_comes_first() -> None:
    made = steps(
        (
            item(1, Read(ReadKind.PROFILE, LOAD), deadline_h=5),
            item(2, Read(ReadKind.PROFILE, DAILY), deadline_h=2),
        ),
        KNOWN,
    )
    assert [one.source for one in made] == [DAILY, LOAD]


def test_urgent_work_comes_before_everything() -> None:
    urgent = item(1, Read(ReadKind.REGISTERS, None, (ENERGY,)), priority=Priority.URGENT)
    made = steps((item(2, gap=gap(9)), urgent), KNOWN)
    assert [one.kind for one in made] == [StepKind.REGISTERS, StepKind.GAP]
    assert made[0].attributes == (ENERGY,)


def test_a_meter_that_has_nothing_of_a_kind_is_asked_nothing() -> None:
    bare = MeterKnowledge((), ())
    assert steps((item(1, Read(ReadKind.PROFILE), Read(ReadKind.EVENTS)),), bare) == ()
    assert steps((item(1, kind=WorkKind.FIRST),), bare) == ()
    # What is named is asked, known or not: the meter's refusal is the answer.
    assert len(steps((item(1, Read(ReadKind.PROFILE, LOAD)),), bare)) == 1


def test_a_newcomer_is_read_as_far_as_it_is_known() -> None:
    made = steps((item(1, kind=WorkKind.FIRST),), KNOWN)
    assert {one.source for one in made} >= {LOAD, DAILY}
