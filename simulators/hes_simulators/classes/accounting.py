"""
What a prepayment meter owes and has: charges, credits, and the balance between them.

Owns the arithmetic of classes 111 to 113, for whoever asks and whenever: no object counts anything
by itself. What a charge has collected is a function of the register that it charges for and of the
moment; the balance is what was paid in, minus what all charges have collected since.

Rule 1, exact: what a charge owes is a fraction of whole amounts, and collected is its whole part;
nothing is ever rounded twice. Rule 2, independent of looks: charges collect on their own grid
(every `period` seconds since 1970), and spending is drawn from credits in the order of their
priority, so that settling in between changes nothing. Rule 3: before anything was paid in through
the meter, its customer buys the first amount again whenever it is used up, so that thousands of
meters stand somewhere between; from then on it ends where it ends.

Amounts are whole numbers in the account's currency times ten to its scale (cents), moments
microseconds since 1970 UTC. Source: IEC 62056-6-2, class_id 111 to 113, "Payment metering".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from hes_protocol.axdr import DataTag
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.settings_of import Setting
from hes_simulators.clock import SECOND_US, microseconds, moment
from hes_simulators.local_time import cosem_time
from hes_simulators.state import Cut

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

ACCOUNT, CREDIT, CHARGE = 111, 112, 113
_LONG: Final = (1 << 31) - 1
_REGISTERS: Final = frozenset({3, 4})
_CONSUMPTION: Final = "import_wh"
_MINUTE_S, _DAY_S = 60, 86_400


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


@attrs.frozen
class Price:
    """unit_charge: what a unit of a commodity costs, by rate; no rate (b"") is the whole."""

    commodity_scale: int
    price_scale: int
    table: tuple[tuple[bytes, int], ...]

    @classmethod
    def kept(cls, value: Sequence[Any]) -> Price:
        """As `keep` wrote it into the state."""
        scale, price_scale, *table = value
        return cls(scale, price_scale, tuple((bytes(rate), cost) for rate, cost in table))

    def keep(self) -> list[Any]:
        """As the state keeps it."""
        return [self.commodity_scale, self.price_scale, *([*entry] for entry in self.table)]


# --- charges --------------------------------------------------------------------------------------


class Charge:
    """One charge of one meter: what it has collected at any moment."""

    def __init__(self, meter: Meter, one: ModelObject) -> None:
        self.meter, self.one = meter, one
        self.kept: Mapping[str, Any] = meter.state.objects.get(one.obis, {})
        self.type = TYPE.of(meter, one)

    @property
    def price(self) -> Price:
        """unit_charge_active."""
        kept = self.kept.get("price")
        return Price.kept(kept) if kept is not None else self._first_price()

    @property
    def passive(self) -> Price:
        """unit_charge_passive."""
        kept = self.kept.get("passive")
        return Price.kept(kept) if kept is not None else self.price

    def _first_price(self) -> Price:
        options = self.one.options
        scale = int(options.get("per_scale", 0))
        return Price(
            scale, int(options.get("price_scale", 0)), ((b"", int(options.get("price", 0))),)
        )

    @property
    def period_s(self) -> int:
        """How often it collects, seconds."""
        default = _MINUTE_S if self.type == ChargeType.CONSUMPTION else _DAY_S
        return EVERY.of(self.meter, self.one) or default

    @property
    def commodity(self) -> ModelObject | None:
        """The register that it charges for, None where the model has none."""
        for found in self.meter.kind.model.objects.values():
            value = found.attributes.get(2)
            if found.class_id in _REGISTERS and value is not None and value.source == _CONSUMPTION:
                return found
        return None

    @property
    def limit(self) -> int | None:
        """The most that it may have collected: where a debt is paid off; None for no end."""
        remaining = self.kept.get("remaining", self.one.options.get("remaining"))
        return (
            None if remaining is None else int(self.kept.get("remaining_from", 0)) + int(remaining)
        )

    def grid_us(self, at_us: int) -> int:
        """The last moment of its grid, at or before a moment."""
        period_us = self.period_s * SECOND_US
        return at_us // period_us * period_us

    def owed(self, at_us: int, *, to_the_moment: bool = False) -> Fraction:
        """
        All that it was to collect until then.

        Args: to_the_moment: also what was used since it collected last.
        """
        since_us = self.kept.get("since_us")
        owed = Fraction(*self.kept.get("owed", (0, 1)))
        if self.type == ChargeType.PAYMENT:
            return owed
        if self.type == ChargeType.TIME:
            begin_us = since_us or microseconds(self.meter.source.installed_at)
            periods = (self.grid_us(at_us) - self.grid_us(begin_us)) // (self.period_s * SECOND_US)
            return owed + max(0, periods) * self._unit * sum(cost for _, cost in self.price.table)
        until_us = at_us if to_the_moment else self.grid_us(at_us)
        if since_us is not None and until_us < since_us:
            return owed
        for rate, cost in self.price.table:
            quantity = f"{_CONSUMPTION}_r{rate[-1]}" if rate else _CONSUMPTION
            consumed = _total(self.meter, quantity, until_us)
            if since_us is not None:
                consumed -= _total(self.meter, quantity, since_us)
            owed += consumed * cost * self._unit
        return owed

    @property
    def _unit(self) -> Fraction:
        """What one unit of commodity at price 1 makes, in amounts of the account."""
        price = self.price
        commodity = 0 if self.type == ChargeType.TIME else price.commodity_scale
        return Fraction(10) ** (price.price_scale - commodity - currency_scale(self.meter))

    def collected(self, at_us: int) -> int:
        """total_amount_paid: the whole amounts that it has collected until then."""
        whole, limit = int(self.owed(at_us)), self.limit
        return whole if limit is None else min(whole, limit)

    def remaining(self, at_us: int) -> int:
        """total_amount_remaining: what is left of a debt."""
        limit = self.limit
        return 0 if limit is None else limit - self.collected(at_us)

    def rebase(self, at_us: int, **changes: Any) -> None:
        """It collects what was used, and from now on goes by what is changed."""
        owed, limit = self.owed(at_us, to_the_moment=True), self.limit
        if limit is not None:
            owed = min(owed, Fraction(limit))
        kept = self.meter.state.of(self.one.obis)
        kept |= {"since_us": at_us, "owed": [owed.numerator, owed.denominator], **changes}
        self.kept = kept

    def take(self, at_us: int, amount: int) -> int:
        """Collect an amount at once, as far as there is a debt; returns what was collected."""
        self.rebase(at_us)
        before = self.collected(at_us)
        owed = self.owed(at_us) + amount
        self.meter.state.of(self.one.obis)["owed"] = [owed.numerator, owed.denominator]
        return self.collected(at_us) - before


def _total(meter: Meter, quantity: str, at_us: int) -> int:
    return int(meter.totals(quantity, np.array([at_us], np.int64))[0])


# --- the account ----------------------------------------------------------------------------------


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


@attrs.frozen
class Share:
    """One credit at a moment: what is in it, and whether spending may draw from it."""

    one: ModelObject
    amount: int
    limit: int
    usable: bool

    @property
    def room(self) -> int:
        """What can still be drawn."""
        return max(0, self.amount - self.limit) if self.usable else 0


@attrs.frozen
class Balance:
    """An account at a moment: its credits in the order in which spending draws from them."""

    shares: tuple[Share, ...]

    @property
    def available(self) -> int:
        """available_credit: what is in all credits that can be used."""
        return sum(max(0, share.amount) for share in self.shares if share.usable)

    @property
    def overdrawn(self) -> int:
        """What is missing where charges went on collecting: positive."""
        return -sum(min(0, share.amount) for share in self.shares)

    @property
    def room(self) -> int:
        """What can be spent before nothing is left."""
        return sum(share.room for share in self.shares)

    @property
    def in_use(self) -> Share | None:
        """The credit that is drawn from; None: all are exhausted."""
        return next((share for share in self.shares if share.room), None)

    def spend(self, amount: int) -> Balance:
        """After so much was collected; what no credit has is missing in the first."""
        shares = []
        for share in self.shares:
            drawn = min(amount, share.room)
            amount -= drawn
            shares.append(attrs.evolve(share, amount=share.amount - drawn))
        if amount and shares:
            shares[0] = attrs.evolve(shares[0], amount=shares[0].amount - amount)
        return Balance(tuple(shares))


class Account:
    """The account of one meter, for one question or change."""

    def __init__(self, meter: Meter, one: ModelObject) -> None:
        self.meter, self.one = meter, one
        self.charges = [Charge(meter, charge) for charge in objects(meter, CHARGE)]
        self.credits = objects(meter, CREDIT)

    @classmethod
    def of(cls, meter: Meter) -> Account | None:
        """The meter's, None where it has none."""
        one = account_of(meter)
        return None if one is None else cls(meter, one)

    @property
    def kept(self) -> Mapping[str, Any]:
        """What its object keeps."""
        return self.meter.state.objects.get(self.one.obis, {})

    @property
    def status(self) -> int:
        """account_status."""
        return ACCOUNT_STATUS.of(self.meter, self.one)

    @property
    def is_opened(self) -> bool:
        """Whether anything was ever paid in through the meter (rule 3)."""
        return "settled" in self.kept

    @property
    def is_cutting(self) -> bool:
        """Whether the load is cut when no credit is left."""
        prepaid = ACCOUNT_MODE.of(self.meter, self.one) == Mode.PREPAYMENT
        return self.is_opened and prepaid and self.status == AccountStatus.ACTIVE

    def spent(self, at_us: int) -> int:
        """What all charges have collected."""
        return sum(charge.collected(at_us) for charge in self.charges)

    def balance(self, at_us: int) -> Balance:
        """What the credits hold at a moment."""
        held = Balance(tuple(map(self._share, self.credits)))
        if not self.credits or self.status == AccountStatus.CLOSED:
            return held
        if self.is_opened:
            return held.spend(self.spent(at_us) - self.kept["settled"])
        first = held.shares[0]
        bought = first.amount - first.limit
        return held.spend(self.spent(at_us) % bought) if bought > 0 else held

    def _share(self, one: ModelObject) -> Share:
        meter, kept = self.meter, self.meter.state.objects.get(one.obis, {})
        emergency = TYPE.of(meter, one) == CreditType.EMERGENCY
        first = PRESET.of(meter, one) if emergency else int(one.options.get("amount", 0))
        return Share(
            one,
            kept.get("amount", first),
            LIMIT.of(meter, one),
            usable=not emergency or bool(kept.get("selected", 0)),
        )

    # --- changes ------------------------------------------------------------------------------

    def settle(self, at_us: int) -> None:
        """Write down what the credits hold, before something changes by which they are reckoned."""
        balance, spent = self.balance(at_us), self.spent(at_us)
        for share in balance.shares:
            self.meter.state.of(share.one.obis)["amount"] = share.amount
        self.meter.state.of(self.one.obis)["settled"] = spent

    def put(self, one: ModelObject, amount: int) -> None:
        """Set what a credit holds; the account is settled."""
        self.meter.state.of(one.obis)["amount"] = max(-_LONG, min(_LONG, amount))

    def refresh(self, at_us: int) -> None:
        """After a change, or when credit ran out: warn, cut or reconnect as it stands now."""
        meter, at, kept = self.meter, moment(at_us), self.meter.state.of(self.one.obis)
        balance = self.balance(at_us)
        low = balance.available <= LOW_CREDIT.of(meter, self.one)
        if low and not kept.get("low"):
            meter.raise_event("credit_low", at)
        kept["low"] = int(low)
        out = self.is_cutting and balance.in_use is None
        if out and not kept.get("out"):
            kept["out"] = 1
            meter.raise_event("credit_exhausted", at)
            meter.cut(Cut.CREDIT, at)
            meter.raise_event("disconnected_locally", at)
        elif not out and kept.get("out"):
            kept["out"] = 0
            meter.restore(Cut.CREDIT, at)
            meter.raise_event("connected_locally", at)

    def due_us(self, after_us: int, until_us: int) -> int | None:
        """When, after a moment, credit runs low or out; None: not until then."""
        kept = self.kept
        if not self.is_cutting:
            return None
        balance, missing = self.balance(after_us), []
        if not kept.get("low"):
            missing.append(balance.available - LOW_CREDIT.of(self.meter, self.one))
        if not kept.get("out"):
            missing.append(balance.room)
        if not missing:
            return None
        return self._spent_us(self.spent(after_us) + max(1, min(missing)), after_us, until_us)

    def _spent_us(self, amount: int, after_us: int, until_us: int) -> int | None:
        """The first whole second in which so much is spent: charges collect on whole seconds."""
        low, high = after_us // SECOND_US, until_us // SECOND_US
        if self.spent(high * SECOND_US) < amount:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.spent(middle * SECOND_US) < amount:
                low = middle
            else:
                high = middle
        return high * SECOND_US

    def pay_in(self, at_us: int, amount: int) -> None:
        """
        Take what a token brings: charges that are paid with payments first, then what an emergency
        credit has lent, and the rest into the first credit that takes tokens.
        """
        self.settle(at_us)
        for charge in self.charges:
            if charge.type == ChargeType.PAYMENT:
                due = amount * PROPORTION.of(self.meter, charge.one) // 10_000
                amount -= charge.take(at_us, due)
        kept = self.meter.state.of(self.one.obis)
        kept["settled"] = self.spent(at_us)
        for one in self.credits:
            amount -= self._repay(one, amount)
        if self.credits:
            first = self.credits[0]
            self.put(first, self.meter.state.of(first.obis)["amount"] + amount)
        self.refresh(at_us)

    def _repay(self, one: ModelObject, amount: int) -> int:
        credit = self.meter.state.of(one.obis)
        if not credit.get("selected"):
            return 0
        lent = PRESET.of(self.meter, one) - credit["amount"]
        paid: int = max(0, min(lent, amount))
        credit["amount"] += paid
        if paid == lent:
            credit["selected"] = 0
        return paid


