"""Each fault of a connection, as a client sees it on the wire."""

from __future__ import annotations

import statistics
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from hes_protocol.client import AnswerDiscarded, Associate, AssociationAccepted, Get
from hes_protocol.cosem import Attribute, Obis
from hes_protocol.errors import RemoteProtocolError, SecurityError
from hes_protocol.hdlc import HdlcAddress
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.frame import HdlcFrame
from hes_protocol.wrapper import HEADER_OCTETS, WrapperFrame
from hes_protocol.xdlms.ciphered import decode_ciphered
from hes_protocol.xdlms.get import GetRequestNormal
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance
from hes_simulators import Security
from hes_simulators.faults import fault
from hes_simulators.faults.frames import frames, spoilers
from hes_simulators.faults.kinds import Bomb, Forgery
from tests.unit.hes_simulators.faults.meters import (
    ENERGY,
    PROFILE,
    Tap,
    World,
    connection,
    world,
)


async def read(there: World, tap: Tap, counter: int = 1, **changes: Any) -> None:
    """A whole session: associate, read, release."""
    reader = there.reader(tap, counter=counter, **changes)
    await reader.associate()
    await reader.get(*PROFILE)
    await reader.release()


async def refusal_of(there: World, **changes: Any) -> RemoteProtocolError:
    """With what typed error a session ends, at the client."""
    async with connection(there) as tap:
        with pytest.raises(RemoteProtocolError) as caught, trio.fail_after(600):
            await read(there, tap, **changes)
    return caught.value


# --- silence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [0, 1, 4])
async def test_hang_falls_silent_at_its_answer_and_keeps_the_connection(
    answer: int, autojump_clock: MockClock
) -> None:
    there = world(max_receive_pdu_size=128)
    there.let("hang", answer=answer)
    async with connection(there) as tap:
        with trio.move_on_after(30) as patience:
            await read(there, tap)
        assert patience.cancelled_caught
        assert len(tap.pieces) == answer
        assert b"" not in tap.pieces


async def test_a_late_answer_comes_right_before_the_next_one(autojump_clock: MockClock) -> None:
    there = world(Security.NONE)
    there.let("late-answer", answer=1, seconds=100)
    async with connection(there) as tap:
        reader = there.reader(tap)
        await reader.associate()
        first, second = (_get(number) for number in (1, 2))
        await tap.send_all(first)
        await trio.sleep(20)
        await tap.send_all(second)
        received = b""
        while len(list(frames(received))) < 2:
            received += await tap.receive_some()
        assert [frame[HEADER_OCTETS + 2] & 0x0F for frame in frames(received)] == [1, 2]


async def test_a_late_answer_comes_by_itself_after_a_while(autojump_clock: MockClock) -> None:
    there = world(Security.NONE)
    there.let("late-answer", answer=1, seconds=100)
    async with connection(there) as tap:
        await there.reader(tap).associate()
        begun = trio.current_time()
        await tap.send_all(_get(3))
        assert await tap.receive_some()
        assert trio.current_time() - begun == pytest.approx(100)


def _get(invoke_id: int) -> bytes:
    wanted = Attribute(ENERGY[0], Obis.parse(ENERGY[1]), ENERGY[2])
    apdu = GetRequestNormal(wanted, invoke_id_and_priority=0xC0 | invoke_id).encode()
    return WrapperFrame(1, 1, apdu).to_octets()


# --- time and ends ----------------------------------------------------------------------------


async def test_drip(autojump_clock: MockClock) -> None:
    there = world(Security.NONE)
    there.let("drip", every_s=9, octets=2)
    async with connection(there) as tap:
        await there.reader(tap).associate()
        assert max(map(len, tap.pieces)) == 2
        pauses = [later - earlier for earlier, later in pairwise(tap.moments)]
        assert pauses == pytest.approx([9] * len(pauses))
        assert len(pauses) > 10


@pytest.mark.parametrize("octet", [0, 1, 60, 61, 500])
async def test_reset_after_exactly_so_many_octets(octet: int, autojump_clock: MockClock) -> None:
    there = world()
    there.let("reset", octet=octet)
    async with connection(there) as tap:
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await read(there, tap)
    assert sum(map(len, tap.pieces)) == octet


