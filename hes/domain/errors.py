"""Errors that cross layers. Whether to try again is in the type."""

from __future__ import annotations


class HesError(Exception):
    """Root of the head-end's own errors."""


class PermanentError(HesError):
    """Trying the same again cannot help."""


class TemporaryError(HesError):
    """Trying again later may help; nothing was half done."""


class StorageUnavailableError(TemporaryError):
    """The database cannot be reached or refused to work now; what it was asked is undone."""


class OverloadedError(StorageUnavailableError):
    """Storage cannot keep up: what was handed over was not taken; the meter still has it."""


class LeaseLostError(PermanentError):
    """The lease ran out or belongs to another holder: stop, and discard what it was for."""


class UnknownMeterError(PermanentError):
    """Nobody in the inventory answers to this identity."""


class AddressNotAllowedError(PermanentError):
    """The meter's address lies outside the networks that a collector may connect to."""


class QuarantineFullError(PermanentError):
    """The quarantine's limit for unknown senders is reached: the frame is refused and counted."""


class KeyUnavailableError(PermanentError):
    """The secrets of this association are missing or cannot be unwrapped."""


class CounterReplayedError(PermanentError):
    """
    A verified frame carries an invocation counter that was accepted before, or is too old.

    `seen` tells that this very counter was accepted; too old ones lie below the replay window.
    """

    def __init__(self, message: str, *, seen: bool = False) -> None:
        super().__init__(message)
        self.seen = seen
