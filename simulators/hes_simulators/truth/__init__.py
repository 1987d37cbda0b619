"""The truth: what simulated meters really held, sent, executed and suffered, and when."""

from hes_simulators.truth.journal import FileJournal, Journal, ListJournal, Note, NullJournal
from hes_simulators.truth.rows import TruthLog, TruthRow, rows

__all__ = [
    "FileJournal",
    "Journal",
    "ListJournal",
    "Note",
    "NullJournal",
    "TruthLog",
    "TruthRow",
    "rows",
]
