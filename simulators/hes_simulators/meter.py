"""
One simulated meter: what makes it this one, what happens to it, and its answers to clients.

Owns its parts, its now, and what befalls it from outside. What happens by itself is in `life`,
values are in `values`, rows in `captures`, what clients may do in `answers`, attributes and methods
in `classes`. Does not own sockets or associations under way: any number of connections may talk to
one meter.

Rule 1: a meter is a function of time plus its state; what it was not asked for has cost nothing.
Rule 2: whatever somebody does to it at a moment, first happens what was to happen until then.
Rule 3: time does not go back; what comes with an earlier moment happens now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final

import attrs
import numpy as np

from hes_protocol.axdr import NULL, Data, decode_all, encode
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.hdlc import HdlcAddress, HdlcServerLink, LinkParameters
from hes_protocol.models.objects import (
    MeterChannel,
    MeterTable,
    ModelClient,
    ModelObject,
    ModelPush,
)
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    AssociationOpened,
    GetRequested,
    GetResult,
    Server,
    ServerAssociation,
    ServerLink,
    SetRequested,
    SetResult,
)
from hes_protocol.wrapper import WrapperLink
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators import answers, keys
from hes_simulators.billing import ClosingsKey, close_now, closings, closings_key
from hes_simulators.classes import Answer, interface_class, limiter, mbus
from hes_simulators.classes.accounting import Account
from hes_simulators.classes.clock import face_of
from hes_simulators.clock import SECOND_US, Face, MeterClock, microseconds, moment
from hes_simulators.energy import ExtraLoad, Source
from hes_simulators.energy.voltage import with_event
from hes_simulators.events import log_event
from hes_simulators.faults import Alter, ServerParts, unaltered
from hes_simulators.identity import Identity
from hes_simulators.kind import MECHANISMS, MeterKind, Security
from hes_simulators.life import NOT_KNOWN, live
from hes_simulators.lockout import MeterGuard
from hes_simulators.measuring import Measuring
from hes_simulators.randomness import Int64Array
from hes_simulators.sources import electricity, sources
from hes_simulators.state import ELECTRICITY, Cut, MeterState, Spans

__all__ = [
    "MECHANISMS",
    "Cut",
    "DuePush",
    "Meter",
    "MeterKind",
    "Security",
    "microseconds",
    "moment",
]

_MAX_REQUEST_OCTETS: Final = 2048
_LINK_OFFER: Final = LinkParameters(512, 512, 4, 4)
_MOST_PUSHES: Final = 64
# A clock without power runs on its reserve for so long (IDIS: at least a week).
_CLOCK_RESERVE_US: Final = 7 * 86_400 * SECOND_US
_DOUBTFUL: Final = 0x02
_REBOOT: Final = "reboot"
_DEFAULT_PERIOD_S: Final = 900
_SHORT_OCTETS: Final = 32


@attrs.frozen
class DuePush:
    """What a meter wants to send: by which push setup, why (an event's name, or ""), since when."""

    setup: ModelPush
    reason: str
    at: datetime


@attrs.define(eq=False)
class Meter:
    """
    Meter `identity` of its fleet; make it with `Meter.of`.

    `now_us` is the last moment at which anybody looked at it.
    """

    kind: MeterKind = attrs.field(repr=False)
    identity: Identity
    state: MeterState = attrs.field(factory=MeterState, repr=False)
    now_us: int = attrs.field(default=0, init=False)
    # Made when there is the first: an empty deque is the most of what a fresh meter costs.
    _pushes_due: deque[DuePush] | None = attrs.field(default=None, init=False, repr=False)
    _associations: dict[int, ServerAssociation] | None = attrs.field(
        default=None, init=False, repr=False
    )
    _measuring: Measuring | None = attrs.field(default=None, init=False, repr=False)
    _time: MeterClock | None = attrs.field(default=None, init=False, repr=False)
    _face: Face | None = attrs.field(default=None, init=False, repr=False)
    _installed_us: int | None = attrs.field(default=None, init=False, repr=False)
    # Until when they are known, and of which state: each column of a billing profile asks again.
    _closings: tuple[ClosingsKey, int, Int64Array, Int64Array] | None = attrs.field(
        default=None, init=False, repr=False
    )
    # Until then nothing is due by itself; see `life`.
    quiet_us: int = attrs.field(default=NOT_KNOWN, init=False, repr=False)
    # The association in which it is being asked, as its objects show it.
    current: AssociationOpened | None = attrs.field(default=None, init=False, repr=False)
    _advancing: bool = attrs.field(default=False, init=False, repr=False)

    @classmethod
    def of(cls, kind: MeterKind, index: int, state: MeterState | None = None) -> Meter:
        """Meter `index` of the fleet that `kind` describes; `state` as it was kept, else fresh."""
        identity = Identity.of(kind.seed, index, kind.table.maker_code)
        return cls(kind, identity, MeterState() if state is None else state)

    # --- what it is -----------------------------------------------------------------------------

    @property
    def table(self) -> MeterTable:
        """Its model's table [meter]."""
        return self.kind.table

    @property
    def clients(self) -> Mapping[int, ModelClient]:
        """Its clients by SAP."""
        return self.kind.clients

    @property
    def server_sap(self) -> int:
        """Its own SAP."""
        return self.kind.table.server_sap

    @property
    def rates(self) -> int:
        """How many rates it counts."""
        return self.kind.table.rates

    @property
    def firmware(self) -> str:
        """The version that runs."""
        return self.state.firmware or self.kind.table.firmware

    @property
    def associations(self) -> dict[int, ServerAssociation]:
        """The rules of its clients by SAP; see `keys.change`."""
        if self._associations is None:
            self._associations = keys.associations(
                self.kind, self.identity, self.state, self.clients.values()
            )
        return self._associations

    @property
    def next_counter(self) -> int:
        """The next invocation counter of its own."""
        return max(self.state.next_counter or 0, self.kind.first_counter)

    @property
    def is_connected(self) -> bool:
        """Whether the load is switched on, power or not."""
        spans = self.state.cuts.get(ELECTRICITY)
        return spans is None or not spans.reasons - {Cut.OUTAGE}

    # --- its time -------------------------------------------------------------------------------

    @property
    def time(self) -> MeterClock:
        """Its clock."""
        if self._time is None:
            drift_ppb = self.kind.drift_ppb(self.identity.index)
            self._time = MeterClock(self.installed_us, drift_ppb, self.state.clock_steps)
        return self._time

    @property
    def face(self) -> Face:
        """How its clock shows the time, as clients have set it."""
        if self._face is None:
            self._face = face_of(self)
        return self._face

    def refresh_face(self) -> None:
        """A client has written the zone or the daylight saving."""
        self._face = None

    def clock(self, at: datetime) -> datetime:
        """What its clock shows at a true moment, drift and steps included; aware UTC."""
        return moment(self.time.shown_us(microseconds(at)))

    @property
    def installed_us(self) -> int:
        """When it was put up: from then on it measures."""
        if self._installed_us is None:
            self._installed_us = microseconds(self.source.installed_at)
        return self._installed_us

    @property
    def measuring_period_s(self) -> int:
        """The capture period of its load profile."""
        periods = (p.capture_period_s for p in self.kind.model.profiles.values())
        return min((period for period in periods if period), default=_DEFAULT_PERIOD_S)

    def advance(self, to: datetime) -> None:
        """
        Let everything happen that was to happen until then: limiter, schedules, credit, in order.

        Moments before the last one change nothing: a meter does not go back.
        """
        self.advance_us(microseconds(to))

    def advance_us(self, to_us: int) -> int:
        """The same by microseconds; returns the moment that is now."""
        if self._advancing:
            return self.now_us
        state = self.state
        if state.advanced_us is None:
            state.advanced_us = min(self.kind.started_us, to_us)
            state.woken_us = to_us
        to_us = max(to_us, state.advanced_us, self.now_us)
        if len(self.kind.faults):
            self._gain(to_us)
        if to_us > self.quiet_us and self.kind.living:
            self._advancing = True
            try:
                to_us, self.quiet_us = live(self, to_us)
            finally:
                self._advancing = False
        state.advanced_us = self.now_us = to_us
        return to_us

    def _gain(self, to_us: int) -> None:
        """A faulty clock has jumped, or run away."""
        gained_us = self.kind.faults.clock_gained_us(
            self.identity.index, self.state.advanced_us, to_us
        )
        if gained_us:
            self.time.set(to_us, self.time.shown_us(to_us) + gained_us)

    def rest(self) -> bool:
        """
        Give back what was only worked out, as nobody has asked for long; answers stay the same.

        Returns: whether there was any.
        """
        awake = self._measuring is not None or self._closings is not None
        self._measuring = self._closings = self._time = None
        return awake

    def changed(self) -> None:
        """Something is otherwise now: what is due by itself must be worked out again."""
        self.quiet_us = NOT_KNOWN

    # --- what happens to it ---------------------------------------------------------------------

    def cut(self, why: Cut, at: datetime, medium: str = ELECTRICITY) -> None:
        """Nothing flows from now on; in an OUTAGE the meter is dark as well."""
        at_us = self.advance_us(microseconds(at))
        spans = self.state.cuts.setdefault(medium, Spans())
        if why in spans.reasons:
            return
        if why is Cut.OUTAGE:
            self.event("power_down")
            self.state.dark.begin(why, at_us)
        spans.begin(why, at_us)
        self._tell_outage(why, on=True)
        self.kind.speaks_up(self)  # in an outage its connections break

    def restore(self, why: Cut, at: datetime, medium: str = ELECTRICITY) -> None:
        """This reason to cut has gone; energy flows again when it was the last one."""
        at_us = self.advance_us(microseconds(at))
        spans = self.state.cuts.get(medium)
        if spans is None or why not in spans.reasons:
            return
        since_us = self.state.dark.since_us
        spans.end(why, at_us)
        if why is Cut.OUTAGE:
            self.state.dark.end(why, at_us)
            self.event("power_up")
            if since_us is not None and at_us - since_us > _CLOCK_RESERVE_US:
                self.state.clock_status |= _DOUBTFUL
                self.event("clock_invalid")
        self._tell_outage(why, on=False)
        self.kind.speaks_up(self)

    def is_dark(self, at: datetime) -> bool:
        """Whether it has no power, or is starting: connections close, nothing answers."""
        return bool(self.state.dark) and self.state.dark.covers(microseconds(at))

    def reboot(self, at: datetime, *, until: datetime) -> None:
        """Dark from `at`, now or later, to `until`, while energy flows on and is counted."""
        now_us = self.advance_us(microseconds(min(at, self.kind.now())))
        self.state.dark.add(max(microseconds(at), now_us), microseconds(until))
        self.event(_REBOOT)
        self.kind.speaks_up(self)

    def raise_event(self, name: str, at: datetime, **facts: Any) -> None:
        """
        Something happened that the model may have a code for: logs, alarm bits, pushes, journal.

        A voltage sag or swell is measured from now on. Where a limiter watches what is drawn, more
        than its threshold is drawn, and it says "over_limit" by itself when that was too long.
        Args: name: as the model's tables call it; one without a code there is only journaled.
            facts: whole numbers among them are kept with the rows of its logs.
        """
        at_us = self.advance_us(microseconds(at))
        if name == "over_limit" and limiter.overload(self):
            return
        voltages = with_event(self.state.voltages or (), name, at_us)
        if voltages is not None:
            self.state.voltages = voltages
            self._impose_voltages()
        self.event(name, **facts)

    def draw(self, watts: int, at: datetime, *, until: datetime) -> None:
        """Somebody switches on so much more than the installation would use, for a while."""
        at_us, until_us = self.advance_us(microseconds(at)), microseconds(until)
        if watts > 0 and until_us > at_us:
            self.state.loads.append(ExtraLoad(at_us, until_us, watts))
            self.changed()
            self.kind.journal.note(
                "executed",
                moment(at_us),
                self.identity.serial,
                what="load",
                sap=0,
                watts=watts,
                until_us=until_us,
            )

    def event(self, name: str, **facts: Any) -> None:
        """The same, now."""
        log_event(self, name, self.now_us, facts)
        self.changed()

    @property
    def pushes_due(self) -> deque[DuePush]:
        """What it wants to send; who sends it takes it out."""
        if self._pushes_due is None:
            self._pushes_due = deque(maxlen=_MOST_PUSHES)
        return self._pushes_due

    def push(self, setup: ModelPush, reason: str, at_us: int) -> None:
        """It wants to send this."""
        self.pushes_due.append(DuePush(setup, reason, moment(at_us)))
        self.kind.speaks_up(self)

    def keep(self, one: ModelObject, index: int, data: Data) -> None:
        """Keep what a client has written, over restarts; it was checked."""
        self.state.written[one.obis, index] = data
        self.event("parameters_changed")

    def close_billing(self) -> None:
        """Close the billing period, now."""
        close_now(self.state, self.now_us)
        self.event("billing_reset")

    def _tell_outage(self, why: Cut, *, on: bool) -> None:
        self.changed()
        self.kind.journal.note(
            "outage", moment(self.now_us), self.identity.serial, on=on, why=why.value
        )
        self.kind.speaks_up(self)

    # --- what it measures -----------------------------------------------------------------------

    @property
    def measuring(self) -> Measuring:
        """What flows through it."""
        if self._measuring is None:
            self._measuring = Measuring(
                sources(self.kind, self.identity.index),
                self.state,
                partial(electricity, self.kind, self.identity.index),
            )
            self._impose_voltages()
        return self._measuring

    def _impose_voltages(self) -> None:
        if self._measuring is not None and self.state.voltages is not None:
            self.source.voltage_events = tuple(self.state.voltages)

    @property
    def source(self) -> Source:
        """What the installation behind it would use if nothing were ever cut off."""
        return next(iter(self.measuring.sources.values()))

    def totals(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """
        What a register held at each moment: cumulative, native unit; cuts applied.

        Args: at_us: microseconds since 1970 UTC, true time, sorted.
        Raises: KeyError: the meter does not measure it.
        """
        return self.measuring.totals(quantity, at_us)

    def momentary(self, quantity: str, at: datetime) -> int:
        """
        What is measured at a moment; nothing flows in a cut, no voltage in an outage.

        Raises: KeyError: the meter does not measure it.
        """
        at_us = np.array([microseconds(at)], np.int64)
        return int(self.measuring.measured(quantity, at_us)[0])

    def closings(self, until_us: int) -> tuple[Int64Array, Int64Array]:
        """When billing periods were closed: true and shown moments."""
        known = closings_key(self.state)
        if self._closings is None or self._closings[0] != known or self._closings[1] < until_us:
            found = closings(self.kind.billing, self.time, self.state, until_us)
            self._closings = known, until_us, *found
        _, _, at, shown = self._closings
        count = int(np.searchsorted(at, until_us, side="right"))
        return at[:count], shown[:count]

    def heard_every_s(self, quantity: str) -> int:
        """How often the device is heard that measures a quantity; 0: the meter does so itself."""
        channel = self._channel(quantity)
        if channel is None:
            return 0
        one = self._mbus_client(channel)
        return channel.capture_period_s if one is None else mbus.period_s(self, one, channel)

    def heard_us(self, quantity: str, at_us: Int64Array, on_time: Int64Array) -> Int64Array:
        """When that was at each moment; see `mbus.heard_us`."""
        channel = self._channel(quantity)
        one = None if channel is None else self._mbus_client(channel)
        return on_time if one is None else mbus.heard_us(self, one, at_us, on_time)

    def _channel(self, quantity: str) -> MeterChannel | None:
        if not self.table.channels or not self.measuring.has(quantity):
            return None
        medium = self.measuring.medium(quantity)
        return next((one for one in self.table.channels if one.kind == medium), None)

    def _mbus_client(self, channel: MeterChannel) -> ModelObject | None:
        return self.kind.served.mbus_clients.get(channel.channel)

    def medium_of(self, one: ModelObject) -> str:
        """What flows through a relay or valve: the medium of its channel, else electricity."""
        for channel in self.table.channels:
            if channel.channel == one.obis.octets[1]:
                return channel.kind
        return ELECTRICITY

    # --- what it answers ------------------------------------------------------------------------

    def server(self, alter: Alter = unaltered) -> Server:
        """The protocol's side of a new connection to this meter, with what `alter` puts in."""
        parts = ServerParts(
            associations=self.associations,
            link=self._link(),
            server_sap=self.server_sap,
            system_title=self.identity.system_title,
            next_counter=self._draw_counter,
            next_challenge=self.kind.next_challenge,
            client_counters=self.state.counters,
            broadcast_counters=self.state.broadcast_counters,
            guard=MeterGuard(self),
        )
        return alter(parts).server()

    def get(self, request: GetRequested) -> GetResult:
        """Answer a GET."""
        self.advance(self.kind.now())
        return answers.to_get(self, request)

    def set(self, request: SetRequested) -> SetResult:
        """Answer a SET; what is written lasts."""
        self.advance(self.kind.now())
        return answers.to_set(self, request)

    def action(self, request: ActionRequested) -> ActionResult:
        """Answer an ACTION."""
        self.advance(self.kind.now())
        return answers.to_action(self, request)

    def invoke(
        self, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> tuple[ActionResultCode, Data | None]:
        """Invoke a method, whoever may: a client that was checked, or a script of the meter."""
        try:
            return interface_class(one).invoke(self, one, method_index, data, sap)
        finally:
            self.changed()

    def value(self, one: ModelObject, index: int, sap: int) -> Answer:
        """What an attribute holds now, whoever may read it."""
        if index == 1:
            return answers.logical_name(one.obis)
        return interface_class(one).read(self, one, index, None, sap)

    def capture(self, column: CaptureObject) -> Data:
        """What an attribute, or with data_index an element of it, holds now; null for none."""
        one = self.kind.model.objects.get((column.class_id, column.obis))
        if one is None:
            return NULL
        if not column.data_index and column.attribute_index in one.attributes:
            answer = self.value(one, column.attribute_index, self.kind.main_client.sap)
            if isinstance(answer, Data):
                return answer
            if isinstance(answer, bytes):
                return _decoded(answer) if len(answer) <= _SHORT_OCTETS else decode_all(answer)
        return decode_all(self.encoded(one, column.attribute_index, column.data_index))

    def encoded(self, one: ModelObject, index: int, data_index: int) -> bytes:
        """The same as octets."""
        sap = self.kind.main_client.sap
        if index != 1 and index not in one.attributes:
            return encode(NULL)
        answer = self.value(one, index, sap)
        if isinstance(answer, DataAccessResult):
            return encode(NULL)
        octets = answer if isinstance(answer, bytes) else encode(answer)
        if not data_index:
            return octets
        whole = decode_all(octets)
        members = whole.value if isinstance(whole.value, tuple) else ()
        return encode(members[data_index - 1] if data_index <= len(members) else NULL)

    @property
    def written_keys(self) -> AbstractSet[tuple[int, Obis]]:
        """Objects with an attribute that a client wrote, as data."""
        return {(1, obis) for obis, _ in self.state.written}

    def credit_left(self, at_us: int) -> int:
        """What is left to use of prepaid credit, in its currency's scale."""
        account = Account.of(self)
        return 0 if account is None else account.balance(at_us).available

    def _link(self) -> ServerLink:
        if self.kind.hdlc:
            return HdlcServerLink(
                HdlcAddress(self.server_sap), _LINK_OFFER, max_apdu=_MAX_REQUEST_OCTETS
            )
        return WrapperLink(self.server_sap, max_apdu=_MAX_REQUEST_OCTETS)

    def _draw_counter(self) -> int:
        counter = self.next_counter
        self.state.next_counter = counter + 1
        return counter


@lru_cache(maxsize=1024)
def _decoded(octets: bytes) -> Data:
    """Constants of models, for the most part: scalers and units, which each push says again."""
    return decode_all(octets)
