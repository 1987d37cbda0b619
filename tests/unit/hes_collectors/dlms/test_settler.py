"""What sessions have to say is kept together, once, and whatever goes wrong with some of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import Finished, Lease, SessionOutcome, SessionPhase, SessionReport
from hes_collectors.dlms.settler import settling
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import SECRETS, START, context, meter, wall_clock


def leased(count: int) -> tuple[FakeStorage, list[Lease]]:
    storage = FakeStorage(wall_clock)
    for n in range(count):
        storage.add_meter(meter(meter_id=UUID(int=n + 1), serial=f"HES{n:08}"), SECRETS)
    return storage, list(storage.ports().leases.take(holder="a", limit=count, lease_s=180))


def over(lease: Lease) -> Finished:
    return Finished(
        lease,
        SessionReport(
            uuid4(), lease.meter.meter_id, False, START, START, SessionPhase.DONE,
            SessionOutcome.OK, None, 0, 0,
        ),
    )  # fmt: skip


def free(storage: FakeStorage) -> int:
    return sum(work.token is None for work in storage.work.values())


async def test_sessions_that_end_together_are_kept_together(autojump_clock: MockClock) -> None:
    storage, leases = leased(120)
    async with settling(context(storage)) as settler:
        for lease in leases:
            settler.settle(over(lease))
            await trio.sleep(0.01)
        await trio.sleep(1)
        assert free(storage) == len(storage.reports) == 120
        assert storage.calls["finish"] <= 8  # fifty, or a fifth of a second


async def test_nothing_is_lost_while_storage_is_away(autojump_clock: MockClock) -> None:
    storage, leases = leased(3)
    surroundings = context(storage)
    async with settling(surroundings) as settler:
        storage.away = True
        settler.settle(over(leases[0]))
        settler.release(leases[1])
        settler.release(leases[2], START + timedelta(minutes=9))
        await trio.sleep(100)
        assert free(storage) == 0
        assert not surroundings.gate.is_open
        assert storage.calls["finish"] == 1  # it waits for the gate
        storage.away = False
        surroundings.gate.open()
        await trio.sleep(1)
        assert free(storage) == 3
    assert storage.work[leases[2].meter.meter_id].rests_until == START + timedelta(minutes=9)


async def test_what_cannot_be_kept_harms_nothing_else(autojump_clock: MockClock) -> None:
    storage, leases = leased(5)
    bad = over(leases[2])
    ports = storage.ports()
    finish = type(ports.leases).finish

    def refuses(self: object, ended: list[Finished]) -> object:
        if bad in ended:
            raise ZeroDivisionError
        return finish(ports.leases, ended)

    with pytest.MonkeyPatch.context() as patch, capture_logs() as captured:
        patch.setattr(type(ports.leases), "finish", refuses)
        async with settling(context(storage)) as settler:
            for lease in leases:
                settler.settle(bad if lease is leases[2] else over(lease))
            await trio.sleep(1)
    assert free(storage) == 4  # its lease ends by itself
    assert Counter(line["event"] for line in captured)["collector_task_crashed"] == 2


async def test_at_the_end_the_rest_is_settled_if_storage_answers(
    autojump_clock: MockClock,
) -> None:
    storage, leases = leased(2)
    with trio.move_on_after(1):
        async with settling(context(storage)) as settler:
            try:
                await trio.sleep_forever()
            finally:
                settler.settle(over(leases[0]))
                settler.release(leases[1])
    assert free(storage) == 2
    storage, leases = leased(1)
    async with settling(context(storage)) as settler:
        storage.trouble["finish"] = [StorageUnavailableError("away")]
        settler.settle(over(leases[0]))
    assert free(storage) == 0
