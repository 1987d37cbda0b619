"""
The keys of a translation, and what they open: whole APDUs, and the beginnings of some.

A tag is checked where there is one and the key for it is known; without that key the translator
shows what deciphers, and says that nothing was verified.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security import SuiteKeys, Unprotected, decipher_unverified, unprotect
from hes_protocol.security.control import Protection, SecurityControl
from hes_protocol.security.suite0 import HEADER_OCTETS, TAG_OCTETS
from hes_protocol.translator.conversation import Conversation
from hes_protocol.translator.fragment import read_ciphered_fragment
from hes_protocol.translator.result import TranslatorKeys
from hes_protocol.xdlms import Ciphered

# Requests are 0x01 and 0xC0..0xC3 but for event-notification; all else comes from servers.
_FROM_CLIENT: Final = (0x01, 0xC0, 0xC1, 0xC3)


class KeyRing:
    """
    Opens what one translation meets.

    Raises: SecurityError: "suite-unsupported": keys that are none of suite 0.
    """

    def __init__(self, keys: TranslatorKeys) -> None:
        self._keys: SuiteKeys | None = None
        self._authenticates = keys.authentication_key is not None
        if keys.encryption_key is not None:
            try:
                self._keys = SuiteKeys(keys.encryption_key, keys.authentication_key)
            except LocalProtocolError as error:
                raise SecurityError("suite-unsupported", str(error)) from None

    def dedicated(self, key: bytes) -> SuiteKeys | None:
        """The dedicated key that an initiate brings; None where it is none."""
        try:
            return None if self._keys is None else self._keys.with_encryption_key(key)
        except LocalProtocolError:
            return None  # what is ciphered with it will say that it does not open

    def open(self, ciphered: Ciphered, title: bytes | None, talk: Conversation) -> Unprotected:
        """
        Decipher, and verify as far as keys are known.

        Raises: SecurityError: a key or title is missing, or the tag is wrong. TruncatedError.
        """
        keys = self._keys_for(ciphered, talk)
        if keys is None:
            raise SecurityError("key-missing", "encryption key", apdu_tag=ciphered.tag)
        if title is None:
            raise SecurityError("key-missing", "system title of the sender", apdu_tag=ciphered.tag)
        if ciphered.control.protection.authenticated and not self._authenticates:
            return decipher_unverified(keys, title, ciphered.content)
        return unprotect(keys, title, ciphered.content)

    def open_beginning(self, ciphered: Ciphered, talk: Conversation) -> bytes | None:
        """
        The beginning of what a ciphered APDU holds whose end did not come; None without the keys.

        Counter mode goes octet by octet, so it opens without the end, but unverified.
        Raises: SecurityError: the suite is not supported, or the title is none.
        """
        title, keys = title_of(ciphered, talk), self._keys_for(ciphered, talk)
        control = ciphered.control
        if not control.protection.encrypted:
            return ciphered.content[HEADER_OCTETS:]
        if keys is None or title is None:
            return None
        enciphered = SecurityControl(Protection.ENCRYPTED, control.suite, control.broadcast)
        octets = bytes((enciphered.to_octet(),)) + ciphered.content[1:]
        return decipher_unverified(keys, title, octets).plaintext

    def _keys_for(self, ciphered: Ciphered, talk: Conversation) -> SuiteKeys | None:
        return (talk.dedicated_keys if ciphered.dedicated else None) or self._keys


def title_of(ciphered: Ciphered, talk: Conversation) -> bytes | None:
    """Who sent it: its own title, or by the service, since a client asks and a server answers."""
    if ciphered.system_title:
        return ciphered.system_title
    return talk.client_title if ciphered.plain_tag in _FROM_CLIENT else talk.server_title


def without_the_tag_it_counts(octets: bytes) -> Ciphered | None:
    """
    A ciphered APDU whose length counts a tag that its protection does not have, else None.

    Clients built on gocosem send such requests, and meters take them.
    """
    cut = read_ciphered_fragment(octets)
    if cut is None or cut[0].control.protection is not Protection.ENCRYPTED:
        return None
    return cut[0] if cut[1] - len(cut[0].content) == TAG_OCTETS else None
