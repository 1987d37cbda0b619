"""Association control: AARQ, AARE, RLRQ, RLRE in BER (IEC 62056-5-3)."""

from hes_protocol.acse.names import (
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
    ProviderDiagnostic,
    ReleaseRequestReason,
    ReleaseResponseReason,
    UserDiagnostic,
)

__all__ = [
    "ApplicationContext",
    "AssociationResult",
    "Diagnostic",
    "DiagnosticSource",
    "Mechanism",
    "ProviderDiagnostic",
    "ReleaseRequestReason",
    "ReleaseResponseReason",
    "UserDiagnostic",
]