# --- what classes say of it -----------------------------------------------------------------------


def status_of(account: Account, share: Share, balance: Balance) -> CreditStatus:
    """credit_status of one credit in a balance."""
    one, in_use = share.one, balance.in_use
    if share.usable:
        if in_use is not None and in_use.one.obis == one.obis:
            return CreditStatus.IN_USE
        if not share.room:
            return CreditStatus.EXHAUSTED
        return CreditStatus.SELECTED if share.room and in_use is not None else CreditStatus.ENABLED
    others = sum(max(0, other.amount) for other in balance.shares if other.usable)
    offered = others <= available_from(account, one) and share.amount > share.limit
    return CreditStatus.SELECTABLE if offered else CreditStatus.ENABLED


def available_from(account: Account, one: ModelObject) -> int:
    """credit_available_threshold: where nothing else is set, what counts as low credit."""
    kept: int | None = account.meter.state.peek(one.obis, AVAILABLE_FROM.name)
    return kept if kept is not None else LOW_CREDIT.of(account.meter, account.one)


def is_metered(meter: Meter, rate: bytes) -> bool:
    """Whether the meter counts what a rate of a charge table is for; b"" is the whole."""
    quantity = f"{_CONSUMPTION}_r{rate[-1]}" if rate else _CONSUMPTION
    return quantity in meter.source.quantities


def stamp(meter: Meter, at_us: int) -> bytes:
    """A moment as the meter's clock showed it, a date-time of twelve octets."""
    shown = meter.clock(moment(at_us))
    return cosem_time(shown, meter.kind.clock_zone).to_octets()
