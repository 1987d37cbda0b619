"""xDLMS services (IEC 62056-5-3): APDUs as values, to and from octets."""

from hes_protocol.xdlms.results import (
    DEFAULT_CONFORMANCE,
    ActionResultCode,
    Conformance,
    DataAccessResult,
    ServiceError,
    StateError,
)

__all__ = [
    "DEFAULT_CONFORMANCE",
    "ActionResultCode",
    "Conformance",
    "DataAccessResult",
    "ServiceError",
    "StateError",
]
