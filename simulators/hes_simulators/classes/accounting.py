"""
What a prepayment meter owes and has: the balance between credits and charges.

Owns the arithmetic of class_id 111 and 112: the balance is what was paid in, minus what all charges
have collected since (`collecting`).

Rule 1, independent of looks: spending is drawn from credits in the order of their priority, so that
settling in between changes nothing. Rule 2: before anything was paid in through the meter, its
customer buys the first amount again whenever it is used up, so that thousands of meters stand
somewhere between; from then on it ends where it ends.

Amounts are whole numbers in the account's currency times ten to its scale (cents), moments
microseconds since 1970 UTC. Source: IEC 62056-6-2, class_id 111 and 112, "Payment metering".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.collecting import Charge
from hes_simulators.classes.payment import (
    ACCOUNT_MODE,
    ACCOUNT_STATUS,
    AVAILABLE_FROM,
    CHARGE,
    CREDIT,
    LIMIT,
    LOW_CREDIT,
    PRESET,
    PROPORTION,
    TYPE,
    AccountStatus,
    ChargeType,
    CreditStatus,
    CreditType,
    Mode,
    account_of,
    objects,
)
from hes_simulators.clock import SECOND_US, moment
from hes_simulators.local_time import cosem_time
from hes_simulators.state import Cut

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_LONG: Final = (1 << 31) - 1


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
        """Whether anything was ever paid in through the meter (rule 2)."""
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
        return self._after(self.spent(at_us))

    def _after(self, spent: int) -> Balance:
        """What they hold when all charges have collected so much."""
        held = Balance(tuple(map(self._share, self.credits)))
        if not self.credits or self.status == AccountStatus.CLOSED:
            return held
        if self.is_opened:
            return held.spend(spent - self.kept["settled"])
        first = held.shares[0]
        bought = first.amount - first.limit
        return held.spend(spent % bought) if bought > 0 else held

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
        spent = self.spent(at_us)
        balance = self._after(spent)
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
        spent = self.spent(after_us)
        balance, missing = self._after(spent), []
        if not kept.get("low"):
            missing.append(balance.available - LOW_CREDIT.of(self.meter, self.one))
        if not kept.get("out"):
            missing.append(balance.room)
        if not missing:
            return None
        return self._spent_us(spent + max(1, min(missing)), after_us, until_us)

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


def stamp(meter: Meter, at_us: int) -> bytes:
    """A moment as the meter's clock showed it, a date-time of twelve octets."""
    shown = meter.clock(moment(at_us))
    return cosem_time(shown, meter.kind.clock_zone).to_octets()
