"""What happened in a fleet so far, in numbers."""

from __future__ import annotations

import attrs


@attrs.define
class FleetCounters:
    """
    Over all meters since the start.

    `crashed` are sessions, pushes and other deeds of one meter that a bug of ours ended.
    `turned_away` are connections that were closed unheard, `failed` sessions that a client broke.
    `pushes_failed` were given up after their last attempt, `pushes_dropped` never tried: no room
    in the queue, or no power. `dials_failed` are calls that nobody answered.
    """

    sessions: int = 0
    open_sessions: int = 0
    reads: int = 0
    failed: int = 0
    crashed: int = 0
    turned_away: int = 0
    dials: int = 0
    dials_failed: int = 0
    open_dials: int = 0
    pushes_sent: int = 0
    pushes_confirmed: int = 0
    pushes_dropped: int = 0
    pushes_failed: int = 0
    datagrams: int = 0
