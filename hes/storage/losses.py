"""
Intervals that no meter can give us any more, and why (table `interval_loss`, bits `lost`).

A loss lies within one UTC day, so that its row and the bits of its day tell the same. Only what was
expected, is overdue and not held can be lost; what comes after all ends it (`marks.add_intervals`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import attrs

from hes.domain.work import Gap
from hes.storage.database import Connection
from hes_protocol.cosem import Obis


class LossReason(StrEnum):
    """Why an interval is lost."""

    NOT_IN_BUFFER = "not-in-buffer"  # the meter answered for it, and does not have it
    BEYOND_BUFFER = "beyond-buffer"  # older than its buffer reaches
    METER_GONE = "meter-gone"  # exchanged or retired before it was read
    CLOCK_CHANGE = "clock-change"  # its clock never showed that time: it was set forward


@attrs.frozen
class Lost:
    """Captures of a profile in [`from_at`, `to_at`) that are to be given up, as far as overdue."""

    meter_id: UUID
    source: Obis
    from_at: datetime
    to_at: datetime
    reason: LossReason


@attrs.frozen
class Loss:
    """A run of lost intervals; `ended_at`: all of them came after all."""

    source: Obis
    capture_period_s: int
    from_at: datetime
    to_at: datetime
    reason: LossReason
    lost_at: datetime
    ended_at: datetime | None


_DAY_S: Final = 86_400

# What of the spans is to be lost, locked so that nobody stores it meanwhile.
_LACKING: Final = """
SELECT c.meter_id, c.source, c.capture_period_s, c.day, gone.reason,
       (c.overdue & ~c.bits & ~coalesce(c.lost, c.bits # c.bits)
        & expected_bits(c.capture_period_s, c.day, gone.from_at, gone.to_at, NULL, NULL))::text
FROM unnest(%s::uuid[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::text[])
    AS gone (meter_id, source, from_at, to_at, reason)
JOIN completeness AS c ON c.meter_id = gone.meter_id AND c.source = gone.source
    AND c.day BETWEEN (gone.from_at AT TIME ZONE 'UTC')::date
                  AND (gone.to_at AT TIME ZONE 'UTC')::date
WHERE c.overdue IS NOT NULL
ORDER BY c.meter_id, c.source, c.capture_period_s, c.day
FOR UPDATE OF c
"""

_LOSE: Final = """
UPDATE completeness AS c
SET lost = coalesce(c.lost, c.bits # c.bits) | gone.bits::varbit
FROM unnest(%s::uuid[], %s::bytea[], %s::int4[], %s::date[], %s::text[])
    AS gone (meter_id, source, capture_period_s, day, bits)
WHERE c.meter_id = gone.meter_id AND c.source = gone.source
  AND c.capture_period_s = gone.capture_period_s AND c.day = gone.day
"""

# A clock that was set forward has never shown the times between. Of one that somebody else has set
# it is known only between which sessions, and by how much.
_INSERT: Final = """
INSERT INTO interval_loss (meter_id, source, capture_period_s, from_at, to_at, reason)
SELECT meter_id, source, capture_period_s, from_at, to_at,
       CASE WHEN reason = 'not-in-buffer' AND EXISTS (
           SELECT FROM clock_change AS k
           CROSS JOIN LATERAL make_interval(secs => gone.capture_period_s) AS period
           WHERE k.meter_id = gone.meter_id AND k.outcome <> 'refused' AND k.before_at < k.after_at
             AND CASE k.how WHEN 'seen' THEN
                 gone.to_at <= k.after_at + period
                 AND gone.to_at - gone.from_at <= k.after_at - k.before_at + period
                 AND gone.from_at > (
                     SELECT max(s.started_at) FROM session AS s WHERE s.meter_id = k.meter_id
                       AND s.started_at < k.at AND s.clock_drift_s IS NOT NULL)
             ELSE k.before_at < gone.from_at AND gone.to_at <= k.after_at + period END
       ) THEN 'clock-change' ELSE reason END
FROM unnest(%s::uuid[], %s::bytea[], %s::int4[], %s::timestamptz[], %s::timestamptz[], %s::text[])
    AS gone (meter_id, source, capture_period_s, from_at, to_at, reason)
"""

_END: Final = """
UPDATE interval_loss AS l SET ended_at = now()
FROM unnest(%s::uuid[], %s::bytea[], %s::int4[], %s::date[])
    AS touched (meter_id, source, capture_period_s, day)
JOIN completeness AS c USING (meter_id, source, capture_period_s, day)
WHERE l.meter_id = c.meter_id AND l.source = c.source AND l.capture_period_s = c.capture_period_s
  AND l.ended_at IS NULL
  AND l.from_at >= c.day::timestamp AT TIME ZONE 'UTC'
  AND l.from_at < (c.day + 1)::timestamp AT TIME ZONE 'UTC'
  AND bit_count(c.lost & expected_bits(
      c.capture_period_s, c.day, l.from_at, l.to_at, NULL, NULL)) = 0
"""


def lose(connection: Connection, gone: Sequence[Lost]) -> int:
    """
    Give up what of these spans is overdue and not held.

    Returns: how many intervals.
    """
    if not gone:
        return 0
    lacking = connection.execute(
        _LACKING,
        (
            [one.meter_id for one in gone],
            [one.source.octets for one in gone],
            [one.from_at for one in gone],
            [one.to_at for one in gone],
            [one.reason.value for one in gone],
        ),
    ).fetchall()
    days = [row for row in _disjoint(lacking) if "1" in row[5]]
    if not days:
        return 0
    together: dict[tuple[UUID, bytes, int, date], int] = {}
    for *name, _, bits in days:
        key = (name[0], name[1], name[2], name[3])
        together[key] = together.get(key, 0) | int(bits, 2)
    connection.execute(
        _LOSE,
        _columns([(*key, format(bits, f"0{_DAY_S // key[2]}b")) for key, bits in together.items()]),
    )
    runs = [
        (meter_id, source, period_s, *span, reason)
        for meter_id, source, period_s, day, reason, bits in days
        for span in _runs(day, period_s, bits)
    ]
    connection.execute(_INSERT, _columns(runs))
    return sum(bits.count("1") for *_, bits in days)


def answered(connection: Connection, gaps: Collection[tuple[UUID, Gap]]) -> int:
    """
    Give up what meters still lack of gaps for which they have answered whole.

    Returns: how many intervals.
    """
    return lose(
        connection,
        [
            Lost(meter_id, gap.source, gap.start, gap.end, LossReason.NOT_IN_BUFFER)
            for meter_id, gap in gaps
        ],
    )


def end(connection: Connection, days: Sequence[tuple[UUID, bytes, int, date]]) -> None:
    """Note which losses of these days are none any more: all of them is held now."""
    connection.execute(_END, _columns(days))


def of_meter(
    connection: Connection, meter_id: UUID, from_: datetime, to: datetime, *, limit: int
) -> Sequence[Loss]:
    """What was lost of a meter's captures in [from_, to), oldest first."""
    rows = connection.execute(
        "SELECT source, capture_period_s, from_at, to_at, reason, lost_at, ended_at"
        " FROM interval_loss WHERE meter_id = %s AND from_at < %s AND to_at > %s"
        " ORDER BY from_at, source, lost_at LIMIT %s",
        (meter_id, to, from_, limit),
    )
    return [
        Loss(Obis(source), period_s, since, until, LossReason(reason), lost_at, ended_at)
        for source, period_s, since, until, reason, lost_at, ended_at in rows
    ]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]


def _disjoint(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Each interval at most once, though spans may overlap: the first one's reason stays."""
    for _, of_day in groupby(rows, key=lambda row: row[:4]):
        taken = 0
        for *name, bits in of_day:
            left = int(bits, 2) & ~taken
            taken |= left
            yield (*name, format(left, f"0{len(bits)}b"))


def _runs(day: date, period_s: int, bits: str) -> Iterator[tuple[datetime, datetime]]:
    midnight = datetime.combine(day, time(), UTC)
    place = 0
    for bit, run in groupby(bits):
        length = len(list(run))
        if bit == "1":
            yield (
                midnight + timedelta(seconds=place * period_s),
                midnight + timedelta(seconds=(place + length) * period_s),
            )
        place += length
