"""
What every `LeasePort` must do with due items, in memory (`test_memory_due`) and in a database.

Each function is a contract. A `LeaseBench` has what surrounds the port: a clock that only `pass_s`
moves by more than a test takes, ways to add meters and items, and what was kept at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import attrs

from hes.domain.ports import (
    Finished,
    Lease,
    LeasePort,
    Limits,
    SecurityFinding,
    SessionOutcome,
    SessionPhase,
    SessionReport,
)
from hes.domain.work import (
    Gap,
    ItemResult,
    ItemState,
    MeterAfter,
    Priority,
    WorkKind,
)
from hes.storage.due_items import NewItem
from hes_protocol.cosem import Obis

PROFILE = Obis.parse("1.0.99.1.0.255")
LEASE_S = 60.0
HOUR_S = 3600.0


@attrs.frozen
class Kept:
    """How an item ended."""

    meter_id: UUID
    kind: WorkKind
    state: ItemState
    cause: str | None
    session_id: UUID | None


@attrs.frozen
class LeaseBench:
    """
    A `LeasePort` with ways to make meters due and time pass.

    `expire` is the scheduler's step; `results` and `reports` (session, cause) are what was kept,
    in order; `findings` counts security events by code.
    """

    leases: LeasePort
    now: Callable[[], datetime]
    pass_s: Callable[[float], None]
    add_meter: Callable[..., UUID]
    add: Callable[[Sequence[NewItem]], int]
    cancel: Callable[..., int]
    expire: Callable[[], int]
    limit_segment: Callable[[str, int], None]
    results: Callable[[], list[Kept]]
    reports: Callable[[], list[tuple[UUID, str | None]]]
    findings: Callable[[], Counter[str]]

    def take(self, limit: int = 100, **limits: object) -> list[Lease]:
        told = Limits(**limits)  # type: ignore[arg-type]
        return list(self.leases.take(holder="a", limit=limit, lease_s=LEASE_S, limits=told))

    def take_dialled(self, *meter_ids: UUID, limit: int = 100, **limits: object) -> list[Lease]:
        told = Limits(**limits)  # type: ignore[arg-type]
        return list(
            self.leases.take_dialled(
                meter_ids, holder="b", limit=limit, lease_s=LEASE_S, limits=told
            )
        )

    def new_item(self, meter_id: UUID, **changes: object) -> NewItem:
        """An item of a plan's run that has begun now, for an hour."""
        now = self.now()
        hour = timedelta(hours=1)
        plain = NewItem(
            meter_id, WorkKind.PLAN, now, now, now + hour / 2, now + hour, plan_id=1, zone="UTC"
        )
        return attrs.evolve(plain, **changes)

    def idle_meter(self, serial: str = "S1", **fields: object) -> UUID:
        """A meter in service whose first reading is done."""
        meter_id = self.add_meter(serial, **fields)
        [lease] = self.take_dialled(meter_id)
        assert not self.leases.finish([done(lease, self.now())])
        return meter_id

    def due_meter(self, serial: str = "S1", *, segment: str | None = None, **item: object) -> UUID:
        """A meter on which nothing is due but one item."""
        meter_id = self.idle_meter(serial, segment=segment)
        assert self.add([self.new_item(meter_id, **item)]) == 1
        return meter_id


def report(lease: Lease, now: datetime, cause: str | None = None) -> SessionReport:
    return SessionReport(
        uuid4(), lease.meter.meter_id, False, now, now, SessionPhase.DONE,
        SessionOutcome.OK if cause is None else SessionOutcome.TRANSPORT, cause, 10, 20,
    )  # fmt: skip


def finished(
    lease: Lease, now: datetime, results: Sequence[ItemResult], **said: object
) -> Finished:
    return Finished(lease, report(lease, now), tuple(results), **said)  # type: ignore[arg-type]


def done(lease: Lease, now: datetime) -> Finished:
    """A session that has done all that was due."""
    return finished(lease, now, [ItemResult(item.item_id, ItemState.DONE) for item in lease.items])


def a_meter_in_service_is_read_for_the_first_time(bench: LeaseBench) -> None:
    """Once: when that is done, nothing is due until somebody adds something."""
    meter_id = bench.add_meter("S1")
    [lease] = bench.take()
    assert (lease.meter.meter_id, lease.meter.serial) == (meter_id, "S1")
    assert (lease.failures, lease.rests_why, lease.read_at, lease.segment) == (0, None, None, None)
    assert lease.lease_s == LEASE_S
    [item] = lease.items
    assert (item.kind, item.attempts, item.plan_id, item.gap) == (WorkKind.FIRST, 0, None, None)
    assert lease.due_at == item.due_at <= bench.now()
    told = attrs.evolve(done(lease, bench.now()), read_at=bench.now())
    assert bench.leases.finish([told]) == frozenset()
    assert bench.take() == []
    [kept] = bench.results()
    assert kept == Kept(meter_id, WorkKind.FIRST, ItemState.DONE, None, told.report.session_id)
    assert bench.reports() == [(told.report.session_id, None)]
    assert bench.add([bench.new_item(meter_id)]) == 1
    [again] = bench.take()
    assert (again.read_at, again.token > lease.token) == (told.read_at, True)


