"""
Prepayment: charges, credits, tokens and the load hang together, to the cent and the second.

The meter draws one Wh a second, and a kilowatt-hour costs 36.00: a cent every 1000/3600 s, or
exactly 216 cents for each minute, the charge's period.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CosemDateTime
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.classes.accounting import Account
from hes_simulators.classes.payment import AccountStatus, CreditStatus
from hes_simulators.classes.token_gateway import TokenStatus
from hes_simulators.clock import moment
from hes_simulators.local_time import NOT_SPECIFIED
from hes_simulators.tokens import TokenKind, make_token
from tests.unit.hes_simulators.ruler import START_US, WRITTEN_S, RulerMeter, S

ACCOUNT, CREDIT, EMERGENCY = "0.0.19.0.0.255", "0.0.19.10.0.255", "0.0.19.10.1.255"
ENERGY, DAILY, DEBT = "0.0.19.20.0.255", "0.0.19.20.1.255", "0.0.19.20.2.255"
GATEWAY, REGISTER = "0.0.19.40.0.255", "1.0.1.8.0.255"
AMOUNT = 10_000
PER_MINUTE = 216
FIELD = {
    111: '{ currency = "EUR", currency_scale = -2, low_credit = 500 }',
    112: f"{{ type = 0, priority = 1, amount = {AMOUNT} }}",
    113: "{ type = 0, price = 3600, price_scale = -2, per_scale = 3, every_s = 60 }",
}
HEAD = """
name = "prepaid"
maker = "HES"
source = "none: for tests"
[meter]
[client.public]
sap = 16
[client.management]
sap = 1
"""


def text(class_id: int, obis: str, options: str = "") -> str:
    lines = [
        "[[object]]",
        f"class_id = {class_id}",
        f'obis = "{obis}"',
        'access = { management = "rwx" }',
    ]
    if options:
        lines.append(f"options = {options}")
    if class_id == 3:
        lines += ['value = "import_wh"', 'unit = "Wh"']
    return "\n".join(lines) + "\n"


def model(*more: str) -> str:
    return HEAD + "".join(
        (
            text(3, REGISTER),
            text(111, ACCOUNT, FIELD[111]),
            text(112, CREDIT, FIELD[112]),
            text(113, ENERGY, FIELD[113]),
            text(115, GATEWAY),
            *more,
        )
    )


def prepaid(*more: str) -> RulerMeter:
    return RulerMeter.of(model(*more))


WITH_EMERGENCY = text(112, EMERGENCY, "{ type = 2, priority = 2, preset = 1000 }")
WITH_DAY = text(113, DAILY, "{ type = 1, priority = 2, price = 25, price_scale = -2 }")
WITH_DEBT = text(
    113, DEBT, "{ type = 2, priority = 3, price = 100, price_scale = -2, remaining = 300,"
    " proportion = 2000 }",
)  # fmt: skip


def enter(meter: RulerMeter, amount: int, number: int, kind: int = 0) -> ActionResultCode:
    token = make_token(meter.identity.serial, amount, number, kind).encode()
    return meter.invoke(115, GATEWAY, 1, Data(DataTag.OCTET_STRING, token))


def status(meter: RulerMeter) -> int:
    return int(meter.read(115, GATEWAY, 6)[0].value)


def amount_of(meter: RulerMeter, credit: str = CREDIT) -> int:
    return int(meter.read(112, credit, 2))


def opened(amount: int, *more: str) -> RulerMeter:
    """A meter whose credit was set to `amount` at the start, a whole minute."""
    meter = prepaid(*more)
    assert START_US % (60 * S) == 0
    set_to(meter, amount)
    return meter


def left(meter: RulerMeter) -> int:
    account = Account.of(meter)  # type: ignore[arg-type]
    assert account is not None
    return account.balance(meter.now_us).available


def set_to(meter: RulerMeter, amount: int, credit: str = CREDIT) -> None:
    value = Data(DataTag.DOUBLE_LONG, amount)
    assert meter.invoke(112, credit, 2, value) is ActionResultCode.SUCCESS


def test_a_fresh_meter_stands_somewhere_between_two_purchases_of_its_customer() -> None:
    meter = prepaid()
    spent = WRITTEN_S * 3600 // 1000
    assert meter.read(113, ENERGY, 2) == spent
    assert amount_of(meter) == left(meter) == AMOUNT - spent % AMOUNT
    meter.wait(30 * 24 * 3600)
    assert not meter.is_cut
    assert meter.state.is_fresh
    assert 0 < amount_of(meter) <= AMOUNT


def test_a_charge_collects_each_minute_what_was_used() -> None:
    meter = opened(5_000)
    meter.wait(59.999)
    assert amount_of(meter) == 5_000
    meter.wait(0.001)
    assert amount_of(meter) == 5_000 - PER_MINUTE
    assert meter.read(113, ENERGY, 11) == PER_MINUTE
    at = CosemDateTime.from_octets(meter.read(113, ENERGY, 10)).to_octets()
    assert at == bytes.fromhex("07ea0b15060a0100" + "00ffc400")  # 10:01 at Berlin


def test_at_the_end_of_the_credit_the_load_is_cut_and_a_token_reconnects() -> None:
    meter = opened(1_000)  # four minutes leave 136, the fifth takes more
    meter.events.clear()
    meter.wait(299)
    assert (meter.is_cut, amount_of(meter), meter.events) == (False, 136, ["credit_low"])
    meter.wait(3_601)
    assert meter.is_cut
    assert meter.events == ["credit_low", "credit_exhausted", "disconnected_locally"]
    assert amount_of(meter) == 1_000 - 5 * PER_MINUTE  # nothing was used since
    assert meter.read(111, ACCOUNT, 3) == 0
    assert meter.read(111, ACCOUNT, 4)[6] is True  # out of credit
    assert meter.read(111, ACCOUNT, 5) == 0
    assert meter.read(111, ACCOUNT, 6) == 80
    assert meter.read(112, CREDIT, 8) == CreditStatus.EXHAUSTED
    assert enter(meter, 80, 1) is ActionResultCode.SUCCESS
    assert meter.is_cut  # paid what was missing, and has nothing yet
    assert enter(meter, 2_000, 2) is ActionResultCode.SUCCESS
    assert not meter.is_cut
    assert meter.events[-2:] == ["connected_locally", "token_accepted"]
    assert amount_of(meter) == 2_000
    meter.wait(60)
    assert amount_of(meter) == 2_000 - PER_MINUTE
    assert meter.read(112, CREDIT, 8) == CreditStatus.IN_USE


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.lists(st.integers(100, 3_000), min_size=1, max_size=4),
)
def test_the_balance_does_not_depend_on_how_often_one_looks(
    looks: list[int], tokens: list[int]
) -> None:
    seldom, often = (opened(700, WITH_DAY, WITH_DEBT, WITH_EMERGENCY) for _ in range(2))
    for number, amount in enumerate(tokens):
        seldom.wait(601.7)
        often.wait(601.7, looks[number % len(looks)])
        for meter in (seldom, often):
            amount_of(meter)
            enter(meter, amount, number + 1)
    seldom.wait(86_400)
    often.wait(86_400, 7)
    for meter in (seldom, often):
        assert meter.read(113, ENERGY, 2) * 1000 // 3600 <= meter._total(meter.now_us)
    assert seldom.state == often.state or _same(seldom, often)


def _same(one: RulerMeter, other: RulerMeter) -> bool:
    charges = [(113, obis, index) for obis in (ENERGY, DAILY, DEBT) for index in (2, 11, 12)]
    held = [(112, obis, index) for obis in (CREDIT, EMERGENCY) for index in (2, 8)]
    account = [(111, ACCOUNT, index) for index in (2, 3, 5, 6, 8)]
    for where in (*charges, *held, *account):
        assert one.read(*where) == other.read(*where), where
    assert one.events == other.events
    assert one._total(one.now_us) == other._total(other.now_us)
    return True


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 2_000)), max_size=6))
def test_what_was_paid_in_is_there_or_was_collected(paid: list[tuple[int, int]]) -> None:
    meter = opened(3_000, WITH_DAY, WITH_DEBT)
    charges = (ENERGY, DAILY, DEBT)
    before = sum(meter.read(113, charge, 2) for charge in charges)
    for number, (seconds, amount) in enumerate(paid):
        meter.wait(seconds)
        assert enter(meter, amount, number) is ActionResultCode.SUCCESS
    collected = sum(meter.read(113, charge, 2) for charge in charges) - before
    assert 3_000 + sum(amount for _, amount in paid) == amount_of(meter) + collected


def test_a_standing_charge_collects_each_day_also_while_the_load_is_cut() -> None:
    meter = opened(-100, WITH_DAY)
    assert meter.is_cut
    meter.wait(3 * 86_400)
    assert amount_of(meter) == -100 - 3 * 25
    assert meter.read(113, DAILY, 5)[2].value[0].value[1] == Data(DataTag.LONG, 25)


def test_a_debt_is_paid_off_with_tokens_and_then_no_more() -> None:
    meter = opened(0, WITH_DEBT)
    assert meter.read(111, ACCOUNT, 8) == meter.read(113, DEBT, 12) == 300
    enter(meter, 1_000, 1)  # a fifth of it
    assert (meter.read(113, DEBT, 2), meter.read(113, DEBT, 12)) == (200, 100)
    assert amount_of(meter) == 800
    enter(meter, 1_000, 2)
    assert (meter.read(113, DEBT, 2), meter.read(113, DEBT, 12)) == (300, 0)
    assert amount_of(meter) == 1_700
    more = Data(DataTag.DOUBLE_LONG, 50)
    assert meter.invoke(113, DEBT, 4, more) is ActionResultCode.SUCCESS
    assert meter.read(113, DEBT, 12) == 50
    assert meter.invoke(113, DEBT, 5, Data(DataTag.DOUBLE_LONG, 7)) is ActionResultCode.SUCCESS
    assert meter.read(113, DEBT, 12) == 7
    less = Data(DataTag.DOUBLE_LONG, -8)
    assert meter.invoke(113, DEBT, 4, less) is ActionResultCode.OTHER_REASON


def test_an_emergency_credit_is_invoked_lends_and_is_paid_back_first() -> None:
    meter = opened(516, WITH_EMERGENCY)
    assert meter.read(112, EMERGENCY, 8) == CreditStatus.ENABLED
    assert meter.invoke(112, EMERGENCY, 3) is ActionResultCode.OTHER_REASON
    meter.wait(60)
    assert meter.read(112, EMERGENCY, 8) == CreditStatus.SELECTABLE
    assert meter.invoke(112, EMERGENCY, 3, Data(DataTag.INTEGER, 0)) is ActionResultCode.SUCCESS
    assert meter.read(112, EMERGENCY, 8) == CreditStatus.SELECTED
    meter.wait(60)
    meter.wait(60)
    assert (amount_of(meter), amount_of(meter, EMERGENCY)) == (0, 1_000 - 132)
    assert meter.read(111, ACCOUNT, 3) == 2  # the priority of what is in use
    assert not meter.is_cut
    enter(meter, 1_000, 1)
    assert (amount_of(meter), amount_of(meter, EMERGENCY)) == (868, 1_000)
    assert meter.read(112, EMERGENCY, 8) == CreditStatus.ENABLED
    meter.wait(86_400)
    assert meter.is_cut


def test_a_new_price_holds_from_its_moment_on() -> None:
    meter = opened(50_000)
    table = array(structure(Data(DataTag.OCTET_STRING, b""), Data(DataTag.LONG, 7200)))
    assert meter.invoke(113, ENERGY, 1, table) is ActionResultCode.SUCCESS
    at = CosemDateTime.from_datetime(moment(START_US + 90 * S)).to_octets()
    when = Data(DataTag.OCTET_STRING, at)
    assert meter.write(113, ENERGY, 7, when) is DataAccessResult.SUCCESS
    meter.wait(60)
    assert amount_of(meter) == 50_000 - PER_MINUTE
    meter.wait(60)
    assert amount_of(meter) == 50_000 - PER_MINUTE - PER_MINUTE // 2 - PER_MINUTE
    assert meter.read(113, ENERGY, 5)[2].value[0].value[1] == Data(DataTag.LONG, 7200)
    past = CosemDateTime.from_datetime(moment(START_US)).to_octets()
    refused = meter.write(113, ENERGY, 7, Data(DataTag.OCTET_STRING, past))
    assert refused is DataAccessResult.OTHER_REASON


def price(scale: Any, table: Any) -> Data:
    commodity = structure(
        Data(DataTag.LONG_UNSIGNED, 3),
        Data(DataTag.OCTET_STRING, bytes((1, 0, 1, 8, 0, 255))),
        Data(DataTag.INTEGER, 2),
    )
    return structure(structure(scale, Data(DataTag.INTEGER, -2)), commodity, table)


ENTRY = structure(Data(DataTag.OCTET_STRING, b""), Data(DataTag.LONG, 1))
KILO = Data(DataTag.INTEGER, 3)


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (price(KILO, array(ENTRY)), DataAccessResult.SUCCESS),
        (price(Data(DataTag.UNSIGNED, 3), array(ENTRY)), DataAccessResult.TYPE_UNMATCHED),
        (price(Data(DataTag.INTEGER, 100), array(ENTRY)), DataAccessResult.OTHER_REASON),
        (price(KILO, array()), DataAccessResult.OTHER_REASON),
        (price(KILO, array(ENTRY, ENTRY)), DataAccessResult.OTHER_REASON),
        (price(KILO, ENTRY), DataAccessResult.TYPE_UNMATCHED),
        (Data(DataTag.NULL_DATA), DataAccessResult.TYPE_UNMATCHED),
        (
            price(KILO, array(structure(Data(DataTag.OCTET_STRING, b"\x09"), ENTRY.value[1]))),
            DataAccessResult.OTHER_REASON,
        ),
    ],
)
def test_a_passive_price_is_looked_at_before_it_is_taken(
    data: Data, result: DataAccessResult
) -> None:
    meter = opened(50_000)
    before = meter.read(113, ENERGY, 6)
    assert meter.write(113, ENERGY, 6, data) is result
    assert (meter.read(113, ENERGY, 6) == before) is (result is not DataAccessResult.SUCCESS)


def test_a_token_is_for_one_meter_and_taken_once() -> None:
    meter = opened(1_000)
    assert enter(meter, 500, 7) is ActionResultCode.SUCCESS
    assert status(meter) == TokenStatus.EXECUTION_OK
    assert meter.read(115, GATEWAY, 2) == make_token(meter.identity.serial, 500, 7).encode()
    assert enter(meter, 500, 7) is ActionResultCode.OTHER_REASON
    assert status(meter) == TokenStatus.VALIDATION_FAILURE
    other = Data(DataTag.OCTET_STRING, make_token("HES99999999", 500, 8).encode())
    assert meter.invoke(115, GATEWAY, 1, other) is ActionResultCode.OTHER_REASON
    assert status(meter) == TokenStatus.AUTHENTICATION_FAILURE
    letters = Data(DataTag.OCTET_STRING, b"not a token at all!!")
    assert meter.invoke(115, GATEWAY, 1, letters) is ActionResultCode.OTHER_REASON
    assert status(meter) == TokenStatus.FORMAT_FAILURE
    assert meter.invoke(115, GATEWAY, 1, Data(DataTag.UNSIGNED, 1)) is (
        ActionResultCode.TYPE_UNMATCHED
    )
    assert amount_of(meter) == 1_500
    assert meter.events.count("token_rejected") == 3


def test_every_digit_of_a_token_counts() -> None:
    meter = opened(1_000)
    digits = make_token(meter.identity.serial, 500, 7)
    for place, digit in enumerate(digits):
        for changed in set("0123456789") - {digit}:
            token = (digits[:place] + changed + digits[place + 1 :]).encode()
            result = meter.invoke(115, GATEWAY, 1, Data(DataTag.OCTET_STRING, token))
            assert result is ActionResultCode.OTHER_REASON, token
    assert amount_of(meter) == 1_000


def test_old_tokens_are_refused_once_many_were_taken() -> None:
    meter = opened(1_000)
    for number in range(100, 160):
        assert enter(meter, 1, number) is ActionResultCode.SUCCESS
    assert enter(meter, 1, 105) is ActionResultCode.OTHER_REASON
    assert enter(meter, 1, 99) is ActionResultCode.OTHER_REASON
    assert enter(meter, 1, 160) is ActionResultCode.SUCCESS


def test_a_token_may_clear_the_credit() -> None:
    meter = opened(1_000)
    assert enter(meter, 0, 1, TokenKind.CLEAR_CREDIT) is ActionResultCode.SUCCESS
    assert (amount_of(meter), meter.is_cut) == (0, True)


def test_an_account_is_closed_reset_and_opened_again() -> None:
    meter = opened(1_000)
    active, closed, new = (Data(DataTag.ENUM, int(one)) for one in (2, 3, 1))
    assert meter.read(111, ACCOUNT, 2)[1] == active
    assert meter.read(111, ACCOUNT, 13) != NOT_SPECIFIED == meter.read(111, ACCOUNT, 14)
    assert meter.invoke(111, ACCOUNT, 1) is ActionResultCode.OTHER_REASON
    assert meter.invoke(111, ACCOUNT, 2) is ActionResultCode.SUCCESS
    assert meter.read(111, ACCOUNT, 2)[1] == closed
    meter.wait(7_200)
    assert (amount_of(meter), meter.is_cut) == (1_000, False)
    assert enter(meter, 500, 1) is ActionResultCode.OTHER_REASON
    assert status(meter) == TokenStatus.EXECUTION_FAILURE
    assert meter.invoke(111, ACCOUNT, 3) is ActionResultCode.SUCCESS
    assert (meter.read(111, ACCOUNT, 2)[1], amount_of(meter)) == (new, 0)
    assert meter.read(111, ACCOUNT, 13) == meter.read(111, ACCOUNT, 14) == NOT_SPECIFIED
    assert meter.invoke(111, ACCOUNT, 1) is ActionResultCode.SUCCESS
    assert meter.read(111, ACCOUNT, 2)[1].value == AccountStatus.ACTIVE
    assert meter.is_cut
    enter(meter, 500, 2)
    assert (amount_of(meter), meter.is_cut) == (500, False)
