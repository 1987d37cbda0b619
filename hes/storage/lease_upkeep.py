"""What the leader sees to of leases and of meters that wait: the database's clock may be set."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hes.storage.database import Connection
from hes.storage.due_items import lock, refresh

LONGEST_LEASE: Final = timedelta(minutes=15)

# It was taken before the clock was set back; whoever holds it does not for so long.
_CUT: Final = """
UPDATE due_work SET leased_until = now() + %(longest)s
WHERE meter_id IN (
    SELECT meter_id FROM due_work WHERE leased_until > now() + %(longest)s
    ORDER BY meter_id FOR UPDATE SKIP LOCKED
)
"""
_WAITING: Final = """
SELECT w.meter_id FROM due_work AS w
WHERE w.due_at > now() AND w.leased_until IS NULL AND coalesce(w.rests_until <= now(), true)
  AND EXISTS (SELECT FROM due_item AS item WHERE item.meter_id = w.meter_id
              AND item.due_at <= now() AND item.expires_at > now())
ORDER BY w.meter_id LIMIT %s
"""
_AT_ONCE: Final = 5_000


def cut(connection: Connection) -> int:
    """See that no lease lasts longer than any is taken for. Returns: how many were cut."""
    return connection.execute(_CUT, {"longest": LONGEST_LEASE}).rowcount


def refresh_waiting(connection: Connection) -> int:
    """
    Have meters come up that wait for a time that has been already: the clock was set back.

    Returns: how many; call it again until there are none.
    """
    meter_ids = [meter_id for (meter_id,) in connection.execute(_WAITING, (_AT_ONCE,))]
    lock(connection, meter_ids)
    refresh(connection, meter_ids)
    return len(meter_ids)
