"""
Ledgers: the whole numbers of one installation, by stream, day and slot.

Owns the division of what an installation uses among rates and phases, the reactive and apparent
energy that goes with it, and what is remembered of the days asked for last. Does not own moments
within a slot, nor names of quantities: see `metered`.

An idle ledger holds nothing; one that was asked holds its newest day, of the streams asked for.
The days asked for last are held until others are, of whichever ledger: columns of a profile are
read one after another.
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import numpy as np
import numpy.typing as npt

from hes_simulators.energy.division import among_banded_slots, among_parts, among_slots
from hes_simulators.energy.grid import SLOTS_PER_DAY
from hes_simulators.energy.installation import EXPORT, IMPORT, Installation, slots_of
from hes_simulators.energy.layout import Layout
from hes_simulators.energy.region import Region
from hes_simulators.energy.tariff import BandArray, Tariff, bands, bands_of_day
from hes_simulators.randomness import (
    FloatArray,
    Int64Array,
    normal,
    one_uniform,
    stream_key,
    uniform,
)

SumArray = npt.NDArray[np.int32]

# More would be megabytes.
_MOST_DAYS_HELD: Final = 400
# The registers at the start of each day from so many before the newest one asked for to so many
# after it are kept: a new day costs no adding up, as most of what is asked is of the last days.
_DAYS_BACK: Final = 3
_DAYS_AHEAD: Final = 2
# Registers are added up from here on, this many days before the one asked for.
_ANCHOR_DAYS: Final = 30
# Shapes are computed for so many days at once: arrays of some 50 kB, which stay in a cache.
_DAYS_AT_ONCE: Final = 64
# Where a band has energy but the day's shape nothing, for its typical shape had: almost nothing.
_TRACE: Final = 1e-6

_NOTHING: Final[SumArray] = np.zeros(SLOTS_PER_DAY + 1, np.int32)
_NOTHING.setflags(write=False)


@attrs.define(eq=False)
class Day:
    """
    One UTC day of a ledger.

    `totals` are what the registers grow by, and `openings` what they are at its start (None: nobody
    has asked), both by stream, of those that flow or of all, and band; `sums` the running sums
    within the day of each stream computed so far, 97 from 0 on; `voltages` likewise by phase, 96
    (0.1 V).
    """

    number: int
    totals: Int64Array
    bands: BandArray | None
    openings: Int64Array | None = None
    sums: dict[int, SumArray] = attrs.field(factory=dict)
    voltages: dict[int, Int64Array] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Ledger:
    """What the streams of `layout` count; streams are numbers of `layout.streams`."""

    seed: int
    index: int
    region: Region
    installation: Installation
    layout: Layout
    tariff: Tariff
    # Today, as a rule: it is read again and again, older days seldom.
    _newest: Day | None = attrs.field(default=None, init=False)
    _anchor: tuple[int, Int64Array] | None = attrs.field(default=None, init=False)
    _lately: tuple[int, Int64Array] | None = attrs.field(default=None, init=False)
    # Of so many streams the registers are added up: of the first ones, which are what flows; of
    # the others, reactive and apparent energy, from when one of them is first asked for.
    _width: int = attrs.field(
        default=attrs.Factory(lambda self: self._flowing, takes_self=True), init=False
    )

    _asked_last: ClassVar[tuple[Ledger, dict[int, Day]] | None] = None

    @property
    def first_day(self) -> int:
        """The day at whose start the registers hold their start values."""
        return self.installation.installed_day

    def day(self, number: int) -> Day:
        """One UTC day, not before the first."""
        newest = self._newest
        if newest is not None and newest.number == number:
            return newest
        return self.days([number])[0]

    def days(self, numbers: list[int]) -> list[Day]:
        """Many UTC days, in order, none twice and none before the first."""
        found = self._at_hand()
        missing = [number for number in numbers if number not in found]
        for first in range(0, len(missing), _DAYS_AT_ONCE):
            opened = self._open(missing[first : first + _DAYS_AT_ONCE])
            found |= {day.number: day for day in opened}
        if missing:
            self._keep({number: found[number] for number in numbers})
        return [found[number] for number in numbers]

    def _at_hand(self) -> dict[int, Day]:
        last, newest = Ledger._asked_last, self._newest
        found = {} if last is None or last[0] is not self else last[1].copy()
        if newest is not None:
            found[newest.number] = newest
        return found

    def _keep(self, days: dict[int, Day]) -> None:
        if len(days) <= _MOST_DAYS_HELD:
            Ledger._asked_last = (self, days)
        newest = days[max(days)]
        if self._newest is None or newest.number > self._newest.number:
            self._newest = newest

    def add_up(self, first: int, last: int, streams: tuple[int, ...]) -> None:
        """
        The days from `first` to `last` will be asked for, and their openings.

        The first time all days since the installation are added up: done before, it gives what
        these few grow by as well.
        """
        self._count(streams)
        if self._lately is None and last - first < _DAYS_BACK:
            self._registers(first, last + 1)

    def openings(self, days: list[Day], streams: tuple[int, ...]) -> list[Int64Array]:
        """
        The registers at the start of each of some days in order, by stream and band.

        Power and voltage do without: registers are years of days added up.
        Args: streams: that are wanted; those of others may be missing.
        """
        self._count(streams)
        missing = [day for day in days if not self._is_added_up(day)]
        if missing:
            first = missing[0].number
            openings = self._registers(first, missing[-1].number + 1)
            if len(missing) == len(days) and openings.base is self._lately_sums:
                return [openings[day.number - first] for day in days]
            for day in missing:
                day.openings = openings[day.number - first].copy()
        return [day.openings for day in days if day.openings is not None]

    @property
    def _flowing(self) -> int:
        return sum(map(len, self.layout.flows.values()))

    def _count(self, streams: tuple[int, ...]) -> None:
        """Add up the registers of these streams too."""
        if max(streams) >= self._width:
            self._width = len(self.layout.streams)
            self._anchor = self._lately = None

    def _is_added_up(self, day: Day) -> bool:
        return day.openings is not None and len(day.openings) >= self._width

    @property
    def _lately_sums(self) -> Int64Array | None:
        return None if self._lately is None else self._lately[1]

    def grown_before(self, days: list[Day], streams: tuple[int, ...]) -> list[Int64Array]:
        """What the registers grew by from the first of some days to the start of each; in order."""
        self._count(streams)
        known = [day.openings for day in days if day.openings is not None]
        if len(known) == len(days) and all(map(self._is_added_up, days)):
            return known
        if days[-1].number - days[0].number >= len(days):
            return self.openings(days, streams)
        if self._width > self._flowing:
            self._accompany(days)
        totals = np.array([day.totals[: self._width] for day in days])
        return list(np.cumsum(totals, axis=0) - totals)

    def sums(self, day: Day, stream: int) -> SumArray:
        """The running sums of a stream within a day, 97 from 0 on."""
        found = day.sums.get(stream)
        return self.table([day], stream)[0] if found is None else found

    def table(self, days: list[Day], stream: int, band: int | None = None) -> SumArray:
        """The same of n days, n x 97; with a band only what was counted in it."""
        missing = [day for day in days if stream not in day.sums]
        for first in range(0, len(missing), _DAYS_AT_ONCE):
            self._derive(missing[first : first + _DAYS_AT_ONCE], stream)
        rows = [day.sums[stream] for day in days]
        table = np.array(rows, np.int32).reshape(-1, SLOTS_PER_DAY + 1)
        if band is None or self.layout.rates == 1 or not days:
            return table
        grown = np.diff(table, axis=1) * (np.array([day.bands for day in days]) == band)
        np.cumsum(grown, axis=1, out=table[:, 1:])
        return table

    # --- whole days -----------------------------------------------------------------------------

    def _registers(self, first: int, end: int) -> Int64Array:
        """Openings of the days `first` <= day < `end`: days x streams x bands."""
        lately = self._lately
        if lately is not None and lately[0] <= first and end < lately[0] + len(lately[1]):
            return lately[1][first - lately[0] : end - lately[0]]
        anchor = self._anchor
        if anchor is None or anchor[0] > first:
            anchor = (self.first_day, self._start())
        wanted = np.arange(anchor[0], end + _DAYS_AHEAD)
        totals = self._totals(wanted, self._typical(wanted))
        sums = np.concatenate((anchor[1][None], totals)).cumsum(axis=0)
        lag, stop = first - anchor[0], end - anchor[0]
        if lately is None or end > lately[0]:
            begin = max(stop - _DAYS_BACK, 0)
            self._lately = (anchor[0] + begin, sums[begin:].copy())
        if self._anchor is None or lag > 2 * _ANCHOR_DAYS:
            back = max(lag - _ANCHOR_DAYS, 0)
            anchor = (anchor[0] + back, sums[back].copy())
            self._anchor = anchor
        return sums[lag:stop]

    def _grown(self, days: Int64Array, typical: dict[str, FloatArray]) -> Int64Array:
        """What the registers grow by in each of some days; as `_totals`, or known already."""
        lately = self._lately
        if lately is not None:
            places = days - lately[0]
            if places[0] >= 0 and places[-1] + 1 < len(lately[1]):
                grown: Int64Array = lately[1][places + 1] - lately[1][places]
                return grown
        return self._totals(days, typical)

    def _start(self) -> Int64Array:
        start = np.zeros((self._width, self.layout.rates), np.int64)
        for flow in self.installation.flows:
            # Calibrated in the first rate, on the first phase.
            start[self.layout.flows[flow][0], 0] = self.installation.start(flow)
        return start

    def _totals(self, days: Int64Array, typical: dict[str, FloatArray]) -> Int64Array:
        """What each stream grows by in each day and band, by the days' typical shapes."""
        here, layout = self.installation, self.layout
        totals = np.zeros((len(days), self._width, layout.rates), np.int64)
        by_flow = here.day_totals(days)
        masks = self._masks(days)
        for flow, whole in by_flow.items():
            if not whole.any():
                continue
            banded = whole[:, None]
            if layout.rates > 1:
                weights = [(typical[flow] * mask).sum(axis=1) for mask in masks]
                banded = among_parts(whole, np.stack(weights, axis=1))
            streams = self.layout.flows[flow]
            if len(streams) == 1:
                totals[:, streams[0]] = banded
            else:
                parts = among_parts(banded, self._phase_shares(flow))
                totals[:, streams] = np.moveaxis(parts, 2, 1)
            if self._width > self._flowing:
                self._add_reactive(totals, flow, banded, days)
        return totals

    def _typical(self, days: Int64Array) -> dict[str, FloatArray]:
        """
        What is typical of the same weekday in the first week of each day's four weeks.

        Where nothing is divided among rates, nobody asks.
        """
        if self.layout.rates == 1:
            return {}
        alike, places = np.unique(days - days % 28 + days % 7, return_inverse=True)
        typical = self.installation.typical(alike)
        return {flow: shape[places] for flow, shape in typical.items()}

    def _masks(self, days: Int64Array) -> list[BandArray]:
        if self.layout.rates == 1:
            return []
        found = bands(self.tariff, self.region.zone, days)
        return [found == band for band in range(self.layout.rates)]

    def _accompany(self, opened: list[Day]) -> None:
        """Add reactive and apparent energy to the totals of days that have only what flows."""
        narrow = [day for day in opened if len(day.totals) == self._flowing]
        if not narrow:
            return
        shape = (len(narrow), len(self.layout.streams), self.layout.rates)
        totals = np.zeros(shape, np.int64)
        totals[:, : self._flowing] = [day.totals for day in narrow]
        days = np.array([day.number for day in narrow])
        for flow, streams in self.layout.flows.items():
            banded = totals[:, streams].sum(axis=1)
            if banded.any():
                self._add_reactive(totals, flow, banded, days)
        for day, row in zip(narrow, totals, strict=True):
            day.totals = row.copy()

    def _add_reactive(
        self, totals: Int64Array, flow: str, banded: Int64Array, days: Int64Array
    ) -> None:
        """Reactive and apparent energy of each day by the day's power factor."""
        inductive, capacitive, apparent = _COMPANIONS[flow]
        tans = [self._tan_phi(quadrant, days) for quadrant in (inductive, capacitive)]
        names = self.layout.streams
        for name, tan in zip((inductive, capacitive), tans, strict=True):
            reactive = np.rint(banded * tan[:, None])
            totals[:, names.index(name)] = reactive.astype(np.int64)
        net = tans[0] - tans[1]
        whole = np.rint(banded * np.sqrt(1.0 + net**2)[:, None])
        totals[:, names.index(apparent)] = whole.astype(np.int64)

    def _tan_phi(self, quadrant: str, days: Int64Array) -> FloatArray:
        """Reactive per active energy of each day, in one quadrant."""
        kind, mood = self.installation.electrical, self.region.reactive_mood(days)
        place = _QUADRANTS.index(quadrant)
        usual = (kind.q1, kind.q2, kind.q3, kind.q4)[place]
        own = 0.75 + 0.5 * one_uniform(self._key("tan-phi"), place)
        return usual * own * mood if place < 2 else usual * own / mood

    def _phase_shares(self, flow: str) -> FloatArray:
        """How the energy of days spreads over the phases, of any scale; slots scatter around it."""
        own = normal(self._key(f"phases-{flow}"), np.arange(len(self.layout.flows[flow])))
        shares: FloatArray = np.exp(self._imbalance(flow) * own)
        return shares

    def _imbalance(self, flow: str) -> float:
        # Inverters that feed feed all phases alike.
        return self.installation.electrical.imbalance if flow == IMPORT else 0.02

    # --- within days ----------------------------------------------------------------------------

    def _open(self, numbers: list[int]) -> list[Day]:
        """Days with the sums of all that the installation itself uses or feeds."""
        days = np.array(numbers)
        typical = self._typical(days)
        totals = self._grown(days, typical)
        opened = [
            Day(number, totals[row].copy(), self._bands_of(number))
            for row, number in enumerate(numbers)
        ]
        shapes = self.installation.shapes(days)
        if typical:
            shapes = {flow: shape + _TRACE * typical[flow] for flow, shape in shapes.items()}
        for flow, shape in shapes.items():
            for stream in self.layout.flows[flow]:
                self._divide(opened, stream, self._phase_weights(flow, stream, shape, days))
        return opened

    def _divide(self, opened: list[Day], stream: int, weights: FloatArray) -> None:
        """Put the sums of one stream into each of some days, by weights days x 96."""
        totals = np.array([day.totals[stream] for day in opened])
        if not totals.any():
            for day in opened:
                day.sums[stream] = _NOTHING
            return
        if self.layout.rates == 1:
            sums = among_slots(totals[:, 0], weights)
        else:
            banded = np.array([0 if day.bands is None else day.bands for day in opened], np.int8)
            sums = among_banded_slots(totals, weights, banded)
        for day, row in zip(opened, sums, strict=True):
            held = np.zeros(SLOTS_PER_DAY + 1, np.int32)
            held[1:] = row
            held.setflags(write=False)
            day.sums[stream] = held

    def _phase_weights(
        self, flow: str, stream: int, shape: FloatArray, days: Int64Array
    ) -> FloatArray:
        if len(self.layout.flows[flow]) == 1:
            return shape
        scatter = normal(self._key(f"phases-{self.layout.streams[stream]}"), slots_of(days))
        weights: FloatArray = shape * np.exp(0.6 * self._imbalance(flow) * scatter)
        return weights

    def _derive(self, opened: list[Day], stream: int) -> None:
        """Reactive and apparent energy go with the active energy of each slot."""
        name = self.layout.streams[stream]
        flow = next(flow for flow, names in _COMPANIONS.items() if name in names)
        self._accompany(opened)
        active = np.diff(sum(self.table(opened, one) for one in self.layout.flows[flow]))
        inductive, capacitive, apparent = _COMPANIONS[flow]
        if name == apparent:
            place = self.layout.streams.index
            reactive = (self.table(opened, place(one)) for one in (inductive, capacitive))
            weights = np.hypot(active, np.diff(np.subtract(*reactive)))
        else:
            slots = slots_of(np.array([day.number for day in opened]))
            weights = active * (0.7 + 0.6 * uniform(self._key(name), slots))
        self._divide(opened, stream, weights)

    def _bands_of(self, number: int) -> BandArray | None:
        if self.layout.rates == 1:
            return None
        return bands_of_day(self.tariff, self.region.zone, number)

    def _key(self, name: str) -> int:
        return stream_key(self.seed, self.index, "ledger", name)


_QUADRANTS: Final = ("q1", "q2", "q3", "q4")
_COMPANIONS: Final = {
    IMPORT: ("q1", "q4", "import-va"),
    EXPORT: ("q2", "q3", "export-va"),
}
