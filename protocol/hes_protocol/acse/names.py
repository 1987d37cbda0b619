"""
Names of association control: contexts, mechanisms, results and diagnostics.

IEC 62056-5-3, "COSEM application context name", "authentication mechanism name", and the ACSE
definitions of ISO/IEC 8650-1 that it uses. The object identifiers are
`2.16.756.5.8.1.x` (contexts) and `2.16.756.5.8.2.x` (mechanisms).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import attrs


class ApplicationContext(IntEnum):
    """Last arc of the application context name."""

    LOGICAL_NAME = 1
    SHORT_NAME = 2
    LOGICAL_NAME_CIPHERED = 3
    SHORT_NAME_CIPHERED = 4

    @property
    def ciphered(self) -> bool:
        """Whether xDLMS APDUs of this context may be ciphered."""
        return self in (self.LOGICAL_NAME_CIPHERED, self.SHORT_NAME_CIPHERED)


class Mechanism(IntEnum):
    """Last arc of the authentication mechanism name; the same numbers as `hes.domain`'s."""

    NONE = 0
    LLS = 1
    HLS = 2
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7


class AssociationResult(IntEnum):
    """The AARE's `result`."""

    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class UserDiagnostic(IntEnum):
    """`acse-service-user` values of result-source-diagnostic."""

    NULL = 0
    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AP_TITLE_NOT_RECOGNIZED = 3
    CALLING_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 4
    CALLING_AE_QUALIFIER_NOT_RECOGNIZED = 5
    CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 6
    CALLED_AP_TITLE_NOT_RECOGNIZED = 7
    CALLED_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 8
    CALLED_AE_QUALIFIER_NOT_RECOGNIZED = 9
    CALLED_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 10
    AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED = 11
    AUTHENTICATION_MECHANISM_NAME_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class ProviderDiagnostic(IntEnum):
    """`acse-service-provider` values of result-source-diagnostic."""

    NULL = 0
    NO_REASON_GIVEN = 1
    NO_COMMON_ACSE_VERSION = 2


class DiagnosticSource(StrEnum):
    """Who gives the diagnostic."""

    USER = "acse-service-user"
    PROVIDER = "acse-service-provider"


@attrs.frozen
class Diagnostic:
    """An AARE's result-source-diagnostic; `code` is a number because meters invent some."""

    code: int
    source: DiagnosticSource = DiagnosticSource.USER

    @property
    def name(self) -> str:
        """The standard's name for the code in kebab case, or `code-N` where it has none."""
        names: type[IntEnum] = (
            UserDiagnostic if self.source is DiagnosticSource.USER else ProviderDiagnostic
        )
        try:
            return names(self.code).name.lower().replace("_", "-")
        except ValueError:
            return f"code-{self.code}"


class ReleaseRequestReason(IntEnum):
    """`Release-request-reason` of an RLRQ."""

    NORMAL = 0
    URGENT = 1
    USER_DEFINED = 30


class ReleaseResponseReason(IntEnum):
    """`Release-response-reason` of an RLRE."""

    NORMAL = 0
    NOT_FINISHED = 1
    USER_DEFINED = 30
