"""
Activity calendar (class_id 20): which rate counts when, and what shall become of it.

Owns what it shows and takes, and `follow`: by what energy is counted from a moment on. At first
that is the installation's `Tariff`, which the active calendar shows; from the activation of another
calendar on, or a change of the special days, what these say. Seasons begin at midnight of a day of
a month, rates at quarter-hours: a passive calendar that wants more is not activated.
Source: IEC 62056-6-2, class_id 20, version 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, decode_all, structure
from hes_protocol.cosem import CosemDateTime
from hes_protocol.errors import EncodingError
from hes_protocol.models.objects import ModelObject
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    TEMPORARY_FAILURE,
    TYPE_UNMATCHED,
    Refused,
    elements,
    invoking,
    long_unsigned,
    members,
    nothing,
    number,
    octet_string,
    octets,
    unsigned,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import DAY_S, FIRST_YEAR, LAST_YEAR, SECOND_US, microseconds
from hes_simulators.energy import Season, SpecialDay, Tariff
from hes_simulators.energy.tariff import Switches, bands_of_day
from hes_simulators.local_time import NOT_SPECIFIED, instant
from hes_simulators.measuring import counted_by
from hes_simulators.state import TariffChange

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_TARIFF_SCRIPTS: Final = bytes((0, 0, 10, 0, 100, 255))
_EVERY_YEAR: Final = bytes.fromhex("ffff0101ff000000008000ff")
_PASSIVE_BEHIND: Final = 4  # attribute 6 is the passive 2, and so on
_ACTIVATION: Final = 10
_WORKDAY, _SATURDAY, _SUNDAY = 1, 2, 3
_SPECIAL_DAYS, _CALENDAR = 11, 20
_ANY_YEAR, _ANY = 0xFFFF, 0xFF
_MOST_SEASONS: Final = 12
_DAY_US: Final = DAY_S * SECOND_US
_LONGEST_WITHOUT_DIFFERENCE: Final = 400
# Each of them costs a ledger of its own, some kilobytes.
_MOST_CHANGES: Final = 16


class ActivityCalendar(Plain):
    """class_id 20. A living class: a passive calendar becomes active when it was told to."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """The calendar of the usual tariff, active and passive."""
        if index == _ACTIVATION:
            return octets(NOT_SPECIFIED)
        active = index if index <= 5 else index - _PASSIVE_BEHIND
        workday, *_, saturday, sunday = Tariff.of(meter.rates).week
        match active:
            case 2:
                return octets(b"STANDARD")
            case 3:
                return array(structure(octets(b"1"), octets(_EVERY_YEAR), octets(b"1")))
            case 4:
                days = (_WORKDAY,) * 5 + (_SATURDAY, _SUNDAY)
                return array(structure(octets(b"1"), *map(unsigned, days)))
            case 5:
                return array(
                    day_profile(_WORKDAY, workday),
                    day_profile(_SATURDAY, saturday),
                    day_profile(_SUNDAY, sunday),
                )
            case _:
                return None

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """activate_passive_calendar."""
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        nothing(data)
        self._activate(meter, one)
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """The passive calendar, and when it becomes active: at once where that has passed."""
        if index != _ACTIVATION:
            super().take(meter, one, index, data, sap)
            return
        octet_string(data, 12, 12)
        if self._is_rewritten(meter, one):
            self._tariff(meter, one)  # one that cannot be followed is told at once
        at_us = _activation_us(meter, data)
        meter.keep(one, index, data)
        if at_us is not None and at_us <= meter.now_us:
            self._activate(meter, one)

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """See `LivingClass`."""
        written = meter.state.written.get((one.obis, _ACTIVATION))
        at_us = None if written is None else _activation_us(meter, written, after_us)
        return at_us if at_us is not None and after_us < at_us <= until_us else None

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """See `LivingClass`; a calendar that the meter cannot follow stays passive."""
        with suppress(Refused):
            self._activate(meter, one)

    def _activate(self, meter: Meter, one: ModelObject) -> None:
        """
        The passive calendar is the active one from now on.

        Raises: Refused: the meter cannot follow it; nothing has changed.
        """
        written = meter.state.written
        passive = {
            index: written[one.obis, index + _PASSIVE_BEHIND]
            for index in range(2, 6)
            if (one.obis, index + _PASSIVE_BEHIND) in written
        }
        if self._is_rewritten(meter, one):
            follow(meter, self._tariff(meter, one))
        for index, data in passive.items():
            meter.keep(one, index, data)
        meter.event("tariff_changed")

    def _is_rewritten(self, meter: Meter, one: ModelObject) -> bool:
        """Whether the passive calendar has seasons, weeks or days that a client wrote."""
        return any(
            (one.obis, index + _PASSIVE_BEHIND) in meter.state.written for index in (3, 4, 5)
        )

    def _tariff(self, meter: Meter, one: ModelObject) -> Tariff:
        """The passive calendar's, with the special days that there are."""
        tables = [_value(meter, one, index + _PASSIVE_BEHIND) for index in (3, 4, 5)]
        return _tariff(meter, tables, special_days(meter))


