"""exception-response and confirmed-service-error: a server cannot or will not (IEC 62056-5-3)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import attrs

from hes_protocol.errors import LocalProtocolError
from hes_protocol.xdlms.reader import ApduReader, write_unsigned
from hes_protocol.xdlms.results import ServiceError, StateError

EXCEPTION_RESPONSE: Final = 0xD8
CONFIRMED_SERVICE_ERROR: Final = 0x0E


class ConfirmedService(IntEnum):
    """CHOICE of `ConfirmedServiceError`: the service that failed."""

    INITIATE_ERROR = 1
    READ = 5
    WRITE = 6


class InitiateError(IntEnum):
    """`initiate` values of `ServiceError`."""

    OTHER = 0
    DLMS_VERSION_TOO_LOW = 1
    INCOMPATIBLE_CONFORMANCE = 2
    PDU_SIZE_TOO_SHORT = 3
    REFUSED_BY_THE_VDE_HANDLER = 4


INITIATE: Final = 6
"""CHOICE of `ServiceError` for `initiate`."""


@attrs.frozen
class ExceptionResponse:
    """
    A refusal outside of any service; it has no invoke id.

    `invocation_counter` comes with INVOCATION_COUNTER_ERROR only: what the server expects.
    """

    state_error: StateError
    service_error: ServiceError
    invocation_counter: int | None = None

    def encode(self) -> bytes:
        """
        The octets of the APDU.

        Raises: LocalProtocolError: a counter with another error, or out of range.
        """
        octets = bytes((EXCEPTION_RESPONSE, self.state_error, self.service_error))
        if self.invocation_counter is None:
            return octets
        if self.service_error is not ServiceError.INVOCATION_COUNTER_ERROR:
            raise LocalProtocolError("a counter goes with INVOCATION_COUNTER_ERROR only")
        return octets + write_unsigned(self.invocation_counter, 4)


@attrs.frozen
class ConfirmedServiceError:
    """
    A service failed, in LN referencing the initiate.

    Numbers, since both CHOICEs have many arms: `service` see `ConfirmedService`, `kind` the arm
    of `ServiceError` (`INITIATE` for an initiate), `value` its code, see `InitiateError`.
    """

    service: int
    kind: int
    value: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            bytes((CONFIRMED_SERVICE_ERROR,))
            + write_unsigned(self.service)
            + write_unsigned(self.kind)
            + write_unsigned(self.value)
        )


def decode_exception_response(octets: bytes) -> ExceptionResponse:
    """
    Read a whole exception-response.

    Older meters send INVOCATION_COUNTER_ERROR's number without the counter; then it is None.

    Raises: EncodingError: octets left over. TruncatedError.
    """
    reader = ApduReader(octets)
    state_error, service_error = StateError(reader.octet()), ServiceError(reader.octet())
    counter = None
    if (
        service_error is ServiceError.INVOCATION_COUNTER_ERROR
        and len(reader.octets) > reader.offset
    ):
        counter = reader.unsigned(4)
    reader.end()
    return ExceptionResponse(state_error, service_error, counter)


def decode_confirmed_service_error(octets: bytes) -> ConfirmedServiceError:
    """
    Read a whole confirmed-service-error.

    Raises: EncodingError: octets left over. TruncatedError.
    """
    reader = ApduReader(octets)
    error = ConfirmedServiceError(reader.octet(), reader.octet(), reader.octet())
    reader.end()
    return error
