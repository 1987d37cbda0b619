"""
AES-GCM-128 with tags of 12 octets: protecting and unprotecting the content of ciphered APDUs.

IEC 62056-5-3, "ciphered APDUs": the initialization vector is the sender's system title and the
invocation counter, the additional authenticated data are the security control octet, the
authentication key and, where nothing is enciphered, the APDU itself.

The library's AEAD object writes tags of 16 octets only, and its object with shorter tags cannot
be kept. So a tag is checked by making it again: GCM enciphers in counter mode, hence enciphering
the ciphertext gives the plaintext, and enciphering that gives the full tag, of which the first
12 octets are compared in constant time. No plaintext leaves before. Both calls use a cipher
object made once per key.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hes_protocol.errors import LocalProtocolError, SecurityError, TruncatedError
from hes_protocol.security.control import Protection, SecurityControl

KEY_OCTETS: Final = 16
SYSTEM_TITLE_OCTETS: Final = 8
TAG_OCTETS: Final = 12
HEADER_OCTETS: Final = 5
MAX_COUNTER: Final = 0xFFFF_FFFF


class SuiteKeys:
    """
    One pair of keys with its cipher object, made once and used for every APDU.

    Prints nothing of the keys. Immutable, and safe to share between threads.

    Args:
        encryption_key: 16 octets, global or dedicated.
        authentication_key: 16 octets; None where nothing is authenticated.
    Raises: LocalProtocolError: a key that is not 16 octets.
    """

    __slots__ = ("_authentication_key", "_cipher")

    def __init__(self, encryption_key: bytes, authentication_key: bytes | None = None) -> None:
        if len(encryption_key) != KEY_OCTETS:
            raise LocalProtocolError("an encryption key of suite 0 has 16 octets")
        if authentication_key is not None and len(authentication_key) != KEY_OCTETS:
            raise LocalProtocolError("an authentication key of suite 0 has 16 octets")
        self._cipher = AESGCM(bytes(encryption_key))
        self._authentication_key = authentication_key

    def __repr__(self) -> str:
        return "SuiteKeys(…)"

    def with_encryption_key(self, encryption_key: bytes) -> SuiteKeys:
        """
        Another encryption key, dedicated or broadcast, with the same authentication key.

        Raises: LocalProtocolError: a key that is not 16 octets.
        """
        return SuiteKeys(encryption_key, self._authentication_key)

    @property
    def can_authenticate(self) -> bool:
        """Whether tags can be made and checked."""
        return self._authentication_key is not None

    def tag(self, iv: bytes, control_octet: bytes, clear: bytes, plaintext: bytes) -> bytes:
        """
        Ciphertext and tag: `plaintext` enciphered, `clear` authenticated only.

        Raises: SecurityError: "key-missing": there is no authentication key.
        """
        if self._authentication_key is None:
            raise SecurityError("key-missing", "authentication key")
        additional = control_octet + self._authentication_key + clear
        return self._cipher.encrypt(iv, plaintext, additional)[:-4]

    def counter_mode(self, iv: bytes, octets: bytes) -> bytes:
        """`octets` enciphered or, which is the same, deciphered; nothing is authenticated."""
        return self._cipher.encrypt(iv, octets, None)[:-16]


@attrs.frozen
class Unprotected:
    """
    What a ciphered APDU held.

    `invocation_counter` is what the frame says; it is trustworthy, like the plaintext, only if
    `authenticated`: the tag was there and is right.
    """

    plaintext: bytes = attrs.field(repr=False)
    control: SecurityControl
    invocation_counter: int
    authenticated: bool


def initialization_vector(system_title: bytes, invocation_counter: int) -> bytes:
    """
    The sender's system title and its counter, 12 octets.

    Raises: LocalProtocolError: no title of 8 octets, or a counter beyond 32 bits.
    """
    if len(system_title) != SYSTEM_TITLE_OCTETS:
        raise LocalProtocolError("a system title has 8 octets")
    if not 0 <= invocation_counter <= MAX_COUNTER:
        raise LocalProtocolError("an invocation counter has 32 bits")
    return system_title + invocation_counter.to_bytes(4, "big")


def protect(
    keys: SuiteKeys,
    system_title: bytes,
    protection: Protection,
    invocation_counter: int,
    plaintext: bytes,
    *,
    suite: int = 0,
) -> bytes:
    """
    Cipher an APDU.

    Args: keys: global or dedicated. system_title: ours. protection: not PLAIN.
        invocation_counter: never used before with this key and title. plaintext: the APDU.
        suite: number put into the security control octet; the ciphering is suite 0's.
    Returns: security control, invocation counter, ciphertext or plaintext, tag if there is one.
    Raises: LocalProtocolError: PLAIN, or title or counter out of range.
        SecurityError: the authentication key is missing.
    Source: IEC 62056-5-3, "security header" and "ciphered APDUs".
    """
    if protection is Protection.PLAIN:
        raise LocalProtocolError("PLAIN is no protection")
    iv = initialization_vector(system_title, invocation_counter)
    control = SecurityControl(protection, suite).to_octet().to_bytes(1, "big")
    header = control + iv[SYSTEM_TITLE_OCTETS:]
    match protection:
        case Protection.AUTHENTICATED_ENCRYPTED:
            return header + keys.tag(iv, control, b"", plaintext)
        case Protection.AUTHENTICATED:
            return header + plaintext + keys.tag(iv, control, plaintext, b"")
        case _:
            return header + keys.counter_mode(iv, plaintext)


def read_header(content: bytes) -> tuple[SecurityControl, int]:
    """
    Security control and invocation counter, neither of them verified.

    Raises: TruncatedError: fewer than five octets.
    """
    if len(content) < HEADER_OCTETS:
        raise TruncatedError("truncated", "within the security header", offset=len(content))
    control = SecurityControl.from_octet(content[0])
    return control, int.from_bytes(content[1:HEADER_OCTETS], "big")


def _check_title(system_title: bytes) -> None:
    if len(system_title) != SYSTEM_TITLE_OCTETS:
        raise SecurityError("system-title-mismatch", "a system title has 8 octets")


def _split(content: bytes, protection: Protection) -> tuple[bytes, bytes]:
    if not protection.authenticated:
        return content[HEADER_OCTETS:], b""
    if len(content) < HEADER_OCTETS + TAG_OCTETS:
        raise TruncatedError("truncated", "no room for a tag", offset=len(content))
    return content[HEADER_OCTETS:-TAG_OCTETS], content[-TAG_OCTETS:]


def unprotect(keys: SuiteKeys, system_title: bytes, content: bytes) -> Unprotected:
    """
    Decipher and verify the content of a ciphered APDU. Nothing of it is trusted before.

    The counter is not checked here: who keeps it does that next. An APDU that is enciphered only
    has no tag and comes back with `authenticated` False.

    Args: keys: global or dedicated. system_title: the sender's. content: from the security
        control octet to the end.
    Raises: SecurityError: the tag is wrong, a key is missing, or the suite is not supported.
        TruncatedError: shorter than its header and tag.
    Source: IEC 62056-5-3, "security header" and "ciphered APDUs".
    """
    control, counter = read_header(content)
    control.require_supported()
    _check_title(system_title)
    text, tag = _split(content, control.protection)
    iv = system_title + content[1:HEADER_OCTETS]
    octet = content[:1]
    match control.protection:
        case Protection.AUTHENTICATED_ENCRYPTED:
            plaintext = keys.counter_mode(iv, text)
            expected = keys.tag(iv, octet, b"", plaintext)[-TAG_OCTETS:]
        case Protection.AUTHENTICATED:
            plaintext = text
            expected = keys.tag(iv, octet, text, b"")
        case Protection.ENCRYPTED:
            return Unprotected(keys.counter_mode(iv, text), control, counter, False)
        case _:
            return Unprotected(text, control, counter, False)
    if not compare_digest(tag, expected):
        raise SecurityError("tag-mismatch")
    return Unprotected(plaintext, control, counter, True)


def decipher_unverified(keys: SuiteKeys, system_title: bytes, content: bytes) -> Unprotected:
    """
    Decipher without checking the tag: for the translator, when no authentication key is known.

    Never for an association: the result may be anybody's and has `authenticated` False.

    Args: as `unprotect`.
    Raises: SecurityError: the suite is not supported. TruncatedError: shorter than its header
        and tag.
    """
    control, counter = read_header(content)
    control.require_supported()
    _check_title(system_title)
    text, _ = _split(content, control.protection)
    if control.protection.encrypted:
        text = keys.counter_mode(system_title + content[1:HEADER_OCTETS], text)
    return Unprotected(text, control, counter, False)