def nobody_takes_what_somebody_holds(bench: LeaseBench) -> None:
    """Neither by `take` nor by `take_dialled`, until it is released or has run out."""
    meter_id = bench.add_meter("S1")
    [lease] = bench.take()
    assert bench.take() == bench.take_dialled(meter_id) == []
    bench.leases.release([lease])
    [again] = bench.take_dialled(meter_id)
    assert again.items == lease.items
    assert again.token > lease.token
    assert bench.take() == bench.take_dialled(meter_id) == []
    bench.pass_s(LEASE_S - 5)
    assert bench.take() == []
    bench.pass_s(6)
    [lease] = bench.take()
    assert (lease.failures, lease.items) == (1, again.items)
    assert bench.take(0) == bench.take() == []


def the_most_urgent_then_the_most_overdue_come_first(bench: LeaseBench) -> None:
    """Priority counts before time; a meter is as urgent as the most urgent thing due on it."""
    order = []
    for number, priority in enumerate((Priority.LOW, Priority.NORMAL, Priority.HIGH)):
        for late_s in (20, 10, 0):
            due_at = bench.now() + timedelta(seconds=60 - late_s)
            meter_id = bench.due_meter(f"S{number}{late_s}", priority=priority, due_at=due_at)
            order.append((priority, -late_s, meter_id))
    low = order[2][2]
    due_at = bench.now() + timedelta(seconds=60)
    gap = Gap(PROFILE, due_at, due_at)
    bench.add(
        [
            bench.new_item(
                low, kind=WorkKind.GAP, plan_id=None, zone=None, gap=gap, due_at=due_at,
                priority=Priority.URGENT,
            )
        ]
    )  # fmt: skip
    assert bench.take() == []
    bench.pass_s(60)
    assert [each.meter.meter_id for each in bench.take(1, urgent_only=True)] == [low]
    assert bench.take(urgent_only=True) == []
    taken = bench.take(4) + bench.take(100)
    rest = sorted(each for each in order if each[2] != low)
    assert [each.meter.meter_id for each in taken] == [meter_id for *_, meter_id in rest]


def one_lease_brings_all_that_is_due_on_a_meter(bench: LeaseBench) -> None:
    """The most urgent first; not what has its turn later, nor what is not worth trying any more."""
    meter_id = bench.due_meter()
    now = bench.now()
    second = timedelta(seconds=1)
    gap = Gap(PROFILE, now - timedelta(hours=2), now - timedelta(hours=1))
    item = bench.new_item(meter_id)
    added = [
        attrs.evolve(item, run_at=now - 2 * second, due_at=now - 2 * second),
        attrs.evolve(item, kind=WorkKind.GAP, plan_id=None, zone=None, gap=gap,
                     priority=Priority.HIGH),
        attrs.evolve(item, run_at=now + 30 * second, due_at=now + 30 * second),
        attrs.evolve(item, plan_id=2, expires_at=now + 20 * second, due_at=now),
    ]  # fmt: skip
    assert bench.add(added) == 4
    assert bench.add(added) == 0
    bench.pass_s(25)
    [lease] = bench.take()
    assert [(each.kind, each.gap, each.run_at) for each in lease.items] == [
        (WorkKind.GAP, gap, item.run_at),
        (WorkKind.PLAN, None, now - 2 * second),
        (WorkKind.PLAN, None, lease.items[2].run_at),
    ]
    assert lease.due_at == now - 2 * second
    assert not bench.leases.finish([done(lease, bench.now())])
    assert bench.take() == []
    bench.pass_s(10)
    [lease] = bench.take()
    assert [each.run_at for each in lease.items] == [now + 30 * second]


