"""
The fields of ACSE APDUs: names, requirements, authentication value, user-information.

IEC 62056-5-3, "ACSE APDUs". Object identifiers stay octets, so that an unknown name can be
answered with the right diagnostic instead of failing to decode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from hes_protocol.acse import ber
from hes_protocol.acse.ber import Element
from hes_protocol.acse.names import ApplicationContext, Mechanism
from hes_protocol.errors import EncodingError, LocalProtocolError

FieldReaders: TypeAlias = Mapping[int, tuple[str, Callable[[Element], Any]]]
"""By tag: the field's name, and what reads its value."""

PROTOCOL_VERSION: Final = 0x80
APPLICATION_CONTEXT_NAME: Final = 0xA1
IMPLEMENTATION_INFORMATION: Final = 0x9D
USER_INFORMATION: Final = 0xBE

# 2.16.756.5.8.1 and .2: country 756, organisation 5, DLMS UA 8, context or mechanism.
_CONTEXT_PREFIX: Final = bytes.fromhex("60857405 0801")
_MECHANISM_PREFIX: Final = bytes.fromhex("60857405 0802")
_CHARSTRING: Final = 0x80
_AUTHENTICATION_UNIT: Final = b"\x07\x80"
_FIRST_BIT: Final = 0x80
_MAX_AUTHENTICATION_VALUE: Final = 128


_CONTEXTS: Final = {_CONTEXT_PREFIX + bytes((one,)): one for one in ApplicationContext}
_MECHANISMS: Final = {_MECHANISM_PREFIX + bytes((one,)): one for one in Mechanism}


def context_name(context: ApplicationContext) -> bytes:
    """Object identifier of an application context."""
    return _CONTEXT_PREFIX + bytes((context,))


def mechanism_name(mechanism: Mechanism) -> bytes | None:
    """Object identifier of an authentication mechanism; none for NONE, which is not named."""
    return None if mechanism is Mechanism.NONE else _MECHANISM_PREFIX + bytes((mechanism,))


def context_of(name: bytes) -> ApplicationContext | None:
    """The context that `name` identifies, None for one that is not COSEM's."""
    return _CONTEXTS.get(name)


def mechanism_of(name: bytes | None) -> Mechanism | None:
    """The mechanism that `name` identifies, NONE for no name, None for one that is not COSEM's."""
    return Mechanism.NONE if name is None else _MECHANISMS.get(name)


def read_fields(octets: bytes, apdu_tag: int, readers: FieldReaders) -> dict[str, Any]:
    """
    The known fields of an ACSE APDU by name; other elements are skipped.

    Raises: EncodingError: a wrong length, a value that is none, a repeated field.
        TruncatedError: an element is longer than what is around it.
    """
    found: dict[str, Any] = {}
    for element in ber.read_apdu(octets, apdu_tag):
        known = readers.get(element.tag)
        if known is None:
            continue
        name, read = known
        if name in found:
            raise EncodingError("repeated-element", name, offset=element.offset, apdu_tag=apdu_tag)
        found[name] = read(element)
    return found


def read_octets(element: Element) -> bytes:
    """The value of an implicitly tagged element."""
    return element.value


def read_oid(element: Element) -> bytes:
    """The octets of an explicitly tagged OBJECT IDENTIFIER."""
    return element.only(ber.OBJECT_IDENTIFIER).value


def read_octet_string(element: Element) -> bytes:
    """The value of an explicitly tagged OCTET STRING."""
    return element.only(ber.OCTET_STRING).value


def read_integer(element: Element) -> int:
    """The value of an explicitly tagged INTEGER."""
    return element.only(ber.INTEGER).integer()


def read_identifier(element: Element) -> int:
    """
    An invocation identifier, which carries a user id of 0..255.

    A single octet is taken for unsigned: many write ids above 127 without the zero in front.

    Raises: EncodingError: negative, or no integer.
    """
    integer = element.only(ber.INTEGER)
    value = integer.value[0] if len(integer.value) == 1 else integer.integer()
    if value < 0:
        raise EncodingError("bad-identifier", "negative", offset=integer.offset)
    return value


def read_bit_string(element: Element) -> bytes:
    """
    An implicitly tagged BIT STRING: the number of unused bits, then the bits.

    Raises: EncodingError: no such number, or more unused bits than there are.
    """
    value = element.value
    if not value or value[0] > (7 if len(value) > 1 else 0):
        raise EncodingError("bad-bit-string", offset=element.offset)
    return value


def first_bit(bit_string: bytes) -> bool:
    """Whether the first bit is there and set: version1, or the authentication unit."""
    return len(bit_string) > 1 and bool(bit_string[1] & _FIRST_BIT)


def read_requirements(element: Element) -> bool:
    """
    Whether ACSE requirements ask for the authentication functional unit.

    Raises: EncodingError: no BIT STRING.
    """
    return first_bit(read_bit_string(element))


def read_authentication_value(element: Element) -> bytes:
    """
    The charstring of an authentication value.

    Raises: EncodingError: another form, or longer than any mechanism's.
    """
    value = element.only(_CHARSTRING).value
    if len(value) > _MAX_AUTHENTICATION_VALUE:
        raise EncodingError("bad-length", "of an authentication value", offset=element.offset)
    return value


def write_octets(tag: int, value: bytes | None) -> bytes:
    """An implicitly tagged element, or nothing."""
    return b"" if value is None else ber.write_element(tag, value)


@lru_cache(maxsize=16)
def write_oid(tag: int, value: bytes) -> bytes:
    """An explicitly tagged OBJECT IDENTIFIER."""
    return ber.write_element(tag, ber.write_element(ber.OBJECT_IDENTIFIER, value))


def write_octet_string(tag: int, value: bytes | None) -> bytes:
    """An explicitly tagged OCTET STRING, or nothing."""
    if value is None:
        return b""
    return ber.write_element(tag, ber.write_element(ber.OCTET_STRING, value))


@lru_cache(maxsize=64)
def write_integer(tag: int, value: int | None) -> bytes:
    """An explicitly tagged INTEGER, or nothing."""
    return b"" if value is None else ber.write_element(tag, ber.write_integer(value))


def write_identifier(tag: int, value: int | None) -> bytes:
    """
    An invocation identifier, or nothing.

    Raises: LocalProtocolError: it is negative.
    """
    if value is not None and value < 0:
        raise LocalProtocolError("an invocation identifier is not negative")
    return write_integer(tag, value)


def write_requirements(tag: int, authentication: bool) -> bytes:
    """ACSE requirements, or nothing where authentication is not asked for."""
    return ber.write_element(tag, _AUTHENTICATION_UNIT) if authentication else b""


def write_authentication_value(tag: int, value: bytes | None) -> bytes:
    """An authentication value as a charstring, or nothing."""
    return b"" if value is None else ber.write_element(tag, ber.write_element(_CHARSTRING, value))
