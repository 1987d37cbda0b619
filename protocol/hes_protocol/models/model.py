"""One meter family: what its file says, with all that it inherits."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hes_protocol.cosem import Obis, ScalerUnit, Unit
from hes_protocol.models.dial_in import DialIn
from hes_protocol.models.layouts import PushLayout
from hes_protocol.models.objects import (
    MeterTable,
    ModelClient,
    ModelEvents,
    ModelObject,
    ModelProfile,
    ModelPush,
)
from hes_protocol.quirks import STANDARD, Quirks


@attrs.frozen
class Model:
    """
    One meter family.

    `about` is one line for people; `push` are layouts, with which received pushes are read,
    `pushes` what a simulated meter sends; `clients` by SAP; `objects` by (class_id, logical_name),
    profiles and push setups included. `device_name` is how its logical device names begin, "" where
    nobody knows; `dial_in` is None for meters that are not known to call us.
    """

    name: str
    maker: str
    source: str
    push: tuple[PushLayout, ...] = ()
    quirks: Quirks = STANDARD
    inherits: str | None = None
    about: str = ""
    meter: MeterTable | None = None
    clients: Mapping[int, ModelClient] = attrs.field(factory=dict)
    objects: Mapping[tuple[int, Obis], ModelObject] = attrs.field(factory=dict)
    events: ModelEvents = attrs.field(factory=ModelEvents)
    pushes: tuple[ModelPush, ...] = ()
    device_name: str = ""
    dial_in: DialIn | None = None

    @property
    def simulated(self) -> bool:
        """Whether there are simulated meters of this model: it has a table [meter]."""
        return self.meter is not None

    @property
    def profiles(self) -> Mapping[Obis, ModelProfile]:
        """Those of the objects that are profiles."""
        return {one.obis: one for one in self.objects.values() if isinstance(one, ModelProfile)}

    @property
    def scaler_units(self) -> Mapping[tuple[int, Obis], ScalerUnit]:
        """Scaler and unit of registers (class_id 3, 4, 5), by class_id and logical_name."""
        return {
            key: ScalerUnit(value.scaler, Unit.of(value.unit))
            for key, one in self.objects.items()
            if (value := one.attributes.get(2)) is not None and value.unit is not None
        }

    @property
    def last_gasps(self) -> frozenset[Obis]:
        """The push setups that speak only when the supply fails."""
        return frozenset(one.obis for one in self.pushes if set(one.on) == {"power_down"})

    def client(self, name: str) -> ModelClient:
        """
        The client of this name.

        Raises: KeyError: there is none.
        """
        for client in self.clients.values():
            if client.name == name:
                return client
        raise KeyError(name)