def tariff_with(meter: Meter, entries: Sequence[Data]) -> Tariff | None:
    """
    The active calendar with other special days; None: there is no calendar.

    Args: entries: as `special_days`. Raises: Refused.
    """
    one = next((o for o in meter.kind.model.objects.values() if o.class_id == _CALENDAR), None)
    if one is None:
        return None
    return _tariff(meter, [_value(meter, one, index) for index in (3, 4, 5)], entries)


def special_days(meter: Meter) -> Sequence[Data]:
    """The entries of the special days table."""
    for class_id, obis in meter.kind.model.objects:
        if class_id == _SPECIAL_DAYS:
            written = meter.state.written.get((obis, 2))
            return () if written is None else elements(written)
    return ()


def follow(meter: Meter, tariff: Tariff) -> None:
    """
    Count energy by a tariff from now on.

    What was changed before and has made no difference so far is forgotten: twelve holidays put in
    one by one are one change, as long as none of them is today.
    Raises: Refused: temporary_failure where too many changes have made one; nothing has changed.
    """
    kept = list(meter.state.tariffs)
    while kept and not _differ(meter, kept[-2] if kept[1:] else None, kept[-1]):
        kept.pop()
    special = tuple((day.date, day.switches) for day in tariff.special)
    seasons = tuple((one.month, one.day, one.year, one.week) for one in tariff.seasons)
    now = TariffChange(meter.now_us, tariff.week, special, seasons)
    if _counted_by(meter, now) != _counted_by(meter, kept[-1] if kept else None):
        kept.append(now)
    if len(kept) > _MOST_CHANGES:
        raise Refused(TEMPORARY_FAILURE)
    meter.state.tariffs[:] = kept


def _differ(meter: Meter, before: TariffChange | None, change: TariffChange) -> bool:
    """Whether energy was counted otherwise since a change than it would have been without it."""
    zone, tariffs = meter.kind.zone, (_counted_by(meter, before), _counted_by(meter, change))
    first, last = change.at_us // _DAY_US, meter.now_us // _DAY_US
    if last - first > _LONGEST_WITHOUT_DIFFERENCE:
        return True
    for day in range(first, last + 1):
        one, other = (bands_of_day(tariff, zone, day) for tariff in tariffs)
        if (one != other).any():
            return True
    return False


def _counted_by(meter: Meter, change: TariffChange | None) -> Tariff:
    return counted_by(meter.rates, change)


def _value(meter: Meter, one: ModelObject, index: int) -> Data:
    found = meter.value(one, index, 0)
    assert not isinstance(found, DataAccessResult)
    return decode_all(found) if isinstance(found, bytes) else found


