"""Meters reached in other ways than one by one over TCP: real sockets on the loopback."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from hes.cli.sim import sim
from hes_protocol.axdr import Data
from hes_protocol.wrapper import WrapperFrame
from hes_simulators import Fleet, FleetError, FleetSettings, MeterNetwork, Security
from hes_simulators.reach import Reach
from hes_simulators.scenario.population import District, Group, Population
from hes_simulators.state import Cut
from hes_simulators.truth.journal import ListJournal
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
NAME = (1, "0.0.42.0.0.255", 2)
ENERGY = (3, "1.0.1.8.0.255", 2)
NETWORK = MeterNetwork(IPv4Network("127.51.0.0/16"))


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Fleet]:
    """A fleet that answers on a port of the system's choice."""
    journal = changes.pop("journal", None)
    defaults: dict[str, Any] = {"port": 0, "profile_days": 2, "network": NETWORK}
    settings = FleetSettings(**(defaults | changes))
    fleet = Fleet(settings, start_number=1, now=lambda: NOW, journal=journal)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        yield fleet
        nursery.cancel_scope.cancel()


async def name_of(record: Any, stream: trio.abc.Stream, **changes: Any) -> str:
    """One session: who answers."""
    reader = Reader(record, stream, **changes)
    await reader.associate()
    name, energy = await reader.get(*NAME), await reader.get(*ENERGY)
    await reader.release()
    assert isinstance(name, Data)
    assert isinstance(energy, Data)
    assert energy.value > 0
    return bytes(name.value).decode()


async def connect(record: Any) -> trio.SocketStream:
    return await trio.open_tcp_stream(record["address"], record["port"])


async def settled(fleet: Fleet) -> None:
    with trio.fail_after(10):
        while fleet.counters.open_sessions:  # noqa: ASYNC110 - the kernel tells it, not we
            await trio.sleep(0.01)


# --- concentrators --------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [Security.LLS, Security.GMAC])
async def test_one_connection_leads_to_all_meters_behind_a_concentrator(
    security: Security,
) -> None:
    reach = Reach(meters_per_address=5)
    async with serving(meters=12, reach=reach, security=security) as fleet:
        records = list(fleet.meter_file())
        assert len({record["address"] for record in records}) == 3
        async with await connect(records[0]) as stream:
            for record in (records[3], records[0], records[4]):
                assert await name_of(record, stream) == record["serial"]
        async with await connect(records[11]) as stream:
            assert await name_of(records[11], stream) == "HES00000012"
        await settled(fleet)
        assert (fleet.counters.sessions, fleet.counters.failed) == (2, 0)


async def test_associations_behind_a_concentrator_stand_side_by_side() -> None:
    async with serving(meters=3, reach=Reach(meters_per_address=3)) as fleet:
        records = list(fleet.meter_file())
        async with await connect(records[0]) as stream:
            readers = [Reader(record, stream) for record in records]
            for reader in readers:
                await reader.associate()
            for _ in range(2):
                for reader, record in zip(readers, records, strict=True):
                    name = await reader.get(*NAME)
                    assert isinstance(name, Data)
                    assert bytes(name.value).decode() == record["serial"]


async def test_a_connection_has_only_so_many_associations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hes_simulators.concentrator.MAX_CONVERSATIONS", 2)
    async with serving(meters=3, reach=Reach(meters_per_address=3)) as fleet:
        records = list(fleet.meter_file())
        async with await connect(records[0]) as stream:
            readers = [Reader(record, stream) for record in records]
            for reader in readers:
                await reader.associate()
            assert isinstance(await readers[1].get(*NAME), Data)
            assert isinstance(await readers[2].get(*NAME), Data)
            with pytest.raises(AssertionError, match="Exception"):
                await readers[0].get(*NAME)  # silent for longest: it must associate anew


async def test_what_one_meter_cannot_read_or_nobody_does_not_end_a_concentrator() -> None:
    async with serving(meters=3, reach=Reach(meters_per_address=3)) as fleet:
        records = list(fleet.meter_file())
        meters_sap, nobodys_sap = records[1]["server_sap"], 0x55
        async with await connect(records[0]) as stream:
            await stream.send_all(WrapperFrame(1, nobodys_sap, b"\x60\x00").to_octets())
            await stream.send_all(WrapperFrame(1, meters_sap, b"\x60\xff\xff").to_octets())
            assert await name_of(records[2], stream) == "HES00000003"
            await stream.send_all(b"no frame")
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await name_of(records[2], stream)


