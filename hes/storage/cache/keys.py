"""The names of everything in Redis, how long it stays, and how much of it there is at most."""

from __future__ import annotations

from typing import Final
from uuid import UUID

STATE: Final = "hes:state"
STATE_TTL_S: Final = 86_400

PUBLISHED: Final = "hes:published"
PUBLISHED_TTL_S: Final = 600
PUBLISHED_BATCHES: Final = 200_000

FEED: Final = "hes:feed"
FEED_TTL_S: Final = 86_400
FEED_ENTRIES: Final = 50_000

LATEST_TTL_S: Final = 7 * 86_400
LEASE_S: Final = 10.0


def latest(meter_id: UUID) -> str:
    """The hash of a meter's latest values."""
    return f"hes:latest:{meter_id.hex}"


def limit(name: str) -> str:
    """A token bucket."""
    return f"hes:limit:{name}"


def present(kind: str) -> str:
    """Who of a kind is there."""
    return f"hes:present:{kind}"
