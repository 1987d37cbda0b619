"""
Opaque cursors: where a page ended, in a form that callers pass back unread.

A cursor names the kind of list it belongs to, so that one cannot be used with another, and is
checked like any other input.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from hes.api.problems import ProblemError

T = TypeVar("T")

_MAX_OCTETS = 512


def seal(kind: str, position: object) -> str:
    """The cursor for `position` in lists of `kind`."""
    packed = msgspec.msgpack.encode((kind, position))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def unseal(kind: str, cursor: str | None, position: type[T]) -> T | None:
    """
    The position that `seal` made a cursor of; None if there is no cursor.

    Raises: ProblemError: cursor_invalid.
    """
    if cursor is None:
        return None
    if len(cursor) > _MAX_OCTETS:
        raise ProblemError("cursor_invalid")
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        sealed_kind, inner = msgspec.msgpack.decode(packed, type=tuple[str, msgspec.Raw])
        if sealed_kind != kind:
            raise ProblemError("cursor_invalid", "This cursor belongs to another list.")
        return msgspec.msgpack.decode(inner, type=position)
    except (binascii.Error, msgspec.DecodeError, ValueError) as exc:
        raise ProblemError("cursor_invalid") from exc
