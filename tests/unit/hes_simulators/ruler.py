"""
A meter that stands in for the living one where only keys, images or money matter.

Its installation draws 3,600 W for ever: one Wh a second, so that amounts can be reckoned in the
head. Time goes by when a test says so; classes that live are asked in order, as by `Meter.advance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_protocol.axdr import Data
from hes_protocol.cosem import Obis
from hes_protocol.models import Model, parse_model
from hes_protocol.models.objects import ModelClient
from hes_protocol.quirks import STANDARD, Quirks
from hes_protocol.server import ServerAssociation
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators import keys
from hes_simulators.classes.account import AccountClass
from hes_simulators.classes.charge import ChargeClass
from hes_simulators.classes.credit import CreditClass
from hes_simulators.classes.image_transfer import ImageTransfer
from hes_simulators.classes.security_setup import SecuritySetup
from hes_simulators.classes.token_gateway import TokenGateway
from hes_simulators.clock import microseconds, moment
from hes_simulators.faults import FaultPlan
from hes_simulators.identity import Identity
from hes_simulators.randomness import Int64Array
from hes_simulators.state import ELECTRICITY, Cut, MeterState, Spans

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
START_US = microseconds(START)
S = 1_000_000
CLASSES: Mapping[int, Any] = {
    18: ImageTransfer(),
    64: SecuritySetup(),
    111: AccountClass(),
    112: CreditClass(),
    113: ChargeClass(),
    115: TokenGateway(),
}
LIVING = (18, 111, 113)
WRITTEN_S = 100 * 24 * 3600


@attrs.define
class Installation:
    """One Wh a second since 100 days before the start."""

    installed_at: datetime = START - timedelta(seconds=WRITTEN_S)
    quantities: frozenset[str] = frozenset({"import_wh", "import_wh_r1"})


@attrs.define
class Kind:
    """What the classes ask of a kind."""

    model: Model
    meter: Any = None
    quirks: Quirks = STANDARD
    max_receive_pdu_size: int = 512
    clock_zone: ZoneInfo = attrs.field(factory=lambda: ZoneInfo("Europe/Berlin"))
    faults: FaultPlan = attrs.field(factory=lambda: FaultPlan(1, lambda: START))
    shared_rules: dict[int, ServerAssociation] = attrs.field(factory=dict)

    def now(self) -> datetime:
        return moment(self.meter.now_us)

    def keeps(self, meter: Any) -> None:
        """Nothing is kept beyond the test."""


@attrs.define(eq=False)
class RulerMeter:
    """A meter of `model`, TOML text."""

    kind: Kind
    identity: Identity = attrs.field(factory=lambda: Identity.of(1, 0))
    state: MeterState = attrs.field(factory=MeterState)
    source: Installation = attrs.field(factory=Installation)
    now_us: int = START_US
    events: list[str] = attrs.field(factory=list)
    dark: list[tuple[int, int]] = attrs.field(factory=list)
    associations: dict[int, ServerAssociation] = attrs.field(init=False)

    @classmethod
    def of(cls, text: str) -> RulerMeter:
        meter = cls(Kind(parse_model(text)))
        meter.kind.meter = meter
        meter.associations = keys.associations(
            meter.kind, meter.identity, meter.state, meter.clients.values()
        )
        return meter

    @property
    def clients(self) -> dict[int, ModelClient]:
        return {client.sap: client for client in self.kind.model.clients.values()}

    # --- what happens to it -----------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        self.wait_until(microseconds(to))

    def wait(self, seconds: float, looks: int = 1) -> None:
        """Let time go by, looking so often on the way."""
        begin = self.now_us
        for look in range(1, looks + 1):
            self.wait_until(begin + int(seconds * S) * look // looks)

    def wait_until(self, to_us: int) -> None:
        while self.now_us < to_us:
            due = [
                (at, one.class_id, one)
                for one in self.kind.model.objects.values()
                if one.class_id in LIVING
                and (at := CLASSES[one.class_id].due_us(self, one, self.now_us, to_us)) is not None
            ]
            if not due:
                self.now_us = to_us
                return
            at_us, class_id, one = min(due, key=lambda entry: entry[:2])
            assert self.now_us < at_us <= to_us
            self.now_us = at_us
            CLASSES[class_id].happen(self, one, at_us)

    def raise_event(self, name: str, at: datetime, **facts: Any) -> None:
        self.events.append(name)

    def cut(self, why: Cut, at: datetime, medium: str = ELECTRICITY) -> None:
        self.state.cuts.setdefault(medium, Spans()).begin(why, microseconds(at))

    def restore(self, why: Cut, at: datetime, medium: str = ELECTRICITY) -> None:
        self.state.cuts[medium].end(why, microseconds(at))

    def reboot(self, at: datetime, *, until: datetime) -> None:
        self.dark.append((microseconds(at), microseconds(until)))

    @property
    def firmware(self) -> str:
        table = self.kind.model.meter
        assert table is not None
        return self.state.firmware or table.firmware

    @property
    def installed_us(self) -> int:
        return microseconds(self.source.installed_at)

    @property
    def is_cut(self) -> bool:
        return self.state.cuts.get(ELECTRICITY, Spans()).since_us is not None

    # --- what it measures -------------------------------------------------------------------

    def totals(self, quantity: str, at_us: Int64Array) -> Int64Array:
        return np.array([self._total(int(at)) for at in at_us], np.int64)

    def _total(self, at_us: int) -> int:
        """Wh: seconds since the installation that were not cut off."""
        cuts = self.state.cuts.get(ELECTRICITY, Spans())
        begin = microseconds(self.source.installed_at)
        open_ones = [] if cuts.since_us is None else [(cuts.since_us, max(at_us, cuts.since_us))]
        lost = sum(
            max(0, min(to, at_us) - min(since, at_us)) for since, to in [*cuts.closed, *open_ones]
        )
        return int(max(0, at_us - begin - lost) // S)

    def clock(self, at: datetime) -> datetime:
        return at

    # --- what it answers --------------------------------------------------------------------

    def _one(self, class_id: int, obis: str) -> Any:
        return self.kind.model.objects[class_id, Obis.parse(obis)]

    def read(self, class_id: int, obis: str, index: int) -> Any:
        """The value of an attribute, or why there is none."""
        answer = CLASSES[class_id].read(self, self._one(class_id, obis), index, None, 1)
        return answer.value if isinstance(answer, Data) else answer

    def write(self, class_id: int, obis: str, index: int, data: Data) -> DataAccessResult:
        result = CLASSES[class_id].write(self, self._one(class_id, obis), index, data, None, 1)
        assert isinstance(result, DataAccessResult)
        return result

    def invoke(
        self, class_id: int, obis: str, method: int, data: Data | None = None
    ) -> ActionResultCode:
        result, returned = CLASSES[class_id].invoke(
            self, self._one(class_id, obis), method, data, 1
        )
        assert returned is None
        assert isinstance(result, ActionResultCode)
        return result
