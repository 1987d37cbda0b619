"""
A fleet with `--state` that is killed (SIGKILL) at random moments while clients change its keys.

No meter sends a counter again, each knows the key that it has confirmed, and the file is whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import attrs
import trio

from hes_protocol.client import Action, ActionCompleted
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.security.key_wrap import KeyId, KeyTransfer, key_transfer_data, wrap_key
from hes_simulators.identity import Identity
from hes_simulators.keys import master_key
from tests.unit.hes_simulators.reader import Reader

KILLS = int(os.environ.get("HES_SOAK_KILLS", "20"))
METERS, PORT = 40, 24871
SETUP = Method(64, Obis.parse("0.0.43.0.0.255"), 2)
CIPHERED = (0xCC, 0xCF)  # glo-get-response, glo-action-response
COUNTER = slice(3, 7)
COUNTERS = count(1000, 100)  # of ours, a hundred for each session


@attrs.define
class Kept:
    """What a head-end knows of one meter: keys of which one must hold, the highest counter."""

    keys: list[str]
    highest: int = -1


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The fleet, until it is killed."""
    command = [
        sys.executable, "-m", "hes", "sim", "run", "--model", "idis-single-phase",
        "--meters", str(METERS), "--security", "gmac", "--network", "127.77.0.0/24",
        "--port", str(PORT), "--state", str(folder / "states"), "--keys-out", str(folder / "keys"),
    ]  # fmt: skip
    environment = os.environ | {"HES_DATA": str(folder)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        assert any(line.startswith("ready: ") for line in process.stderr)
        yield process
    finally:
        process.kill()
        process.communicate()


@attrs.define
class Watched(trio.abc.Stream):
    """Keeps the counters of what the meter has sent."""

    stream: trio.SocketStream
    counters: list[int] = attrs.field(factory=list)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self.stream.receive_some(max_bytes))
        if len(data) > 15 and data[8] in CIPHERED:
            self.counters.append(int.from_bytes(data[8:][COUNTER], "big"))
        return data

    async def aclose(self) -> None:
        await self.stream.aclose()


async def change_key(record: dict[str, Any], kept: Kept, counter: int, new: bytes) -> None:
    """One session, which the kill may break anywhere."""
    for key in tuple(kept.keys):
        tcp = await trio.open_tcp_stream(record["address"], record["port"])
        async with Watched(tcp) as stream:
            reader = Reader(record | {"ek": key}, stream, counter=counter)
            try:
                await reader.associate()
            except AssertionError:
                continue
            kept.keys = [key, new.hex()]  # until it is answered either may hold
            serial = record["serial"]
            identity = Identity.of(1, int(serial[3:]) - 1, serial[:3])
            wrapped = wrap_key(master_key(identity, record["client_sap"]), new)
            transfer = key_transfer_data([KeyTransfer(KeyId.GLOBAL_UNICAST_ENCRYPTION, wrapped)])
            try:
                done = await reader.ask(Action(SETUP, transfer))
            finally:
                assert all(one > kept.highest for one in stream.counters), serial
                kept.highest = max([kept.highest, *stream.counters])
            assert isinstance(done, ActionCompleted)
            assert done.result == 0
            kept.keys = [new.hex()]
            return
    raise AssertionError(f"{record['serial']} knows none of {len(kept.keys)} keys")


async def load(records: list[dict[str, Any]], known: dict[str, Kept], random: Random) -> None:
    """Until the fleet is gone."""
    while True:
        record = random.choice(records)
        kept = known.setdefault(record["serial"], Kept([record["ek"]]))
        try:
            await change_key(record, kept, next(COUNTERS), random.randbytes(16))
        except (OSError, EOFError, trio.BrokenResourceError):
            return


async def until_killed(
    fleet: subprocess.Popen[str],
    records: list[dict[str, Any]],
    known: dict[str, Kept],
    random: Random,
) -> None:
    """Four clients, each with meters of its own, and the kill."""
    async with trio.open_nursery() as nursery:
        for first in range(4):
            nursery.start_soon(load, records[first::4], known, random)
        await trio.sleep(random.uniform(0.3, 2.5))
        fleet.kill()


def test_kills(tmp_path: Path) -> None:
    random, known = Random(5), dict[str, Kept]()
    for _ in range(KILLS):
        with running(tmp_path) as fleet:
            records = [json.loads(line) for line in (tmp_path / "keys").read_text().splitlines()]
            trio.run(until_killed, fleet, records, known, random)
    assert len(known) > METERS / 2