async def test_a_dark_meter_behind_a_concentrator_is_silent_and_the_others_are_not() -> None:
    async with serving(meters=2, reach=Reach(meters_per_address=2)) as fleet:
        records = list(fleet.meter_file())
        async with await connect(records[0]) as stream:
            assert await name_of(records[0], stream) == "HES00000001"
            fleet.meter(0).cut(Cut.OUTAGE, NOW)  # of the two it is the one that answered
            with trio.move_on_after(0.3) as scope:
                await name_of(records[0], stream, counter=50)
            assert scope.cancelled_caught
            assert await name_of(records[1], stream) == "HES00000002"


# --- TLS ------------------------------------------------------------------------------------------


async def test_a_meter_speaks_tls(tmp_path: Path) -> None:
    reach = Reach(tls=True)
    async with serving(meters=3, reach=reach, tls_folder=tmp_path, idle_timeout_s=2) as fleet:
        records = list(fleet.meter_file())
        trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        for record in records[1:]:
            stream = trio.SSLStream(
                await connect(record), trusting, server_hostname=record["address"]
            )
            assert await name_of(record, stream) == record["serial"]
            await trio.aclose_forcefully(stream)
        async with await connect(records[0]) as plain:  # who speaks no TLS is not understood
            with pytest.raises((EOFError, trio.BrokenResourceError, AssertionError)):
                await name_of(records[0], plain)
        await settled(fleet)
        assert fleet.counters.failed == 0
        assert fleet.counters.reads == 4


# --- datagrams ------------------------------------------------------------------------------------


class DatagramStream:
    """A UDP socket as the reader wants it: each send a datagram, each receive one."""

    def __init__(self, opened: trio.socket.SocketType) -> None:
        self._socket = opened
        self.longest = 0

    async def send_all(self, data: bytes) -> None:
        await self._socket.send(data)

    async def receive_some(self, most: int) -> bytes:
        data = await self._socket.recv(most)
        self.longest = max(self.longest, len(data))
        return data


async def datagrams_to(record: Any) -> trio.socket.SocketType:
    opened = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await opened.connect((record["address"], record["port"]))
    return opened


@pytest.mark.parametrize("security", [Security.NONE, Security.GMAC])
async def test_a_meter_answers_datagrams(security: Security) -> None:
    async with serving(meters=300, reach=Reach(udp=True), security=security) as fleet:
        records = list(fleet.meter_file())
        with trio.fail_after(20):
            for record in (records[0], records[299]):
                with await datagrams_to(record) as opened:
                    # `connect` lets in only what comes from the address that was asked.
                    stream: Any = DatagramStream(opened)
                    assert await name_of(record, stream) == record["serial"]
                async with await connect(record) as tcp:
                    assert await name_of(record, tcp, counter=100) == record["serial"]
        assert fleet.counters.datagrams >= 6


async def test_datagrams_that_are_none_hurt_nobody() -> None:
    async with serving(meters=2, reach=Reach(udp=True)) as fleet:
        records = list(fleet.meter_file())
        with await datagrams_to(records[0]) as opened:
            for junk in (
                b"",
                b"\x00",
                bytes(8),
                b"\x00\x01\x00\x01\x00\x01\xff\xff",
                bytes(60_000),
            ):
                await opened.send(junk)
            stream: Any = DatagramStream(opened)
            with trio.fail_after(10):
                await opened.send(WrapperFrame(1, 1, b"\xff" * 30).to_octets())
                refusal = WrapperFrame.from_datagram(await opened.recv(1000))
                assert refusal.apdu[0] == 0xD8  # exception-response
                reader = Reader(records[0], stream)
                await reader.associate()


def test_datagrams_need_addresses() -> None:
    with pytest.raises(FleetError, match="addresses"):
        FleetSettings(meters=1, port_base=40_000, reach=Reach(udp=True))


# --- who is let in --------------------------------------------------------------------------------


async def test_a_dark_meter_refuses_and_drops_connections() -> None:
    journal = ListJournal()
    async with serving(meters=2, journal=journal) as fleet:
        records = list(fleet.meter_file())
        async with await connect(records[0]) as held, await connect(records[1]) as other:
            reader = Reader(records[0], held)
            await reader.associate()
            bystander = Reader(records[1], other)
            await bystander.associate()
            fleet.meter(0).cut(Cut.OUTAGE, NOW)
            with trio.fail_after(5), pytest.raises((EOFError, trio.BrokenResourceError)):
                await reader.get(*NAME)
            assert isinstance(await bystander.get(*NAME), Data)
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                async with await connect(records[0]) as again:
                    await name_of(records[0], again, counter=50)
        fleet.meter(0).restore(Cut.OUTAGE, NOW + timedelta(seconds=0))
        async with await connect(records[0]) as back:
            assert await name_of(records[0], back, counter=50) == "HES00000001"
        await settled(fleet)
    assert fleet.counters.turned_away == 1
    [dark, *_] = [note for note in journal.of("session") if note.serial == "HES00000001"]
    assert dark.facts["outcome"] == "dark"


