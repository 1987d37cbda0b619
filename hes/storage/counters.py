"""
Invocation counters: ours, given out in durable blocks, and the meters', each accepted once.

Ours must be unique per (encryption key, own system title). The installation has one system title
and several meters may share a key, so ours are kept per key fingerprint (table `own_counter`), not
per meter. A meter's own counter runs per association: `association.accepted_counter` is the
highest accepted, `accepted_window` tells which of those right below were. A meter's pushes and its
answers in a session share the counter and travel on connections of their own, so that they
overtake each other; as in RFC 4303, 3.4.3, each is accepted once, and none below the window.

Source: IEC 62056-5-3 (Green Book), security suite 0: IV = system title, invocation counter.

After the database was restored from a backup, both kinds are back where they were then, while the
meters are not: blocks would be given out again. Whoever restores must first move `own_counter`
above anything that can have been sent since; issue 4 builds and drills that.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from hes.domain.errors import (
    CounterReplayedError,
    KeyUnavailableError,
    PermanentError,
    UnknownMeterError,
)
from hes.domain.ports import CounterBlock
from hes.storage.database import Database

COUNTER_MAX: Final = 2**32 - 1
WINDOW: Final = 1024
"""How far below the highest accepted counter others are still accepted (the column's bits)."""

# One statement, so that two processes that reserve at once get different blocks: the second waits
# for the row and then adds to what the first has left. Counters begin at 1.
_RESERVE: Final = """
INSERT INTO own_counter AS own (key_fingerprint, reserved_to)
SELECT key_fingerprint, %(size)s FROM association
WHERE meter_id = %(meter_id)s AND client_sap = %(client_sap)s AND key_fingerprint IS NOT NULL
  AND key_fingerprint = coalesce(%(key_fingerprint)s, key_fingerprint)
ON CONFLICT (key_fingerprint) DO UPDATE SET reserved_to = own.reserved_to + excluded.reserved_to
WHERE own.reserved_to + excluded.reserved_to <= %(maximum)s
RETURNING own.reserved_to
"""

_ACCEPT: Final = f"""
UPDATE association
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
WHERE meter_id = %(meter_id)s AND client_sap = %(client_sap)s AND CASE
    WHEN accepted_counter IS NULL OR %(counter)s > accepted_counter THEN true
    WHEN accepted_counter - %(counter)s >= {WINDOW} THEN false
    ELSE get_bit(accepted_window, (accepted_counter - %(counter)s)::int4) = 0
END
"""  # noqa: S608 - constants only


class CounterStore:
    """`CounterPort` on PostgreSQL. Thread-safe, and safe between processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(
        self, meter_id: UUID, client_sap: int, *, size: int, key_fingerprint: bytes | None = None
    ) -> CounterBlock:
        """
        Reserve the next `size` of our own counters; committed when this returns.

        If the outcome of the COMMIT is unknown this raises and the block, if it was given out, is
        lost: that wastes counters and repeats none.

        Args:
            size: how many, 1..2^32 - 1.
            key_fingerprint: of the key that the caller holds; None: whichever is kept now. A
                session that still holds an old key must not use it with the new one's counters.

        Raises:
            KeyUnavailableError: the association has no encryption key, has another one than the
                caller holds, or does not exist.
            PermanentError: the counter would pass 2^32 - 1: the key must be changed first.
            StorageUnavailableError: the database is away.
        """
        if not 1 <= size <= COUNTER_MAX:
            raise ValueError(f"a block of {size} counters")
        values = {
            "meter_id": meter_id,
            "client_sap": client_sap,
            "size": size,
            "maximum": COUNTER_MAX,
            "key_fingerprint": key_fingerprint,
        }
        with self._database.connection() as connection:
            row = connection.execute(_RESERVE, values).fetchone()
            if row is None:
                keyed = connection.execute(
                    "SELECT FROM association WHERE meter_id = %(meter_id)s"
                    " AND client_sap = %(client_sap)s"
                    " AND key_fingerprint = coalesce(%(key_fingerprint)s, key_fingerprint)",
                    values,
                ).fetchone()
                if keyed is None:
                    raise KeyUnavailableError(
                        f"meter {meter_id}, client {client_sap}: no encryption key to count for,"
                        " or another than the one in use"
                    )
                raise PermanentError(
                    f"meter {meter_id}, client {client_sap}: the invocation counter is used up,"
                    " change the key"
                )
        last = int(row[0])
        return CounterBlock(last - size + 1, last)

    def last_accepted(self, meter_id: UUID, client_sap: int) -> int | None:
        """
        The highest counter accepted from the meter, None if none yet.

        Raises:
            UnknownMeterError: there is no such association.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT accepted_counter FROM association WHERE meter_id = %s AND client_sap = %s",
                (meter_id, client_sap),
            ).fetchone()
        if row is None:
            raise UnknownMeterError(f"meter {meter_id} has no association as client {client_sap}")
        return None if row[0] is None else int(row[0])

    def accept(self, meter_id: UUID, client_sap: int, counter: int) -> None:
        """
        Remember a counter from a verified frame, once.

        Args:
            counter: 0..2^32 - 1, as it stood in the security header.

        Raises:
            CounterReplayedError: it was accepted before (`seen`), or lies below the window.
            UnknownMeterError: there is no such association.
            StorageUnavailableError: the database is away.
        """
        if not 0 <= counter <= COUNTER_MAX:
            raise ValueError(f"no invocation counter: {counter}")
        with self._database.connection() as connection:
            moved = connection.execute(
                _ACCEPT,
                {"meter_id": meter_id, "client_sap": client_sap, "counter": counter},
            ).rowcount
            if moved:
                return
            row = connection.execute(
                "SELECT accepted_counter FROM association WHERE meter_id = %s AND client_sap = %s",
                (meter_id, client_sap),
            ).fetchone()
        if row is None:
            raise UnknownMeterError(f"meter {meter_id} has no association as client {client_sap}")
        raise CounterReplayedError(
            f"meter {meter_id}, client {client_sap}: counter {counter} after {row[0]}",
            seen=row[0] - counter < WINDOW,
        )
