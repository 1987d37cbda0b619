"""
Invocation counters: ours, given out in durable blocks, and the meters', each accepted once.

Ours must be unique per (encryption key, own system title). The installation has one system title
and several meters may share a key, so ours are kept per key fingerprint (table `own_counter`), not
per meter. A meter's own counter runs per association: `association.accepted_counter` is the
highest accepted, `accepted_window` tells which of those right below were. A meter's pushes and its
answers in a session share the counter and travel on connections of their own, so that they
overtake each other; as in RFC 4303, 3.4.3, each is accepted once, and none below the window.

What a meter says of the counter that it expects, before anybody has authenticated it, is a hint:
blocks above it are given out beside the regular counting (`hinted_from`..`hinted_to`), which goes
on past them, and becomes the regular counting only by `keep`. Neither ever goes back.

Source: IEC 62056-5-3 (Green Book), security suite 0: IV = system title, invocation counter.

How fast a key counts is bounded, so that after a restore it is known how far it can have come
(`hes.storage.epochs`): no key's highest counter rises by more than `BURST` at once and `RATE_PER_S`
in the long run, leaps on hints included. What a meter counted is set back by a restore: frames that
were accepted since are accepted once more, and are what the meter has sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from hes.domain.errors import (
    CounterReplayedError,
    KeyUnavailableError,
    PermanentError,
    StorageUnavailableError,
    UnknownMeterError,
)
from hes.domain.ports import CounterBlock, Counting
from hes.domain.readings import VerifiedCounter
from hes.storage import epochs
from hes.storage.database import Connection, Database
from hes.storage.epochs import BURST, COUNTER_MAX, RATE_PER_S

WINDOW: Final = 1024
"""How far below the highest accepted counter others are still accepted (the column's bits)."""

# The association's key, unless the caller holds another.
_KEYED: Final = """meter_id = %(meter_id)s AND client_sap = %(client_sap)s
  AND key_fingerprint = coalesce(%(key_fingerprint)s, key_fingerprint)"""

# Counters begin at 1, or above what may have been used before this epoch.
_EPOCH: Final = f"WITH epoch AS ({epochs.CURRENT})"
_TOP: Final = "greatest(own.reserved_to, own.hinted_to)"
_DRAINED: Final = f"""greatest(0, own.spent - {RATE_PER_S} * greatest(0,
    coalesce(extract(epoch FROM statement_timestamp() - own.counted_at), 0)))::float8"""
_COUNTED_AT: Final = "greatest(own.counted_at, statement_timestamp())"

# One statement, so that two processes that reserve at once get different blocks: the second waits
# for the row and then adds to what the first has left. Where the next block would reach those that
# were given out on a hint, it begins behind them.
_MEETS_HINTED: Final = "coalesce(own.hinted_from <= own.reserved_to + %(size)s, false)"
_FROM: Final = f"CASE WHEN {_MEETS_HINTED} THEN own.hinted_to ELSE own.reserved_to END"
_SPENT: Final = f"({_DRAINED} + greatest({_FROM} + %(size)s - {_TOP}, 0))"
_RESERVE: Final = f"""
{_EPOCH}
INSERT INTO own_counter AS own (key_fingerprint, reserved_to, spent, counted_at)
SELECT key_fingerprint, counter_floor + %(size)s, epoch.spent + %(size)s, statement_timestamp()
FROM association CROSS JOIN epoch
WHERE {_KEYED} AND counter_floor + %(size)s <= %(maximum)s
  AND epoch.spent + %(size)s <= %(burst)s
ON CONFLICT (key_fingerprint) DO UPDATE
SET reserved_to = {_FROM} + %(size)s,
    hinted_from = CASE WHEN NOT {_MEETS_HINTED} THEN own.hinted_from END,
    hinted_to = CASE WHEN NOT {_MEETS_HINTED} THEN own.hinted_to END,
    spent = {_SPENT}, counted_at = {_COUNTED_AT}
WHERE {_FROM} + %(size)s <= %(maximum)s AND {_SPENT} <= %(burst)s
RETURNING own.reserved_to
"""  # noqa: S608 - constants only

# Many keys at once, in one order: two processes that want some of the same wait for each other but
# not in a ring. What others have reserved meanwhile is seen: the rows are locked first.
_RESERVE_MANY: Final = f"""
{_EPOCH},
wanted AS MATERIALIZED (
    SELECT own.key_fingerprint, blocks.size, own.reserved_to AS before
    FROM unnest(%(fingerprints)s::bytea[], %(sizes)s::int8[]) AS blocks (key_fingerprint, size)
    JOIN own_counter AS own USING (key_fingerprint)
    ORDER BY own.key_fingerprint FOR UPDATE OF own
),
reserved AS (
    UPDATE own_counter AS own
    SET reserved_to = {_FROM} + wanted.size,
        hinted_from = CASE WHEN NOT {_MEETS_HINTED} THEN own.hinted_from END,
        hinted_to = CASE WHEN NOT {_MEETS_HINTED} THEN own.hinted_to END,
        spent = {_SPENT}, counted_at = {_COUNTED_AT}
    FROM wanted CROSS JOIN epoch
    WHERE own.key_fingerprint = wanted.key_fingerprint AND wanted.before > 0 AND wanted.size > 0
      AND {_FROM} + wanted.size <= %(maximum)s AND {_SPENT} <= %(burst)s
    RETURNING own.key_fingerprint, own.reserved_to
)
SELECT wanted.key_fingerprint, wanted.before, reserved.reserved_to
FROM wanted LEFT JOIN reserved USING (key_fingerprint)
""".replace("%(size)s", "wanted.size")  # noqa: S608 - constants only

_STAND: Final = """
SELECT meter_id, client_sap, key_fingerprint, accepted_counter
FROM unnest(%s::uuid[], %s::int4[]) AS asked (meter_id, client_sap)
JOIN association USING (meter_id, client_sap)
"""

_ABOVE: Final = f"greatest({_TOP}, %(above)s)"
_SPENT_ABOVE: Final = f"({_DRAINED} + {_ABOVE} + %(size)s - {_TOP})"
_RESERVE_ABOVE: Final = f"""
{_EPOCH}
INSERT INTO own_counter AS own
    (key_fingerprint, reserved_to, hinted_from, hinted_to, spent, counted_at)
SELECT key_fingerprint, counter_floor, beneath + 1, beneath + %(size)s,
       epoch.spent + beneath + %(size)s - counter_floor, statement_timestamp()
FROM association CROSS JOIN epoch
CROSS JOIN LATERAL (SELECT greatest(%(above)s::int8, counter_floor)) AS hint (beneath)
WHERE {_KEYED} AND beneath + %(size)s <= %(maximum)s
  AND (epoch.spent + beneath + %(size)s - counter_floor <= %(burst)s OR EXISTS (
      SELECT FROM own_counter AS counting
      WHERE counting.key_fingerprint = association.key_fingerprint))
ON CONFLICT (key_fingerprint) DO UPDATE
SET hinted_from = coalesce(own.hinted_from, {_ABOVE} + 1), hinted_to = {_ABOVE} + %(size)s,
    spent = {_SPENT_ABOVE}, counted_at = {_COUNTED_AT}
WHERE {_ABOVE} + %(size)s <= %(maximum)s AND {_SPENT_ABOVE} <= %(burst)s
RETURNING own.hinted_to
"""  # noqa: S608 - constants only

# Why nothing came back.
_WHY: Final = f"""
SELECT coalesce(greatest(own.reserved_to, own.hinted_to), 0) FROM association
LEFT JOIN own_counter AS own USING (key_fingerprint) WHERE {_KEYED}
"""  # noqa: S608 - constants only

_HIGHEST: Final = f"""
SELECT reserved_to FROM own_counter JOIN association USING (key_fingerprint) WHERE {_KEYED}
"""  # noqa: S608 - constants only

_KEEP: Final = f"""
UPDATE own_counter SET reserved_to = hinted_to, hinted_from = NULL, hinted_to = NULL
WHERE %(counter)s BETWEEN hinted_from AND hinted_to
  AND key_fingerprint = (SELECT key_fingerprint FROM association WHERE {_KEYED})
"""  # noqa: S608 - constants only

_KEPT: Final = f"""
SET accepted_counter = greatest(accepted_counter, %(counter)s),
    accepted_window = CASE
        WHEN accepted_counter IS NULL THEN set_bit(0::bit({WINDOW}), 0, 1)
        WHEN %(counter)s <= accepted_counter
            THEN set_bit(accepted_window, (accepted_counter - %(counter)s)::int4, 1)
        ELSE set_bit(
            coalesce(accepted_window, ~ 0::bit({WINDOW}))
                >> least(%(counter)s - accepted_counter, {WINDOW})::int4,
            0, 1)
    END
"""
_IS_NEW: Final = f"""CASE
    WHEN accepted_counter IS NULL OR %(counter)s > accepted_counter THEN true
    WHEN accepted_counter - %(counter)s >= {WINDOW} THEN false
    ELSE get_bit(accepted_window, (accepted_counter - %(counter)s)::int4) = 0
END"""
_ACCEPT: Final = f"""
UPDATE association {_KEPT}
WHERE meter_id = %(meter_id)s AND client_sap = %(client_sap)s
  AND key_fingerprint IS NOT DISTINCT FROM coalesce(%(key_fingerprint)s, key_fingerprint)
  AND {_IS_NEW}
"""

# In one order, so that two who tell of some of the same meters never wait in a ring.
_ACCEPT_MANY: Final = f"""
WITH told AS MATERIALIZED (
    SELECT a.meter_id, a.client_sap, highest.counter
    FROM (
        SELECT meter_id, client_sap, key_fingerprint, max(counter) AS counter
        FROM unnest(%(meter_ids)s::uuid[], %(saps)s::int4[], %(counters)s::int8[],
                    %(fingerprints)s::bytea[])
            AS verified (meter_id, client_sap, counter, key_fingerprint)
        GROUP BY meter_id, client_sap, key_fingerprint
    ) AS highest
    JOIN association AS a USING (meter_id, client_sap)
    WHERE a.key_fingerprint
        IS NOT DISTINCT FROM coalesce(highest.key_fingerprint, a.key_fingerprint)
    ORDER BY a.meter_id, a.client_sap FOR NO KEY UPDATE OF a
)
UPDATE association {_KEPT.replace("%(counter)s", "told.counter")}
FROM told
WHERE association.meter_id = told.meter_id AND association.client_sap = told.client_sap
  AND {_IS_NEW.replace("%(counter)s", "told.counter")}
"""  # noqa: S608 - constants only


class CounterStore:
    """`CounterPort` on PostgreSQL. Thread-safe, and safe between processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(
        self,
        meter_id: UUID,
        client_sap: int,
        *,
        size: int,
        key_fingerprint: bytes | None = None,
        above: int | None = None,
    ) -> CounterBlock:
        """
        Reserve the next `size` of our own counters; committed when this returns.

        If the outcome of the COMMIT is unknown this raises and the block, if it was given out, is
        lost: that wastes counters and repeats none.

        Args:
            size: how many, 1..2^32 - 1.
            key_fingerprint: of the key that the caller holds; None: whichever is kept now. A
                session that still holds an old key must not use it with the new one's counters.
            above: a counter that the meter hinted at, 0..2^32 - 1; the caller has capped it.

        Raises:
            KeyUnavailableError: the association has no encryption key, has another one than the
                caller holds, or does not exist.
            PermanentError: the counter would pass 2^32 - 1: the key must be changed first; or it
                would rise faster than is allowed.
            StorageUnavailableError: the database is away.
        """
        if not 1 <= size <= COUNTER_MAX:
            raise ValueError(f"a block of {size} counters")
        if above is not None:
            _check(above)
        values = {
            "meter_id": meter_id,
            "client_sap": client_sap,
            "size": size,
            "above": above,
            "maximum": COUNTER_MAX,
            "burst": BURST,
            "key_fingerprint": key_fingerprint,
        }
        last = self._reserve(values)
        if last is None:
            # Elsewhere than before: first leap over what may have been given out there.
            epochs.settle(self._database)
            last = self._reserve(values)
        if last is None:
            raise StorageUnavailableError("the database is on the move: nothing was reserved")
        return CounterBlock(last - size + 1, last)

    def _reserve(self, values: Mapping[str, Any]) -> int | None:
        """The last of a new block; None if a new epoch must begin first."""
        with self._database.connection() as connection:
            statement = _RESERVE if values["above"] is None else _RESERVE_ABOVE
            row = connection.execute(statement, values).fetchone()
            if row is not None:
                return int(row[0])
            if not epochs.is_current(connection):
                return None
            found = connection.execute(_WHY, values).fetchone()
        who = f"meter {values['meter_id']}, client {values['client_sap']}"
        if found is None:
            raise KeyUnavailableError(
                f"{who}: no encryption key to count for, or another than the one in use"
            )
        if max(int(found[0]), values["above"] or 0) + values["size"] > COUNTER_MAX:
            raise PermanentError(f"{who}: the invocation counter is used up, change the key")
        raise PermanentError(
            f"{who}: the key counts too fast: not more than {BURST} at once and {RATE_PER_S} per"
            " second in the long run, so that after a restore it is known how far it came"
        )

    def counting(
        self, associations: Collection[tuple[UUID, int, bytes | None]], *, size: int
    ) -> Mapping[tuple[UUID, int], Counting]:
        """
        Where many associations stand, and a block of `size` for each that has counted before.

        Raises:
            StorageUnavailableError: the database is away; blocks that were given out are lost.
        """
        if not associations:
            return {}
        asked = {(meter_id, client_sap): key for meter_id, client_sap, key in associations}
        meter_ids, saps = [key[0] for key in asked], [key[1] for key in asked]
        with self._database.connection() as connection:
            stand = {
                (meter_id, client_sap): (key, accepted)
                for meter_id, client_sap, key, accepted in connection.execute(
                    _STAND, (meter_ids, saps)
                )
                if asked[meter_id, client_sap] in (None, key)
            }
            wanted = Counter(asked[one] for one in stand)
            del wanted[None]
            blocks = _reserve_many(connection, wanted, size) if wanted else {}
        found = {}
        for one, (_, accepted) in stand.items():
            own, free = blocks.get(asked[one], (None, None))
            block = None if free is None else CounterBlock(first := next(free), first + size - 1)
            found[one] = Counting(own, accepted, block)
        return found

    def keep(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        """
        Count on from the blocks above a hint; without effect if `counter` is in none of them.

        All blocks above hints count as used from then on, also those of other meters with this
        key.

        Raises:
            StorageUnavailableError: the database is away.
        """
        _check(counter)
        with self._database.connection() as connection:
            connection.execute(
                _KEEP,
                {
                    "meter_id": meter_id,
                    "client_sap": client_sap,
                    "counter": counter,
                    "key_fingerprint": key_fingerprint,
                },
            )

    def highest_reserved(
        self, meter_id: UUID, client_sap: int, *, key_fingerprint: bytes | None = None
    ) -> int | None:
        """
        The last of our counters that was given out regularly, None if none ever was.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                _HIGHEST,
                {
                    "meter_id": meter_id,
                    "client_sap": client_sap,
                    "key_fingerprint": key_fingerprint,
                },
            ).fetchone()
        return int(row[0]) or None if row is not None else None

    def last_accepted(
        self, meter_id: UUID, client_sap: int, *, key_fingerprint: bytes | None = None
    ) -> int | None:
        """
        The highest counter accepted from the meter, None if none yet.

        Raises:
            UnknownMeterError: there is no such association.
            KeyUnavailableError: it has another key than `key_fingerprint`.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return _accepted(connection, meter_id, client_sap, key_fingerprint)

    def accept(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        """
        Remember a counter from a verified frame, once.

        Args:
            counter: 0..2^32 - 1, as it stood in the security header.
            key_fingerprint: of the key that verified it; a frame under the key from before must
                not raise the counter of the new one. None: whichever is kept now.

        Raises:
            CounterReplayedError: it was accepted before (`seen`), or lies below the window.
            UnknownMeterError: there is no such association.
            KeyUnavailableError: it has another key than `key_fingerprint`.
            StorageUnavailableError: the database is away.
        """
        _check(counter)
        with self._database.connection() as connection:
            moved = connection.execute(
                _ACCEPT,
                {
                    "meter_id": meter_id,
                    "client_sap": client_sap,
                    "counter": counter,
                    "key_fingerprint": key_fingerprint,
                },
            ).rowcount
            if moved:
                return
            highest = _accepted(connection, meter_id, client_sap, key_fingerprint)
        raise CounterReplayedError(
            f"meter {meter_id}, client {client_sap}: counter {counter} after {highest}",
            seen=highest is not None and highest - counter < WINDOW,
        )


def _reserve_many(
    connection: Connection, wanted: Mapping[bytes | None, int], size: int
) -> dict[bytes | None, tuple[int | None, Iterator[int] | None]]:
    """
    Blocks of `size` for each key as often as it is wanted.

    Returns: by fingerprint, what was given out last before, and the first counter of each block.
    """
    rows = connection.execute(
        _RESERVE_MANY,
        {
            "fingerprints": list(wanted),
            "sizes": [times * size for times in wanted.values()],
            "maximum": COUNTER_MAX,
            "burst": BURST,
        },
    )
    return {
        key: (
            before or None,
            None if last is None else iter(range(last - wanted[key] * size + 1, last + 1, size)),
        )
        for key, before, last in rows
    }


def raise_accepted(
    connection: Connection, verified: Iterable[tuple[UUID, VerifiedCounter]]
) -> None:
    """
    Remember counters from verified frames, of each association the highest.

    That a higher one, or another key, is known by now is no fault: nothing is done with it.
    """
    told = list(verified)
    if told:
        connection.execute(
            _ACCEPT_MANY,
            {
                "meter_ids": [meter_id for meter_id, _ in told],
                "saps": [each.client_sap for _, each in told],
                "counters": [each.counter for _, each in told],
                "fingerprints": [each.key_fingerprint for _, each in told],
            },
        )


def _check(counter: int) -> None:
    if not 0 <= counter <= COUNTER_MAX:
        raise ValueError(f"no invocation counter: {counter}")


def _accepted(
    connection: Connection, meter_id: UUID, client_sap: int, key_fingerprint: bytes | None
) -> int | None:
    row = connection.execute(
        "SELECT accepted_counter, key_fingerprint FROM association"
        " WHERE meter_id = %s AND client_sap = %s",
        (meter_id, client_sap),
    ).fetchone()
    if row is None:
        raise UnknownMeterError(f"meter {meter_id} has no association as client {client_sap}")
    if key_fingerprint is not None and row[1] != key_fingerprint:
        raise KeyUnavailableError(f"meter {meter_id}, client {client_sap}: has another key by now")
    return None if row[0] is None else int(row[0])
