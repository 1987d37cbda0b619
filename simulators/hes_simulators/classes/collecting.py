"""
What charges of a prepayment meter have collected.

Owns the arithmetic of class_id 113, for whoever asks and whenever: no object counts anything by
itself. What a charge has collected is a function of the register that it charges for and of the
moment. Exact: what it owes is a fraction of whole amounts, and collected is its whole part; nothing
is ever rounded twice. It collects on its own grid, every `period` seconds since 1970.

Amounts are whole numbers in the account's currency times ten to its scale (cents), moments
microseconds since 1970 UTC. Source: IEC 62056-6-2, class_id 113, "Payment metering".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.payment import EVERY, TYPE, ChargeType, currency_scale
from hes_simulators.clock import DAY_S, SECOND_US, microseconds

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_REGISTERS: Final = frozenset({3, 4})
_CONSUMPTION: Final = "import_wh"
_MINUTE_S: Final = 60


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
        default = _MINUTE_S if self.type == ChargeType.CONSUMPTION else DAY_S
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
            owed += _consumed(self.meter, quantity, since_us, until_us) * cost * self._unit
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


def _consumed(meter: Meter, quantity: str, since_us: int | None, until_us: int) -> int:
    """What a register grew by; None: since it was put up."""
    moments = [until_us] if since_us is None else [since_us, until_us]
    totals = meter.totals(quantity, np.array(moments, np.int64)).tolist()
    return int(totals[-1] - (0 if since_us is None else totals[0]))


def is_metered(meter: Meter, rate: bytes) -> bool:
    """Whether the meter counts what a rate of a charge table is for; b"" is the whole."""
    quantity = f"{_CONSUMPTION}_r{rate[-1]}" if rate else _CONSUMPTION
    return quantity in meter.source.quantities