def what_is_done_after_its_deadline_is_late(bench: LeaseBench) -> None:
    """By the database's clock; what is refused for good has failed, whenever."""
    meter_id = bench.due_meter()
    bench.add([bench.new_item(meter_id, plan_id=2)])
    bench.pass_s(HOUR_S / 2 + 1)
    [lease] = bench.take()
    late, failed = lease.items
    told = [ItemResult(late.item_id, ItemState.DONE, "a note"),
            ItemResult(failed.item_id, ItemState.FAILED, "object-undefined")]  # fmt: skip
    assert not bench.leases.finish([finished(lease, bench.now(), told)])
    assert [(each.state, each.cause) for each in bench.results()[1:]] == [
        (ItemState.LATE, "a note"),
        (ItemState.FAILED, "object-undefined"),
    ]


def what_is_tried_again_waits_for_its_turn(bench: LeaseBench) -> None:
    """What a session says nothing of is due as it was; counted attempts are counted."""
    meter_id = bench.due_meter()
    bench.add([bench.new_item(meter_id, plan_id=2)])
    [lease] = bench.take()
    first, second = lease.items
    now = bench.now()
    retry_at = now + timedelta(seconds=90)
    told = ItemResult(first.item_id, None, "temporary-failure", retry_at, counted=True)
    assert not bench.leases.finish([finished(lease, now, [told])])
    [lease] = bench.take()
    assert [each.item_id for each in lease.items] == [second.item_id]
    assert not bench.leases.finish([done(lease, bench.now())])
    assert bench.take() == bench.take_dialled(meter_id) == []
    bench.pass_s(91)
    [lease] = bench.take()
    assert [(each.item_id, each.attempts) for each in lease.items] == [(first.item_id, 1)]
    assert abs(lease.items[0].due_at - retry_at) < timedelta(seconds=30)
    bench.pass_s(HOUR_S)
    bench.take()  # frees the lease, which has run out
    bench.pass_s(HOUR_S)
    assert bench.expire() == 1
    assert (bench.results()[-1].state, bench.results()[-1].cause) == (
        ItemState.EXPIRED,
        "temporary-failure",
    )


def a_meter_rests_whatever_is_due(bench: LeaseBench) -> None:
    """Not asked before the rest is over, by nobody; failures count until a session says less."""
    meter_id = bench.due_meter()
    [lease] = bench.take()
    now = bench.now()
    after = MeterAfter(3, now + timedelta(seconds=120), "transport: timeout")
    assert not bench.leases.finish([finished(lease, now, [], after=after)])
    bench.add([bench.new_item(meter_id, plan_id=2)])
    bench.pass_s(100)
    assert bench.take() == bench.take_dialled(meter_id) == []
    bench.pass_s(30)
    [lease] = bench.take()
    assert (lease.failures, lease.rests_why, len(lease.items)) == (3, "transport: timeout", 2)
    bench.leases.release([lease], until=bench.now() + timedelta(seconds=50))
    assert bench.take() == bench.take_dialled(meter_id) == []
    bench.pass_s(51)
    [lease] = bench.take_dialled(meter_id)
    assert (lease.failures, lease.rests_why, len(lease.items)) == (3, "transport: timeout", 2)
    assert not bench.leases.finish([done(lease, bench.now())])
    bench.add([bench.new_item(meter_id, plan_id=3)])
    [lease] = bench.take()
    assert (lease.failures, lease.rests_why) == (0, None)


def a_collector_with_a_wrong_clock_waits_as_long_as_it_means_to(bench: LeaseBench) -> None:
    """Instants in what a session says count from its end."""
    meter_id = bench.due_meter()
    bench.add([bench.new_item(meter_id, plan_id=2)])
    [lease] = bench.take()
    theirs = bench.now() + timedelta(hours=5)
    told = [
        ItemResult(item.item_id, None, "busy", theirs + timedelta(seconds=20))
        for item in lease.items
    ]
    after = MeterAfter(1, theirs + timedelta(seconds=10), "transport: timeout")
    assert not bench.leases.finish([finished(lease, theirs, told, after=after)])
    assert bench.take() == []
    bench.pass_s(25)
    [lease] = bench.take()
    assert len(lease.items) == 2


def who_lost_a_lease_changes_nothing(bench: LeaseBench) -> None:
    """Ran out, or held by the next one: only the report stays, and says so."""
    lost_id, held_id = bench.due_meter("S1"), bench.due_meter("S2")
    zombies = bench.take()
    bench.pass_s(LEASE_S + 1)
    [lease] = bench.take(1)
    assert lease.failures == 1
    finding = SecurityFinding("tag-mismatch", "")
    after = MeterAfter(0, bench.now() + timedelta(hours=1), "x", quarantine="wrong-key")
    told = [
        attrs.evolve(done(each, bench.now()), after=after, findings=(finding,)) for each in zombies
    ]
    earlier = len(bench.reports())
    assert set(bench.leases.finish(told)) == {each.token for each in zombies}
    assert len(bench.results()) == 2  # the first readings
    assert Counter(cause for _, cause in bench.reports()[earlier:]) == {"lease-lost": 2}
    assert bench.findings() == {}
    bench.leases.release(zombies)
    [other] = bench.take()
    assert {lease.meter.meter_id, other.meter.meter_id} == {lost_id, held_id}
    assert not bench.leases.finish([done(lease, bench.now()), done(other, bench.now())])
    assert len(bench.results()) == 4


