"""Broken sessions: a meter answers, or raises what is the client's fault, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import trio
import trio.testing

from hes_protocol.client import Associate, Get, Release
from hes_protocol.cosem import Attribute, CosemDateTime, Obis, RangeSelection
from hes_protocol.errors import RemoteProtocolError
from hes_simulators import Fleet, FleetSettings, Security, SessionSummary, serve_stream
from hes_simulators.selection import CLOCK_CAPTURE
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
HEADER_OCTETS = 8


def fleet(security: Security) -> Fleet:
    settings = FleetSettings(meters=1, security=security, profile_days=1)
    return Fleet(settings, start_number=1, now=lambda: NOW, next_challenge=lambda: bytes(16))


class Recorder(trio.abc.Stream):
    """Keeps what goes through it to the meter."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self.frames: list[bytes] = []

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.frames.append(bytes(data))
        await self._inner.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()


async def recorded(security: Security) -> list[bytes]:
    """The client's frames of a session in good order."""
    there = fleet(security)
    ours, theirs = trio.testing.memory_stream_pair()
    profile = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
    day = RangeSelection.between(
        CLOCK_CAPTURE,
        CosemDateTime.from_datetime(NOW - timedelta(hours=8)),
        CosemDateTime.from_datetime(NOW),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, theirs, there.meter(0), SessionSummary())
        stream = Recorder(ours)
        reader = Reader(next(iter(there.meter_file())), stream)
        for request in (Associate(), Get(profile, day), Release()):
            await reader.ask(request)
        await stream.aclose()
    return stream.frames


def mutated(frames: list[bytes], random: Random) -> list[bytes]:
    """The session with an octet flipped, cut, added, or a frame doubled or left out."""
    changed = [bytearray(frame) for frame in frames]
    frame = random.choice(changed)
    at = random.randrange(HEADER_OCTETS, len(frame))
    match random.randrange(5):
        case 0:
            frame[at] ^= 1 << random.randrange(8)
        case 1:
            frame[at] = random.choice((0x00, 0x7F, 0x80, 0x84, 0xFF))
        case 2:
            del frame[at:]
        case 3:
            frame[at:at] = random.randbytes(random.randrange(1, 9))
        case _:
            changed.insert(random.randrange(len(changed)), bytearray(random.choice(frames)))
    for one in changed:
        one[6:8] = (len(one) - HEADER_OCTETS).to_bytes(2, "big")
    return [bytes(one) for one in changed]


@pytest.mark.parametrize("security", list(Security))
async def test_mutated_sessions_only_ever_raise_what_is_the_clients_fault(
    security: Security,
) -> None:
    frames = await recorded(security)
    there = fleet(security)
    random = Random(20261121)
    broken = 0
    for _ in range(300):
        ours, theirs = trio.testing.memory_stream_pair()
        for frame in mutated(frames, random):
            await ours.send_all(frame)
        await ours.send_eof()
        try:
            await serve_stream(theirs, there.meter(0), SessionSummary())
        except RemoteProtocolError:
            broken += 1
        there.meter(0).state.counters.clear()
    assert broken > 20
