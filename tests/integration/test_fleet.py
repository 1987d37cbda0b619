"""A fleet over real loopback sockets, in process and as `hes sim run`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from hes.cli.sim import sim
from hes_protocol.axdr import Data
from hes_protocol.cosem import CosemDateTime, RangeSelection
from hes_protocol.hdlc import HdlcAddress, HdlcLink
from hes_simulators import Fleet, FleetError, FleetSettings, MeterNetwork, Security, rows
from hes_simulators.clock import microseconds
from hes_simulators.selection import CLOCK_CAPTURE
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
ENERGY = (3, "1.0.1.8.0.255", 2)
PROFILE = (7, "1.0.99.1.0.255", 2)
DAY = RangeSelection.between(
    CLOCK_CAPTURE,
    CosemDateTime.from_datetime(NOW - timedelta(days=1)),
    CosemDateTime.from_datetime(NOW),
)


@asynccontextmanager
async def serving(meters: int = 3, **changes: Any) -> AsyncIterator[Fleet]:
    """A fleet that answers on a port of the system's choice."""
    defaults: dict[str, Any] = {"meters": meters, "port": 0, "profile_days": 2}
    settings = FleetSettings(**(defaults | changes))
    fleet = Fleet(settings, start_number=1, now=lambda: NOW)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        yield fleet
        nursery.cancel_scope.cancel()


async def read(record: Mapping[str, Any]) -> tuple[Data, Data]:
    """One session: the energy register and a day of the profile."""
    async with await trio.open_tcp_stream(record["address"], record["port"]) as stream:
        reader = Reader(record, stream)
        await reader.associate()
        energy, day = await reader.get(*ENERGY), await reader.get(*PROFILE, DAY)
        await reader.release()
    assert isinstance(energy, Data)
    assert isinstance(day, Data)
    return energy, day


async def open_sessions(fleet: Fleet, count: int) -> None:
    """Wait until the fleet has so many open sessions; the kernel tells it, not we."""
    while fleet.counters.open_sessions != count:  # noqa: ASYNC110 - the fleet has no event for it
        await trio.sleep(0.01)


def expect_truth(fleet: Fleet, index: int, energy: Data, day: Data) -> None:
    meter = fleet.meter(index)
    assert energy.value == meter.measuring.total("import_wh", microseconds(NOW))
    truth = [list(row.values.values()) for row in rows(meter, NOW - timedelta(days=1), NOW)]
    assert len(truth) == 96
    assert [[cell.value for cell in row.value[1:]] for row in day.value] == truth


@pytest.mark.parametrize("security", list(Security))
@pytest.mark.parametrize("pdu", [128, 512])
async def test_reads_over_sockets(security: Security, pdu: int) -> None:
    async with serving(security=security, max_receive_pdu_size=pdu) as fleet:
        for index, record in enumerate(fleet.meter_file()):
            expect_truth(fleet, index, *await read(record))
        assert fleet.counters.sessions == 3
        assert fleet.counters.failed == 0


async def test_each_meter_has_an_address_of_its_own() -> None:
    async with serving(300, network=MeterNetwork(IPv4Network("127.44.0.0/23"))) as fleet:
        records = list(fleet.meter_file())
        assert len({record["address"] for record in records}) == 300
        for index in (0, 253, 254, 299):
            expect_truth(fleet, index, *await read(records[index]))


def _free_ports(count: int) -> int:
    """The first of so many free ports, below those that the system gives to who asks for any."""
    for base in range(20_000, 32_000, count):
        with ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports")


async def test_one_port_for_each_meter() -> None:
    base = _free_ports(3)
    async with serving(port_base=base) as fleet:
        records = list(fleet.meter_file())
        assert [record["port"] for record in records] == [base, base + 1, base + 2]
        expect_truth(fleet, 2, *await read(records[2]))


async def test_a_hundred_meters_at_once() -> None:
    async with serving(100) as fleet:
        records = list(fleet.meter_file())
        answers: dict[int, tuple[Data, Data]] = {}

        async def one(index: int) -> None:
            answers[index] = await read(records[index])

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for index in range(100):
                    nursery.start_soon(one, index)
        for index, answer in answers.items():
            expect_truth(fleet, index, *answer)
        assert len(answers) == 100
        assert fleet.counters.open_sessions <= 100