def finishing_twice_is_finishing_once(bench: LeaseBench) -> None:
    """Whoever does not know whether a COMMIT has happened asks for the same again."""
    bench.due_meter("S1"), bench.due_meter("S2")
    first, second = bench.take()
    one = attrs.evolve(
        finished(first, bench.now(), [ItemResult(first.items[0].item_id, None, "busy",
                                                 bench.now(), counted=True)]),
        findings=(SecurityFinding("tag-mismatch", "a tag"), SecurityFinding("tag-mismatch", "")),
    )  # fmt: skip
    assert bench.leases.finish([]) == frozenset()
    assert bench.leases.finish([one]) == frozenset()
    other = done(second, bench.now())
    assert bench.leases.finish([one, other]) == frozenset()
    assert bench.leases.finish([one, other]) == frozenset()
    assert len(bench.results()) == 3
    assert len(bench.reports()) == len(set(bench.reports())) == 4
    assert bench.findings() == {"tag-mismatch": 2}
    [lease] = bench.take()
    assert lease.items[0].attempts == 1


def a_meter_in_quarantine_is_left_alone(bench: LeaseBench) -> None:
    """Its items stay open until they expire."""
    meter_id = bench.due_meter()
    [lease] = bench.take()
    told = ItemResult(lease.items[0].item_id, None, "wrong-key", bench.now())
    after = MeterAfter(2, None, "security: wrong-key", quarantine="wrong-key")
    assert not bench.leases.finish([finished(lease, bench.now(), [told], after=after)])
    bench.add([bench.new_item(meter_id, plan_id=2)])
    assert bench.take() == bench.take_dialled(meter_id) == []
    bench.pass_s(2 * HOUR_S)
    assert bench.expire() == 2
    assert [(each.state, each.cause) for each in bench.results()[1:]] == [
        (ItemState.EXPIRED, "wrong-key"),
        (ItemState.EXPIRED, "no-turn"),
    ]


def a_meter_that_dials_in_has_its_turn_while_the_line_stands(bench: LeaseBench) -> None:
    """It needs no address, and a plan's run that has begun is enough."""
    meter_id = bench.idle_meter(address=None, port=None)
    other = bench.idle_meter("S2")
    soon = bench.now() + timedelta(seconds=600)
    bench.add([bench.new_item(meter_id, due_at=soon), bench.new_item(other, due_at=soon)])
    bench.add([bench.new_item(meter_id, run_at=soon, due_at=soon)])
    assert bench.take() == bench.take_dialled(uuid4()) == bench.take_dialled() == []
    assert bench.take_dialled(meter_id, urgent_only=True) == []
    [lease] = bench.take_dialled(meter_id, uuid4())
    assert (lease.meter.meter_id, len(lease.items)) == (meter_id, 1)
    assert lease.due_at == lease.items[0].due_at == soon
    assert not bench.leases.finish([done(lease, bench.now())])
    assert bench.take_dialled(meter_id) == []
    bench.pass_s(601)
    [lease] = bench.take()
    assert lease.meter.meter_id == other
    assert len(bench.take_dialled(meter_id, other)) == 1


def what_expires_is_ended_but_not_under_a_lease(bench: LeaseBench) -> None:
    """What somebody is at may still be done, late; nobody comes for what has expired."""
    bench.due_meter("S1")
    bench.pass_s(HOUR_S - 30)
    [lease] = bench.take()
    bench.due_meter("S2", expires_at=bench.now() + timedelta(seconds=30))
    bench.pass_s(31)
    assert bench.take() == []
    assert bench.expire() == 1
    assert not bench.leases.finish([done(lease, bench.now())])
    assert bench.expire() == 0
    assert Counter(each.state for each in bench.results()[2:]) == {
        ItemState.EXPIRED: 1,
        ItemState.LATE: 1,
    }