async def test_one_session_at_a_time() -> None:
    async with serving(meters=2, reach=Reach(one_session=True)) as fleet:
        records = list(fleet.meter_file())
        async with await connect(records[0]) as first:
            await Reader(records[0], first).associate()
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                async with await connect(records[0]) as second:
                    await name_of(records[0], second, counter=50)
            async with await connect(records[1]) as other:
                assert await name_of(records[1], other) == "HES00000002"
        await settled(fleet)
        async with await connect(records[0]) as again:
            assert await name_of(records[0], again, counter=50) == "HES00000001"
        assert fleet.counters.turned_away == 1


async def test_groups_of_one_fleet_are_reached_in_their_own_ways() -> None:
    groups = [
        Group(name="flats", model="hes-household", count=4, reach=Reach(meters_per_address=4)),
        Group(name="houses", model="hes-household", count=2, security="lls"),
        Group(name="gone", model="hes-household", count=1, reach=Reach(listens=False)),
    ]
    population = Population(groups, [District(name="Town")], 1)
    journal = ListJournal()
    async with serving(population=population, journal=journal) as fleet:
        records = list(fleet.meter_file())
        assert [record["group"] for record in records] == ["flats"] * 4 + ["houses"] * 2 + ["gone"]
        assert records[6]["address"] is None
        async with await connect(records[2]) as stream:
            assert await name_of(records[2], stream) == "HES00000003"
        async with await connect(records[5]) as stream:
            assert await name_of(records[5], stream) == "HES00000006"
        await settled(fleet)
    told = [(note.serial, note.facts["reads"]) for note in journal.of("session")]
    assert told == [("HES00000001", 2), ("HES00000006", 2)]


# --- many -----------------------------------------------------------------------------------------


async def test_a_thousand_open_sessions_and_one_more() -> None:
    async with serving(meters=1001, security=Security.LLS) as fleet:
        records = list(fleet.meter_file())
        streams: list[trio.SocketStream] = []

        async def associate(record: Any) -> None:
            stream = await connect(record)
            streams.append(stream)
            await Reader(record, stream).associate()

        with trio.fail_after(60):
            for start in range(0, 1000, 50):
                async with trio.open_nursery() as nursery:
                    for record in records[start : start + 50]:
                        nursery.start_soon(associate, record)
            assert fleet.counters.open_sessions == 1000
            async with await connect(records[1000]) as stream:
                assert await name_of(records[1000], stream) == "HES00001001"
            for stream in streams:
                await trio.aclose_forcefully(stream)
            await settled(fleet)


# --- `hes sim run` --------------------------------------------------------------------------------


async def test_command_line(tmp_path: Path) -> None:
    """Two meters behind one address, by TLS, as an operator starts them."""
    keys = tmp_path / "keys.jsonl"
    arguments = ["--meters", "2", "--network", "127.55.0.0/24", "--port", "0", "--tls"]
    arguments += ["--per-address", "2", "--keys-out", str(keys)]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "hes", "sim", "run", *arguments],
        env=os.environ | {"HES_DATA": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(60):
            while not keys.exists():  # noqa: ASYNC110 - it is another process
                await trio.sleep(0.05)
        records = [json.loads(line) for line in keys.read_text().splitlines()]
        assert [record["server_sap"] for record in records] == [16, 17]
        authority = tmp_path / "sim" / "tls" / "ca.pem"
        trusting = ssl.create_default_context(cafile=str(authority))
        host = records[0]["address"]
        stream = trio.SSLStream(await connect(records[0]), trusting, server_hostname=host)
        assert await name_of(records[1], stream) == "HES00000002"
        await trio.aclose_forcefully(stream)
    finally:
        process.terminate()
        with trio.fail_after(20):
            assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--heartbeat", "5"), "--dial-in"),
        (("--hdlc", "--per-address", "2"), "not with --hdlc"),
        (("--udp", "--port-base", "40000"), "addresses of their own"),
        (("--dial-in", "loud"), "loud"),
        (("--push", "--head-end", "nowhere"), "--head-end nowhere"),
    ],
)
def test_options_that_mean_nothing(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    command = ["run", "--meters", "1", *arguments]
    result = CliRunner().invoke(sim, command, env={"HES_DATA": str(tmp_path)})
    assert result.exit_code == 2
    assert said in result.output
