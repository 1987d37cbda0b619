"""
What a timeline can do to meters, as values: `do = "outage"` and its keys.

Owns the kinds of actions, their keys in a scenario file, and which `steps` one occurrence of each
takes: what begins, and when it is over. All of it follows from the seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, Self

import attrs
import numpy as np

from hes_protocol.models import EVENTS
from hes_simulators.energy.tariff import Switches
from hes_simulators.faults import Fault, FaultError, fault
from hes_simulators.randomness import Int64Array
from hes_simulators.scenario import tables
from hes_simulators.scenario.spans import SECOND_US, Lasting
from hes_simulators.scenario.steps import Deed, Occurrence, Steps
from hes_simulators.scenario.tables import Table

_SEVERAL: Final = 1000
_OVER_LIMIT: Final = "over_limit"
# A limiter has tripped by then, unless somebody has made it wait longer; nobody else may look.
_TRIPPED_US: Final = 65 * SECOND_US
_START_AGAIN: Final = Lasting(10 * SECOND_US, 10 * SECOND_US)


@attrs.frozen(kw_only=True)
class Action(ABC):
    """One kind of thing to happen; `name` is what `do` says."""

    name: ClassVar[str]
    about: ClassVar[str]

    @classmethod
    def read(cls, keys: Table) -> Self:  # noqa: ARG003 - it has none
        """
        Take its own keys.

        Raises: ScenarioError: one is missing or wrong.
        """
        return cls()

    @abstractmethod
    def steps(self, one: Occurrence, steps: Steps) -> None:
        """Add what happens."""


@attrs.frozen(kw_only=True)
class _Lasting(Action):
    """What begins and ends; without an end it stays."""

    lasting: Lasting | None = None

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(lasting=keys.take("for", tables.lasting, None))

    def ends_us(self, one: Occurrence, begins_us: Int64Array) -> Int64Array | None:
        """When it is over, for each meter."""
        if self.lasting is None:
            return None
        return begins_us + self.lasting.drawn(one.draw("for"))

    def begin_and_end(self, one: Occurrence, steps: Steps, begin: Deed, end: Deed) -> None:
        """The same two deeds for each meter."""
        begins_us = one.begins_us()
        steps.add(begin, begins_us)
        ends_us = self.ends_us(one, begins_us)
        if ends_us is not None:
            steps.add(end, ends_us)


@attrs.frozen(kw_only=True)
class Outage(_Lasting):
    """The power fails, and returns after `for`."""

    name = "outage"
    about = "the power fails; after `for` it returns. Meters with a last gasp send it"

    def steps(self, one: Occurrence, steps: Steps) -> None:
        self.begin_and_end(one, steps, Deed.CUT, Deed.RESTORE)


@attrs.frozen(kw_only=True)
class Storm(Action):
    """Power fails here and there, and the voltage sags again and again."""

    name = "storm"
    about = (
        "over the window `over`: the power of a share `outages` of the meters fails once, for "
        "`for`; and each meter with power has `sags` voltage sags of `sag_for`"
    )
    outages: float
    lasting: Lasting
    sags: int
    sag_lasting: Lasting

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(
            outages=keys.take("outages", tables.share, 0.2),
            lasting=keys.take("for", tables.lasting, Lasting.parse("1min..15min")),
            sags=keys.take("sags", tables.whole(0, _SEVERAL), 1),
            sag_lasting=keys.take("sag_for", tables.lasting, Lasting.parse("100ms..3s")),
        )

    def steps(self, one: Occurrence, steps: Steps) -> None:
        struck = one.draw("struck") < self.outages
        begins_us = one.begins_us()
        ends_us = begins_us + self.lasting.drawn(one.draw("for"))
        steps.add(Deed.CUT, begins_us, struck)
        steps.add(Deed.RESTORE, ends_us, struck)
        for turn in range(self.sags):
            spread = np.floor(one.draw("sag", turn) * (one.over_us + 1)).astype(np.int64)
            sags_us = one.at_us + spread
            returns_us = sags_us + self.sag_lasting.drawn(one.draw("sag-for", turn))
            dark = struck & (returns_us >= begins_us) & (sags_us <= ends_us)
            steps.add(Deed.EVENT, sags_us, ~dark, event="voltage_sag_l1")
            steps.add(Deed.EVENT, returns_us, ~dark, event="voltage_normal_l1")


_TAMPERS: Final = {
    "cover": ("cover_opened", "cover_closed"),
    "case": ("case_opened", "case_closed"),
    "magnet": ("strong_magnet", "magnet_gone"),
}


@attrs.frozen(kw_only=True)
class Tamper(_Lasting):
    """Somebody opens a cover or holds a magnet to the meter."""

    name = "tamper"
    about = "`what` is cover (of the terminals), case or magnet; after `for` it is closed or gone"
    what: str = "cover"

    @classmethod
    def read(cls, keys: Table) -> Self:
        what = keys.take("what", tables.one_of(*_TAMPERS), "cover")
        return cls(lasting=keys.take("for", tables.lasting, None), what=what)

    def steps(self, one: Occurrence, steps: Steps) -> None:
        begin, end = _TAMPERS[self.what]
        begins_us = one.begins_us()
        steps.add(Deed.EVENT, begins_us, event=begin)
        ends_us = self.ends_us(one, begins_us)
        if ends_us is not None:
            steps.add(Deed.EVENT, ends_us, event=end)


@attrs.frozen(kw_only=True)
class Event(Action):
    """Any event by its name."""

    name = "event"
    about = (
        "the event that models call `event`; without a code of the model only the truth log has it"
    )
    event: str

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(event=keys.take("event", tables.one_of(*EVENTS)))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        begins_us = one.begins_us()
        steps.add(Deed.EVENT, begins_us, event=self.event)
        if self.event == _OVER_LIMIT:
            steps.add(Deed.LOOK, begins_us + _TRIPPED_US)


@attrs.frozen(kw_only=True)
class Disconnect(_Lasting):
    """Somebody switches the load off at the meter."""

    name = "disconnect"
    about = "the load is switched off at the meter; after `for` it is on again"

    def steps(self, one: Occurrence, steps: Steps) -> None:
        self.begin_and_end(one, steps, Deed.DISCONNECT, Deed.RECONNECT)


@attrs.frozen(kw_only=True)
class Limit(_Lasting):
    """The limiter's threshold is lowered."""

    name = "limit"
    about = "the limiter's threshold becomes `watts`; after `for` it is what it was"
    watts: int = 0

    @classmethod
    def read(cls, keys: Table) -> Self:
        lasting = keys.take("for", tables.lasting, None)
        return cls(lasting=lasting, watts=keys.take("watts", tables.whole(0, 10**7)))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        begins_us = one.begins_us()
        steps.add(Deed.LIMIT, begins_us, watts=self.watts)
        ends_us = self.ends_us(one, begins_us)
        if ends_us is not None:
            steps.add(Deed.UNLIMIT, ends_us)


