"""
The key encryption key: seals secrets and binds each to its place.

Sealing is AES-256-GCM with a random nonce and, as associated data, the meter, the client and the
kind of the secret. Not AES key wrap (RFC 3394, RFC 5649): that has no associated data, so a sealed
value that somebody moves to another meter's row would open there. With random 96-bit nonces one
key may seal 2^32 values (NIST SP 800-38D, 8.3): ten million meters with three secrets each may
change all of them 140 times before the KEK itself must be replaced.

Three keys are derived from the KEK (HKDF-SHA256), one per use: sealing, fingerprints, its name.
"""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hes.domain.errors import KeyUnavailableError, PermanentError

KEK_LENGTH_OCTETS: Final = 32

_FORMAT: Final = b"\x01"
_NONCE_LENGTH_OCTETS: Final = 12
_TAG_LENGTH_OCTETS: Final = 16


class KekError(PermanentError):
    """The KEK is missing, unsafe to use, or not the one that this database needs."""


class SecretKind(StrEnum):
    """Which secret of an association; part of what a sealed value is bound to."""

    SECRET = "secret"  # noqa: S105 - a name
    EK = "ek"
    AK = "ak"


class Kek:
    """
    A key encryption key of 32 octets. Prints as its name only.

    Args:
        octets: the key itself.

    Raises:
        KekError: not 32 octets.
    """

    __slots__ = ("_cipher", "_fingerprint_key", "kek_id")

    def __init__(self, octets: bytes) -> None:
        if len(octets) != KEK_LENGTH_OCTETS:
            raise KekError(f"a KEK has {KEK_LENGTH_OCTETS} octets, not {len(octets)}")
        self._cipher = AESGCM(_derive(octets, b"hes kek seal v1", 32))
        self._fingerprint_key = _derive(octets, b"hes kek fingerprint v1", 32)
        self.kek_id = _derive(octets, b"hes kek name v1", 8).hex()

    def __repr__(self) -> str:
        return f"Kek({self.kek_id})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a KEK does not leave its process")

    def seal(
        self, secret: bytes, nonce: bytes, *, meter_id: UUID, client_sap: int, kind: SecretKind
    ) -> bytes:
        """
        Encrypt a secret and bind it to its place.

        Args:
            nonce: 12 random octets, never used before with this KEK.

        Returns:
            Format octet, nonce, ciphertext, tag.
        """
        place = _place(meter_id, client_sap, kind)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, secret, place)

    def open(self, sealed: bytes, *, meter_id: UUID, client_sap: int, kind: SecretKind) -> bytes:
        """
        The secret that was sealed for this place.

        Raises:
            KeyUnavailableError: sealed by another KEK or for another place, or damaged.
        """
        nonce_end = len(_FORMAT) + _NONCE_LENGTH_OCTETS
        whose = f"meter {meter_id}, client {client_sap}: {kind.value}"
        if not sealed.startswith(_FORMAT) or len(sealed) < nonce_end + _TAG_LENGTH_OCTETS:
            raise KeyUnavailableError(f"{whose} is kept in no form that this version knows")
        nonce = sealed[len(_FORMAT) : nonce_end]
        try:
            return self._cipher.decrypt(
                nonce, sealed[nonce_end:], _place(meter_id, client_sap, kind)
            )
        except InvalidTag:
            raise KeyUnavailableError(f"{whose} does not open with KEK {self.kek_id}") from None

    def fingerprint(self, key: bytes) -> bytes:
        """
        A keyed hash, 16 octets: equal for equal keys, and nothing to try guesses on.

        A bare hash would let anybody who reads the table find the factory keys that many meters
        share. It changes with the KEK; whoever replaces a KEK carries `own_counter` over.
        """
        return hmac.digest(self._fingerprint_key, key, "sha256")[:16]


def _derive(octets: bytes, use: bytes, length_octets: int) -> bytes:
    return HKDF(SHA256(), length_octets, salt=None, info=use).derive(octets)


def _place(meter_id: UUID, client_sap: int, kind: SecretKind) -> bytes:
    return meter_id.bytes + client_sap.to_bytes(2, "big") + kind.value.encode()
