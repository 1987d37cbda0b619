"""
The inventory: meters, their associations and addresses, import from files.

`Inventory` is the service; `rows` holds the rules for a row of a meter file.
"""

from hes.meters.chunks import OnExisting
from hes.meters.files import Format
from hes.meters.imports import ImportedRowError, ImportReport
from hes.meters.inventory import BadCursorError, Inventory, MeterPage
from hes.meters.lines import bounded_lines
from hes.storage.installations import PlaceRow
from hes.storage.meters import (
    AssociationRow,
    DueWork,
    KnowledgeSummary,
    MeterDetail,
    MeterRow,
)

__all__ = [
    "AssociationRow",
    "BadCursorError",
    "DueWork",
    "Format",
    "ImportReport",
    "ImportedRowError",
    "Inventory",
    "KnowledgeSummary",
    "MeterDetail",
    "MeterPage",
    "MeterRow",
    "OnExisting",
    "PlaceRow",
    "bounded_lines",
]
