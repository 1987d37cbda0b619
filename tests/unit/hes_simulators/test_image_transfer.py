"""Image transfer: blocks in any order, what is missing, what does not verify, the restart."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from hes_protocol.axdr import BitString, Data, DataTag, structure
from hes_protocol.errors import EncodingError
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.classes.image_transfer import Status
from hes_simulators.faults import FaultPlan, Rule
from hes_simulators.faults.kinds import ImageActivation
from hes_simulators.images import make_image, read_image
from tests.unit.hes_simulators.ruler import START, START_US, RulerMeter, S

OBJECT = "0.0.44.0.0.255"
BLOCK = 16
SUCCESS, OTHER = ActionResultCode.SUCCESS, ActionResultCode.OTHER_REASON
LATER, TYPE = ActionResultCode.TEMPORARY_FAILURE, ActionResultCode.TYPE_UNMATCHED
IMAGE = make_image("2.0.0", octets=70)
ZERO = Data(DataTag.INTEGER, 0)


def upgradable(**options: int) -> RulerMeter:
    more = "".join(f", {name} = {value}" for name, value in options.items())
    return RulerMeter.of(
        f"""
name = "upgradable"
maker = "HES"
source = "none: for tests"
[meter]
firmware = "1.0.0"
[client.public]
sap = 16
[client.management]
sap = 1
[[object]]
class_id = 18
obis = "{OBJECT}"
access = {{ management = "rwx" }}
options = {{ block_octets = {BLOCK}{more} }}
"""
    )


def initiate(meter: RulerMeter, image: bytes = IMAGE, name: bytes = b"2.0.0") -> ActionResultCode:
    size = Data(DataTag.DOUBLE_LONG_UNSIGNED, len(image))
    return meter.invoke(18, OBJECT, 1, structure(Data(DataTag.OCTET_STRING, name), size))


def block(number: int, octets: bytes) -> Data:
    return structure(Data(DataTag.DOUBLE_LONG_UNSIGNED, number), Data(DataTag.OCTET_STRING, octets))


def blocks(image: bytes = IMAGE) -> list[tuple[int, bytes]]:
    return [(at // BLOCK, image[at : at + BLOCK]) for at in range(0, len(image), BLOCK)]


def send(meter: RulerMeter, parts: Iterable[tuple[int, bytes]]) -> None:
    for number, octets in parts:
        assert meter.invoke(18, OBJECT, 2, block(number, octets)) is SUCCESS


def status(meter: RulerMeter) -> Status:
    return Status(meter.read(18, OBJECT, 6))


def sent(image: bytes = IMAGE, name: bytes = b"2.0.0", **options: int) -> RulerMeter:
    meter = upgradable(**options)
    assert initiate(meter, image, name) is SUCCESS
    send(meter, blocks(image))
    return meter


def verify(meter: RulerMeter) -> ActionResultCode:
    return meter.invoke(18, OBJECT, 3, ZERO)


def activate(meter: RulerMeter) -> ActionResultCode:
    return meter.invoke(18, OBJECT, 4, ZERO)


def test_a_fresh_meter_waits_for_a_transfer() -> None:
    meter = upgradable()
    assert [meter.read(18, OBJECT, index) for index in (2, 4, 5, 6, 7)] == [BLOCK, 0, True, 0, ()]
    assert meter.read(18, OBJECT, 3) == BitString(0, b"")
    assert meter.state.is_fresh
    for method, parameter in ((2, block(0, bytes(BLOCK))), (3, ZERO), (4, ZERO)):
        assert meter.invoke(18, OBJECT, method, parameter) is OTHER
    assert meter.invoke(18, OBJECT, 5) is ActionResultCode.OBJECT_UNDEFINED
    assert meter.firmware == "1.0.0"


def test_blocks_come_in_any_order_and_again() -> None:
    meter = upgradable()
    initiate(meter)
    parts = blocks()
    Random(1).shuffle(parts)
    held: set[int] = set()
    for number, octets in parts:
        send(meter, [(number, octets)] * 2)
        held.add(number)
        bits = meter.read(18, OBJECT, 3)
        assert {place for place in range(bits.length) if bits[place]} == held
        missing = min(set(range(len(parts) + 1)) - held)
        assert meter.read(18, OBJECT, 4) == missing
    assert meter.read(18, OBJECT, 4) == len(parts)
    assert verify(meter) is SUCCESS
    [info] = meter.read(18, OBJECT, 7)
    assert [member.value for member in info.value] == [len(IMAGE), b"2.0.0", IMAGE[-32:]]
    assert meter.events == ["firmware_ready"]


def test_a_block_that_was_wrong_is_put_right_by_sending_it_again() -> None:
    meter = sent()
    number, octets = blocks()[2]
    send(meter, [(number, bytes(len(octets)))])
    send(meter, [(number, octets)])
    assert verify(meter) is SUCCESS


@pytest.mark.parametrize(
    ("parameter", "result"),
    [
        (block(99, bytes(BLOCK)), OTHER),
        (block(0, bytes(BLOCK - 1)), OTHER),
        (block(len(IMAGE) // BLOCK, bytes(BLOCK)), OTHER),  # the last one is shorter
        (block(0, b""), OTHER),
        (structure(Data(DataTag.UNSIGNED, 0), Data(DataTag.OCTET_STRING, bytes(BLOCK))), TYPE),
        (structure(Data(DataTag.DOUBLE_LONG_UNSIGNED, 0)), TYPE),
        (Data(DataTag.NULL_DATA), TYPE),
        (None, TYPE),
    ],
)
def test_a_block_that_does_not_fit_is_refused(parameter: Data, result: ActionResultCode) -> None:
    meter = upgradable()
    initiate(meter)
    assert meter.invoke(18, OBJECT, 2, parameter) is result
    assert meter.read(18, OBJECT, 4) == 0


@pytest.mark.parametrize(
    ("name", "size", "result"),
    [(b"", 100, OTHER), (bytes(65), 100, OTHER), (b"2", 0, OTHER), (b"2", 1 << 30, OTHER)],
)
def test_a_transfer_of_another_size_is_not_begun(
    name: bytes, size: int, result: ActionResultCode
) -> None:
    meter = upgradable()
    parameter = structure(
        Data(DataTag.OCTET_STRING, name), Data(DataTag.DOUBLE_LONG_UNSIGNED, size)
    )
    assert meter.invoke(18, OBJECT, 1, parameter) is result
    assert status(meter) is Status.NOT_INITIATED


def test_an_image_that_is_not_whole_is_not_verified_and_can_be_made_whole() -> None:
    meter = upgradable()
    initiate(meter)
    *most, last = blocks()
    send(meter, most)
    assert (verify(meter), status(meter)) == (OTHER, Status.INITIATED)
    assert (activate(meter), status(meter)) == (OTHER, Status.INITIATED)
    send(meter, [last])
    assert verify(meter) is SUCCESS


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (IMAGE[:-1] + bytes((IMAGE[-1] ^ 1,)), b"2.0.0"),
        (IMAGE[:40] + bytes((IMAGE[40] ^ 1,)) + IMAGE[41:], b"2.0.0"),
        (IMAGE[:-1], b"2.0.0"),
        (IMAGE + b"\0", b"2.0.0"),
        (IMAGE, b"2.0.1"),
        (make_image("2.0.0", model="another"), b"2.0.0"),
        (bytes(10), b"2.0.0"),
    ],
)
def test_an_image_that_is_faulty_or_for_others_does_not_verify(image: bytes, name: bytes) -> None:
    meter = sent(image, name)
    assert (verify(meter), status(meter)) == (OTHER, Status.VERIFICATION_FAILED)
    assert meter.events == ["firmware_failed"]
    assert meter.read(18, OBJECT, 7) == ()
    assert activate(meter) is OTHER
    assert meter.invoke(18, OBJECT, 2, block(0, IMAGE[:BLOCK])) is OTHER
    assert initiate(meter) is SUCCESS
    assert meter.read(18, OBJECT, 4) == 0


def test_every_flipped_bit_of_an_image_is_found() -> None:
    for place in range(len(IMAGE) * 8):
        octets = bytearray(IMAGE)
        octets[place // 8] ^= 1 << place % 8
        with pytest.raises(EncodingError):
            read_image(bytes(octets))


def test_activation_restarts_the_meter_into_the_new_version() -> None:
    meter = sent(reboot_s=90)
    assert verify(meter) is SUCCESS
    assert activate(meter) is SUCCESS
    assert status(meter) is Status.ACTIVATION_INITIATED
    assert (activate(meter), initiate(meter)) == (LATER, LATER)
    assert meter.dark == [(START_US + 2 * S, START_US + 92 * S)]
    meter.wait(91)
    assert meter.firmware == "1.0.0"
    meter.wait(1)
    assert status(meter) is Status.ACTIVATION_SUCCESSFUL
    assert meter.firmware == "2.0.0"
    assert meter.events == ["firmware_ready", "firmware_activated"]
    assert meter.read(18, OBJECT, 7) == ()
    assert initiate(meter, make_image("3.0.0"), b"3.0.0") is SUCCESS  # and so on


def test_activation_verifies_what_nobody_has_verified() -> None:
    meter = sent()
    assert activate(meter) is SUCCESS
    meter.wait(3_600)
    assert meter.firmware == "2.0.0"


def test_verification_may_take_its_time() -> None:
    meter = sent(verify_s=20)
    assert (verify(meter), status(meter)) == (LATER, Status.VERIFICATION_INITIATED)
    meter.wait(19)
    assert (verify(meter), activate(meter)) == (LATER, LATER)
    meter.wait(1)
    assert (status(meter), verify(meter)) == (Status.VERIFICATION_SUCCESSFUL, SUCCESS)
    assert activate(meter) is SUCCESS


@pytest.mark.parametrize(
    ("outcome", "then"),
    [("fails", Status.ACTIVATION_FAILED), ("old-version", Status.NOT_INITIATED)],
)
def test_an_activation_may_fail(outcome: str, then: Status) -> None:
    meter = sent()
    plan = FaultPlan(1, lambda: START)
    plan.add(Rule(name="bad", fault=ImageActivation(outcome=outcome, share=1.0)))
    meter.kind.faults = plan
    activate(meter)
    meter.wait(3_600)
    assert (status(meter), meter.firmware) == (then, "1.0.0")
    assert meter.events[-1] == "firmware_failed"


def test_nothing_is_transferred_while_that_is_disabled() -> None:
    meter = sent()
    off, on = Data(DataTag.BOOLEAN, False), Data(DataTag.BOOLEAN, True)
    assert meter.write(18, OBJECT, 5, off) is DataAccessResult.SUCCESS
    assert meter.read(18, OBJECT, 5) is False
    assert (verify(meter), initiate(meter)) == (OTHER, OTHER)
    assert meter.write(18, OBJECT, 5, ZERO) is DataAccessResult.TYPE_UNMATCHED
    assert meter.write(18, OBJECT, 2, ZERO) is DataAccessResult.READ_WRITE_DENIED
    assert meter.write(18, OBJECT, 5, on) is DataAccessResult.SUCCESS
    assert verify(meter) is SUCCESS
