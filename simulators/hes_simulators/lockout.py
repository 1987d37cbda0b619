"""
What a meter does about wrong secrets, replays and APDUs that do not decipher.

Owns the count of attempts of each client and how long it is locked out, both kept in the meter's
state, so that a restart forgives nothing. Implements the protocol's `Guard`; what the client is
told meanwhile is the protocol's (AARE, rejected-transient, authentication-failure).

Counted are wrong secrets and proofs, and keys that do not fit while an association opens. What
does not verify in an open association raises an event and is not counted: else whoever injects an
APDU into somebody's session locks him out. Nor are replays, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hes_simulators.keys import context_of

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_ATTEMPTS, _LOCKED_UNTIL = "attempts", "locked_until_us"
_FAILED: Final = "authentication-failed"
_MISMATCH: Final = "tag-mismatch"
_COUNTED: Final = frozenset({_FAILED, _MISMATCH})
_EVENTS: Final[Mapping[str, str]] = {
    _FAILED: "wrong_password",
    _MISMATCH: "decryption_failed",
    "key-unwrap": "decryption_failed",
    "counter-replayed": "replay",
}
_US: Final = timedelta(microseconds=1)


class MeterGuard:
    """The guard of one meter, over all its connections; keeps nothing itself."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def admits(self, client_sap: int) -> bool:
        """Whether the client is not locked out; an expired lock-out is over and forgotten."""
        context = context_of(client_sap)
        until_us = self._meter.state.peek(context, _LOCKED_UNTIL)
        if until_us is None:
            return True
        self._meter.advance(self._meter.kind.now())
        if self._meter.now_us < until_us:
            return False
        self._forget(client_sap)
        return True

    def failed(self, client_sap: int, code: str, *, opening: bool) -> None:
        """Raise the event, count the attempt, and lock the client out after the last one."""
        meter, at = self._meter, self._meter.kind.now()
        meter.advance(at)
        event = _EVENTS.get(code)
        if not opening or code not in _COUNTED:
            if event is not None:
                meter.raise_event(event, at)
            return
        kept = meter.state.of(context_of(client_sap))
        attempts = kept[_ATTEMPTS] = kept.get(_ATTEMPTS, 0) + 1
        assert event is not None  # whatever is counted has one
        meter.raise_event(event, at, attempts=attempts)
        lock_out = meter.clients[client_sap].lock_out
        if lock_out is not None and attempts >= lock_out.attempts:
            kept[_LOCKED_UNTIL] = meter.now_us + timedelta(seconds=lock_out.seconds) // _US
            meter.raise_event("locked_out", at)

    def succeeded(self, client_sap: int) -> None:
        """The count begins anew."""
        self._forget(client_sap)

    def _forget(self, client_sap: int) -> None:
        kept = self._meter.state.objects.get(context_of(client_sap))
        if kept is None:
            return
        for name in (_ATTEMPTS, _LOCKED_UNTIL):
            kept.pop(name, None)
        if not kept:
            del self._meter.state.objects[context_of(client_sap)]
