"""Tenants: who the data belong to. One, `DEFAULT_TENANT`, there always is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from hes.storage.database import Connection

DEFAULT_TENANT: Final = 1


@attrs.frozen
class Tenant:
    """A tenant; `name` is unique."""

    tenant_id: int
    name: str


def tenants(connection: Connection) -> Sequence[Tenant]:
    """All tenants in the order of their ids."""
    rows = connection.execute("SELECT tenant_id, name FROM tenant ORDER BY tenant_id").fetchall()
    return [Tenant(*row) for row in rows]


def put_tenant(connection: Connection, name: str) -> Tenant:
    """The tenant of this name, made if there is none."""
    row = connection.execute("SELECT tenant_id FROM tenant WHERE name = %s", (name,)).fetchone()
    if row is None:
        # Somebody else may be faster: then the name is theirs, and the same.
        row = connection.execute(
            "INSERT INTO tenant (name) VALUES (%s)"
            " ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING tenant_id",
            (name,),
        ).fetchone()
    assert row is not None
    return Tenant(row[0], name)
