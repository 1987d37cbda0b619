"""Association control: AARQ, AARE, RLRQ, RLRE in BER (IEC 62056-5-3)."""

from hes_protocol.acse.aare import Aare
from hes_protocol.acse.aarq import Aarq
from hes_protocol.acse.fields import context_name, mechanism_name
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
from hes_protocol.acse.release import Rlre, Rlrq

__all__ = [
    "Aare",
    "Aarq",
    "ApplicationContext",
    "AssociationResult",
    "Diagnostic",
    "DiagnosticSource",
    "Mechanism",
    "ProviderDiagnostic",
    "ReleaseRequestReason",
    "ReleaseResponseReason",
    "Rlre",
    "Rlrq",
    "UserDiagnostic",
    "context_name",
    "mechanism_name",
]
