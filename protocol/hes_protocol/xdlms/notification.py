"""data-notification and event-notification: what a server sends unasked (IEC 62056-5-3)."""

from __future__ import annotations

import attrs

from hes_protocol.axdr.data import Data
from hes_protocol.cosem.objects import Attribute


@attrs.frozen
class DataNotification:
    """
    A push.

    `date_time` is the raw 12 octets or None; `long_invoke_id_and_priority` all 32 bits.
    `body_offset` is where the body starts in the octets that were decoded, 0 for one made by us.
    """

    long_invoke_id_and_priority: int
    date_time: bytes | None
    body: Data
    body_offset: int = attrs.field(default=0, eq=False)


@attrs.frozen
class EventNotification:
    """An alarm or event: one attribute's value, `time` (12 octets) where the server gives it."""

    attribute: Attribute
    value: Data
    time: bytes | None = None
