"""Whole sessions in memory: hes_protocol's client against a simulated meter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from hes_protocol.axdr import Data
from hes_protocol.client import Associate, AssociationAccepted, AssociationRejected
from hes_protocol.cosem import CosemDateTime, Obis, ObjectListEntry, RangeSelection
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators import Fleet, FleetSettings, Security, SessionSummary, rows, serve_stream
from hes_simulators.clock import microseconds
from hes_simulators.selection import CLOCK_CAPTURE
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
ENERGY = (3, "1.0.1.8.0.255", 2)
PROFILE = (7, "1.0.99.1.0.255", 2)


def fleet(security: Security = Security.GMAC, **changes: Any) -> Fleet:
    settings = FleetSettings(meters=3, security=security, profile_days=2, **changes)
    return Fleet(settings, start_number=1, now=lambda: NOW, next_challenge=lambda: bytes(16))


@attrs.frozen
class Connection:
    """Both ends of a session in memory."""

    fleet: Fleet
    stream: trio.abc.Stream
    summary: SessionSummary

    def reader(self, **changes: Any) -> Reader:
        return Reader(next(iter(self.fleet.meter_file())), self.stream, **changes)


@asynccontextmanager
async def connection(
    to: Fleet | None = None, idle_timeout_s: float = 60.0
) -> AsyncIterator[Connection]:
    to = to or fleet()
    ours, theirs = trio.testing.memory_stream_pair()
    summary = SessionSummary()

    async def serve() -> None:
        async with theirs:
            await serve_stream(theirs, to.meter(0), summary, idle_timeout_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with ours:
            yield Connection(to, ours, summary)


@pytest.mark.parametrize("security", list(Security))
async def test_a_whole_session(security: Security) -> None:
    async with connection(fleet(security)) as there:
        reader = there.reader()
        await reader.associate()
        meter = there.fleet.meter(0)
        energy = await reader.get(*ENERGY)
        assert isinstance(energy, Data)
        assert energy.value == meter.measuring.total("import_wh", microseconds(NOW))
        clock = await reader.get(8, "0.0.1.0.0.255", 2)
        assert isinstance(clock, Data)
        assert CosemDateTime.from_octets(clock.value).isoformat() == "2026-11-21T10:20:00+01:00"
        await reader.release()
    assert there.summary == SessionSummary(associations=1, refusals=0, reads=2)


@pytest.mark.parametrize("security", list(Security))
@pytest.mark.parametrize("pdu", [128, 512, 65535])
async def test_profile_in_blocks_equals_the_truth(security: Security, pdu: int) -> None:
    async with connection(fleet(security, max_receive_pdu_size=pdu)) as there:
        reader = there.reader()
        await reader.associate()
        answer = await reader.get(*PROFILE)
        assert isinstance(answer, Data)
        expected = rows(there.fleet.meter(0), NOW - timedelta(days=2), NOW)
        assert [[cell.value for cell in row.value[1:]] for row in answer.value] == [
            list(row.values.values()) for row in expected
        ]
        assert reader.longest_answer_octets <= pdu + HEADER_OCTETS
        if pdu == 128:
            assert reader.answers > 60


async def test_client_with_a_small_pdu_gets_small_blocks() -> None:
    async with connection(fleet(max_receive_pdu_size=65535)) as there:
        reader = there.reader(max_receive_pdu_size=200)
        await reader.associate()
        answer = await reader.get(*PROFILE)
        assert isinstance(answer, Data)
        assert len(answer.value) == 192
        assert reader.longest_answer_octets <= 200 + HEADER_OCTETS


async def test_selective_access_gives_exactly_the_rows() -> None:
    first, last = NOW - timedelta(hours=5), NOW - timedelta(hours=4)
    selection = RangeSelection.between(
        CLOCK_CAPTURE, CosemDateTime.from_datetime(first), CosemDateTime.from_datetime(last)
    )
    async with connection() as there:
        reader = there.reader()
        await reader.associate()
        answer = await reader.get(*PROFILE, selection)
        assert isinstance(answer, Data)
        expected = list(rows(there.fleet.meter(0), first, last))
        assert len(expected) == 4
        assert [row.value[2].value for row in answer.value] == [
            row.values["1.0.1.8.0.255"] for row in expected
        ]


@pytest.mark.parametrize("security", list(Security))
async def test_object_list_by_session(security: Security) -> None:
    async with connection(fleet(security)) as there:
        reader = there.reader()
        await reader.associate()
        answer = await reader.get(15, "0.0.40.0.0.255", 2)
        assert isinstance(answer, Data)
        listed = [ObjectListEntry.from_data(entry) for entry in answer.value]
        assert (7, Obis.parse("1.0.99.1.0.255")) in {(one.class_id, one.obis) for one in listed}


async def test_the_security_setup_knows_who_asks() -> None:
    """client_system_title is that of the AARQ; nobody else's association has one."""
    async with connection() as there:
        reader = there.reader()
        await reader.associate()
        title = await reader.get(64, "0.0.43.0.0.255", 4)
        assert isinstance(title, Data)
        assert title.value == b"HESTEST1"


