"""What an error means for the session that it ended."""

from __future__ import annotations

import errno

import pytest
import trio

from hes.domain.errors import (
    AddressNotAllowedError,
    CounterReplayedError,
    KeyUnavailableError,
    LeaseLostError,
    OverloadedError,
    PermanentError,
    StorageUnavailableError,
)
from hes.domain.ports import SessionOutcome
from hes_collectors.dlms.outcomes import (
    ConnectionLostError,
    CounterExhaustedError,
    MechanismUnsupportedError,
    MeterRefusedError,
    TransportUnsupportedError,
    allows_release,
    rejection,
    verdict,
)
from hes_protocol.acse import AssociationResult, Diagnostic, DiagnosticSource, UserDiagnostic
from hes_protocol.client import AssociationRejected
from hes_protocol.errors import (
    AssociationError,
    EncodingError,
    FramingError,
    LocalProtocolError,
    SecurityError,
)

TRANSPORT, APPLICATION = SessionOutcome.TRANSPORT, SessionOutcome.APPLICATION
SECURITY, STORAGE = SessionOutcome.SECURITY, SessionOutcome.STORAGE


@pytest.mark.parametrize(
    ("error", "outcome", "cause"),
    [
        (trio.TooSlowError(), TRANSPORT, "deadline-exceeded"),
        (ConnectionLostError("gone"), TRANSPORT, "connection-lost"),
        (trio.BrokenResourceError(), TRANSPORT, "connection-lost"),
        (ConnectionResetError(), TRANSPORT, "connection-lost"),
        (ConnectionRefusedError(), TRANSPORT, "connection-refused"),
        (OSError(errno.EHOSTUNREACH, "no route"), TRANSPORT, "host-unreachable"),
        (OSError("no such name"), TRANSPORT, "connect-failed"),
        (FramingError("bad-version", offset=3), TRANSPORT, "bad-version"),
        (EncodingError("bad-structure", offset=3), APPLICATION, "bad-structure"),
        (AssociationError("unexpected-apdu"), APPLICATION, "unexpected-apdu"),
        (MeterRefusedError("data-access-object-undefined"), APPLICATION, None),
        (TransportUnsupportedError("hdlc"), APPLICATION, "transport-unsupported"),
        (MechanismUnsupportedError("HLS, suite 0"), APPLICATION, "mechanism-unsupported"),
        (LocalProtocolError("ours"), APPLICATION, "local-protocol-error"),
        (PermanentError("some"), APPLICATION, "refused"),
        (ZeroDivisionError(), APPLICATION, "internal-error"),
        (SecurityError("tag-mismatch"), SECURITY, "tag-mismatch"),
        (MeterRefusedError("exception-deciphering-error", security=True), SECURITY, None),
        (AddressNotAllowedError("outside"), SECURITY, "address-not-allowed"),
        (KeyUnavailableError("none"), SECURITY, "key-unavailable"),
        (CounterReplayedError("9"), SECURITY, "counter-replayed"),
        (CounterExhaustedError("full"), SECURITY, "counter-exhausted"),
        (StorageUnavailableError("away"), STORAGE, "storage-unavailable"),
        (OverloadedError("no room"), STORAGE, "storage-overloaded"),
        (LeaseLostError("late"), STORAGE, "lease-lost"),
    ],
)
def test_class_and_cause(error: Exception, outcome: SessionOutcome, cause: str | None) -> None:
    judged = verdict(error)
    assert judged.outcome is outcome
    assert judged.cause == (cause or error.args[0])
    assert judged.offset == getattr(error, "offset", None)


def test_only_our_bugs_are_bugs() -> None:
    assert verdict(ZeroDivisionError()).is_bug
    assert verdict(LocalProtocolError("x")).is_bug
    assert not verdict(EncodingError("x")).is_bug


@pytest.mark.parametrize(
    ("error", "allowed"),
    [
        (trio.TooSlowError(), True),
        (StorageUnavailableError(), True),
        (EncodingError("bad-structure"), True),
        (MeterRefusedError("exception-other-reason"), True),
        (MeterRefusedError("exception-deciphering-error", security=True), False),
        (SecurityError("tag-mismatch"), False),
        (LeaseLostError(), False),
        (ConnectionLostError(), False),
        (FramingError("bad-version"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_who_is_still_told_that_the_session_is_over(error: Exception, allowed: bool) -> None:
    assert allows_release(error) is allowed


def test_a_refused_association_is_about_security_if_it_says_so() -> None:
    def refused(code: int, source: DiagnosticSource = DiagnosticSource.USER) -> MeterRefusedError:
        return rejection(
            AssociationRejected(AssociationResult.REJECTED_PERMANENT, Diagnostic(code, source))
        )

    wrong_password = refused(UserDiagnostic.AUTHENTICATION_FAILURE)
    assert wrong_password.code == "association-authentication-failure"
    assert wrong_password.security
    assert not refused(UserDiagnostic.NO_REASON_GIVEN).security
    assert not refused(13, DiagnosticSource.PROVIDER).security
    assert refused(99).code == "association-code-99"