@attrs.frozen(kw_only=True)
class Load(Action):
    """Somebody switches on an oven."""

    name = "load"
    about = "`watts` more than usual are drawn for `for`, and counted; a limiter may trip"
    watts: int
    lasting: Lasting

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(
            watts=keys.take("watts", tables.whole(1, 10**6)),
            lasting=keys.take("for", tables.lasting),
        )

    def steps(self, one: Occurrence, steps: Steps) -> None:
        begins_us, for_us = one.begins_us(), self.lasting.drawn(one.draw("for"))
        steps.add_lasting(Deed.LOAD, begins_us, for_us, watts=self.watts)
        steps.add(Deed.LOOK, begins_us + np.minimum(for_us, _TRIPPED_US))


@attrs.frozen(kw_only=True)
class NewTariff(Action):
    """Another calendar becomes active."""

    name = "tariff"
    about = (
        "energy is counted by another calendar: `workday` as `00:00 2, 06:00 1, 22:00 2`, times and"
        " rates; `weekend` likewise, else as workdays. Meters without such rates stay as they are"
    )
    workday: Switches
    weekend: Switches

    @classmethod
    def read(cls, keys: Table) -> Self:
        workday = keys.take("workday", tables.switches)
        return cls(workday=workday, weekend=keys.take("weekend", tables.switches, workday))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        facts = {"workday": self.workday, "weekend": self.weekend}
        steps.add(Deed.TARIFF, one.begins_us(), **facts)


