"""What is asked for of single meters, and how it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from hes.domain.errors import PermanentError


class RefusedError(PermanentError):
    """
    What was asked cannot be: a value is wrong, or contradicts what is there.

    `field`: which, None: the act as a whole.
    """

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class MeterExistsError(PermanentError):
    """There is a meter of this serial already; `meter_id` is which."""

    def __init__(self, serial: str, meter_id: UUID) -> None:
        super().__init__(f"meter {serial} is in the inventory already: {meter_id}")
        self.meter_id = meter_id


class UnknownAssociationError(PermanentError):
    """The meter has no association of this client."""


@attrs.frozen
class ExchangeWish:
    """
    A new meter instead of an old one, since `at`.

    `meter` is a row of a meter file; of one that is there already its serial is enough. Registers:
    from OBIS code to decimal text, as read when the meters were exchanged.
    """

    meter: Mapping[str, Any]
    at: datetime
    reason: str
    last_registers: Mapping[str, str] = attrs.field(factory=dict)
    first_registers: Mapping[str, str] = attrs.field(factory=dict)
