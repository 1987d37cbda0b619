"""
Class 113, charge: what an account pays for, by the kilowatt-hour, by the day, or with each token.

Owns attributes and methods; what was collected is reckoned by `collecting`. A `LivingClass`, since
the passive price becomes active by itself at its time.

Source: IEC 62056-6-2, class_id 113, "Payment metering".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CosemDateTime
from hes_protocol.errors import EncodingError
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes import accounting, payment
from hes_simulators.classes.accounting import Account
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    READ_WRITE_DENIED,
    Refused,
    bits,
    double_long,
    double_long_unsigned,
    elements,
    invoking,
    long_unsigned,
    members,
    nothing,
    number,
    octet_string,
    octets,
)
from hes_simulators.classes.collecting import Charge, Price, is_metered
from hes_simulators.classes.payment import ChargeType
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import SECOND_US, microseconds
from hes_simulators.local_time import NOT_SPECIFIED, instant

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_DATE_TIME_OCTETS: Final = 12
_DATE_AND_TIME: Final = 9  # without deviation and status
_MOST_RATES: Final = 8
_NUMBERS: Final = {3: payment.TYPE, 4: payment.PRIORITY, 13: payment.PROPORTION}
_VALUE: Final = 2
_MOST_SCALE: Final = 9


class ChargeClass(Plain):
    """Class_id 113."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | None:
        """Attributes 2 to 13."""
        if index in _NUMBERS:
            return _NUMBERS[index].data(meter, one)
        charge, at_us = Charge(meter, one), meter.now_us
        last_us = charge.grid_us(at_us)
        match index:
            case 2:
                return double_long(charge.collected(at_us))
            case 5:
                return _unit_charge(charge, charge.price)
            case 6:
                return _unit_charge(charge, charge.passive)
            case 7:
                kept: bytes = charge.kept.get("activation", NOT_SPECIFIED)
                return octets(kept)
            case 8:
                return double_long_unsigned(charge.period_s)
            case 9:
                # percentage based, continuous
                payment = charge.type == ChargeType.PAYMENT
                return bits(payment, charge.type == ChargeType.CONSUMPTION)
            case 10:
                return octets(accounting.stamp(meter, last_us))
            case 11:
                before = charge.collected(last_us - charge.period_s * SECOND_US)
                return double_long(charge.collected(last_us) - before)
            case 12:
                return double_long(charge.remaining(at_us))
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """The passive price, when it becomes active, and what part of a token goes here."""
        if index not in (6, 7, 13):
            raise Refused(READ_WRITE_DENIED)
        match index:
            case 6:
                changes: dict[str, Any] = {"passive": _checked_price(meter, data).keep()}
            case 7:
                changes = _activation(meter, octet_string(data, 12, _DATE_TIME_OCTETS))
            case _:
                changes = {payment.PROPORTION.name: payment.PROPORTION.check(data)}
        kept = meter.state.of(one.obis)
        kept |= changes
        if kept.get("activates_us", 0) is None:
            del kept["activates_us"]

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> None:
        """
        1 update_unit_charge, 2 activate_passive_unit_charge, 3 collect,
        4 update_total_amount_remaining, 5 set_total_amount_remaining.
        """
        charge, now_us = Charge(meter, one), meter.now_us
        match method_index:
            case 1:
                table = _checked_table(meter, data)
                passive = charge.passive
                changed = Price(passive.commodity_scale, passive.price_scale, table)
                meter.state.of(one.obis)["passive"] = changed.keep()
            case 2:
                nothing(data)
                _activate(charge, now_us)
            case 3:
                # Consumption is collected all the time; what is paid with tokens needs one.
                nothing(data)
                if charge.type != ChargeType.TIME:
                    raise Refused
                charge.take(now_us, sum(cost for _, cost in charge.price.table))
            case 4 | 5:
                value = number(data, DataTag.DOUBLE_LONG)
                debt = value if method_index == 5 else charge.remaining(now_us) + value
                if not 0 <= debt < 1 << 31:
                    raise Refused(OTHER_REASON)
                charge.rebase(now_us, remaining=debt, remaining_from=charge.collected(now_us))
            case _:
                raise Refused(OBJECT_UNDEFINED)
        account = Account.of(meter)
        if account is not None and account.is_opened:
            account.refresh(now_us)

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """When the passive price becomes active."""
        at_us: int | None = meter.state.peek(one.obis, "activates_us")
        return at_us if at_us is not None and after_us < at_us <= until_us else None

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """It does."""
        _activate(Charge(meter, one), at_us)


def _activate(charge: Charge, at_us: int) -> None:
    """What was used until now is paid at the old price, what follows at the new one."""
    price = charge.passive
    charge.rebase(at_us, price=price.keep())
    charge.meter.state.of(charge.one.obis).pop("activates_us", None)


def _activation(meter: Meter, octets_: bytes) -> dict[str, Any]:
    """A date-time in the future, or none at all; wildcards are no time."""
    if octets_[:_DATE_AND_TIME] == NOT_SPECIFIED[:_DATE_AND_TIME]:
        return {"activation": octets_, "activates_us": None}
    try:
        at = instant(CosemDateTime.from_octets(octets_), meter.kind.clock_zone, latest=False)
    except EncodingError:
        raise Refused(OTHER_REASON) from None
    if at is None or microseconds(at) <= meter.now_us:
        raise Refused(OTHER_REASON)
    return {"activation": octets_, "activates_us": microseconds(at)}


# --- prices ---------------------------------------------------------------------------------------


def _unit_charge(charge: Charge, price: Price) -> Data:
    commodity = charge.commodity
    reference = (
        structure(long_unsigned(0), octets(bytes(6)), Data(DataTag.INTEGER, 0))
        if commodity is None or charge.type != ChargeType.CONSUMPTION
        else structure(
            long_unsigned(commodity.class_id),
            octets(commodity.obis.octets),
            Data(DataTag.INTEGER, _VALUE),
        )
    )
    return structure(
        structure(
            Data(DataTag.INTEGER, price.commodity_scale), Data(DataTag.INTEGER, price.price_scale)
        ),
        reference,
        array(*(structure(octets(rate), Data(DataTag.LONG, cost)) for rate, cost in price.table)),
    )


def _checked_price(meter: Meter, data: Data) -> Price:
    """Raises: Refused: another shape, a scale out of reason, or a commodity not metered here."""
    scaling, commodity, table = members(data, 3)
    commodity_scale, price_scale = members(scaling, 2)
    class_id, name, index = members(commodity, 3)
    number(class_id, DataTag.LONG_UNSIGNED)
    octet_string(name, 6, 6)
    number(index, DataTag.INTEGER)
    return Price(
        number(commodity_scale, DataTag.INTEGER, -_MOST_SCALE, _MOST_SCALE),
        number(price_scale, DataTag.INTEGER, -_MOST_SCALE, _MOST_SCALE),
        _checked_table(meter, table),
    )


def _checked_table(meter: Meter, data: Data | None) -> tuple[tuple[bytes, int], ...]:
    """Raises: Refused: another shape, a rate twice, or one that the meter does not have."""
    table = []
    for element in elements(data, _MOST_RATES):
        rate, cost = members(element, 2)
        entry = octet_string(rate, 0, 1), number(cost, DataTag.LONG, 0)
        if not is_metered(meter, entry[0]):
            raise Refused(OTHER_REASON)
        table.append(entry)
    if not table or len({rate for rate, _ in table}) != len(table):
        raise Refused(OTHER_REASON)
    return tuple(table)
