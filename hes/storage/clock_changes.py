"""
Changes of meters' clocks (tables `clock_change`, `clock_order`), and how far clocks are off.

A change of ours is there before the meter is told of it, so that its intervals are marked whatever
becomes of the answer; only what a meter has refused marks nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs
import psycopg

from hes.domain.clock import ClockChange, ClockHow, ClockOutcome
from hes.domain.errors import UnknownMeterError
from hes.storage.database import Connection, Database

_CHANGING: Final = """
INSERT INTO clock_change (meter_id, at, before_at, after_at, how, outcome, session_id)
VALUES (%s, %s, %s, %s, %s, 'sent', %s) RETURNING change_id
"""

_MAY_TRY: Final = """
SELECT outcome <> 'refused' OR at < now() - interval '1 day' FROM clock_change
WHERE meter_id = %s AND how <> 'seen' ORDER BY at DESC, change_id DESC LIMIT 1
"""

# Drift that leaps between two sessions of a meter though we have set nothing: somebody else did.
_SEEN: Final = """
INSERT INTO clock_change (meter_id, at, before_at, after_at, how, outcome, drift_s, session_id)
SELECT meter_id, started_at, started_at + make_interval(secs => before_s),
       started_at + make_interval(secs => clock_drift_s), 'seen', 'done', clock_drift_s, session_id
FROM (
    SELECT meter_id, session_id, started_at, ended_at, clock_drift_s,
           lag(clock_drift_s) OVER of_meter AS before_s,
           lag(started_at) OVER of_meter AS before_at
    FROM session
    WHERE clock_drift_s IS NOT NULL AND ended_at > %(since)s - interval '2 days'
      AND ended_at <= %(until)s
    WINDOW of_meter AS (PARTITION BY meter_id ORDER BY started_at, session_id)
) AS looked
WHERE ended_at > %(since)s AND abs(clock_drift_s - before_s) > %(leap_s)s
  AND NOT EXISTS (
      SELECT FROM clock_change AS c
      WHERE c.meter_id = looked.meter_id AND c.at >= looked.before_at AND c.at <= looked.started_at
        AND c.outcome <> 'refused'
  )
"""

_BINS: Final = (-3600.0, -600.0, -60.0, -30.0, -10.0, -5.0, -2.0, 2.0, 5.0, 10.0, 30.0, 60.0,
                600.0, 3600.0)  # fmt: skip
_DRIFTS: Final = """
SELECT coalesce(m.model, m.recognised_model), width_bucket(s.clock_drift_s, %(bins)s::float8[]),
       count(*), min(s.clock_drift_s), max(s.clock_drift_s),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY s.clock_drift_s)
FROM meter AS m
JOIN LATERAL (
    SELECT clock_drift_s FROM session
    WHERE session.meter_id = m.meter_id AND clock_drift_s IS NOT NULL AND ended_at > %(since)s
    ORDER BY ended_at DESC LIMIT 1
) AS s ON true
GROUP BY GROUPING SETS ((1, 2), (1))
ORDER BY 1 NULLS LAST, 2 NULLS FIRST
"""


@attrs.frozen
class KnownChange:
    """A change as it is kept; `drift_s`: how far the clock was off afterwards, if it was read."""

    change_id: int
    change: ClockChange
    outcome: ClockOutcome
    drift_s: float | None


@attrs.frozen
class DriftsOfModel:
    """
    How far the clocks of a model's meters are ahead, by the last session of each.

    `counts` are those in (-inf, bounds[0]), [bounds[0], bounds[1]) …, [bounds[-1], inf).
    """

    model: str | None
    meters: int
    least_s: float
    median_s: float
    most_s: float
    counts: tuple[int, ...]


DRIFT_BOUNDS_S: Final = _BINS


class ClockStore:
    """`ClockPort` on PostgreSQL. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changing(self, change: ClockChange) -> int:
        """
        Note a change before the meter is told.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        values = (
            change.meter_id,
            change.at,
            change.before_at,
            change.after_at,
            change.how.value,
            change.session_id,
        )
        try:
            with self._database.connection() as connection:
                row = connection.execute(_CHANGING, values).fetchone()
        except psycopg.errors.ForeignKeyViolation as exc:
            raise UnknownMeterError(f"no meter {change.meter_id}") from exc
        assert row is not None  # a row was put there
        return int(row[0])

    def changed(self, change_id: int, outcome: ClockOutcome, drift_s: float | None) -> None:
        """
        Note what came of it; an order for this clock is carried out once it was not refused.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE clock_change SET outcome = %s, drift_s = %s WHERE change_id = %s",
                (outcome.value, drift_s, change_id),
            )
            if outcome is not ClockOutcome.REFUSED:
                connection.execute(
                    "DELETE FROM clock_order WHERE meter_id ="
                    " (SELECT meter_id FROM clock_change WHERE change_id = %s)",
                    (change_id,),
                )

    def may_try(self, meter_id: UUID) -> bool:
        """
        Whether it is worth trying to set this clock: a meter that refuses is tried once a day.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(_MAY_TRY, (meter_id,)).fetchone()
        return row is None or bool(row[0])

    def ordered(self, meter_id: UUID) -> bool:
        """
        Whether an operator has ordered this clock to be set.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            found = connection.execute(
                "SELECT FROM clock_order WHERE meter_id = %s", (meter_id,)
            ).fetchone()
        return found is not None