@attrs.frozen(kw_only=True)
class Price(Action):
    """The price of prepaid energy changes."""

    name = "price"
    about = "the unit charge of prepayment meters becomes `price`, in the charge's own unit"
    price: int

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(price=keys.take("price", tables.whole(0, 10**9)))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        steps.add(Deed.PRICE, one.begins_us(), price=self.price)


@attrs.frozen(kw_only=True)
class ClockJump(Action):
    """The clocks jump."""

    name = "clock-jump"
    about = "the clock jumps by `by`, as `+3h` or `-15min`"
    by_us: int

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(by_us=keys.take("by", tables.signed_span))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        steps.add(Deed.CLOCK, one.begins_us(), by_us=self.by_us)


@attrs.frozen(kw_only=True)
class Reboot(_Lasting):
    """The meters start anew, though the power does not fail."""

    name = "reboot"
    about = "the meters start anew and are dark for `for` (10s); energy flows on"

    def steps(self, one: Occurrence, steps: Steps) -> None:
        lasting = self.lasting or _START_AGAIN
        steps.add_lasting(Deed.REBOOT, one.begins_us(), lasting.drawn(one.draw("for")))


@attrs.frozen(kw_only=True)
class Firmware(Action):
    """Somebody puts another firmware into the meters on site."""

    name = "firmware"
    about = "the meters start anew with the firmware `version`, put in on site"
    version: str

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(version=keys.take("version", tables.text))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        steps.add(Deed.FIRMWARE, one.begins_us(), version=self.version)


@attrs.frozen(kw_only=True)
class Push(Action):
    """The meters push, as if it were time to."""

    name = "push"
    about = "the meters push by all of their push setups"

    def steps(self, one: Occurrence, steps: Steps) -> None:
        steps.add(Deed.PUSH, one.begins_us())


@attrs.frozen(kw_only=True)
class Faulty(Action):
    """The meters do something wrong: one rule of the fault plan for all of them, no steps."""

    name = "fault"
    about = "the fault `fault` (see `hes sim fault`) with `parameters`, for `for`"
    fault: Fault
    for_us: int | None = None

    @classmethod
    def read(cls, keys: Table) -> Self:
        return cls(fault=read_fault(keys), for_us=keys.take("for", tables.span, None))

    def steps(self, one: Occurrence, steps: Steps) -> None:
        """The director makes the rule."""


def read_fault(keys: Table) -> Fault:
    """
    A fault by the keys `fault` and `parameters`.

    Raises: ScenarioError: no such fault or parameter.
    """
    name = keys.take("fault", tables.text)
    parameters = keys.take("parameters", tables.table, {})
    try:
        return fault(name, parameters)
    except FaultError as error:
        key = "fault" if error.code == "unknown-fault" else "parameters"
        raise keys.error(key, str(error)) from None


_KINDS: Final[Sequence[type[Action]]] = (
    Outage, Storm, Tamper, Event, Disconnect, Load, Limit, NewTariff, Price, ClockJump, Reboot,
    Firmware, Push, Faulty,
)  # fmt: skip
ACTIONS: Final[Mapping[str, Callable[[Table], Action]]] = {kind.name: kind.read for kind in _KINDS}
"""How each action is read, by its name."""
