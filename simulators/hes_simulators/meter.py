"""
One simulated meter: what makes it this one, and its answers to what a client asks.

Owns the meter's own invocation counter and the highest one that it accepted of each client; both
live as long as the process, see `starts` for what happens between. Does not own sockets or
associations under way: any number of connections may talk to one meter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.axdr import Data
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.hdlc import HdlcAddress, HdlcServerLink, LinkParameters
from hes_protocol.quirks import STANDARD, Quirks
from hes_protocol.security.control import Protection
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    GetRequested,
    GetResult,
    Server,
    ServerAssociation,
    ServerLink,
    SetRequested,
    SetResult,
)
from hes_protocol.settings import REPLY_TO_HLS
from hes_protocol.wrapper import WrapperLink
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.energy.curves import Curve, LoadModel
from hes_simulators.faults import Alter, FaultPlan, ServerParts, unaltered
from hes_simulators.household_meter import MANAGEMENT_SAP, PUBLIC_SAP, SERVER_SAP, household_model
from hes_simulators.identity import LLS_SECRET, Identity
from hes_simulators.local_time import standard_clock
from hes_simulators.objects import Context, ObjectModel
from hes_simulators.randomness import Int64Array
from hes_simulators.state import ELECTRICITY, Cut, MeterState, Spans

if TYPE_CHECKING:
    from hes_protocol.models.objects import ModelPush
    from hes_simulators.energy import Source

# A request is never longer than this, even with a large PDU: no SET of big values yet.
_MAX_REQUEST_OCTETS: Final = 2048
_CLASS_ASSOCIATION: Final = 15
_LINK_OFFER: Final = LinkParameters(512, 512, 4, 4)


class Security(StrEnum):
    """How the management client is secured."""

    NONE = "none"
    LLS = "lls"
    MD5 = "md5"
    SHA1 = "sha1"
    GMAC = "gmac"
    SHA256 = "sha256"

    def secret(self, identity: Identity) -> bytes | None:
        """The password or HLS secret that a meter shares with the management client."""
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


@attrs.frozen(kw_only=True, eq=False)
class MeterKind:
    """
    What all meters of a fleet share.

    `now` is the meters' clock, aware UTC; `next_challenge` gives a fresh HLS challenge;
    `first_counter` is where each meter's own invocation counter begins; `hdlc` that they speak
    HDLC instead of the wrapper; `quirks` what their model does otherwise than the standard;
    `faults` what goes wrong with which of them, changed while they run.
    """

    seed: int
    zone: ZoneInfo
    security: Security
    max_receive_pdu_size: int
    profile_days: int
    now: Callable[[], datetime]
    next_challenge: Callable[[], bytes]
    first_counter: int
    hdlc: bool = False
    quirks: Quirks = STANDARD
    faults: FaultPlan = attrs.field(
        default=attrs.Factory(lambda self: FaultPlan(self.seed, self.now), takes_self=True)
    )
    loads: LoadModel = attrs.field(
        default=attrs.Factory(lambda self: LoadModel(self.seed, self.zone), takes_self=True)
    )
    objects: ObjectModel = attrs.field(
        default=attrs.Factory(
            lambda self: household_model(self.profile_days, self.quirks), takes_self=True
        )
    )

    @property
    def clock_zone(self) -> tzinfo:
        """In which the meters' clocks run, whatever the people around them live by."""
        return standard_clock(self.zone) if self.quirks.standard_time else self.zone


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """Whole microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // _US


def moment(at_us: int) -> datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + timedelta(microseconds=at_us)


@attrs.frozen
class DuePush:
    """What a meter wants to send: by which push setup, why (an event's name, or ""), since when."""

    setup: ModelPush
    reason: str
    at: datetime


@attrs.define(eq=False)
class Meter:
    """Meter `identity` of its fleet; make it with `Meter.of`."""

    kind: MeterKind = attrs.field(repr=False)
    identity: Identity
    curve: Curve = attrs.field(repr=False)
    state: MeterState = attrs.field(factory=MeterState, init=False, repr=False)
    now_us: int = attrs.field(default=0, init=False)
    pushes_due: deque[DuePush] = attrs.field(factory=deque, init=False, repr=False)
    client_counters: dict[int, int] = attrs.field(factory=dict, init=False)
    written: dict[tuple[Obis, int], Data] = attrs.field(factory=dict, init=False, repr=False)
    _next_counter: int = attrs.field(init=False)
    _associations: dict[int, ServerAssociation] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._next_counter = self.kind.first_counter
        self._associations = _associations(self.kind, self.identity)

    @classmethod
    def of(cls, kind: MeterKind, index: int) -> Meter:
        """Meter `index` of the fleet that `kind` describes."""
        return cls(kind, Identity.of(kind.seed, index), kind.loads.curve(index))

    # --- what happens to it ---------------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        """
        Let everything happen that was to happen until then: billing, limiter, credit, in order.

        Moments before the last one change nothing: a meter does not go back.
        """
        self._advance_us(microseconds(to))

    def cut(self, why: Cut, at: datetime, medium: str = ELECTRICITY) -> None:
        """Nothing flows from now on; in an OUTAGE the meter is dark as well."""
        at_us = self._advance_us(microseconds(at))
        self.state.cuts.setdefault(medium, Spans()).begin(why, at_us)
        if why is Cut.OUTAGE:
            self.state.dark.begin(why, at_us)

    def restore(self, why: Cut, at: datetime, medium: str = ELECTRICITY) -> None:
        """This reason to cut has gone; energy flows again when it was the last one."""
        at_us = self._advance_us(microseconds(at))
        if medium in self.state.cuts:
            self.state.cuts[medium].end(why, at_us)
        if why is Cut.OUTAGE:
            self.state.dark.end(why, at_us)

    def is_dark(self, at: datetime) -> bool:
        """Whether it has no power, or is starting: connections close, nothing answers."""
        return self.state.dark.covers(microseconds(at))

    def reboot(self, at: datetime, *, until: datetime) -> None:
        """Dark from `at` to `until`, while energy flows on: nobody measures it meanwhile."""
        raise NotImplementedError

    def raise_event(self, name: str, at: datetime, **facts: Any) -> None:
        """
        Something happened that the model has a code for: logs, alarm bits, pushes, journal.

        Args: name: as the model's tables call it; one without a code there is only journaled.
            facts: numbers that its log captures beside, by name of their source.
        """
        raise NotImplementedError

    # --- what it measures -----------------------------------------------------------------------

    @property
    def source(self) -> Source:
        """What the installation behind it would use if nothing were ever cut off."""
        raise NotImplementedError

    def totals(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """
        What a register held at each moment: cumulative, native unit; cuts applied.

        Args: at_us: microseconds since 1970 UTC, true time, sorted.
        """
        raise NotImplementedError

    def momentary(self, quantity: str, at: datetime) -> int:
        """What is measured at a moment; nothing flows in a cut, no voltage in an outage."""
        raise NotImplementedError

    def clock(self, at: datetime) -> datetime:
        """What its clock shows at a true moment, drift and steps included; aware UTC."""
        return at

    def _advance_us(self, to_us: int) -> int:
        self.now_us = max(to_us, self.now_us)
        return self.now_us

    # --- what it answers ------------------------------------------------------------------------

    def server(self, alter: Alter = unaltered) -> Server:
        """The protocol's side of a new connection to this meter, with what `alter` puts in."""
        parts = ServerParts(
            associations=self._associations,
            link=self._link(),
            server_sap=SERVER_SAP,
            system_title=self.identity.system_title,
            next_counter=self._draw_counter,
            next_challenge=self.kind.next_challenge,
            client_counters=self.client_counters,
        )
        return alter(parts).server()

    def _link(self) -> ServerLink:
        if self.kind.hdlc:
            return HdlcServerLink(
                HdlcAddress(SERVER_SAP), _LINK_OFFER, max_apdu=_MAX_REQUEST_OCTETS
            )
        return WrapperLink(SERVER_SAP, max_apdu=_MAX_REQUEST_OCTETS)

    def get(self, request: GetRequested) -> GetResult:
        """Answer a GET by the object model."""
        answer = self._read(request)
        if isinstance(answer, DataAccessResult):
            return GetResult(request.invoke_id, answer)
        return GetResult(request.invoke_id, octets=answer)

    def set(self, request: SetRequested) -> SetResult:
        """Answer a SET by the object model, and keep what is written as long as the process."""
        wanted = request.attribute
        found = self.kind.objects.find(wanted.class_id, wanted.obis, request.client_sap)
        if isinstance(found, DataAccessResult):
            return SetResult(request.invoke_id, found)
        result = self.kind.objects.write(
            found, wanted.index, request.data, whole=request.selection is None
        )
        if result is DataAccessResult.SUCCESS:
            self.written[wanted.obis, wanted.index] = request.data
        return SetResult(request.invoke_id, result)

    def action(self, request: ActionRequested) -> ActionResult:
        """Answer an ACTION: what the protocol does not answer itself, nobody may invoke."""
        method = request.method
        found = self.kind.objects.find(method.class_id, method.obis, request.client_sap)
        if isinstance(found, DataAccessResult):
            return ActionResult(request.invoke_id, ActionResultCode(found))
        return ActionResult(request.invoke_id, ActionResultCode.READ_WRITE_DENIED)

    def _read(self, request: GetRequested) -> bytes | DataAccessResult:
        wanted, objects = request.attribute, self.kind.objects
        found = objects.find(wanted.class_id, wanted.obis, request.client_sap)
        if isinstance(found, DataAccessResult):
            return found
        context = Context(
            identity=self.identity,
            curve=self.curve,
            zone=self.kind.clock_zone,
            at=self.kind.now(),
            association=self._associations[request.client_sap],
            client_counters=self.client_counters,
            written=self.written,
        )
        return objects.read(found, wanted.index, request.selection, context)

    def _draw_counter(self) -> int:
        counter = self._next_counter
        self._next_counter += 1
        return counter


def _associations(kind: MeterKind, identity: Identity) -> dict[int, ServerAssociation]:
    ciphered = kind.security is Security.GMAC
    hls_object = kind.quirks.hls_object.get(MANAGEMENT_SAP)
    management = ServerAssociation(
        client_sap=MANAGEMENT_SAP,
        mechanism=MECHANISMS[kind.security],
        secret=kind.security.secret(identity),
        hls_object=(
            REPLY_TO_HLS if hls_object is None else Method(_CLASS_ASSOCIATION, hls_object, 1)
        ),
        encryption_key=identity.encryption_key if ciphered else None,
        authentication_key=identity.authentication_key if ciphered else None,
        minimum_protection=Protection.AUTHENTICATED_ENCRYPTED if ciphered else Protection.PLAIN,
        max_receive_pdu_size=kind.max_receive_pdu_size,
        same_proof_counter=kind.quirks.counter_reuse,
        empty_system_title=kind.quirks.empty_system_title,
        no_rlrq=kind.quirks.no_rlrq,
    )
    public = ServerAssociation(
        client_sap=PUBLIC_SAP,
        max_receive_pdu_size=kind.max_receive_pdu_size,
        no_rlrq=kind.quirks.no_rlrq,
    )
    return {MANAGEMENT_SAP: management, PUBLIC_SAP: public}
