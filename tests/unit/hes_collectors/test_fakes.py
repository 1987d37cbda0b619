"""The in-memory ports keep the contracts, so that what they show of the collector is true."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import pytest

from hes.domain.errors import QuarantineFullError, StorageUnavailableError
from hes_collectors.dlms import Ports
from tests.unit.hes_collectors import port_contracts
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import METER_ID, SECRETS, START, meter

Contract = Callable[[Ports, UUID, Callable[[], datetime]], None]


@pytest.mark.parametrize("contract", port_contracts.CONTRACTS, ids=lambda c: c.__name__)
def test_contract(contract: Contract) -> None:
    storage = FakeStorage(lambda: START)
    storage.add_meter(meter(), SECRETS)
    contract(storage.ports(), METER_ID, storage.now)


def test_storage_that_is_away_undoes_what_it_was_asked() -> None:
    storage = FakeStorage(lambda: START, away=True)
    storage.add_meter(meter(), SECRETS)
    ports = storage.ports()
    with pytest.raises(StorageUnavailableError):
        ports.leases.take(holder="a", limit=1, lease_s=180)
    with pytest.raises(StorageUnavailableError):
        ports.sink.publish(port_contracts.batch(METER_ID, START, [1]))
    with pytest.raises(StorageUnavailableError):
        ports.counters.accept(METER_ID, 1, 1)
    assert (storage.values, storage.accepted) == ({}, {})
    assert storage.work[METER_ID].token is None


def test_the_quarantine_has_a_limit() -> None:
    storage = FakeStorage(lambda: START, max_quarantined=0)
    storage.add_meter(meter(), SECRETS)
    with pytest.raises(QuarantineFullError):
        port_contracts.senders_are_known(storage.ports(), METER_ID, storage.now)
