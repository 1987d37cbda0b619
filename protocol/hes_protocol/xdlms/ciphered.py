"""
Ciphered APDUs as values: which service, whose key, and the protected content, unopened.

IEC 62056-5-3, "service-specific ciphering" (glo- and ded- tags, one per service) and
`General-Glo-Ciphering`, `General-Ded-Ciphering` (any APDU, with the sender's system title). What
is inside is read by `hes_protocol.security`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from hes_protocol.axdr import read_length
from hes_protocol.errors import EncodingError, LocalProtocolError, TruncatedError
from hes_protocol.security.control import SecurityControl
from hes_protocol.security.suite0 import HEADER_OCTETS, read_header
from hes_protocol.xdlms.reader import write_octet_string

GENERAL_GLO: Final = 0xDB
GENERAL_DED: Final = 0xDC

# By tag of the plain APDU: initiate, confirmed-service-error, get, set, event, action.
GLO_TAGS: Final = {
    0x01: 0x21, 0x08: 0x28, 0x0E: 0x2E,
    0xC0: 0xC8, 0xC1: 0xC9, 0xC2: 0xCA, 0xC3: 0xCB,
    0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF,
}  # fmt: skip
DED_TAGS: Final = {
    0x01: 0x41, 0x08: 0x48, 0x0E: 0x4E,
    0xC0: 0xD0, 0xC1: 0xD1, 0xC2: 0xD2, 0xC3: 0xD3,
    0xC4: 0xD4, 0xC5: 0xD5, 0xC7: 0xD7,
}  # fmt: skip
PLAIN_TAGS: Final = {
    ciphered: plain for tags in (GLO_TAGS, DED_TAGS) for plain, ciphered in tags.items()
}
DEDICATED: Final = frozenset({GENERAL_DED, *DED_TAGS.values()})
_GENERAL: Final = frozenset({GENERAL_GLO, GENERAL_DED})


class CipherForm(StrEnum):
    """
    How an APDU is ciphered: by its service's tag or generally, with the global or dedicated key.

    A service that has no tag of its own (data-notification, ACCESS) goes in the general form of
    the same key. The general forms name the sender.
    """

    GLO = "glo"
    DED = "ded"
    GENERAL_GLO = "general-glo"
    GENERAL_DED = "general-ded"

    @property
    def dedicated(self) -> bool:
        """Whether it is the dedicated key of the association that ciphers."""
        return self in _DEDICATED_FORMS

    @property
    def general(self) -> bool:
        """Whether it names the sender and may hold any APDU."""
        return self in _GENERAL_FORMS

    def tag(self, plain_tag: int) -> int:
        """First octet of the ciphered APDU that holds the APDU `plain_tag`."""
        own, general = _TAGS[self]
        return own.get(plain_tag, general)


_DEDICATED_FORMS: Final = frozenset({CipherForm.DED, CipherForm.GENERAL_DED})
_GENERAL_FORMS: Final = frozenset({CipherForm.GENERAL_GLO, CipherForm.GENERAL_DED})
# The tags of services that have one, and that of all others.
_TAGS: Final[dict[CipherForm, tuple[dict[int, int], int]]] = {
    CipherForm.GLO: (GLO_TAGS, GENERAL_GLO),
    CipherForm.DED: (DED_TAGS, GENERAL_DED),
    CipherForm.GENERAL_GLO: ({}, GENERAL_GLO),
    CipherForm.GENERAL_DED: ({}, GENERAL_DED),
}
FORMS: Final = {
    GENERAL_GLO: CipherForm.GENERAL_GLO,
    GENERAL_DED: CipherForm.GENERAL_DED,
    **dict.fromkeys(GLO_TAGS.values(), CipherForm.GLO),
    **dict.fromkeys(DED_TAGS.values(), CipherForm.DED),
}
"""By first octet of the ciphered APDU."""


@attrs.frozen
class Ciphered:
    """
    A glo-, ded-, general-glo or general-ded APDU.

    `tag` is its first octet; `content` begins with the security control octet; `system_title` is
    the sender's, in the general forms only.
    """

    tag: int
    content: bytes = attrs.field(repr=False)
    system_title: bytes | None = None

    @property
    def dedicated(self) -> bool:
        """Whether the dedicated key of the association is meant, not the global one."""
        return self.tag in DEDICATED

    @property
    def general(self) -> bool:
        """Whether any APDU may be inside."""
        return self.tag in _GENERAL

    @property
    def form(self) -> CipherForm:
        """Which of the four forms this is."""
        return FORMS[self.tag]

    @property
    def plain_tag(self) -> int | None:
        """First octet of the APDU that must be inside; None for the general forms."""
        return PLAIN_TAGS.get(self.tag)

    @property
    def control(self) -> SecurityControl:
        """The security control octet as it stands there, unverified."""
        return read_header(self.content)[0]

    @property
    def invocation_counter(self) -> int:
        """The invocation counter as it stands there, unverified."""
        return read_header(self.content)[1]

    def encode(self) -> bytes:
        """
        The octets of the APDU.

        Raises: LocalProtocolError: a tag that ciphers nothing, or a system title where none goes.
        """
        if not (self.general or self.plain_tag is not None):
            raise LocalProtocolError(f"0x{self.tag:02x} is no ciphered APDU")
        if self.general is (self.system_title is None):
            raise LocalProtocolError("a system title goes with general ciphering, and only there")
        return join_ciphered(self.tag, self.system_title, self.content)


def join_ciphered(tag: int, system_title: bytes | None, content: bytes) -> bytes:
    """
    A ciphered APDU of its parts, as `split_ciphered` gives them.

    As `Ciphered.encode` without the object and its checks: `tag` is one of `CipherForm.tag`.
    """
    title = b"" if system_title is None else write_octet_string(system_title)
    return bytes((tag,)) + title + write_octet_string(content)


def split_ciphered(octets: bytes) -> tuple[int, bytes | None, bytes]:
    """
    The parts of a whole ciphered APDU: its tag, the sender's title where it has one, the content.

    As `decode_ciphered` without the object, for the way that every APDU goes.

    Raises: EncodingError: octets left over. TruncatedError: shorter than its security header.
    """
    tag = octets[0]
    title = None
    length, start = read_length(octets, 1)
    if tag in _GENERAL:
        title = octets[start : start + length]
        # Where the title is cut off, so is the length behind it.
        length, start = read_length(octets, start + length)
    behind = start + length
    if behind != len(octets):
        if behind > len(octets):
            raise TruncatedError("truncated", f"{length} are promised", offset=start, apdu_tag=tag)
        raise EncodingError("trailing-octets", offset=behind, apdu_tag=tag)
    content = octets[start:]
    if length < HEADER_OCTETS:
        read_header(content)
    return tag, title, content


def decode_ciphered(octets: bytes) -> Ciphered:
    """
    Read a whole ciphered APDU without opening it.

    Raises: EncodingError: octets left over. TruncatedError: shorter than its security header.
    """
    tag, title, content = split_ciphered(octets)
    return Ciphered(tag, content, title)
