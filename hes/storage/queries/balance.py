"""
What a feeder or transformer has delivered against the sum of what its meters have counted.

Cumulative registers at both ends of the time that each meter was installed, times its transformer
ratios, exactly. A meter whose value at an end is not held is named, and not guessed.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from uuid import UUID

import attrs

from hes.storage.database import Connection


@attrs.frozen
class MeterEnergy:
    """What one meter has counted while it was installed within the range; None: not known."""

    meter_id: UUID
    imported: Fraction | None
    exported: Fraction | None


@attrs.frozen
class Balance:
    """
    Energy in Wh, net of what went back: `delivered` by the node's own meter, `consumed` by its
    meters together as far as known; `missing` are those of which it is not.
    """

    delivered: Fraction | None
    consumed: Fraction
    meters: int
    missing: tuple[UUID, ...]


def of_transformer(
    connection: Connection, transformer_id: int, from_: datetime, to: datetime
) -> Balance:
    """The balance of a transformer in [from_, to)."""
    raise NotImplementedError


def of_feeder(connection: Connection, feeder_id: int, from_: datetime, to: datetime) -> Balance:
    """The balance of a feeder in [from_, to)."""
    raise NotImplementedError
