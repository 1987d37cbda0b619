"""What the composition root works out by itself."""

from __future__ import annotations

import pytest

from hes import wiring
from hes.settings import DatabaseSettings, Settings


@pytest.mark.parametrize(("connections", "threads"), [(4, 1), (5, 1), (6, 2), (20, 8), (100, 8)])
def test_sessions_pushes_and_the_writer_share_the_connections(
    connections: int, threads: int
) -> None:
    chosen = Settings(database=DatabaseSettings(max_connections=connections))
    made = wiring._collector_settings(chosen, b"HEH\0\0\0\0\1")
    assert made.worker_threads == threads
    assert 2 * made.worker_threads < connections
