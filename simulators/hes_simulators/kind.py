"""
What all meters of one group share: model, time, seed, security, and what is derived from them once.

Owns no state of any meter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.models import Model
from hes_protocol.models.objects import MeterTable, ModelClient, ModelObject, ModelProfile
from hes_protocol.quirks import Quirks
from hes_protocol.settings import ServerAssociation
from hes_simulators.billing import billing_grid
from hes_simulators.classes import LivingClass
from hes_simulators.clock import DAY_S, Face, Grid, microseconds
from hes_simulators.energy import Region
from hes_simulators.extremes import Extremes
from hes_simulators.faults import FaultPlan
from hes_simulators.identity import LLS_SECRET, Identity
from hes_simulators.keys import main_client, secured
from hes_simulators.known_models import simulated_model
from hes_simulators.local_time import standard_clock
from hes_simulators.randomness import stream_key
from hes_simulators.reach import Target
from hes_simulators.served_model import ServedModel
from hes_simulators.truth.journal import Journal, NullJournal

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_LOAD_PROFILE: Final = "1.0.99.1.0.255"
_NO_METER: Final = MeterTable()


class Security(StrEnum):
    """How the main client is secured."""

    NONE = "none"
    LLS = "lls"
    MD5 = "md5"
    SHA1 = "sha1"
    GMAC = "gmac"
    SHA256 = "sha256"

    def secret(self, identity: Identity) -> bytes | None:
        """The password or HLS secret that a meter shares with the main client."""
        if self in (Security.NONE, Security.GMAC):
            return None
        return LLS_SECRET if self is Security.LLS else identity.hls_secret


MECHANISMS: Final = {
    Security.NONE: Mechanism.NONE,
    Security.LLS: Mechanism.LLS,
    Security.MD5: Mechanism.HLS_MD5,
    Security.SHA1: Mechanism.HLS_SHA1,
    Security.GMAC: Mechanism.HLS_GMAC,
    Security.SHA256: Mechanism.HLS_SHA256,
}
_SECURITIES: Final = {mechanism: security for security, mechanism in MECHANISMS.items()}


def _nobody_listens(meter: Meter) -> None:
    """Pushes that are due stay due."""


def _given(value: Any) -> Any:
    """May be None at first: then the model says it."""
    return value


@attrs.define(kw_only=True, eq=False, slots=False)
class MeterKind:
    """
    What all meters of a group share; made once, not changed but for `speaks_up`.

    Args:
        seed: of the fleet.
        zone: where they stand.
        now: true time, aware UTC.
        next_challenge: gives a fresh HLS challenge.
        first_counter: where each meter's own invocation counter begins.
        model: what they are; of the main client `security`, `max_receive_pdu_size`, and of the load
            profile `profile_days`, may be other than it says.
        quirks: what they do otherwise than the standard; the model's unless given.
        hdlc: that they speak HDLC instead of the wrapper.
        faults: what goes wrong with which of them, changed while they run.
        load: what hangs on them, a kind of `energy.source`; None: as the model says.
        region: weather and grid that they share with others; None: one of their seed and zone.
        drift_ppm: the most that a clock is fast or slow, millionths.
        journal: where they say what really happens.
        speaks_up: called when a meter has put something into its `pushes_due`.
        keeps: called when a meter has changed what must not be lost, whatever becomes of us.
        destinations: where they may push to: by themselves to the first, else where a client says.
        started_at: when they were switched on: before, nothing happened by itself.
    """

    seed: int
    zone: ZoneInfo
    now: Callable[[], datetime]
    next_challenge: Callable[[], bytes]
    first_counter: int
    model: Model = attrs.field(factory=simulated_model)
    security: Security = attrs.field(default=None, converter=_given)
    max_receive_pdu_size: int = attrs.field(default=None, converter=_given)
    profile_days: int | None = None
    quirks: Quirks = attrs.field(default=None, converter=_given)
    hdlc: bool = False
    faults: FaultPlan = attrs.field(
        default=attrs.Factory(lambda self: FaultPlan(self.seed, self.now), takes_self=True)
    )
    load: str | None = None
    region: Region | None = None
    drift_ppm: int = 0
    journal: Journal = attrs.field(factory=NullJournal)
    speaks_up: Callable[[Meter], None] = _nobody_listens
    keeps: Callable[[Meter], None] = _nobody_listens
    destinations: tuple[Target, ...] = ()
    started_at: datetime = attrs.field(
        default=attrs.Factory(lambda self: self.now(), takes_self=True)
    )
    served: ServedModel = attrs.field(init=False)
    clients: Mapping[int, ModelClient] = attrs.field(init=False)
    # Of the meters that were asked last.
    extremes: Extremes = attrs.field(factory=Extremes, init=False)
    # By SAP, of clients for whom all fresh meters have the same; see `keys.associations`.
    shared_rules: dict[int, ServerAssociation] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        if not self.quirks:
            self.quirks = self.model.quirks
        if not self.max_receive_pdu_size:
            self.max_receive_pdu_size = self.table.max_receive_pdu_size
        self.clients = dict(self.model.clients)
        main = main_client(self.clients.values())
        if not self.security:
            self.security = _SECURITIES[main.mechanism]
        elif MECHANISMS[self.security] is not main.mechanism:
            self.clients[main.sap] = secured(main, MECHANISMS[self.security])
        self.model = attrs.evolve(self.model, clients=self.clients)
        self.served = ServedModel(self.model, self.quirks)
        self.model = self.served.model

    @property
    def table(self) -> MeterTable:
        """The model's table [meter]."""
        return self.model.meter or _NO_METER

    @cached_property
    def main_client(self) -> ModelClient:
        """The client that head-ends use."""
        return main_client(self.clients.values())

    @property
    def clock_zone(self) -> tzinfo:
        """In which the meters' clocks run, whatever the people around them live by."""
        return standard_clock(self.zone) if self.quirks.standard_time else self.zone

    @cached_property
    def face(self) -> Face:
        """How a fresh meter's clock shows its time."""
        return Face(self.clock_zone, deviation=not self.quirks.standard_time)

    @cached_property
    def billing(self) -> Grid | None:
        """When billing periods end."""
        return billing_grid(self.table.billing, self.face)

    @cached_property
    def started_us(self) -> int:
        """`started_at` in microseconds."""
        return microseconds(self.started_at)

    @property
    def living(self) -> tuple[tuple[ModelObject, LivingClass], ...]:
        """Objects that do something by themselves."""
        return self.served.living

    def entries(self, profile: ModelProfile) -> int:
        """The depth of a profile's buffer, rows."""
        if self.profile_days is None or str(profile.obis) != _LOAD_PROFILE:
            return profile.entries
        return self.profile_days * DAY_S // max(profile.capture_period_s, 1)

    def drift_ppb(self, index: int) -> int:
        """How much the clock of a meter is fast, thousand-millionths; negative: slow."""
        if not self.drift_ppm:
            return 0
        most = self.drift_ppm * 1000
        return stream_key(self.seed, index, "drift") % (2 * most + 1) - most
