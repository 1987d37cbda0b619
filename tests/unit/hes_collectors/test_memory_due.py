"""Due work in memory keeps the contract of leases, so that what is simulated with it is true."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import attrs
import pytest

from hes.domain.meters import Secrets
from tests.unit.hes_collectors import lease_contracts
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.lease_contracts import Kept, LeaseBench, LeaseContract
from tests.unit.hes_collectors.support import START, meter


def bench() -> LeaseBench:
    now = START

    def pass_s(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    storage = FakeStorage(lambda: now)

    def add_meter(serial: str, *, segment: str | None = None, **fields: object) -> UUID:
        meter_id = UUID(int=len(storage.meters) + 1)
        plain = attrs.evolve(meter(), meter_id=meter_id, serial=serial, **fields)  # type: ignore[arg-type]
        if segment is not None:
            storage.due.segment_of[meter_id] = segment
        storage.add_meter(plain, Secrets())
        return meter_id

    def current() -> datetime:
        return now

    return LeaseBench(
        leases=storage.ports().leases,
        now=current,
        pass_s=pass_s,
        add_meter=add_meter,
        add=storage.due.add,
        cancel=storage.due.cancel,
        expire=storage.due.expire,
        limit_segment=storage.due.maxima.__setitem__,
        results=lambda: [
            Kept(each.meter_id, each.item.kind, each.state, each.cause, each.session_id)
            for each in storage.due.results
        ],
        reports=lambda: [(each.session_id, each.cause) for each in storage.reports],
        findings=lambda: Counter(each.code for each in storage.events),
    )


@pytest.mark.parametrize("contract", lease_contracts.CONTRACTS, ids=lambda c: c.__name__)
def test_contract(contract: LeaseContract) -> None:
    contract(bench())