@pytest.mark.parametrize(
    ("parameters", "low", "high"),
    [
        ({"seconds": 2}, 2, 2),
        ({"distribution": "uniform", "seconds": 2, "spread": 1}, 1, 3),
        ({"distribution": "lognormal", "seconds": 2, "spread": 0.5}, 0.2, 20),
    ],
)
async def test_latency(
    parameters: dict[str, Any], low: float, high: float, autojump_clock: MockClock
) -> None:
    async def times() -> list[float]:
        there = world(Security.NONE)
        there.let("latency", **parameters)
        async with connection(there) as tap:
            reader = there.reader(tap)
            await reader.associate()
            found = []
            for _ in range(60):
                begun = trio.current_time()
                await reader.get(*ENERGY)
                found.append(trio.current_time() - begun)
        return found

    found = await times()
    assert low <= min(found) <= max(found) <= high + 1e-6
    assert statistics.median(found) == pytest.approx(2, rel=0.25)
    assert (len(set(map(round, found, [6] * 60))) > 1) is (low != high)
    assert await times() == pytest.approx(found)


async def test_refused_and_busy_connections_end_at_once() -> None:
    there = world()
    there.let("one-session")
    async with connection(there) as first, connection(there, 1) as elsewhere:
        await there.reader(first).associate()
        await there.reader(elsewhere, 1).associate()
        async with connection(there) as second:
            assert await second.receive_some() == b""
    async with connection(there) as third:
        await there.reader(third, counter=100).associate()
    there.let("refuse")
    async with connection(there) as refused:
        assert await refused.receive_some() == b""


# --- what is said -----------------------------------------------------------------------------


async def test_wrong_key_lets_nobody_in_and_tells_no_guard(autojump_clock: MockClock) -> None:
    there = world()
    there.let("wrong-key")
    async with connection(there) as tap:
        with trio.move_on_after(5):
            try:
                event = await there.reader(tap).ask(Associate())
                assert not isinstance(event, AssociationAccepted)
            except (RemoteProtocolError, EOFError):
                pass
    there.plan.clear()
    async with connection(there) as tap:
        await read(there, tap)


async def test_wrong_password() -> None:
    there = world(Security.LLS)
    there.let("wrong-key")
    async with connection(there) as tap:
        event = await there.reader(tap).ask(Associate())
        assert not isinstance(event, AssociationAccepted)


async def test_the_counter_goes_back_and_on_from_there() -> None:
    there = world()
    seen = []
    for round_ in range(2):
        if round_:
            there.let("counter-rollback", by=1000)
        async with connection(there) as tap:
            reader = there.reader(tap, counter=1 + 100 * round_)
            await reader.associate()
            await reader.get(*ENERGY)
            seen.append(reader.client.server_counter)
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0] - 1000 < seen[1] < seen[0] - 980
    error = await refusal_of(there, counter=1000, server_counter=seen[0])
    assert isinstance(error, SecurityError)
    assert error.code == "counter-replayed"


async def test_counters_end_right_below_2_to_the_32() -> None:
    there = world()
    there.let("counter-near-end", left=6)
    async with connection(there) as tap:
        reader = there.reader(tap)
        await reader.associate()
        assert reader.client.server_counter is not None
        assert reader.client.server_counter > (1 << 32) - 6
        used = reader.client.server_counter
        for _ in range((1 << 32) - 1 - used):
            await reader.get(*ENERGY)
        with pytest.raises(EOFError):
            await reader.get(*ENERGY)
        assert reader.client.server_counter == (1 << 32) - 1


async def test_replay_is_the_same_octets_again() -> None:
    there = world()
    there.let("replay")
    error = await refusal_of(there)
    assert error.code == "counter-replayed"
    async with connection(there) as tap:
        reader = there.reader(tap, counter=100)
        await reader.associate()
        with pytest.raises(SecurityError):
            await reader.get(*ENERGY)
    assert tap.pieces[-1] == tap.pieces[-2]


@pytest.mark.parametrize("place", list(Forgery))
async def test_a_forgery_moves_no_counter(place: Forgery) -> None:
    there = world()
    there.let("forged-answer", place=place, answer=3)
    async with connection(there) as tap:
        reader = there.reader(tap)
        await reader.associate()
        await reader.get(*ENERGY)
        before = reader.client.server_counter
        with pytest.raises(SecurityError) as caught:
            await reader.get(*ENERGY)
        assert caught.value.code == "tag-mismatch"
        assert reader.client.server_counter == before
        first, *others = frames(tap.pieces[-1])
    forged = decode_ciphered(WrapperFrame.from_datagram(first).apdu)
    assert forged.invocation_counter == 0xFFFF_FFFF
    assert len(others) == (place is Forgery.BEFORE)
    if others:  # what comes with it is the true one, which the counter of the forgery would refuse
        true = decode_ciphered(WrapperFrame.from_datagram(others[0]).apdu)
        assert true.invocation_counter == before + 1


