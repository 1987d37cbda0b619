"""Meters of any model for tests, with a time that the test moves, and a client that asks them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.axdr import Data, decode_all
from hes_protocol.cosem import Attribute, CosemDateTime, Method, Obis
from hes_protocol.models import ModelObject
from hes_protocol.server import ActionRequested, GetRequested, Selection, SetRequested
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.known_models import simulated_model
from hes_simulators.meter import Meter, MeterKind
from hes_simulators.state import MeterState
from hes_simulators.truth import ListJournal

START = datetime(2026, 11, 17, 10, 0, tzinfo=UTC)
PROFILE = (7, "1.0.99.1.0.255")
CLOCK = (8, "0.0.1.0.0.255")
IMPORT = (3, "1.0.1.8.0.255")


@attrs.define
class Hands:
    """One meter, and a time that only the test moves."""

    meter: Meter
    journal: ListJournal
    _time: list[datetime]

    @property
    def now(self) -> datetime:
        return self._time[0]

    def at(self, moment: datetime) -> Hands:
        self._time[0] = moment
        return self

    def after(self, **named: float) -> Hands:
        return self.at(self.now + timedelta(**named))

    @property
    def sap(self) -> int:
        return self.meter.kind.main_client.sap

    def get(
        self, what: tuple[int, str], index: int = 2, selection: Selection | None = None
    ) -> Data | DataAccessResult:
        attribute = Attribute(what[0], Obis.parse(what[1]), index)
        answer = self.meter.get(GetRequested(1, attribute, selection, self.sap))
        return decode_all(answer.octets) if answer.octets else answer.result

    def value(self, what: tuple[int, str], index: int = 2, **named: Any) -> Any:
        answer = self.get(what, index, **named)
        assert isinstance(answer, Data), answer
        return answer.value

    def set(self, what: tuple[int, str], index: int, data: Data) -> DataAccessResult:
        attribute = Attribute(what[0], Obis.parse(what[1]), index)
        return self.meter.set(SetRequested(1, attribute, data, None, self.sap)).result

    def act(self, what: tuple[int, str], index: int, data: Data | None = None) -> ActionResultCode:
        method = Method(what[0], Obis.parse(what[1]), index)
        return self.meter.action(ActionRequested(1, method, data, self.sap)).result

    def rows(self, what: tuple[int, str] = PROFILE) -> list[list[Any]]:
        """A buffer as values; date-times as aware UTC."""
        return [[_plain(cell) for cell in row.value] for row in self.value(what)]


def _plain(cell: Data) -> Any:
    if isinstance(cell.value, bytes) and len(cell.value) == 12:
        text = CosemDateTime.from_octets(cell.value).isoformat()
        if text is not None:
            return datetime.fromisoformat(text).astimezone(UTC)
    return cell.value


def hands(
    model: str = "idis-single-phase",
    index: int = 3,
    at: datetime = START,
    state: MeterState | None = None,
    more: tuple[ModelObject, ...] = (),
    **named: Any,
) -> Hands:
    """Meter `index` of a model, switched on at `at`."""
    table = attrs.evolve(simulated_model(model))
    for one in more:
        table = attrs.evolve(table, objects={**table.objects, one.key: one})
    assert table.meter is not None
    time, journal = [at], ListJournal()
    now: Callable[[], datetime] = lambda: time[0]  # noqa: E731
    kind = MeterKind(
        seed=1,
        zone=ZoneInfo(table.meter.zone),
        now=now,
        next_challenge=lambda: bytes(16),
        first_counter=1 << 20,
        model=table,
        journal=journal,
        **named,
    )
    return Hands(Meter.of(kind, index, state), journal, time)
