"""The counter that a meter expects: a hint of its public client, capped, kept once it was right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.meters import Association
from hes.domain.ports import SessionOutcome
from hes_collectors.dlms.bootstrap import counter_objects
from hes_collectors.dlms.session import Session, SessionResult
from hes_protocol.cosem import Obis
from hes_protocol.events import ServerEvent
from hes_protocol.models import Model
from hes_protocol.quirks import STANDARD, ByClient, Quirks
from hes_protocol.server import GetRequested
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, network
from tests.unit.hes_collectors.support import context, wall_clock

CLIENT, PUBLIC = 1, 16
CLASS_DATA = 1
STANDARD_OBJECT = Obis.parse("0.0.43.1.0.255")


def meter_at(counter: int, security: sim.Security = sim.Security.GMAC) -> SimulatedMeter:
    """A meter that has taken this counter from a head-end before us."""
    meter = SimulatedMeter.of(0, security)
    if counter:
        meter.meter.state.counters[CLIENT] = counter
    return meter


def storage_with(meter: SimulatedMeter, own_counter: int | None = None) -> FakeStorage:
    storage = FakeStorage(wall_clock)
    storage.add_meter(meter.inventory(), meter.secrets())
    if own_counter is not None:
        storage.own_counters[meter.meter_id] = own_counter
    return storage


async def session(
    storage: FakeStorage, meter: SimulatedMeter, quirks: Quirks = STANDARD, **changes: Any
) -> SessionResult:
    storage.due.put_in_service([meter.meter_id])
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    lease = attrs.evolve(lease, meter=attrs.evolve(lease.meter, model="m"))
    async with network(meter) as reached:
        surroundings = attrs.evolve(
            context(storage, reached.connect, **changes),
            models={"m": Model("m", "maker", "source", quirks=quirks)},
        )
        result = await Session(surroundings, lease, trio.current_time() + 180).run()
        assert await reached.all_closed()
    work = storage.work[meter.meter_id]
    work.token, work.leased_until = None, None
    return result


@pytest.mark.conformance("counter-bootstrap", "client", "server")
@pytest.mark.parametrize("counter", [1, 5000, 1_000_000])
async def test_a_key_that_never_counted_begins_above_what_the_meter_says(
    counter: int, autojump_clock: MockClock
) -> None:
    meter = meter_at(counter)
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert meter.connections == 2
    assert storage.values
    assert meter.meter.state.counters[CLIENT] > counter
    # The meter has taken it, so it is kept: the next session asks nobody.
    assert storage.own_counters[meter.meter_id] >= meter.meter.state.counters[CLIENT]
    assert storage.hinted == {}
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert meter.connections == 3
    assert storage.events == []


async def test_a_meter_that_nobody_has_talked_to_is_counted_for_from_one(
    autojump_clock: MockClock,
) -> None:
    meter = meter_at(0)
    storage = storage_with(meter)
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert meter.connections == 2
    assert 0 < meter.meter.state.counters[CLIENT] < 200


@pytest.mark.conformance("counter-bootstrap", "client", "server")
async def test_a_counter_that_is_refused_is_asked_for(autojump_clock: MockClock) -> None:
    """Meters that share a key, or a restored database: ours is known, and too low."""
    meter = meter_at(5000)
    storage = storage_with(meter, own_counter=40)
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert meter.connections == 3  # refused, asked, read
    assert storage.own_counters[meter.meter_id] > 5000
    assert storage.events == []


@pytest.mark.conformance("counter-bootstrap", "client")
@pytest.mark.parametrize("own_counter", [None, 40])
async def test_a_hint_beyond_the_cap_is_an_event_and_never_used(
    own_counter: int | None, autojump_clock: MockClock
) -> None:
    meter = meter_at(5000)
    storage = storage_with(meter, own_counter)
    result = await session(storage, meter, max_counter_jump=4000)
    assert result.report.outcome is SessionOutcome.SECURITY
    [finding] = result.findings
    assert (finding.code, finding.peer) == ("counter-hint-beyond-cap", meter.inventory().address)
    assert "5000" in finding.detail
    assert storage.hinted == {}
    assert storage.own_counters[meter.meter_id] < 200
    assert meter.meter.state.counters[CLIENT] == 5000


@pytest.mark.conformance("counter-bootstrap", "client")
async def test_a_hint_is_not_kept_before_the_meter_has_shown_who_it_is(
    autojump_clock: MockClock,
) -> None:
    """With another key it is another meter that answers, or an impostor."""
    meter = meter_at(5000)
    storage = storage_with(meter, own_counter=40)
    right = storage.secrets[meter.meter_id]
    storage.secrets[meter.meter_id] = attrs.evolve(right, ek=bytes(16), ak=bytes(16))
    used = []
    for _ in range(3):
        result = await session(storage, meter)
        assert result.report.outcome is SessionOutcome.SECURITY
        assert storage.own_counters[meter.meter_id] < 400
        used.append(storage.hinted[meter.meter_id][1])
    # Each try has used counters of its own: none is used twice, however often the hint comes.
    assert used == sorted(set(used))
    storage.secrets[meter.meter_id] = right
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert storage.own_counters[meter.meter_id] > used[-1]


async def test_a_refusal_for_another_reason_stays_what_it_is(autojump_clock: MockClock) -> None:
    meter = meter_at(30)
    storage = storage_with(meter, own_counter=40)
    storage.secrets[meter.meter_id] = attrs.evolve(
        storage.secrets[meter.meter_id], ek=bytes(16), ak=bytes(16)
    )
    result = await session(storage, meter)
    assert result.report.cause == "association-authentication-failure"
    assert meter.connections == 2  # no second try with the wrong key
    assert storage.hinted == {}


@pytest.mark.parametrize(
    "fault",
    [
        lambda event: getattr(event, "client_sap", None) == PUBLIC,
        lambda event: (
            isinstance(event, GetRequested)
            and event.attribute.class_id == CLASS_DATA
            and event.client_sap == PUBLIC
        ),
    ],
)
async def test_a_public_client_that_is_not_answered_gives_no_hint(
    fault: Callable[[ServerEvent], bool], autojump_clock: MockClock
) -> None:
    meter = meter_at(0)
    meter.fault.hangs_before = fault
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert storage.hinted == {}


async def test_what_is_not_ciphered_counts_nothing(autojump_clock: MockClock) -> None:
    meter = meter_at(0, sim.Security.LLS)
    storage = storage_with(meter)
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert meter.connections == 1


@pytest.mark.conformance("counter-object", "client")
@pytest.mark.parametrize("known", [True, False])
async def test_the_counter_is_asked_for_where_the_model_has_it(
    known: bool, autojump_clock: MockClock
) -> None:
    meter = meter_at(5000)
    asked: list[Obis] = []

    def note(event: ServerEvent) -> bool:
        attribute = getattr(event, "attribute", None)
        if attribute is not None and getattr(event, "client_sap", None) == PUBLIC:
            asked.append(attribute.obis)
        return False

    meter.fault.hangs_before = note
    place = STANDARD_OBJECT if known else Obis.parse("0.0.43.1.9.255")
    quirks = Quirks(counter_object=ByClient(None, {CLIENT: place}))
    result = await session(storage_with(meter), meter, quirks)
    assert (result.report.outcome is SessionOutcome.OK) is known
    assert set(asked) == {place}


@pytest.mark.parametrize(("client_sap", "other"), [(48, "0.0.43.1.48.255"), (1, "0.0.43.1.1.255")])
def test_without_a_model_both_usual_places_are_asked(client_sap: int, other: str) -> None:
    found = counter_objects(STANDARD, Association(client_sap=client_sap))
    assert found == (STANDARD_OBJECT, Obis.parse(other))


def test_a_client_beyond_value_group_e_has_one_place() -> None:
    assert counter_objects(STANDARD, Association(client_sap=256)) == (STANDARD_OBJECT,)


def test_the_inventory_knows_better_than_the_model() -> None:
    said, by_model = Obis.parse("0.0.43.1.7.255"), Obis.parse("0.0.43.1.2.255")
    quirks = Quirks(counter_object=ByClient(None, {1: by_model}))
    assert counter_objects(quirks, Association()) == (by_model,)
    assert counter_objects(quirks, Association(counter_object=said)) == (said,)
