"""Sessions with meters that answer by general-block-transfer: the same rows in fewer turns."""

from __future__ import annotations

import attrs
import pytest
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.ports import SessionOutcome
from hes_collectors.dlms.context import Context
from hes_protocol.models import Model
from hes_protocol.quirks import Quirks
from hes_protocol.xdlms import Conformance
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE
from tests.unit.hes_collectors.dlms.test_session import session, stored, truth
from tests.unit.hes_collectors.reads import storage_with
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind

GENERAL, OWN = Conformance.GENERAL_BLOCK_TRANSFER, Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ


def meter(services: Conformance, *, hdlc: bool = False, pdu: int = 128) -> SimulatedMeter:
    """A meter whose clients are offered these services and whose APDUs are short."""
    kind = meter_kind(sim.Security.GMAC, pdu, hdlc=hdlc)
    clients = {
        sap: attrs.evolve(client, conformance=services)
        for sap, client in kind.model.clients.items()
    }
    model: Model = attrs.evolve(kind.model, clients=clients)
    return SimulatedMeter(sim.Meter.of(attrs.evolve(kind, model=model), 0))


@pytest.mark.parametrize("hdlc", [False, True], ids=["wrapper", "hdlc"])
async def test_rows_come_whole_by_general_blocks(hdlc: bool, autojump_clock: MockClock) -> None:
    asked = meter(DEFAULT_CONFORMANCE & ~OWN | GENERAL, hdlc=hdlc)
    storage = storage_with(asked)
    result = await session(storage, asked)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage) == truth(asked)
    agreed = storage.knowledge[asked.meter_id].link.conformance
    assert agreed is not None
    assert agreed & GENERAL
    assert not agreed & OWN


async def test_they_take_fewer_turns_than_blocks_of_the_service(
    autojump_clock: MockClock,
) -> None:
    turns = {}
    for services in (DEFAULT_CONFORMANCE & ~OWN | GENERAL, DEFAULT_CONFORMANCE):
        asked = meter(services)
        storage = storage_with(asked)
        await session(storage, asked)
        assert stored(storage) == truth(asked)
        turns[services] = asked.answers
    general, own = turns.values()
    assert general < own / 3


async def test_a_meter_that_does_them_wrongly_is_not_asked_for_them(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = meter(DEFAULT_CONFORMANCE | GENERAL)
    storage = storage_with(asked)
    quirks = Quirks(not_proposed=GENERAL)
    monkeypatch.setattr(Context, "quirks_of", lambda self, meter: quirks)
    result = await session(storage, asked)
    assert result.report.outcome is SessionOutcome.OK
    agreed = storage.knowledge[asked.meter_id].link.conformance
    assert agreed is not None
    assert not agreed & GENERAL
