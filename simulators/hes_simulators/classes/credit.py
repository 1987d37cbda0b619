"""
Class 112, credit: what an account draws on.

Owns attributes and methods; amounts are reckoned by `accounting`. Token credits take what tokens
bring; an emergency credit must be invoked, lends up to its preset amount, and is paid back first.

Source: IEC 62056-6-2, class_id 112, "Payment metering".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag
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
    number,
    octets,
)
from hes_simulators.classes.payment import CreditStatus, CreditType
from hes_simulators.classes.plain import Plain
from hes_simulators.local_time import NOT_SPECIFIED

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_LONG: Final = (1 << 31) - 1
_NUMBERS: Final = {
    3: payment.TYPE,
    4: payment.PRIORITY,
    5: payment.WARNING,
    6: payment.LIMIT,
    9: payment.PRESET,
}
_WRITABLE: Final = {
    index: payment.AVAILABLE_FROM if index == 10 else _NUMBERS[index] for index in (6, 9, 10)
}


class CreditClass(Plain):
    """Class_id 112."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | None:
        """Attributes 2 to 11."""
        if index in _NUMBERS:
            return _NUMBERS[index].data(meter, one)
        match index:
            case 2:
                return double_long(_share(meter, one).amount)
            case 7:
                emergency = _is_emergency(meter, one)
                # visual indication, confirmation, paid back, resettable, takes tokens
                return bits(True, emergency, emergency, False, not emergency)
            case 8:
                return enum(_status(meter, one))
            case 10:
                return double_long(accounting.available_from(_account(meter), one))
            case 11:
                return octets(NOT_SPECIFIED)
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """limit, preset_credit_amount, credit_available_threshold."""
        if index not in _WRITABLE:
            raise Refused(READ_WRITE_DENIED)
        value = _WRITABLE[index].check(data)
        account = _account(meter)
        account.settle(meter.now_us)
        meter.state.of(one.obis)[_WRITABLE[index].name] = value
        account.refresh(meter.now_us)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> None:
        """1 update_amount, 2 set_amount_to_value, 3 invoke_credit."""
        account = _account(meter)
        match method_index:
            case 1:
                change = number(data, DataTag.DOUBLE_LONG)
                changed = _share(meter, one).amount + change
                if not -_LONG <= changed <= _LONG:
                    raise Refused
                account.settle(meter.now_us)
                account.put(one, changed)
            case 2:
                value = number(data, DataTag.DOUBLE_LONG)
                account.settle(meter.now_us)
                account.put(one, value)
            case 3:
                nothing(data)
                if _status(meter, one) is not CreditStatus.SELECTABLE:
                    raise Refused
                account.settle(meter.now_us)
                meter.state.of(one.obis)["selected"] = 1
            case _:
                raise Refused(OBJECT_UNDEFINED)
        account.refresh(meter.now_us)


def _is_emergency(meter: Meter, one: ModelObject) -> bool:
    return payment.TYPE.of(meter, one) == CreditType.EMERGENCY


def _account(meter: Meter) -> Account:
    """Raises: Refused: the model has credits and no account."""
    account = Account.of(meter)
    if account is None:
        raise Refused
    return account


def _share(meter: Meter, one: ModelObject) -> accounting.Share:
    balance = _account(meter).balance(meter.now_us)
    return next(share for share in balance.shares if share.one.obis == one.obis)


def _status(meter: Meter, one: ModelObject) -> CreditStatus:
    account = _account(meter)
    balance = account.balance(meter.now_us)
    share = next(share for share in balance.shares if share.one.obis == one.obis)
    return accounting.status_of(account, share, balance)
