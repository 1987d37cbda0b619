"""
What a model file says of a meter's inside, as immutable values: clients, objects, profiles, events.

Owns the classes; not their parsing (`parsing`), the names of sources and events (`names`), nor what
any class of the standard does. Simulated meters are built from them, collectors look up in them
what a real meter does not tell.

Rule 1: access is by client SAP: `read`, `write` and `methods` name who may, `clients` in whose
object_list an object is. Rule 2: attribute 1, logical_name, is in no `attributes`: whoever sees an
object may read it. Rule 3: an attribute that stands in `attributes` without a reader exists and is
refused; one that does not stand there is undefined.

Source: IEC 62056-6-2 (interface classes), IEC 62056-6-1 (OBIS).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

CLASS_PROFILE: Final = 7
CLASS_PUSH_SETUP: Final = 40


# --- who talks to the meter -----------------------------------------------------------------------


@attrs.frozen
class LockOut:
    """After `attempts` wrong secrets in a row the client is refused for `seconds`."""

    attempts: int
    seconds: int


@attrs.frozen(kw_only=True)
class ModelClient:
    """
    One client of a meter: its association (IEC 62056-5-3, "application association").

    `name` is what the file calls it ("management"); `protection` the least that it must apply to
    each APDU; `lock_out` None where wrong secrets are only counted.
    """

    sap: int
    name: str
    mechanism: Mechanism = Mechanism.NONE
    protection: Protection = Protection.PLAIN
    suite: int = 0
    conformance: Conformance = DEFAULT_CONFORMANCE
    lock_out: LockOut | None = None


# --- what the meter holds -------------------------------------------------------------------------


class Statistic(StrEnum):
    """
    What is made of a source, over `ModelAttribute.period_s`; in files `average(import_w)`.

    MOMENT: its value when asked. AVERAGE: the mean of the last whole period, RUNNING_AVERAGE that
    of the one under way. INTERVAL: how much a total grew in the last whole period. MAXIMUM: the
    greatest average since the last billing, MAXIMUM_AT when that was. MINIMUM: the smallest
    momentary value since the last billing. AT_BILLING: its value at the last billing.
    """

    MOMENT = "moment"
    AVERAGE = "average"
    RUNNING_AVERAGE = "running_average"
    INTERVAL = "interval"
    MAXIMUM = "maximum"
    MAXIMUM_AT = "maximum_at"
    MINIMUM = "minimum"
    AT_BILLING = "at_billing"


@attrs.frozen(kw_only=True)
class ModelAttribute:
    """
    One attribute of an object: what it holds, and which clients (SAPs) may `read` and `write` it.

    It holds what `source` says, or `constant` as long as nobody writes another, or, with
    neither, what its class gives (object_list, buffer, capture_objects, state ...). Where the
    source is a number it is sent as `tag` with `scaler` and `unit` (DLMS code; None: no unit).
    """

    index: int
    source: str | None = None
    statistic: Statistic = Statistic.MOMENT
    period_s: int = 0
    constant: Data | None = None
    tag: DataTag | None = None
    scaler: int = 0
    unit: int | None = None
    read: frozenset[int] = frozenset()
    write: frozenset[int] = frozenset()

    @property
    def shown(self) -> str:
        """The source as files write it, `average(import_w)`; empty where there is none."""
        if self.source is None or self.statistic is Statistic.MOMENT:
            return self.source or ""
        return f"{self.statistic}({self.source})"


@attrs.frozen(kw_only=True)
class ModelObject:
    """
    One COSEM object. `options` are what its class needs to know else, see `classes.CLASSES`.

    `clients` are the SAPs in whose object_list it is; `attributes` by index from 2; `methods` by
    index the SAPs that may invoke them.
    """

    class_id: int
    version: int
    obis: Obis
    clients: frozenset[int] = frozenset()
    attributes: Mapping[int, ModelAttribute] = attrs.field(factory=dict)
    methods: Mapping[int, frozenset[int]] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def key(self) -> tuple[int, Obis]:
        """What an heir replaces it by, and a model holds it under."""
        return self.class_id, self.obis


class CaptureOn(StrEnum):
    """When a profile captures a row; READ: it has one row, made when it is asked for."""

    PERIOD = "period"
    BILLING = "billing"
    EVENT = "event"
    READ = "read"


class Sort(StrEnum):
    """sort_method of a profile (IEC 62056-6-2, class_id 7, attribute 5), by its code."""

    FIFO = "fifo"
    LIFO = "lifo"
    LARGEST = "largest"
    SMALLEST = "smallest"
    NEAREST_TO_ZERO = "nearest_to_zero"
    FARTHEST_FROM_ZERO = "farthest_from_zero"

    @property
    def code(self) -> int:
        """The enum that the meter gives."""
        return list(Sort).index(self) + 1

    @property
    def by_value(self) -> bool:
        """Whether rows are ordered by what a column of theirs holds."""
        return self not in (Sort.FIFO, Sort.LIFO)


@attrs.frozen(kw_only=True)
class ModelProfile(ModelObject):
    """
    A profile (class_id 7): an object that is one of `Model.objects`, too.

    `entries` is profile_entries, its depth in rows; `capture_period_s` 0 unless `on` is PERIOD;
    `sort_object` the column that it is sorted by, None for FIFO and LIFO.
    """

    capture_objects: tuple[CaptureObject, ...] = ()
    on: CaptureOn = CaptureOn.PERIOD
    capture_period_s: int = 0
    entries: int = 1
    sort: Sort = Sort.FIFO
    sort_object: CaptureObject | None = None


# --- what the meter says by itself ----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ModelEventLog:
    """
    One event log: the profile `obis`, the object `code_obis` that holds the last code (None for a
    log of one kind of event, which has no codes), the codes.

    `codes` by event name: an event that is not there does not go into this log.
    """

    name: str
    obis: Obis
    code_obis: Obis | None
    codes: Mapping[str, int]


@attrs.frozen(kw_only=True)
class ModelAlarm:
    """
    An alarm register: bit numbers by event name.

    `obis` is the register; `filter_obis` and `descriptor_obis` the objects beside it, if any.
    `clears` are the bits that an event takes away. `length` 0: a double-long-unsigned, bit 0 is the
    least significant one; else a bit-string of so many, bit 0 is the first (IS 15959, event status
    word).
    """

    obis: Obis
    filter_obis: Obis | None = None
    descriptor_obis: Obis | None = None
    bits: Mapping[str, int] = attrs.field(factory=dict)
    clears: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    length: int = 0


@attrs.frozen
class ModelEvents:
    """Where events go: `logs` by name, and alarm registers."""

    logs: Mapping[str, ModelEventLog] = attrs.field(factory=dict)
    alarms: tuple[ModelAlarm, ...] = ()

    def of(self, event: str) -> Iterator[tuple[ModelEventLog, int]]:
        """The logs that an event goes into, each with its code there."""
        for log in self.logs.values():
            if event in log.codes:
                yield log, log.codes[event]


class PushForm(StrEnum):
    """
    How the payload of a push says what its values are, see `hes_protocol.push`.

    BARE: values in the order of the list. DESCRIBED: the list of objects, then values. NAMED: a
    structure of logical_name, value, and for a register scaler_unit, for each object. FLAT:
    logical_name and value by turns in one structure. FLAT_SCALED: one structure in which a register
    is its logical_name, value and scaler_unit, anything else its value alone.
    """

    BARE = "bare"
    DESCRIBED = "described"
    NAMED = "named"
    FLAT = "flat"
    FLAT_SCALED = "flat_scaled"


class Transport(StrEnum):
    """What carries APDUs. MBUS: long frames of EN 13757-2/-3, pushes only."""

    WRAPPER = "wrapper"
    HDLC = "hdlc"
    UDP = "udp"
    MBUS = "mbus"


@attrs.frozen(kw_only=True)
class ModelPush:
    """
    One push: what the push setup `obis` (class_id 40) sends, and when.

    `every_s` is its period, with the first on the whole period plus `offset_s`, 0: only `on` these
    events. `client_sap` is whose association protects it. `preamble` goes before the values
    (a list's version name, "KFM_001"). Each meter begins up to `window_s` later, at random
    (attribute 5, randomisation_start_interval). `confirmed` pushes, and all that find nobody, are
    sent again `retries` times, `retry_delay_s` apart (attributes 6 and 7). `date_time` is whether
    the notification has a time of its own (None: where no value is the clock); `invoke_bits` are
    set in its long-invoke-id-and-priority, which counts unless `numbered` is False.
    """

    obis: Obis
    name: str = ""
    objects: tuple[CaptureObject, ...] = ()
    every_s: float = 0
    offset_s: float = 0
    on: tuple[str, ...] = ()
    form: PushForm = PushForm.BARE
    protection: Protection = Protection.PLAIN
    transport: Transport = Transport.WRAPPER
    client_sap: int = 1
    preamble: Data | None = None
    window_s: float = 0
    confirmed: bool = False
    retries: int = 0
    retry_delay_s: float = 5
    date_time: bool | None = None
    invoke_bits: int = 0
    numbered: bool = True


# --- the meter as a whole -------------------------------------------------------------------------


@attrs.frozen
class MeterChannel:
    """A device on an M-Bus channel (class_id 72): what it meters, and how often it is heard."""

    channel: int
    kind: str
    capture_period_s: int = 3600


@attrs.frozen(kw_only=True)
class MeterTable:
    """
    What a simulated meter is: the table [meter].

    `kind` is what it meters ("electricity"), `load` the kind of installation behind it unless a
    scenario says otherwise, `zone` an IANA name, `listens` False for one that only pushes,
    `billing` when billing periods end ("month", "day" or "" for never), `maker_code` the three
    letters of its system title.
    """

    kind: str = "electricity"
    load: str = "household"
    phases: int = 1
    rates: int = 1
    server_sap: int = 1
    max_receive_pdu_size: int = 512
    transport: Transport = Transport.WRAPPER
    listens: bool = True
    zone: str = "Europe/Berlin"
    billing: str = ""
    maker_code: str = "HES"
    firmware: str = "1.0.0"
    channels: tuple[MeterChannel, ...] = ()
