"""
What one interface class of the standard does, for every object of it in every meter.

Owns the protocols, no class. An implementation keeps nothing: what an object keeps is in
`meter.state.of(obis)`. `meter.now_us` is the moment of the request; `Meter` has already advanced
to it, found the object in the client's object list and checked that the model lets the client
read, write or invoke it. IEC 62056-6-2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from hes_protocol.axdr import Data
from hes_protocol.server import Selection
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult

if TYPE_CHECKING:
    from hes_protocol.models.objects import ModelObject
    from hes_simulators.meter import Meter

Answer: TypeAlias = Data | bytes | DataAccessResult
"""An attribute's value, plain or encoded already; or why there is none."""


class InterfaceClass(Protocol):
    """Attributes and methods of one class_id; `sap` is the client that asks."""

    def read(
        self, meter: Meter, one: ModelObject, index: int, selection: Selection | None, sap: int
    ) -> Answer:
        """Attribute `index` (2 and above) at `meter.now_us`, whole or in part."""

    def write(
        self,
        meter: Meter,
        one: ModelObject,
        index: int,
        data: Data,
        selection: Selection | None,
        sap: int,
    ) -> DataAccessResult:
        """Check type and range, then take the value; nothing changes unless SUCCESS."""

    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> tuple[ActionResultCode, Data | None]:
        """Do it, and what it returns; nothing changes unless SUCCESS."""


@runtime_checkable
class LivingClass(Protocol):
    """
    A class whose objects do something by themselves as time goes by (a limiter trips, a billing
    period ends, credit runs out). `Meter.advance` asks all of them, and lets happen what is first.
    """

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """
        The first moment, `after_us` < t <= `until_us`, when something happens, or None.

        Must follow from the state and the energy alone, never from when it is asked.
        """

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """What `due_us` announced for `at_us`."""
