"""Firmware and money in real meters of the models: power failures, restarts, switched loads."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, decode_all, structure
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.server import ActionRequested, GetRequested, SetRequested
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.clock import microseconds
from hes_simulators.images import make_image
from hes_simulators.meter import Meter, MeterKind
from hes_simulators.persistence import plain, state_of
from hes_simulators.state import Cut
from hes_simulators.tokens import make_token
from tests.attacker import NOW, kind_of

SUCCESS = ActionResultCode.SUCCESS
IMAGE_OBJECT, FIRMWARE = Obis.parse("0.0.44.0.0.255"), "firmware_version"
ACCOUNT, CREDIT = Obis.parse("0.0.19.0.0.255"), Obis.parse("0.0.19.10.0.255")
ENERGY, DAILY = Obis.parse("0.0.19.20.0.255"), Obis.parse("0.0.19.20.1.255")
GATEWAY = Obis.parse("0.0.19.40.0.255")
IMPORT = Obis.parse("1.0.1.8.0.255")


@attrs.define
class Bench:
    """One meter of a model, asked by its management client."""

    model: str
    meter: Meter = attrs.field(init=False)
    kind: MeterKind = attrs.field(init=False)
    at: datetime = NOW

    def __attrs_post_init__(self) -> None:
        fields = attrs.fields_dict(MeterKind)
        there = kind_of(self.model)
        given = {
            name: getattr(there, name)
            for name, field in fields.items()
            if field.init and name not in ("now", "faults", "started_at")
        }
        self.kind = MeterKind(**(given | {"now": lambda: self.at}))
        self.meter = Meter.of(self.kind, 0)

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def restart(self) -> None:
        self.meter = Meter.of(self.kind, 0, state_of(plain(self.meter.state)))

    def get(self, class_id: int, obis: Obis, index: int) -> object:
        got = self.meter.get(GetRequested(1, Attribute(class_id, obis, index), None, 1))
        assert got.result is DataAccessResult.SUCCESS, got.result
        return decode_all(bytes(got.octets)).value

    def put(self, class_id: int, obis: Obis, index: int, data: Data) -> DataAccessResult:
        attribute = Attribute(class_id, obis, index)
        return self.meter.set(SetRequested(1, attribute, data, None, 1)).result

    def do(self, class_id: int, obis: Obis, index: int, data: Data | None) -> ActionResultCode:
        method = Method(class_id, obis, index)
        return self.meter.action(ActionRequested(1, method, data, 1)).result


# --- firmware -------------------------------------------------------------------------------------


def firmware_object(bench: Bench) -> Obis:
    [found] = [
        one.obis
        for one in bench.kind.model.objects.values()
        if 2 in one.attributes and one.attributes[2].source == FIRMWARE
    ][:1]
    return found


@pytest.mark.parametrize("model", ["idis-single-phase", "dsmr-smr5", "prepayment"])
@pytest.mark.parametrize("restart", [False, True])
def test_an_image_survives_power_failures_and_the_meter_comes_back_with_it(
    model: str, *, restart: bool
) -> None:
    bench = Bench(model)
    version = "V09.00.01"
    image = make_image(version, model=model, octets=3_000)
    size = bench.get(18, IMAGE_OBJECT, 2)
    assert isinstance(size, int)
    parts = [image[at : at + size] for at in range(0, len(image), size)]
    name = structure(
        Data(DataTag.OCTET_STRING, version.encode()),
        Data(DataTag.DOUBLE_LONG_UNSIGNED, len(image)),
    )
    assert bench.do(18, IMAGE_OBJECT, 1, name) is SUCCESS
    while (first := bench.get(18, IMAGE_OBJECT, 4)) < len(parts):
        for number in range(first, min(first + 4, len(parts))):
            block = structure(
                Data(DataTag.DOUBLE_LONG_UNSIGNED, number),
                Data(DataTag.OCTET_STRING, parts[number]),
            )
            assert bench.do(18, IMAGE_OBJECT, 2, block) is SUCCESS
        bench.wait(60)
        bench.meter.cut(Cut.OUTAGE, bench.at)
        bench.wait(60)
        bench.meter.restore(Cut.OUTAGE, bench.at)
        if restart:
            bench.restart()
    firmware = firmware_object(bench)
    old = bench.get(1, firmware, 2)
    assert bench.do(18, IMAGE_OBJECT, 3, Data(DataTag.INTEGER, 0)) is SUCCESS
    assert bench.do(18, IMAGE_OBJECT, 4, Data(DataTag.INTEGER, 0)) is SUCCESS
    assert bench.get(1, firmware, 2) == old
    bench.wait(5)
    assert bench.meter.is_dark(bench.at)
    if restart:
        bench.restart()
    bench.wait(600)
    assert not bench.meter.is_dark(bench.at)
    assert bench.get(1, firmware, 2) == version.encode() != old
    assert bench.get(18, IMAGE_OBJECT, 6) == 6
    bench.restart()
    assert bench.get(1, firmware, 2) == version.encode()


# --- money ----------------------------------------------------------------------------------------


def prepaid(amount: int) -> Bench:
    bench = Bench("prepayment")
    assert bench.do(112, CREDIT, 2, Data(DataTag.DOUBLE_LONG, amount)) is SUCCESS
    return bench


def spent(bench: Bench) -> int:
    total = 0
    for charge in (ENERGY, DAILY):
        value = bench.get(113, charge, 2)
        assert isinstance(value, int)
        total += value
    return total


def amount(bench: Bench) -> int:
    value = bench.get(112, CREDIT, 2)
    assert isinstance(value, int)
    return value


def wh(bench: Bench) -> int:
    at_us = np.array([microseconds(bench.at)], np.int64)
    return int(bench.meter.totals("import_wh", at_us)[0])


def token(bench: Bench, value: int, number: int) -> ActionResultCode:
    digits = make_token(bench.meter.identity.serial, value, number).encode()
    return bench.do(115, GATEWAY, 1, Data(DataTag.OCTET_STRING, digits))


def test_what_a_charge_collects_is_what_the_register_says() -> None:
    bench = Bench("prepayment")
    for hours in (0, 1, 30, 400):
        bench.wait(hours * 3_600)
        bench.at = bench.at.replace(second=0, microsecond=0)
        register = bench.get(3, IMPORT, 2)
        assert bench.get(113, ENERGY, 2) == register * 250 // 1000


def test_a_fresh_meter_has_credit_and_goes_on_having_it() -> None:
    bench = Bench("prepayment")
    for _ in range(10):
        bench.wait(5 * 86_400)
        assert 0 < amount(bench) <= 15_000
        assert bench.meter.is_connected
    assert bench.meter.state.is_fresh


def test_the_load_goes_off_to_the_second_and_on_by_a_token() -> None:
    bench = prepaid(500)
    bench.wait(20 * 86_400)
    assert amount(bench) <= 0
    assert not bench.meter.is_connected
    [since_us] = [spans.since_us for spans in bench.meter.state.cuts.values()]
    assert since_us is not None
    assert since_us % 60_000_000 == 0
    stopped = wh(bench)
    bench.wait(3_600)
    assert wh(bench) == stopped
    missing = -amount(bench)
    bench.restart()
    assert token(bench, missing + 300, 1) is SUCCESS
    assert (amount(bench), bench.meter.is_connected) == (300, True)
    bench.wait(7_200)
    assert wh(bench) > stopped
    assert token(bench, 300, 1) is ActionResultCode.OTHER_REASON


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 200_000), st.integers(1, 1_500), st.integers(1, 9)), max_size=4
    )
)
def test_the_balance_is_what_was_paid_in_minus_what_was_collected_however_often_one_looks(
    tokens: list[tuple[int, int, int]],
) -> None:
    seldom, often = prepaid(800), prepaid(800)
    before = spent(seldom)
    paid = 800
    for number, (seconds, value, looks) in enumerate(tokens):
        begin = seldom.at
        seldom.wait(seconds)
        for look in range(looks):
            often.at = begin + timedelta(seconds=seconds * look // looks)
            amount(often)
        often.at = seldom.at
        for bench in (seldom, often):
            assert token(bench, value, number) is SUCCESS
        paid += value
    assert amount(seldom) == amount(often) == paid - (spent(seldom) - before)
    assert (wh(seldom), spent(seldom)) == (wh(often), spent(often))
    assert seldom.meter.is_connected == often.meter.is_connected == (amount(seldom) > 0)
    assert plain(seldom.meter.state)["logs"] == plain(often.meter.state)["logs"]
