"""
The words of payment metering: what objects of class_id 111 to 113 are, and numbers they are set to.

Owns enumerations, the numbers that models give and clients may set, and which object is which; not
what follows from them, see `collecting` and `accounting`.

Source: IEC 62056-6-2, class_id 111 to 113, "Payment metering".
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import DataTag
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.settings_of import Setting

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

ACCOUNT, CREDIT, CHARGE = 111, 112, 113


class AccountStatus(IntEnum):
    """account_status."""

    NEW = 1
    ACTIVE = 2
    CLOSED = 3


class Mode(IntEnum):
    """account_mode."""

    CREDIT = 1
    PREPAYMENT = 2


class CreditType(IntEnum):
    """credit_type."""

    TOKEN = 0
    RESERVED = 1
    EMERGENCY = 2
    TIME_BASED = 3
    CONSUMPTION_BASED = 4


class CreditStatus(IntEnum):
    """credit_status."""

    ENABLED = 0
    SELECTABLE = 1
    SELECTED = 2
    IN_USE = 3
    EXHAUSTED = 4


class ChargeType(IntEnum):
    """charge_type."""

    CONSUMPTION = 0
    TIME = 1
    PAYMENT = 2


# Numbers that models give and clients may set: of accounts, credits and charges.
ACCOUNT_STATUS: Final = Setting("status", DataTag.ENUM, AccountStatus.ACTIVE)
ACCOUNT_MODE: Final = Setting("mode", DataTag.ENUM, Mode.PREPAYMENT)
CLEARANCE: Final = Setting("clearance_threshold", DataTag.DOUBLE_LONG)
LOW_CREDIT: Final = Setting("low_credit", DataTag.DOUBLE_LONG)
NEXT_CREDIT: Final = Setting("next_credit", DataTag.DOUBLE_LONG)
CURRENCY_SCALE: Final = Setting("currency_scale", DataTag.INTEGER, -2)

TYPE: Final = Setting("type", DataTag.ENUM, 0, 0, 4)
PRIORITY: Final = Setting("priority", DataTag.UNSIGNED, 1, 1, 255)
WARNING: Final = Setting("warning", DataTag.DOUBLE_LONG)
LIMIT: Final = Setting("limit", DataTag.DOUBLE_LONG)
PRESET: Final = Setting("preset", DataTag.DOUBLE_LONG, 0, 0)
AVAILABLE_FROM: Final = Setting("available_from", DataTag.DOUBLE_LONG)

EVERY: Final = Setting("every_s", DataTag.DOUBLE_LONG_UNSIGNED, 0, 1)
PROPORTION: Final = Setting("proportion", DataTag.LONG_UNSIGNED, 0, 0, 10_000)


def objects(meter: Meter, class_id: int) -> tuple[ModelObject, ...]:
    """The model's objects of a class, those of the highest priority (1) first."""
    found = [one for one in meter.kind.model.objects.values() if one.class_id == class_id]
    return tuple(sorted(found, key=lambda one: (PRIORITY.of(meter, one), one.obis)))


def account_of(meter: Meter) -> ModelObject | None:
    """The account that load and balance go by: the first one; None for a meter without."""
    return next((one for one in meter.kind.model.objects.values() if one.class_id == ACCOUNT), None)


def currency_scale(meter: Meter) -> int:
    """Power of ten of the amounts, -2 for cents."""
    account = account_of(meter)
    return 0 if account is None else CURRENCY_SCALE.of(meter, account)
