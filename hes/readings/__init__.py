"""What operators and billing ask of the readings: ranges by meter and channel; the quarantine."""

from hes.readings.board import Cell
from hes.readings.boards import (
    MOST_DAYS,
    Board,
    BoardReader,
    By,
    Drifts,
    MeterCompleteness,
    ProfileCompleteness,
)
from hes.readings.gaps import FilledColumns
from hes.readings.latest import Latest, LatestReader, LatestRow, Source
from hes.readings.quarantine import (
    Quarantine,
    QuarantineDetail,
    QuarantinePage,
    RefusedRow,
)
from hes.readings.queries import (
    BucketPage,
    BucketRow,
    ChannelRow,
    ReadingPage,
    ReadingQueries,
    ReadingRow,
    UnknownChannelError,
)
from hes.storage.quarantine import Decision, EntryHandledError, EntryUnknownError, State
from hes.storage.quarantine import Entry as QuarantineRow
from hes.storage.quarantine import Filter as QuarantineFilter
from hes.storage.queries.rolled import Bucket, Interval, UnalignedZoneError

__all__ = [
    "MOST_DAYS",
    "Board",
    "BoardReader",
    "Bucket",
    "BucketPage",
    "BucketRow",
    "By",
    "Cell",
    "ChannelRow",
    "Decision",
    "Drifts",
    "EntryHandledError",
    "EntryUnknownError",
    "FilledColumns",
    "Interval",
    "Latest",
    "LatestReader",
    "LatestRow",
    "MeterCompleteness",
    "ProfileCompleteness",
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
    "UnalignedZoneError",
    "UnknownChannelError",
]