async def test_who_sends_no_ciphers_is_not_forged() -> None:
    there = world(Security.LLS)
    there.let("forged-answer", answer=0)
    async with connection(there) as tap:
        await read(there, tap)


async def test_plaintext_is_what_should_have_been_ciphered() -> None:
    there = world()
    there.let("plaintext")
    assert (await refusal_of(there)).code == "policy-violated"
    async with connection(there) as tap:
        with pytest.raises(SecurityError):
            await read(there, tap, counter=100)
    assert tap.pieces[-1][HEADER_OCTETS] == 0xC7  # action-response, in clear


async def test_a_weaker_mechanism_is_offered_in_the_aare() -> None:
    there = world(Security.SHA256)
    there.let("weaker-mechanism")
    async with connection(there) as tap:
        with pytest.raises(RemoteProtocolError):
            await there.reader(tap).ask(Associate())
    # joint-iso-ccitt(2) country(16) 756 5 8 2 1: low level security
    assert bytes.fromhex("60857405080201") in tap.pieces[0]


@pytest.mark.parametrize("security", [Security.NONE, Security.GMAC])
async def test_wrong_invoke_id(security: Security) -> None:
    there = world(security)
    there.let("wrong-invoke-id")
    async with connection(there) as tap:
        reader = there.reader(tap)
        if security is Security.NONE:
            await reader.associate()
            event = await reader.ask(Get(Attribute(3, Obis.parse(ENERGY[1]), 2)))
        else:
            event = await reader.ask(Associate())  # its fourth pass is an ACTION
    assert event == AnswerDiscarded(1 ^ 8)


# --- bombs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [Security.NONE, Security.GMAC])
@pytest.mark.parametrize("shape", list(Bomb))
async def test_a_bomb_ends_typed_at_a_client_with_limits(
    shape: Bomb, security: Security, autojump_clock: MockClock
) -> None:
    there = world(security)
    there.let("bomb", shape=shape)
    limits = {"max_result_octets": 200_000, "max_blocks": 500}
    async with connection(there) as tap:
        reader = there.reader(tap, **limits)
        await reader.associate()
        ended: object = None
        with trio.move_on_after(600):
            try:
                ended = await reader.get(*PROFILE)
            except RemoteProtocolError as error:
                ended = error
    assert isinstance(ended, RemoteProtocolError) or (
        # Not an error but a silence: the client asks for the block that is missing.
        shape is Bomb.GBT_GAP and ended is None
    ), ended
    assert sum(map(len, tap.pieces)) < 1_000_000


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        (Bomb.GBT_GAP, "bad-block-number"),
        (Bomb.GBT_WRONG_ACK, "bad-block-number"),
        (Bomb.GBT_NEVER_LAST, "too-long"),
        (Bomb.GBT_OVERRUN, "too-long"),
    ],
)
async def test_general_blocks_at_a_client_that_takes_them(
    shape: Bomb, code: str, autojump_clock: MockClock
) -> None:
    there = world(Security.GMAC)
    there.let("bomb", shape=shape)
    offered = DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER
    limits = {"general_blocks": 1, "conformance": offered, "max_result_octets": 100_000}
    async with connection(there) as tap:
        reader = there.reader(tap, **limits)
        await reader.associate()
        with pytest.raises(RemoteProtocolError) as caught, trio.fail_after(60):
            await reader.get(*PROFILE)
    assert caught.value.code == code
    assert sum(map(len, tap.pieces)) < 200_000


@pytest.mark.parametrize("shape", [Bomb.ENDLESS_BLOCKS, Bomb.GBT_NEVER_LAST])
async def test_an_endless_bomb_gives_the_next_part_to_every_request(shape: Bomb) -> None:
    there = world(Security.NONE)
    there.let("bomb", shape=shape)
    numbers = []
    async with connection(there) as tap:
        await there.reader(tap).associate()
        for _ in range(50):
            await tap.send_all(_get(1))
            frame = bytes(await tap.receive_some())
            apdu = WrapperFrame.from_datagram(frame).apdu
            endless = shape is Bomb.ENDLESS_BLOCKS
            numbers.append(int.from_bytes(apdu[4:8] if endless else apdu[2:4]))
            assert not (apdu[3] if endless else apdu[1] & 0x80), "the last block"
    assert numbers == list(range(1, 51))


