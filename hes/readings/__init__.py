"""What operators and billing ask of the readings: ranges by meter and channel; the quarantine."""

from hes.readings.quarantine import Quarantine, QuarantinePage, QuarantineRow
from hes.readings.queries import ChannelRow, ReadingPage, ReadingQueries, ReadingRow

__all__ = [
    "ChannelRow",
    "Quarantine",
    "QuarantinePage",
    "QuarantineRow",
    "ReadingPage",
    "ReadingQueries",
    "ReadingRow",
]
