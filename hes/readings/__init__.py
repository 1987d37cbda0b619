"""What operators and billing ask of the readings: ranges by meter and channel; the quarantine."""

from hes.readings.latest import Latest, LatestReader, LatestRow, Source
from hes.readings.quarantine import Quarantine, QuarantinePage, QuarantineRow
from hes.readings.queries import ChannelRow, ReadingPage, ReadingQueries, ReadingRow

__all__ = [
    "ChannelRow",
    "Latest",
    "LatestReader",
    "LatestRow",
    "Quarantine",
    "QuarantinePage",
    "QuarantineRow",
    "ReadingPage",
    "ReadingQueries",
    "ReadingRow",
    "Source",
]
