"""
What of the server is in use: how the large tables are cut by time, and what keeps them small.

Three paths answer alike: partitions on plain PostgreSQL, hypertables with TimescaleDB's Apache
edition, and with the community licence compression and continuous aggregates beside them.
`reconcile` brings a database to the best that its server has; only this package uses what plain
PostgreSQL does not have.
"""

from hes.storage.features import aggregate, chunks, partitions
from hes.storage.features.ahead import ensure_ahead
from hes.storage.features.chunks import CHUNK_US, Chunk
from hes.storage.features.retention import drop_older, list_chunks
from hes.storage.features.server import Features, Path, look, state
from hes.storage.features.switching import reconcile

__all__ = [
    "CHUNK_US",
    "Chunk",
    "Features",
    "Path",
    "aggregate",
    "chunks",
    "drop_older",
    "ensure_ahead",
    "list_chunks",
    "look",
    "partitions",
    "reconcile",
    "state",
]
