"""What operators and billing ask of the readings: ranges by meter and channel; the quarantine."""

from hes.readings.latest import Latest, LatestReader, LatestRow, Source
from hes.readings.quarantine import (
    EntryHandledError,
    EntryUnknownError,
    Quarantine,
    QuarantineDetail,
    QuarantinePage,
    RefusedRow,
)
from hes.readings.queries import ChannelRow, ReadingPage, ReadingQueries, ReadingRow
from hes.storage.quarantine import Decision, State
from hes.storage.quarantine import Entry as QuarantineRow
from hes.storage.quarantine import Filter as QuarantineFilter

__all__ = [
    "ChannelRow",
    "Decision",
    "EntryHandledError",
    "EntryUnknownError",
    "Latest",
    "LatestReader",
    "LatestRow",
    "Quarantine",
    "QuarantineDetail",
    "QuarantineFilter",
    "QuarantinePage",
    "QuarantineRow",
    "ReadingPage",
    "ReadingQueries",
    "ReadingRow",
    "RefusedRow",
    "Source",
    "State",
]