GARBAGE = [
    b"\x00",
    b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n",
    bytes(range(256)) * 40,
    bytes.fromhex("000100010001ffff"),
    bytes.fromhex("0001000100010000"),
    bytes.fromhex("00010001000100026000"),
    bytes.fromhex("0001000100010008") + b"\xff" * 8,
    bytes.fromhex("000100010001000d") + bytes.fromhex("c001c10003010001080000ff02"),
    bytes.fromhex("0001004d00010002") + b"\x62\x00",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_disturbs_nobody(garbage: bytes) -> None:
    async with serving(2, idle_timeout_s=0.5) as fleet:
        records = list(fleet.meter_file())
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(throw, records[0], garbage)
                answers = await read(records[1])
            expect_truth(fleet, 1, *answers)
            expect_truth(fleet, 0, *await read(records[0]))
            await open_sessions(fleet, 0)


async def throw(record: Mapping[str, Any], garbage: bytes) -> None:
    """Send garbage and take whatever comes until the meter has had enough."""
    async with await trio.open_tcp_stream(record["address"], record["port"]) as stream:
        try:
            await stream.send_all(garbage)
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass


async def test_strangers_and_crowds_are_turned_away() -> None:
    async with serving(2, max_connections=2) as fleet:
        records = list(fleet.meter_file())
        stranger = {**records[0], "address": "127.0.0.1"}
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await read(stranger)
        async with (
            await trio.open_tcp_stream(records[0]["address"], fleet.port),
            await trio.open_tcp_stream(records[1]["address"], fleet.port),
        ):
            await open_sessions(fleet, 2)
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await read(records[0])
        await open_sessions(fleet, 0)
        expect_truth(fleet, 0, *await read(records[0]))
        assert fleet.counters.turned_away == 2


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    async with serving() as fleet:
        taken = Fleet(FleetSettings(meters=1, port=fleet.port), start_number=1)
        with pytest.raises(FleetError, match=str(fleet.port)):
            await taken.serve()


# --- `hes sim run` ---------------------------------------------------------------------------


def sim_run(data: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hes", "sim", "run", *arguments],
        env=os.environ | {"HES_DATA": str(data)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_command_line(tmp_path: Path, stop: signal.Signals) -> None:
    keys, truth = tmp_path / "keys.jsonl", tmp_path / "truth.jsonl"
    arguments = ("--meters", "5", "--network", "127.45.0.0/24", "--port", "0", "--seed", "9")
    process = sim_run(tmp_path, *arguments, "--keys-out", str(keys), "--truth-log", str(truth))
    try:
        assert process.stderr is not None
        ready = await trio.to_thread.run_sync(process.stderr.readline)
        assert ready.startswith("ready: 5 meters on 127.45.0.0/24, port ")
        assert keys.stat().st_mode & 0o777 == 0o600
        records = [json.loads(line) for line in keys.read_text().splitlines()]
        assert records[4]["serial"] == "HES00000005"
        assert set(records[0]) == {
            "serial", "system_title", "address", "port", "transport", "client_sap", "server_sap",
            "mechanism", "suite", "secret", "ek", "ak", "model", "timezone",
        }  # fmt: skip
        energy, _ = await read(records[4])
        assert energy.value > 0
        lines = [json.loads(line) for line in truth.read_text().splitlines()]
        captured = [line for line in lines if line["kind"] == "captured"]
        assert len(captured) == 5 * 7 * 96
        assert captured[-1]["serial"] == "HES00000005"
    finally:
        process.send_signal(stop)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert output == ""
    assert "Traceback" not in errors
    assert (tmp_path / "sim" / "starts-9").read_text() == "1\n"


@pytest.mark.conformance("hdlc-tcp", "server")
async def test_command_line_hdlc(tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    arguments = ("--meters", "2", "--network", "127.46.0.0/24", "--port", "0", "--hdlc")
    process = sim_run(tmp_path, *arguments, "--keys-out", str(keys))
    try:
        assert process.stderr is not None
        await trio.to_thread.run_sync(process.stderr.readline)
        records = [json.loads(line) for line in keys.read_text().splitlines()]
        assert [record["transport"] for record in records] == ["hdlc", "hdlc"]
        link = HdlcLink(HdlcAddress(1), HdlcAddress(1))
        stream = await trio.open_tcp_stream(records[1]["address"], records[1]["port"])
        async with stream:
            await stream.send_all(link.connect())
            with trio.fail_after(10):
                while not link.connected:
                    link.receive_data(bytes(await stream.receive_some()))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--meters", "1", "--security", "ecdsa"), "ecdsa is not supported yet"),
        (("--meters", "1", "--model", "kaifa-ma"), "kaifa-ma is none of "),
        (("--meters", "1", "--suite", "1"), "--suite 1 is not supported yet"),
        (("--scenario", "nowhere"), "'nowhere' is neither a file *.toml nor one of"),
        (("--scenario", "demo", "--hdlc"), "--hdlc is for --meters"),
        (("--pace", "2"), "--meters says how many, or --scenario who"),
        (("--meters", "1", "--pace", "0"), "a pace of 0.0 is none"),
        (("--meters", "1", "--from", "2999-01-01T00:00:00Z"), "is in the future"),
        (("--meters", "1", "--from", "2026-01-01T00:00:00"), "--from needs its offset"),
        (("--scenario", "demo", "--head-end", "nowhere"), "--head-end nowhere"),
        (("--meters", "255", "--network", "127.1.1.0/24"), "room for 254"),
        (("--meters", "1", "--network", "10.0.0.0/8"), "not inside 127.0.0.0/8"),
        (("--meters", "9", "--port-base", "65530"), "end above 65535"),
        (("--meters", "0"), "--meters"),
    ],
)
def test_usage_errors(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(sim, ["run", *arguments], env={"HES_DATA": str(tmp_path)})
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "sim").exists()