def _tariff(meter: Meter, tables: Sequence[Data], entries: Sequence[Data]) -> Tariff:
    """
    What a calendar and special days say; a special day of no day_profile is as its weekday.

    Args: tables: season_profile, week_profile_table, day_profile_table.
    Raises: Refused: the meter cannot follow it.
    """
    seasons, weeks, days = (elements(table) for table in tables)
    switches = {
        number(day_id, DataTag.UNSIGNED): _switches(meter, elements(schedule))
        for day_id, schedule in (members(day, 2) for day in days)
    }
    by_name = {}
    for week in weeks:
        name, *ids = members(week, 8)
        if not switches.keys() >= {number(day, DataTag.UNSIGNED) for day in ids}:
            raise Refused(OTHER_REASON)
        by_name[octet_string(name)] = tuple(switches[day.value] for day in ids)
    if not 0 < len(seasons) <= _MOST_SEASONS:
        raise Refused(OTHER_REASON)
    found = tuple(_season(season, by_name) for season in seasons)
    in_order = sorted(entries, key=lambda entry: int(entry.value[0].value))
    special = tuple(
        SpecialDay(entry.value[1].value, switches[entry.value[2].value])
        for entry in in_order
        if entry.value[2].value in switches
    )
    # One season lasts the whole year, whenever it begins.
    return Tariff(meter.rates, found[0].week, special, found if len(found) > 1 else ())


def _season(season: Data, weeks: Mapping[bytes, tuple[Switches, ...]]) -> Season:
    """
    When a season begins, and its week.

    Raises: Refused: there is no such week, or it begins at no day of a month.
    """
    _, start, name = members(season, 3)
    octets_ = octet_string(start, 12, 12)
    year, month, day, weekday = int.from_bytes(octets_[:2]), *octets_[2:5]
    week = weeks.get(octet_string(name))
    fixed = 1 <= month <= 12 and 1 <= day <= 31 and weekday == _ANY
    if week is None or not fixed or any(part not in (0, _ANY) for part in octets_[5:8]):
        raise Refused(OTHER_REASON)
    if year != _ANY_YEAR and not FIRST_YEAR <= year <= LAST_YEAR:
        raise Refused(OTHER_REASON)
    return Season(month, day, None if year == _ANY_YEAR else year, week)


def _activation_us(meter: Meter, data: Data, after_us: int | None = None) -> int | None:
    """
    activate_passive_calendar_time as true time by the clock as it goes now (or then).

    Raises: Refused: it is no date-time.
    """
    try:
        time = instant(CosemDateTime.from_octets(data.value), meter.face.zone, latest=False)
    except EncodingError:
        raise Refused(TYPE_UNMATCHED) from None
    if time is None:
        return None
    segment = meter.time.segment(meter.now_us if after_us is None else after_us)
    return segment.true_at(microseconds(time))


def _switches(meter: Meter, actions: Sequence[Data]) -> Switches:
    """
    A day's switching times.

    Raises: Refused: off the quarter-hours, out of order, or of a rate that the meter does not have.
    """
    found = []
    for action in actions:
        time, _, rate = members(action, 3)
        hour, minute = octet_string(time, 4, 4)[:2]
        if hour > 23 or minute > 59 or minute % 15:
            raise Refused(OTHER_REASON)
        found.append((hour + minute / 60, number(rate, DataTag.LONG_UNSIGNED, 1, meter.rates)))
    hours = [hour for hour, _ in found]
    if hours[:1] != [0] or hours != sorted(set(hours)):
        raise Refused(OTHER_REASON)
    return tuple(found)


def day_profile(day_id: int, switches: Switches) -> Data:
    """An element of the day_profile_table."""
    actions = (
        structure(
            octets(bytes((int(hour), round(hour % 1 * 60), 0, 0))),
            octets(_TARIFF_SCRIPTS),
            long_unsigned(rate),
        )
        for hour, rate in switches
    )
    return structure(unsigned(day_id), array(*actions))