async def test_public_client_sees_little_and_learns_the_counter() -> None:
    there_fleet = fleet()
    async with connection(there_fleet) as there:
        reader = there.reader(counter=4711)
        await reader.associate()
        await reader.get(*ENERGY)
    async with connection(there_fleet) as there:
        public = there.reader(public=True)
        await public.associate()
        assert await public.get(*ENERGY) is DataAccessResult.OBJECT_UNDEFINED
        counter = await public.get(1, "0.0.43.1.0.255", 2)
        assert isinstance(counter, Data)
        assert 4711 <= counter.value < 4720


async def test_rights_refused() -> None:
    async with connection() as there:
        reader = there.reader()
        await reader.associate()
        assert await reader.get(15, "0.0.40.0.0.255", 7) is DataAccessResult.READ_WRITE_DENIED
        assert await reader.get(3, "1.0.7.7.7.255", 2) is DataAccessResult.OBJECT_UNDEFINED
        assert await reader.get(1, "1.0.1.8.0.255", 2) is DataAccessResult.OBJECT_CLASS_INCONSISTENT


async def test_wrong_lls_secret_is_refused() -> None:
    async with connection(fleet(Security.LLS)) as there:
        event = await there.reader(secret=b"00000001").ask(Associate())
        assert isinstance(event, AssociationRejected)
        assert event.diagnostic.name == "authentication-failure"
    assert there.summary.associations == 0
    assert there.summary.refusals == 1


@pytest.mark.parametrize("wrong", ["encryption_key", "authentication_key"])
async def test_wrong_key_opens_nothing(wrong: str) -> None:
    there_fleet = fleet()
    with pytest.RaisesGroup(RemoteProtocolError, flatten_subgroups=True, allow_unwrapped=True) as _:
        async with connection(there_fleet) as there:
            reader = there.reader(**{wrong: bytes(16)})
            with trio.move_on_after(1):
                event = await reader.ask(Associate())
                assert not isinstance(event, AssociationAccepted)
                raise RemoteProtocolError("refused-in-good-order")
    assert there.summary.associations == 0
    assert there_fleet.meter(0).state.counters == {}


async def test_replayed_counter_opens_nothing() -> None:
    there_fleet = fleet()
    async with connection(there_fleet) as there:
        reader = there.reader(counter=100)
        await reader.associate()
    highest = dict(there_fleet.meter(0).state.counters)
    opened = False
    try:
        async with connection(there_fleet) as there:
            event = await there.reader(counter=100).ask(Associate())
            opened = isinstance(event, AssociationAccepted)
    except* (RemoteProtocolError, EOFError):
        pass
    assert not opened
    assert there_fleet.meter(0).state.counters == highest


async def test_own_counters_go_on_over_sessions_and_jump_at_a_start() -> None:
    there_fleet = fleet()
    seen: list[int] = []
    for round_ in range(2):
        async with connection(there_fleet) as there:
            reader = there.reader(counter=1000 * (round_ + 1))
            await reader.associate()
            assert reader.client.server_counter is not None
            seen.append(reader.client.server_counter)
    assert 1 << 20 <= seen[0] < seen[1] < 2 << 20
    restarted = Fleet(there_fleet.settings, start_number=2)
    async with connection(restarted) as there:
        reader = there.reader()
        await reader.associate()
        assert reader.client.server_counter is not None
        assert reader.client.server_counter >= 2 << 20


async def test_silent_and_dripping_clients_are_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for drip in (b"", b"\x00"):
        async with connection(idle_timeout_s=30) as there:
            started = trio.current_time()
            with trio.move_on_after(100) as patience:
                while trio.current_time() < started + 29:
                    if drip:
                        await there.stream.send_all(drip)
                        drip = b"\x01"  # version 0001, then a source that never ends
                    await trio.sleep(5)
                assert await there.stream.receive_some() == b""
            assert not patience.cancelled_caught
        assert there.summary.timed_out
