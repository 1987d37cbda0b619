"""
Class 115, token gateway: tokens come in, and what became of the last one.

Owns what a token must be to be taken: format, check digits, not used before, an active account.
Tokens are those of `hes_simulators.tokens`, which are no cryptography. As in IEC 62055-41 the meter
remembers the numbers of the last tokens, and refuses what is older than all of them.

Source: IEC 62056-6-2, class_id 115, "Payment metering": token_status, enter.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, array, structure
from hes_protocol.errors import EncodingError, SecurityError
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes import accounting
from hes_simulators.classes.accounting import Account
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    READ_WRITE_DENIED,
    Refused,
    bits,
    enum,
    invoking,
    octet_string,
    octets,
)
from hes_simulators.classes.payment import AccountStatus
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import moment
from hes_simulators.local_time import NOT_SPECIFIED
from hes_simulators.tokens import Token, TokenKind, read_token

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_REMEMBERED: Final = 50  # numbers of tokens that were taken
_MOST_OCTETS: Final = 64


class TokenStatus(IntEnum):
    """status_code of token_status: how far a token came."""

    FORMAT_OK = 0
    AUTHENTICATION_OK = 1
    VALIDATION_OK = 2
    EXECUTION_OK = 3
    FORMAT_FAILURE = 4
    AUTHENTICATION_FAILURE = 5
    VALIDATION_FAILURE = 6
    EXECUTION_FAILURE = 7
    NOT_YET_PROCESSED = 8


class Delivery(IntEnum):
    """token_delivery_method."""

    REMOTE = 0
    LOCAL = 1
    MANUAL = 2


class TokenGateway(Plain):
    """Class_id 115."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | None:
        """The last token: itself, when it came, what it was, how it came, what became of it."""
        kept = meter.state.objects.get(one.obis, {})
        match index:
            case 2:
                return octets(kept.get("token", b""))
            case 3:
                return octets(kept.get("at", NOT_SPECIFIED))
            case 4:
                return array(*(octets(text.encode()) for text in kept.get("description", ())))
            case 5:
                return enum(kept.get("delivery", Delivery.REMOTE))
            case 6:
                return structure(enum(kept.get("status", TokenStatus.FORMAT_OK)), bits())
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """Nothing here is written: tokens are entered."""
        raise Refused(READ_WRITE_DENIED)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> None:
        """1 enter. A token that is not taken is refused by other_reason; token_status says why."""
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        if enter(meter, one, octet_string(data, 1, _MOST_OCTETS)) is not TokenStatus.EXECUTION_OK:
            raise Refused


def enter(
    meter: Meter, one: ModelObject, token: bytes, delivery: Delivery = Delivery.REMOTE
) -> TokenStatus:
    """
    Take a token, however it comes: from a client, or typed in by the customer (in a scenario).

    Args: one: the gateway. token: as entered, at most 64 octets.
    """
    kept = meter.state.of(one.obis)
    status, description = _process(meter, kept.setdefault("numbers", []), token)
    kept |= {
        "token": token,
        "at": accounting.stamp(meter, meter.now_us),
        "description": description,
        "delivery": int(delivery),
        "status": int(status),
    }
    taken = status is TokenStatus.EXECUTION_OK
    meter.raise_event("token_accepted" if taken else "token_rejected", moment(meter.now_us))
    return status


def _process(meter: Meter, numbers: list[int], octets_: bytes) -> tuple[TokenStatus, list[str]]:
    try:
        token = read_token(meter.identity.serial, octets_)
    except EncodingError:
        return TokenStatus.FORMAT_FAILURE, []
    except SecurityError:
        return TokenStatus.AUTHENTICATION_FAILURE, []
    description = [f"number {token.number}", f"amount {token.amount}"]
    old = len(numbers) >= _REMEMBERED and token.number < min(numbers)
    if token.kind not in tuple(TokenKind) or token.number in numbers or old:
        return TokenStatus.VALIDATION_FAILURE, description
    account = Account.of(meter)
    if account is None or account.status != AccountStatus.ACTIVE or not account.credits:
        return TokenStatus.EXECUTION_FAILURE, description
    _execute(account, token)
    numbers.append(token.number)
    numbers.sort()
    del numbers[:-_REMEMBERED]
    return TokenStatus.EXECUTION_OK, description


def _execute(account: Account, token: Token) -> None:
    now_us = account.meter.now_us
    if token.kind == TokenKind.CREDIT:
        account.pay_in(now_us, token.amount)
        return
    account.settle(now_us)
    for credit in account.credits:
        account.put(credit, 0)
    account.refresh(now_us)
