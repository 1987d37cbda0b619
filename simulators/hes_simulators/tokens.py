"""
Credit tokens of simulated prepayment meters: twenty digits, for test engineers to type or send.

Owns the scheme, which is nobody's but ours. It is no cryptography and protects nothing: anybody can
make a token who knows the meter's serial number. It has the shape of those of IEC 62055-41, which
nothing here implements, and behaves as they do: a token is for one meter, and is taken once.

| digits | what |
|---|---|
| 1 | kind: 0 credit, 1 clear the credit |
| 8 | amount, in the unit of the account's amounts (cents) |
| 5 | number, which grows from token to token |
| 6 | check digits over the serial number and all digits before |
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import Final

import attrs

from hes_protocol.errors import EncodingError, SecurityError

TOKEN_DIGITS: Final = 20
MOST_AMOUNT: Final = 10**8 - 1
MOST_NUMBER: Final = 10**5 - 1
_KIND, _AMOUNT, _NUMBER, _CHECK = slice(0, 1), slice(1, 9), slice(9, 14), slice(14, 20)


class TokenKind(IntEnum):
    """What a token does."""

    CREDIT = 0
    CLEAR_CREDIT = 1


@attrs.frozen
class Token:
    """What a token says; `kind` is a number because a client may enter any."""

    kind: int
    amount: int
    number: int


def make_token(serial: str, amount: int, number: int, kind: int = TokenKind.CREDIT) -> str:
    """
    The digits of a token for the meter `serial`.

    Raises: ValueError: an amount or number that the scheme has no room for.
    """
    if not (0 <= amount <= MOST_AMOUNT and 0 <= number <= MOST_NUMBER and 0 <= kind <= 9):
        raise ValueError(f"no token for {amount}, number {number}")
    digits = f"{kind}{amount:08d}{number:05d}"
    return digits + _check_digits(serial, digits)


def read_token(serial: str, octets: bytes) -> Token:
    """
    Read a token as a meter does; spaces between groups are overlooked.

    Raises: EncodingError: "bad-token": not twenty digits. SecurityError: "authentication-failed":
        the check digits are those of no token for this meter.
    """
    digits = octets.replace(b" ", b"").decode("latin-1")
    if len(digits) != TOKEN_DIGITS or not (digits.isascii() and digits.isdigit()):
        raise EncodingError("bad-token", "not twenty digits")
    if digits[_CHECK] != _check_digits(serial, digits[: _CHECK.start]):
        raise SecurityError("authentication-failed", "check digits of no token for this meter")
    return Token(int(digits[_KIND]), int(digits[_AMOUNT]), int(digits[_NUMBER]))


def _check_digits(serial: str, digits: str) -> str:
    number = int.from_bytes(sha256(f"{serial}/{digits}".encode()).digest()[:8], "big")
    return f"{number % 10**6:06d}"