# --- frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 5000, 65_535])
async def test_the_wrappers_length_lies(length: int) -> None:
    there = world()
    there.let("lying-length", length=length)
    async with connection(there) as tap:
        with trio.move_on_after(0.2), suppress(RemoteProtocolError):
            await there.reader(tap).ask(Associate())
    assert int.from_bytes(tap.pieces[0][6:8]) == length != len(tap.pieces[0]) - HEADER_OCTETS


@pytest.mark.parametrize("check", ["fcs", "hcs"])
def test_a_wrong_check_sequence_is_the_only_thing_that_is_wrong(check: str) -> None:
    whole = _hdlc_frames()
    [spoil] = spoilers((fault("wrong-check", {"check": check}),), Random(1))
    spoilt = spoil(whole)
    assert spoilt.count(b"\x7e") >= 4
    for before, after in zip(frames(whole), frames(spoilt), strict=True):
        assert (int.from_bytes(before) ^ int.from_bytes(after)).bit_count() == 1
        with pytest.raises(RemoteProtocolError) as caught:
            HdlcFrame.from_octets(after[1:-1])
        assert caught.value.code == f"bad-{check}"


@pytest.mark.parametrize(("number", "bits"), [("send", 0x0E), ("receive", 0xE0)])
def test_a_sequence_number_is_not_the_one_that_is_due(number: str, bits: int) -> None:
    fault_of = fault("wrong-sequence", {"number": number, "ahead": 3})
    [spoil] = spoilers((fault_of,), Random(1))
    client, server = HdlcAddress.of(16), HdlcAddress(1)
    told = HdlcFrame(client, server, Control(ControlKind.I, True, 6, 5), information=b"\x01\x02")
    after = HdlcFrame.from_octets(spoil(told.to_octets())[1:-1])  # its checks are right
    assert (told.control.to_octet() ^ after.control.to_octet()) & ~bits == 0
    numbers = {"send": (1, 5), "receive": (6, 0)}[number]
    assert (after.control.send_sequence, after.control.receive_sequence) == numbers
    assert after.information == told.information
    ready = HdlcFrame(client, server, Control(ControlKind.RR, True, receive_sequence=5)).to_octets()
    assert (spoil(ready) != ready) is (number == "receive")
    assert spoil(_hdlc_frames()) == _hdlc_frames()  # UI frames have no numbers


def test_an_information_frame_comes_twice() -> None:
    [spoil] = spoilers((fault("repeated-frame"),), Random(1))
    client, server = HdlcAddress.of(16), HdlcAddress(1)
    told = HdlcFrame(client, server, Control(ControlKind.I), information=b"\x01").to_octets()
    ready = HdlcFrame(client, server, Control(ControlKind.RR)).to_octets()
    assert spoil(told + ready) == told + told + ready


def test_a_share_of_the_frames_is_spoilt() -> None:
    [spoil] = spoilers((fault("wrong-check", {"share": 0.3}),), Random(1))
    whole = _hdlc_frames()
    spoilt = sum(spoil(whole) != whole for _ in range(500))
    assert 200 < spoilt < 330  # 1 - 0.7 * 0.7 of two frames at a time


def test_the_length_of_hdlc_frames_lies_and_its_header_check_is_right() -> None:
    [spoil] = spoilers((fault("lying-length", {"length": 2000}),), Random(1))
    first = next(frames(_hdlc_frames()))
    lying = spoil(first)
    assert int.from_bytes(lying[1:3]) & 0x7FF == 2000
    with pytest.raises(RemoteProtocolError) as caught:
        HdlcFrame.from_octets(lying[1:-1])
    assert caught.value.code == "truncated", "its header was believed"


def _hdlc_frames() -> bytes:
    # From server 1 to client 16, two UI frames with information.
    made = HdlcFrame.unnumbered(HdlcAddress.of(16), HdlcAddress(1), bytes(range(200)))
    assert len(made) == 2
    return b"".join(frame.to_octets() for frame in made)


# --- nothing wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("security", list(Security))
async def test_octets_are_the_same_where_a_plan_does_nothing(security: Security) -> None:
    async def octets(*, plan: bool) -> list[bytes]:
        there = world(security)
        if plan:
            there.let("latency", seconds=0)
        async with connection(there) as tap:
            await read(there, tap)
        return tap.pieces

    assert await octets(plan=True) == await octets(plan=False)
