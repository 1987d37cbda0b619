"""
The truth: what simulated meters really held, sent, executed and suffered, and when.

`rows` (what meters captured) is not imported here: meters themselves keep a journal.
"""

from hes_simulators.truth.journal import FileJournal, Journal, ListJournal, Note, NullJournal

__all__ = ["FileJournal", "Journal", "ListJournal", "Note", "NullJournal"]