def order(connection: Connection, meter_id: UUID, *, reason: str, ordered_by: str) -> None:
    """
    Have a clock set by the next session, however far it is off.

    Raises: UnknownMeterError: no such meter.
    """
    try:
        connection.execute(
            "INSERT INTO clock_order (meter_id, reason, ordered_by) VALUES (%s, %s, %s)"
            " ON CONFLICT (meter_id) DO UPDATE SET reason = excluded.reason,"
            " ordered_by = excluded.ordered_by, ordered_at = now()",
            (meter_id, reason, ordered_by),
        )
    except psycopg.errors.ForeignKeyViolation as exc:
        raise UnknownMeterError(f"no meter {meter_id}") from exc


def touching(
    connection: Connection, meter_ids: Collection[UUID], since: datetime
) -> Sequence[tuple[UUID, datetime, datetime]]:
    """
    What clocks of these meters showed before and after our changes since then, not refused ones.

    When somebody else has set a clock nobody knows; the meter's own status tells the interval.
    """
    return connection.execute(
        "SELECT meter_id, before_at, after_at FROM clock_change"
        " WHERE meter_id = ANY(%s) AND at >= %s AND outcome <> 'refused' AND how <> 'seen'",
        (list(meter_ids), since),
    ).fetchall()


def of_meter(connection: Connection, meter_id: UUID, *, limit: int) -> Sequence[KnownChange]:
    """The last changes of a meter's clock, latest first."""
    rows = connection.execute(
        "SELECT change_id, at, before_at, after_at, how, session_id, outcome, drift_s"
        " FROM clock_change WHERE meter_id = %s ORDER BY at DESC, change_id DESC LIMIT %s",
        (meter_id, limit),
    )
    return [
        KnownChange(
            change_id,
            ClockChange(meter_id, at, before_at, after_at, ClockHow(how), session_id),
            ClockOutcome(outcome),
            drift_s,
        )
        for change_id, at, before_at, after_at, how, session_id, outcome, drift_s in rows
    ]


def note_leaps(
    connection: Connection, since: datetime, until: datetime, *, leap_s: float = 30.0
) -> int:
    """
    Note changes that are not ours, by the sessions that ended in (since, until].

    Args: leap_s: by how much a drift must differ from that of the session before.
    Returns: how many.
    """
    told = {"since": since, "until": until, "leap_s": leap_s}
    return connection.execute(_SEEN, told).rowcount


def drifts(connection: Connection, since: datetime) -> Sequence[DriftsOfModel]:
    """How far clocks are ahead, by model, of meters that were talked to since then."""
    found: dict[str | None, DriftsOfModel] = {}
    counts: dict[str | None, list[int]] = {}
    rows = connection.execute(_DRIFTS, {"bins": list(_BINS), "since": since})
    for model, place, meters, least_s, most_s, median_s in rows:
        if place is None:
            found[model] = DriftsOfModel(model, meters, least_s, median_s, most_s, ())
        else:
            counts.setdefault(model, [0] * (len(_BINS) + 1))[place] = meters
    return [attrs.evolve(one, counts=tuple(counts[model])) for model, one in found.items()]
