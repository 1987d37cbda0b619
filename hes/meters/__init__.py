"""
The inventory: meters, their lives and associations, where they hang; import from files.

`Inventory` shows it and imports files, `InventoryChanges` changes single meters. `rows` and the
modules beside it hold the rules for a row of a meter file, `chunks` what a row makes of what is
there; `hes.domain.life` which states follow which.
"""

from hes.meters.changing import InventoryChanges
from hes.meters.chunks import OnExisting
from hes.meters.files import Format
from hes.meters.imports import ImportedRowError, ImportReport
from hes.meters.inventory import BadCursorError, Inventory, MeterPage
from hes.meters.lines import bounded_lines
from hes.meters.wishes import (
    ExchangeWish,
    MeterExistsError,
    RefusedError,
    UnknownAssociationError,
)
from hes.storage.exchanges import Exchange
from hes.storage.groups import Group
from hes.storage.installations import PlaceRow
from hes.storage.mbus import Attachment
from hes.storage.meter_details import (
    AssociationRow,
    DueWork,
    KnowledgeSummary,
    MeterDetail,
)
from hes.storage.meter_life import LifeStep
from hes.storage.meters import MeterFilter, MeterRow
from hes.storage.tags import Tag

__all__ = [
    "AssociationRow",
    "Attachment",
    "BadCursorError",
    "DueWork",
    "Exchange",
    "ExchangeWish",
    "Format",
    "Group",
    "ImportReport",
    "ImportedRowError",
    "Inventory",
    "InventoryChanges",
    "KnowledgeSummary",
    "LifeStep",
    "MeterDetail",
    "MeterExistsError",
    "MeterFilter",
    "MeterPage",
    "MeterRow",
    "OnExisting",
    "PlaceRow",
    "RefusedError",
    "Tag",
    "UnknownAssociationError",
    "bounded_lines",
]
