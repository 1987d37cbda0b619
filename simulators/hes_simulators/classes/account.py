"""
Class 111, account: the balance of a prepayment meter, and the load that hangs on it.

Owns attributes and methods; what they say is `accounting`'s. A `LivingClass`: when no credit is
left the load is cut.

Source: IEC 62056-6-2, class_id 111, "Payment metering".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes import accounting, payment
from hes_simulators.classes.accounting import Account
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    READ_WRITE_DENIED,
    Refused,
    bits,
    double_long,
    enum,
    invoking,
    nothing,
    octets,
    unsigned,
)
from hes_simulators.classes.payment import AccountStatus, CreditType
from hes_simulators.classes.plain import Plain
from hes_simulators.classes.settings_of import Setting
from hes_simulators.local_time import NOT_SPECIFIED

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_MONETARY: Final = 2
_MOST_PERCENT: Final = 100
_MOST_CREDITS: Final = 4
_NUMBERS: Final = {
    7: payment.CLEARANCE,
    16: payment.LOW_CREDIT,
    17: payment.NEXT_CREDIT,
    18: Setting("max_provision", DataTag.LONG_UNSIGNED, 0, 0, 0xFFFF),
    19: Setting("max_provision_period", DataTag.DOUBLE_LONG, 0, 0),
}


class AccountClass(Plain):
    """Class_id 111."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | None:
        """Attributes 2 to 19."""
        if index in _NUMBERS:
            return _NUMBERS[index].data(meter, one)
        account = Account(meter, one)
        lists = {9: account.credits, 10: [charge.one for charge in account.charges]}
        if index in lists:
            return array(*(octets(member.obis.octets) for member in lists[index]))
        match index:
            case 2:
                mode = payment.ACCOUNT_MODE.data(meter, one)
                return structure(mode, enum(account.status))
            case 11:
                return _collected_from(account)
            case 12:
                return _paid_into(account)
            case 13 | 14:
                return octets(account.kept.get(f"at-{index}") or _usual_time(account, index))
            case 15:
                return _currency(meter, one)
        return _of_balance(account, index)

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """clearance_threshold, low_credit_threshold; nothing here goes by the others."""
        if index not in (7, 16):
            raise Refused(READ_WRITE_DENIED)
        setting = _NUMBERS[index]
        meter.state.of(one.obis)[setting.name] = setting.check(data)
        if Account(meter, one).is_opened:
            Account(meter, one).refresh(meter.now_us)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> None:
        """1 activate_account, 2 close_account, 3 reset_account."""
        if not 1 <= method_index <= 3:
            raise Refused(OBJECT_UNDEFINED)
        nothing(data)
        account = Account(meter, one)
        match method_index, account.status:
            case 1, AccountStatus.NEW:
                account.settle(meter.now_us)
                _become(meter, one, AccountStatus.ACTIVE)
            case 2, AccountStatus.ACTIVE:
                account.settle(meter.now_us)
                _become(meter, one, AccountStatus.CLOSED)
            case 3, AccountStatus.CLOSED:
                account.settle(meter.now_us)
                for credit in account.credits:
                    account.put(credit, 0)
                _become(meter, one, AccountStatus.NEW)
            case _:
                raise Refused  # an account is new, then active, then closed, in this order
        account.refresh(meter.now_us)

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """When credit runs low or out."""
        return Account(meter, one).due_us(after_us, until_us)

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """It has."""
        Account(meter, one).refresh(at_us)


def _usual_time(account: Account, index: int) -> bytes:
    """An account that the model has opened is active since the meter was put up."""
    if index == 13 and account.status != AccountStatus.NEW:
        return accounting.stamp(account.meter, account.meter.installed_us)
    return NOT_SPECIFIED


def _become(meter: Meter, one: ModelObject, status: AccountStatus) -> None:
    kept = meter.state.of(one.obis)
    kept[payment.ACCOUNT_STATUS.name] = int(status)
    stamped = {AccountStatus.ACTIVE: "at-13", AccountStatus.CLOSED: "at-14"}.get(status)
    if stamped is None:
        kept |= {"at-13": NOT_SPECIFIED, "at-14": NOT_SPECIFIED}
    else:
        kept[stamped] = accounting.stamp(meter, meter.now_us)


def _of_balance(account: Account, index: int) -> Data | None:
    """Attributes that say how much there is."""
    meter, at_us = account.meter, account.meter.now_us
    match index:
        case 3:
            in_use = account.balance(at_us).in_use
            priority = 0 if in_use is None else payment.PRIORITY.of(meter, in_use.one)
            return unsigned(priority)
        case 4:
            return _credit_status(account)
        case 5:
            return double_long(account.balance(at_us).available)
        case 6:
            overdrawn = account.balance(at_us).overdrawn
            clearance = payment.CLEARANCE.of(meter, account.one) if overdrawn else 0
            return double_long(overdrawn + clearance)
        case 8:
            return double_long(sum(charge.remaining(at_us) for charge in account.charges))
    return None


def _credit_status(account: Account) -> Data:
    """in_credit, low, next credit enabled, selectable, selected, selectable in use, out, -."""
    meter, at_us = account.meter, account.meter.now_us
    balance = account.balance(at_us)
    low = balance.available <= payment.LOW_CREDIT.of(meter, account.one)
    statuses = {
        accounting.status_of(account, share, balance)
        for share in balance.shares
        if payment.TYPE.of(meter, share.one) == CreditType.EMERGENCY
    }
    return bits(
        balance.in_use is not None,
        low,
        payment.CreditStatus.ENABLED in statuses,
        payment.CreditStatus.SELECTABLE in statuses,
        payment.CreditStatus.SELECTED in statuses,
        payment.CreditStatus.IN_USE in statuses,
        balance.in_use is None,
        False,
    )


def _collected_from(account: Account) -> Data:
    """credit_charge_configuration: every charge is collected from every credit, always."""
    return array(
        *(
            structure(octets(credit.obis.octets), octets(charge.one.obis.octets), bits(*[True] * 3))
            for credit in account.credits[:_MOST_CREDITS]
            for charge in account.charges[:_MOST_CREDITS]
        )
    )


def _paid_into(account: Account) -> Data:
    """token_gateway_configuration: a token goes into the first credit, whole."""
    return array(
        *(
            structure(octets(credit.obis.octets), unsigned(_MOST_PERCENT))
            for credit in account.credits[:1]
        )
    )


def _currency(meter: Meter, one: ModelObject) -> Data:
    name = str(one.options.get("currency", "EUR")).encode()
    return structure(
        Data(DataTag.UTF8_STRING, name),
        payment.CURRENCY_SCALE.data(meter, one),
        enum(_MONETARY),
    )
