"""Faults of a fleet on real sockets, and the two commands that ask for them."""

from __future__ import annotations

import errno
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import trio

from hes_protocol.axdr import Data
from hes_protocol.cosem import CosemDateTime
from hes_protocol.errors import SecurityError
from hes_simulators import Fleet, FleetSettings, MeterNetwork, Security
from hes_simulators.faults import Meters, Rule, fault
from hes_simulators.faults.control import Control
from hes_simulators.faults.lines import ask
from hes_simulators.proxy import Toxics, serve
from hes_simulators.reach import Reach, Target
from hes_simulators.scenario.population import District, Group, Population
from tests.integration.commands import Commands
from tests.unit.hes_simulators.reader import Reader

ENERGY = (3, "1.0.1.8.0.255", 2)
CLOCK = (8, "0.0.1.0.0.255", 2)
LOGICAL_NAME = (8, "0.0.1.0.0.255", 1)
NETWORK = MeterNetwork(IPv4Network("127.52.0.0/16"))


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Fleet]:
    defaults: dict[str, Any] = {"meters": 4, "port": 0, "profile_days": 2, "network": NETWORK}
    fleet = Fleet(FleetSettings(**(defaults | changes)), start_number=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        yield fleet
        nursery.cancel_scope.cancel()


def let(fleet: Fleet, name: str, **parameters: Any) -> None:
    fleet.faults.add(Rule(name=name, fault=fault(name, parameters)))


async def connect(record: Any) -> trio.SocketStream:
    return await trio.open_tcp_stream(record["address"], record["port"])


async def clock_of(reader: Reader) -> datetime:
    shown = await reader.get(*CLOCK)
    assert isinstance(shown, Data)
    return datetime.fromisoformat(CosemDateTime.from_octets(shown.value).isoformat())


async def ending(stream: trio.SocketStream) -> int | None:
    """How it ended: the error's number; None: in good order."""
    try:
        with trio.fail_after(10):
            while await stream.receive_some(65_536):
                pass
    except trio.BrokenResourceError as error:
        assert isinstance(error.__cause__, OSError)
        return error.__cause__.errno
    return None


async def test_a_refused_connection_is_reset() -> None:
    async with serving() as fleet:
        [record, *_] = fleet.meter_file()
        let(fleet, "refuse")
        async with await connect(record) as stream:
            assert await ending(stream) == errno.ECONNRESET
        fleet.faults.clear()
        async with await connect(record) as stream:
            await Reader(record, stream).associate()


@pytest.mark.parametrize("octet", [0, 1, 50])
async def test_a_reset_is_a_reset_also_for_the_system(octet: int) -> None:
    async with serving() as fleet:
        [record, *_] = fleet.meter_file()
        let(fleet, "reset", octet=octet)
        async with await connect(record) as stream:
            with pytest.raises(trio.BrokenResourceError) as caught, trio.fail_after(10):
                await Reader(record, stream).associate()
            assert isinstance(caught.value.__cause__, OSError)
            assert caught.value.__cause__.errno == errno.ECONNRESET


async def test_a_meter_that_reboots_in_a_session_is_dark_for_a_while() -> None:
    async with serving() as fleet:
        [record, *_] = fleet.meter_file()
        let(fleet, "reboot-in-session", answer=2, dark_s=1.5)
        async with await connect(record) as stream:
            reader = Reader(record, stream)
            await reader.associate()
            with pytest.raises(trio.BrokenResourceError):
                await reader.get(*ENERGY)
        fleet.faults.clear()
        begun = trio.current_time()
        async with await connect(record) as stream:
            assert await ending(stream) == errno.ECONNRESET
        with trio.fail_after(20):
            while True:
                async with await connect(record) as stream:
                    try:
                        await Reader(record, stream, counter=100).associate()
                        break
                    except (trio.BrokenResourceError, EOFError):
                        await trio.sleep(0.1)
        assert trio.current_time() - begun >= 1


async def test_behind_a_concentrator_one_meter_does_wrong_and_the_others_do_not() -> None:
    async with serving(meters=3, reach=Reach(meters_per_address=3)) as fleet:
        records = list(fleet.meter_file())
        wrong = Meters(frozenset({1}))
        for name, parameters in (("plaintext", {}), ("reset", {"octet": 0}), ("refuse", {})):
            fleet.faults.add(Rule(name=name, fault=fault(name, parameters), meters=wrong))
        async with await connect(records[0]) as stream:
            for record in (records[0], records[2]):
                reader = Reader(record, stream)
                await reader.associate()
                assert isinstance(await reader.get(*ENERGY), Data)
            with pytest.raises(SecurityError, match="policy-violated"):
                await Reader(records[1], stream).associate()


async def test_a_forgery_ends_the_session_and_the_next_one_goes_on() -> None:
    async with serving() as fleet:
        [record, *_] = fleet.meter_file()
        let(fleet, "forged-answer", answer=3)
        async with await connect(record) as stream:
            reader = Reader(record, stream)
            await reader.associate()
            await reader.get(*ENERGY)
            counter = reader.client.server_counter
            with pytest.raises(SecurityError, match="tag-mismatch"):
                await reader.get(*ENERGY)
            assert reader.client.server_counter == counter
        fleet.faults.clear()
        async with await connect(record) as stream:
            reader = Reader(record, stream, counter=100, server_counter=counter)
            await reader.associate()
            assert isinstance(await reader.get(*ENERGY), Data)


async def test_frames_that_come_twice_are_taken_once() -> None:
    async with serving(hdlc=True, security=Security.NONE) as fleet:
        [record, *_] = fleet.meter_file()
        let(fleet, "repeated-frame")
        async with await connect(record) as stream:
            reader = Reader(record, stream, hdlc=True)
            await reader.connect()
            await reader.associate()
            first = await reader.get(*LOGICAL_NAME)
            for _ in range(10):  # what came twice is the answer to no later question
                assert isinstance(await reader.get(*ENERGY), Data)
                assert await reader.get(*LOGICAL_NAME) == first


async def test_a_clock_jumps_while_the_meter_runs() -> None:
    async with serving(security=Security.NONE) as fleet:
        [record, *_] = fleet.meter_file()
        async with await connect(record) as stream:
            reader = Reader(record, stream)
            await reader.associate()
            assert abs(await clock_of(reader) - datetime.now(UTC)) < timedelta(seconds=5)
            let(fleet, "clock-jump", seconds=-7200)
            off = await clock_of(reader) - datetime.now(UTC) + timedelta(hours=2)
            assert abs(off) < timedelta(seconds=5)


async def test_a_session_through_the_proxy_octet_by_octet_reads_the_same() -> None:
    async with serving() as fleet:
        [record, *_] = fleet.meter_file()
        server = record["address"], record["port"]
        async with serve(server, up=Toxics(slice=1), down=Toxics(slice=1)) as between:
            stream = await trio.open_tcp_stream("127.0.0.1", between.port)
            async with stream:
                reader = Reader(record, stream)
                await reader.associate()
                assert isinstance(await reader.get(*ENERGY), Data)
                await reader.release()


async def test_a_last_gasp_comes_from_every_meter_and_twice_where_a_fault_says_so(
    tmp_path: Path,
) -> None:
    count = 40
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        await heard.bind(("127.0.0.1", 0))
        reach = Reach(push_to=Target("127.0.0.1", heard.getsockname()[1]))
        group = Group(name="homes", model="idis-single-phase", count=count, reach=reach)
        population = Population([group], [District(name="Town")], 1)
        async with serving(meters=count, population=population) as fleet:
            let(fleet, "duplicate-push", copies=2)
            control = Control(fleet, population, fleet.faults, fleet.pace, fleet.journal)
            async with trio.open_nursery() as nursery:
                await nursery.start(control.run, tmp_path / "fault.sock")
                line = {"do": "outage", "over": "1s"}
                await ask(tmp_path / "fault.sock", {"do": "play", "line": line})
                received: Counter[bytes] = Counter()
                with trio.fail_after(20):
                    while received.total() < 2 * count:
                        received[await heard.recv(65_535)] += 1
                nursery.cancel_scope.cancel()
    assert set(received.values()) == {2}
    assert len(received) == count


# --- commands ---------------------------------------------------------------------------------


async def test_hes_sim_fault_and_proxy_change_what_runs(tmp_path: Path) -> None:
    commands, keys, truth = Commands(tmp_path), tmp_path / "keys", tmp_path / "truth.jsonl"
    missing = await trio.to_thread.run_sync(commands.run, "sim", "fault", "ls")
    assert missing.exit_code == 5
    run = ["--meters", "20", "--network", "127.53.0.0/16", "--port", "0", "--keys-out", str(keys)]
    with commands.running("sim", "run", *run, "--truth-log", str(truth)):
        record = json.loads(keys.read_text().splitlines()[0])
        await trio.to_thread.run_sync(_faults, commands, record["port"])
        to = f"{record['address']}:{record['port']}"
        control = ["--control", str(tmp_path / "proxy.sock")]
        with commands.running(
            "sim", "proxy", "--listen", "127.0.0.1:0", "--to", to, *control
        ) as ready:
            port = int(ready.split()[2].rpartition(":")[2])
            await _read(record, port)
            change = ["sim", "proxy", *control, "--direction", "down", "--reset-after", "20"]
            would = await trio.to_thread.run_sync(commands.run, *change, "--dry-run")
            assert json.loads(would.stdout)["would"]["set"] == {"reset_after": 20}
            changed = await trio.to_thread.run_sync(commands.run, *change)
            state = json.loads(changed.stdout)
            assert (state["connections"], state["down"]["reset_after"]) == (1, 20)
            assert state["up"]["reset_after"] is None
            with pytest.raises(trio.BrokenResourceError):
                await _read(record, port)
            assert (await trio.to_thread.run_sync(commands.run, *change[:-2], "--cut")).stdout
    notes = [json.loads(line) for line in truth.read_text().splitlines()]
    told = [(one["name"], one["on"]) for one in notes if one["kind"] == "fault"]
    assert told == [("hang", True), ("hang", False)]


def _faults(commands: Commands, port: int) -> None:
    def said(*arguments: str) -> str:
        done = commands.run("sim", "fault", "--port", str(port), *arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "10 meters" in said("set", "hang", "answer=2", "--share", "0.5", "--for", "10min")
    [rule] = json.loads(said("ls", "-o", "json"))
    assert (rule["fault"], rule["parameters"], rule["meters"]) == ("hang", {"answer": 2}, 10)
    assert "would be" in said("outage", "--for", "1s", "--dry-run")
    said("event", "voltage_sag_l1", "--meters", "3")
    without = commands.run("sim", "fault", "event", "cover_opened", "--meters", "3")
    assert without.exit_code == 2
    assert "cover_opened: no code in hes-household; there are" in without.stderr
    assert "cleared: hang" in said("clear")
    refused = commands.run("sim", "fault", "set", "nothing")
    assert refused.exit_code == 2
    assert "unknown-fault: nothing; `hes sim fault kinds` lists all" in refused.stderr


async def _read(record: Any, port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        reader = Reader(record, stream, counter=1 + port)
        await reader.associate()
        assert isinstance(await reader.get(*ENERGY), Data)
        await reader.release()
