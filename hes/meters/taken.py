"""Whose names are whose: no two meters have one system title, nor one name in pushes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from hes.meters.fields import RowError
from hes.meters.rows import MeterSpec
from hes.storage.meter_changes import MeterChanges
from hes_protocol.cosem import Obis


def name_in_pushes(spec: MeterSpec) -> tuple[Obis | None, str]:
    """Under which object pushes name a meter, and how."""
    return spec.id_object, spec.id_value if spec.id_value is not None else spec.serial


@attrs.frozen
class Taken:
    """Whose the system titles and names in pushes of a chunk are already."""

    titles: Mapping[bytes, str]
    names: Mapping[tuple[Obis, str], str]

    @classmethod
    def among(cls, changes: MeterChanges, specs: Sequence[MeterSpec]) -> Taken:
        """Look them up."""
        names = [name_in_pushes(spec) for spec in specs]
        return cls(
            changes.titles([spec.system_title for spec in specs if spec.system_title is not None]),
            changes.named_in_pushes([(obis, text) for obis, text in names if obis is not None]),
        )

    def check(self, spec: MeterSpec) -> None:
        """
        Refuse what is another meter's.

        Raises:
            RowError: the system title, or the name in pushes, is.
        """
        if spec.system_title is not None:
            owner = self.titles.get(spec.system_title, spec.serial)
            if owner != spec.serial:
                raise RowError("system_title", f"is that of meter {owner}")
        if spec.id_object is not None:
            owner = self.names.get((spec.id_object, name_in_pushes(spec)[1]), spec.serial)
            if owner != spec.serial:
                raise RowError("id_object", f"names meter {owner} already")
