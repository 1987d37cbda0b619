"""
What one session costs on the line, as a table: `python -m tests.session_cost`.

A simulated meter of the IDIS model is explored in a first session and read a day later: 96 rows of
4 values, 10 registers by name and its six event logs with five new lines. Counted are the APDUs or
windows of blocks that we wait for (turns), and octets with framing, security and association.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.work import Attribute, Read, ReadKind
from hes.models import models
from hes_collectors.dlms.session import SessionResult
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models import Model
from hes_protocol.xdlms import Conformance
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.unit.hes_collectors.reads import served, storage_with
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind

LIST, ACCESS = Conformance.MULTIPLE_REFERENCES, Conformance.ACCESS
OWN, GENERAL = Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ, Conformance.GENERAL_BLOCK_TRANSFER
WAYS = {
    "GET one by one": DEFAULT_CONFORMANCE & ~(LIST | ACCESS),
    "GET with-list": DEFAULT_CONFORMANCE & ~ACCESS,
    "ACCESS": DEFAULT_CONFORMANCE & ~LIST,
    "GET with-list, general blocks": DEFAULT_CONFORMANCE & ~(ACCESS | OWN) | GENERAL,
}
EVENTS = ("cover_opened", "cover_closed", "firmware_ready", "over_limit", "parameters_changed")
POWER = CaptureObject(3, Obis.parse("1.0.1.7.0.255"), 2, 0)


@attrs.frozen
class Cost:
    """Of one session: turns of the line, octets sent and received."""

    turns: int
    sent: int
    received: int


def model(services: Conformance) -> Model:
    """IDIS, with four values in its load profile, and clients that are offered these services."""
    [found] = [one for one in models() if one.name == "idis-single-phase"]
    profile = found.profiles[LOAD_PROFILE]
    profile = attrs.evolve(profile, capture_objects=(*profile.capture_objects, POWER))
    clients = {
        sap: attrs.evolve(client, conformance=services) for sap, client in found.clients.items()
    }
    objects = {**found.objects, (7, LOAD_PROFILE): profile}
    return attrs.evolve(found, clients=clients, objects=objects)


async def costs(services: Conformance, pdu_octets: int) -> tuple[Cost, Cost]:
    """Of exploring, and of a day's reads."""
    kind = meter_kind(sim.Security.GMAC, pdu_octets)
    kind = attrs.evolve(kind, model=model(services))
    asked = SimulatedMeter(sim.Meter.of(kind, 0))
    storage = storage_with(asked, kind.model)
    first = await served(storage, asked, [Read(ReadKind.BILLING, Obis.parse("0.0.98.1.1.255"))])
    explored = _cost(first, asked.answers)
    names = [one.obis for one in kind.model.objects.values() if one.class_id == 3][:10]
    reads = [
        Read(ReadKind.PROFILE, LOAD_PROFILE),
        Read(ReadKind.REGISTERS, attributes=tuple(Attribute(3, name, 2) for name in names)),
        Read(ReadKind.EVENTS),
    ]
    await served(storage, asked, reads)
    await trio.sleep(86_400)
    for event in EVENTS:
        asked.meter.advance(asked.meter.kind.now())
        asked.meter.event(event)
    stored, before = len(storage.values), asked.answers
    result = await served(storage, asked, reads)
    assert len(storage.values) - stored == 96 * 4 + 10
    return explored, _cost(result, asked.answers - before)


def _cost(result: SessionResult, turns: int) -> Cost:
    return Cost(turns, result.report.octets_out, result.report.octets_in)


def table() -> Iterator[str]:
    """The lines of the table."""
    yield "| APDU | asked by | exploring: turns | out | in | a day: turns | out | in |"
    yield "|---|---|---|---|---|---|---|---|"
    for pdu_octets in (1024, 128):
        for way, services in WAYS.items():
            found = trio.run(costs, services, pdu_octets, clock=MockClock(autojump_threshold=0))
            cells = [str(number) for cost in found for number in attrs.astuple(cost)]
            yield f"| {pdu_octets} | {way} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in table():
        print(line)
