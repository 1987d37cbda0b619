"""The security control octet (IEC 62056-5-3, "security control byte")."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import attrs

from hes_protocol.errors import SecurityError

_SUITE: Final = 0x0F
_AUTHENTICATED: Final = 0x10
_ENCRYPTED: Final = 0x20
_BROADCAST: Final = 0x40
_COMPRESSED: Final = 0x80
_AES_128_SUITES: Final = (0, 1)


class Protection(IntEnum):
    """What protects an APDU; the values are the protection bits of `security_control`."""

    PLAIN = 0x00
    AUTHENTICATED = 0x10
    ENCRYPTED = 0x20
    AUTHENTICATED_ENCRYPTED = 0x30

    @property
    def authenticated(self) -> bool:
        """Whether there is a tag."""
        return bool(self & _AUTHENTICATED)

    @property
    def encrypted(self) -> bool:
        """Whether the APDU is enciphered."""
        return bool(self & _ENCRYPTED)

    def covers(self, minimum: Protection) -> bool:
        """Whether this is at least `minimum`: no kind of protection that it asks is missing."""
        return self & minimum == minimum


@attrs.frozen
class SecurityControl:
    """
    The octet, bit by bit.

    `broadcast` chooses the broadcast encryption key instead of the unicast one; `compressed`
    says that the plaintext is compressed with ITU-T V.44.
    """

    protection: Protection
    suite: int = 0
    broadcast: bool = False
    compressed: bool = False

    @classmethod
    def from_octet(cls, octet: int) -> SecurityControl:
        """Read the octet; every value has a meaning, and one object."""
        return CONTROLS[octet]

    def to_octet(self) -> int:
        """The octet."""
        return (
            self.suite
            | self.protection
            | (_BROADCAST if self.broadcast else 0)
            | (_COMPRESSED if self.compressed else 0)
        )

    def require_supported(self) -> None:
        """
        Refuse what this package cannot decipher.

        Suite 1 ciphers exactly as suite 0 (AES-GCM-128; it differs in key agreement and
        signatures), and meters such as the Kaifa MA309 push with it; an association still
        insists on its own suite.

        Raises: SecurityError: another suite, or compression.
        """
        if self.suite not in _AES_128_SUITES:
            raise SecurityError("suite-unsupported", f"security suite {self.suite}")
        if self.compressed:
            raise SecurityError("suite-unsupported", "compressed plaintext")


CONTROLS: Final = tuple(
    SecurityControl(
        protection=Protection(octet & 0x30),
        suite=octet & _SUITE,
        broadcast=bool(octet & _BROADCAST),
        compressed=bool(octet & _COMPRESSED),
    )
    for octet in range(256)
)
"""What each of the 256 octets says."""

SUPPORTED: Final = frozenset(
    octet
    for octet, control in enumerate(CONTROLS)
    if control.suite in _AES_128_SUITES and not control.compressed
)
"""The octets that `require_supported` lets through."""
