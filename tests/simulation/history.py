"""
What happened in a simulation, as seen from outside the engine; the checker knows nothing else.

Whoever stands between the engine and its surroundings writes here: the wire, the meters, the model
of the database. Two runs are the same if their hashes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import trio


class Event(NamedTuple):
    """`at_s` on the simulated monotonic clock, who, what, and the facts of it."""

    at_s: float
    actor: str
    what: str
    facts: dict[str, Any]


class History:
    """Events in the order in which they happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def note(self, actor: str, what: str, **facts: Any) -> None:
        """Something has happened now."""
        self.events.append(Event(trio.current_time(), actor, what, facts))

    def of(self, *what: str) -> Iterator[Event]:
        """The events of some kinds."""
        return (event for event in self.events if event.what in what)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all of it."""
        hashed = blake2b(digest_size=8)
        for event in self.events:
            hashed.update(repr(event).encode())
        return hashed.hexdigest()
