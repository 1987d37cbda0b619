"""
What an error means for the session that it ended: its class, its cause code, and who must know.

One table, as the HTTP status of an API error is decided in one place: no other module of the
collector looks at the type of an error to tell what kind it is.
"""

from __future__ import annotations

import errno
import traceback
from typing import Final

import attrs
import structlog
import trio

from hes.domain.errors import (
    AddressNotAllowedError,
    CounterReplayedError,
    HesError,
    KeyUnavailableError,
    LeaseLostError,
    OverloadedError,
    PermanentError,
    StorageUnavailableError,
    TemporaryError,
)
from hes.domain.ports import SessionOutcome
from hes_protocol.acse.names import DiagnosticSource, UserDiagnostic
from hes_protocol.client import AssociationRejected
from hes_protocol.errors import (
    EncodingError,
    FramingError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)

_log = structlog.get_logger(__name__)


class ConnectionLostError(TemporaryError):
    """The meter closed or reset the connection before it had answered."""


class TransportUnsupportedError(PermanentError):
    """The meter's SAPs, with what its model says of them, have no address on its transport."""


class MechanismUnsupportedError(PermanentError):
    """Sessions by this mechanism or in this suite are not built: HLS 2, ECDSA, suites 1 and 2."""


class CounterExhaustedError(PermanentError):
    """Our invocation counter is used up: the key must be changed before anything is sent."""


class MeterRefusedError(PermanentError):
    """
    The meter said no: to the association, to a request, or by an exception-response.

    `code` is the cause of the session's report; `security` tells that it is about keys,
    authentication or counters.
    """

    def __init__(self, code: str, *, security: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.security = security


@attrs.frozen
class Verdict:
    """How a session ended: `cause` is a stable kebab-case code, None if all went well."""

    outcome: SessionOutcome
    cause: str | None = None
    offset: int | None = None

    @property
    def is_bug(self) -> bool:
        """Whether the error was ours and a developer must look."""
        return self.cause in _BUGS


_BUGS: Final = frozenset({"internal-error", "local-protocol-error"})
DONE: Final = Verdict(SessionOutcome.OK)

_BY_TYPE: Final[tuple[tuple[type[BaseException], SessionOutcome, str], ...]] = (
    (trio.TooSlowError, SessionOutcome.TRANSPORT, "deadline-exceeded"),
    (ConnectionLostError, SessionOutcome.TRANSPORT, "connection-lost"),
    (trio.BrokenResourceError, SessionOutcome.TRANSPORT, "connection-lost"),
    (trio.ClosedResourceError, SessionOutcome.TRANSPORT, "connection-lost"),
    (ConnectionRefusedError, SessionOutcome.TRANSPORT, "connection-refused"),
    (ConnectionError, SessionOutcome.TRANSPORT, "connection-lost"),
    (OverloadedError, SessionOutcome.STORAGE, "storage-overloaded"),
    (StorageUnavailableError, SessionOutcome.STORAGE, "storage-unavailable"),
    (LeaseLostError, SessionOutcome.STORAGE, "lease-lost"),
    (CounterExhaustedError, SessionOutcome.SECURITY, "counter-exhausted"),
    (AddressNotAllowedError, SessionOutcome.SECURITY, "address-not-allowed"),
    (KeyUnavailableError, SessionOutcome.SECURITY, "key-unavailable"),
    (CounterReplayedError, SessionOutcome.SECURITY, "counter-replayed"),
    (TransportUnsupportedError, SessionOutcome.APPLICATION, "transport-unsupported"),
    (MechanismUnsupportedError, SessionOutcome.APPLICATION, "mechanism-unsupported"),
    (LocalProtocolError, SessionOutcome.APPLICATION, "local-protocol-error"),
)
CLOCK_BEHIND: Final = "clock-behind"
"""Of a gap: by the meter's clock it is still to come. What it may bring shows much later."""
_PERMANENT: Final = frozenset(
    {
        "data-access-object-undefined",
        "data-access-object-class-inconsistent",
        "data-access-read-write-denied",
        "data-access-scope-of-access-violated",
        "data-access-type-unmatched",
        "profile-unknown",
        "read-unsupported",
    }
)
HOPELESS: Final = frozenset({"mechanism-unsupported", "transport-unsupported"})
"""What no session with a meter gets past before somebody has changed something."""
# Errors after which the meter may still be listening and we may still speak.
_RELEASE_AFTER: Final = (
    trio.Cancelled,
    trio.TooSlowError,
    StorageUnavailableError,
    EncodingError,
    LimitError,
)
_AUTHENTICATION: Final = frozenset(
    {
        UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED,
        UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED,
        UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED,
        UserDiagnostic.AUTHENTICATION_FAILURE,
        UserDiagnostic.AUTHENTICATION_REQUIRED,
    }
)
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN})


def verdict(error: BaseException) -> Verdict:
    """
    Judge the error that ended a session.

    Anything that is in no table is our own bug: "internal-error".
    """
    if isinstance(error, MeterRefusedError):
        outcome = SessionOutcome.SECURITY if error.security else SessionOutcome.APPLICATION
        return Verdict(outcome, error.code)
    if isinstance(error, SecurityError):
        return Verdict(SessionOutcome.SECURITY, error.code, error.offset)
    if isinstance(error, FramingError):
        return Verdict(SessionOutcome.TRANSPORT, error.code, error.offset)
    if isinstance(error, RemoteProtocolError):
        return Verdict(SessionOutcome.APPLICATION, error.code, error.offset)
    for kind, outcome, cause in _BY_TYPE:
        if isinstance(error, kind):
            return Verdict(outcome, cause)
    if isinstance(error, OSError):
        unreachable = error.errno in _UNREACHABLE
        return Verdict(
            SessionOutcome.TRANSPORT, "host-unreachable" if unreachable else "connect-failed"
        )
    if isinstance(error, HesError):
        return Verdict(SessionOutcome.APPLICATION, "refused")
    return Verdict(SessionOutcome.APPLICATION, "internal-error")


def ends_item(cause: str) -> bool:
    """Whether it is of no use to ask for it again for this due item."""
    return cause == CLOCK_BEHIND or is_permanent(cause)


def is_permanent(cause: str) -> bool:
    """Whether it is of no use to ask for something again before more is known of the meter."""
    return cause in _PERMANENT or cause in HOPELESS


def allows_release(error: BaseException) -> bool:
    """
    Whether the meter should still be told that the session is over.

    Not after a lost lease (somebody else may be talking to it), a security failure (it may not be
    the meter at all), a lost connection, or octets that have put the framing out of step.
    """
    if isinstance(error, MeterRefusedError):
        return not error.security
    return isinstance(error, _RELEASE_AFTER)


def rejection(event: AssociationRejected) -> MeterRefusedError:
    """A refused association as the error that ends the session."""
    diagnostic = event.diagnostic
    return MeterRefusedError(
        f"association-{diagnostic.name}",
        security=diagnostic.source is DiagnosticSource.USER and diagnostic.code in _AUTHENTICATION,
    )


def log_crash(error: Exception) -> None:
    """
    Tell of our own bug: type and place, but neither message nor locals.

    Both may hold what a meter sent, deciphered.
    """
    _log.error(
        "collector_task_crashed",
        error=type(error).__name__,
        where=traceback.format_tb(error.__traceback__)[-5:],
    )