def what_is_cancelled_is_ended_even_under_a_lease(bench: LeaseBench) -> None:
    """What the session then says of it counts no more."""
    meter_id, other = bench.due_meter("S1"), bench.due_meter("S2")
    bench.add([bench.new_item(meter_id, plan_id=2), bench.new_item(other, plan_id=2)])
    [lease] = bench.take(1)
    assert bench.cancel(cause="plan-gone", plan_id=1) == 2
    assert not bench.leases.finish([done(lease, bench.now())])
    assert Counter((each.state, each.cause) for each in bench.results()[2:]) == {
        (ItemState.CANCELLED, "plan-gone"): 2,
        (ItemState.DONE, None): 1,
    }
    rest = other if lease.meter.meter_id == meter_id else meter_id
    assert bench.cancel(cause="meter-gone", meter_ids=[rest]) == 1
    assert bench.take() == []
    assert bench.cancel(cause="meter-gone", meter_ids=[rest]) == 0


def segments_are_not_overrun(bench: LeaseBench) -> None:
    """Limits count leases that run, over all takers; who has room is not held up by who has not."""
    bench.limit_segment("cell", 2)
    cell = [bench.due_meter(f"C{i}", segment="cell") for i in range(5)]
    net = [bench.due_meter(f"N{i}", segment="net") for i in range(5)]
    free = [bench.due_meter(f"F{i}") for i in range(3)]
    taken = bench.take(per_segment=3)
    segments = Counter(each.segment for each in taken)
    assert segments == {"cell": 2, "net": 3, None: 3}
    assert bench.take(per_segment=3) == bench.take_dialled(*cell, per_segment=3) == []
    in_cell = [each for each in taken if each.segment == "cell"]
    bench.leases.finish([done(in_cell[0], bench.now())])
    assert [each.segment for each in bench.take(2, per_segment=3)] == ["cell"]
    assert [each.segment for each in bench.take(1, segments={"net": 4})] == ["net"]
    assert bench.take(shut=frozenset({"net"})) == []
    assert [each.segment for each in bench.take()] == ["net"]
    bench.pass_s(LEASE_S + 1)
    left = Counter(each.segment for each in bench.take(shut=frozenset({"net"})))
    assert left == {"cell": 2, None: 3}
    assert len(bench.take()) == 5
    assert len({*cell, *net, *free}) == 13


def a_shut_segment_is_found_again(bench: LeaseBench) -> None:
    """What was passed over while its segment was shut, or full, is as due as before."""
    for number in range(3):
        bench.due_meter(f"S{number}", segment="cell")
    other = bench.due_meter("F1")
    shut = frozenset({"cell"})
    assert [each.meter.meter_id for each in bench.take(shut=shut)] == [other]
    for _ in range(3):
        bench.pass_s(10)
        assert bench.take(shut=shut) == []
    assert len(bench.take(per_segment=1)) == 1
    bench.pass_s(10)
    assert len(bench.take()) == 2


def whoever_waits_keeps_his_place_when_more_becomes_due(bench: LeaseBench) -> None:
    """A run that adds to what waits must not send those to the end who wait the longest."""
    first = bench.due_meter("S1")
    bench.pass_s(60)
    second = bench.due_meter("S2")
    bench.pass_s(60)
    bench.add([bench.new_item(first, plan_id=2)])
    assert [lease.meter.meter_id for lease in bench.take()] == [first, second]


def a_lease_that_is_released_waits_behind_those_who_waited(bench: LeaseBench) -> None:
    """Its row must not lie where nobody looks any more: it is due from now on."""
    first = bench.due_meter("S1")
    bench.pass_s(60)
    [lease] = bench.take()
    second = bench.due_meter("S2")
    assert bench.take(0) == []
    bench.pass_s(10)
    bench.leases.release([lease])
    assert [lease.meter.meter_id for lease in bench.take()] == [second, first]


LeaseContract = Callable[[LeaseBench], None]

CONTRACTS: Sequence[LeaseContract] = (
    a_meter_in_service_is_read_for_the_first_time,
    nobody_takes_what_somebody_holds,
    the_most_urgent_then_the_most_overdue_come_first,
    one_lease_brings_all_that_is_due_on_a_meter,
    what_is_done_after_its_deadline_is_late,
    what_is_tried_again_waits_for_its_turn,
    a_meter_rests_whatever_is_due,
    a_collector_with_a_wrong_clock_waits_as_long_as_it_means_to,
    who_lost_a_lease_changes_nothing,
    finishing_twice_is_finishing_once,
    a_meter_in_quarantine_is_left_alone,
    a_meter_that_dials_in_has_its_turn_while_the_line_stands,
    what_expires_is_ended_but_not_under_a_lease,
    what_is_cancelled_is_ended_even_under_a_lease,
    segments_are_not_overrun,
    a_shut_segment_is_found_again,
    whoever_waits_keeps_his_place_when_more_becomes_due,
    a_lease_that_is_released_waits_behind_those_who_waited,
)
