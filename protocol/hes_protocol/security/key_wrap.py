"""
Keys on their way to a meter: wrapped by its master key, in the parameter of class_id 64.

AES key wrap (RFC 3394), with which security suite 0 transfers keys: IEC 62056-6-2, class_id 64
"Security setup", method 2 `global_key_transfer`, whose parameter is an array of
`key_transfer_data` {key_id, key_wrapped}. Owns no keys and no decision about them: who changes
keys, in which order, and what happens if the answer is lost is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import attrs
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.errors import EncodingError, LocalProtocolError, SecurityError
from hes_protocol.security.suite0 import KEY_OCTETS

WRAPPED_OCTETS: Final = KEY_OCTETS + 8
_MEMBERS: Final = 2


class KeyId(IntEnum):
    """`key_id` of class_id 64: which key is transferred."""

    GLOBAL_UNICAST_ENCRYPTION = 0
    GLOBAL_BROADCAST_ENCRYPTION = 1
    AUTHENTICATION = 2
    MASTER = 3


@attrs.frozen
class KeyTransfer:
    """One key on its way, wrapped by the master key."""

    key_id: KeyId
    wrapped: bytes = attrs.field(repr=False)


def wrap_key(master_key: bytes, key: bytes) -> bytes:
    """
    Wrap a key of suite 0.

    Args: master_key: the meter's KEK, 16 octets. key: 16 octets.
    Returns: 24 octets.
    Raises: LocalProtocolError: a key that is not 16 octets.
    Source: RFC 3394, 2.2.1.
    """
    if len(master_key) != KEY_OCTETS or len(key) != KEY_OCTETS:
        raise LocalProtocolError("a key of suite 0 has 16 octets")
    return aes_key_wrap(master_key, key)


def unwrap_key(master_key: bytes, wrapped: bytes) -> bytes:
    """
    Unwrap a key of suite 0, and check that it is whole.

    Args: master_key: 16 octets. wrapped: 24 octets.
    Raises: LocalProtocolError: a master key that is not 16 octets. SecurityError: "key-unwrap":
        no wrapped key, or by another master key.
    Source: RFC 3394, 2.2.2.
    """
    if len(master_key) != KEY_OCTETS:
        raise LocalProtocolError("a master key of suite 0 has 16 octets")
    if len(wrapped) != WRAPPED_OCTETS:
        raise SecurityError("key-unwrap", "a wrapped key has 24 octets")
    try:
        return aes_key_unwrap(master_key, wrapped)
    except InvalidUnwrap:
        # Without its cause: nobody needs its frames, which hold the keys.
        raise SecurityError("key-unwrap", "the integrity check fails") from None


def key_transfer_data(transfers: Sequence[KeyTransfer]) -> Data:
    """
    The parameter of `global_key_transfer`.

    Raises: LocalProtocolError: no key, one of them twice, or one that is not 24 octets.
    """
    if not transfers or len({transfer.key_id for transfer in transfers}) != len(transfers):
        raise LocalProtocolError("keys are transferred once each, and at least one")
    if any(len(transfer.wrapped) != WRAPPED_OCTETS for transfer in transfers):
        raise LocalProtocolError("a wrapped key has 24 octets")
    return array(
        *(
            structure(
                Data(DataTag.ENUM, int(transfer.key_id)),
                Data(DataTag.OCTET_STRING, transfer.wrapped),
            )
            for transfer in transfers
        )
    )


def read_key_transfer_data(parameter: Data | None) -> tuple[KeyTransfer, ...]:
    """
    The keys in the parameter of `global_key_transfer`, still wrapped.

    Raises: EncodingError: "bad-structure": another shape, no key, a key twice, or an unknown one.
    """
    if parameter is None or parameter.tag is not DataTag.ARRAY or not parameter.value:
        raise EncodingError("bad-structure", "of key transfer data")
    transfers = tuple(_read_transfer(member) for member in parameter.value)
    if len({transfer.key_id for transfer in transfers}) != len(transfers):
        raise EncodingError("bad-structure", "a key twice")
    return transfers


def _read_transfer(data: Data) -> KeyTransfer:
    if data.tag is not DataTag.STRUCTURE or len(data.value) != _MEMBERS:
        raise EncodingError("bad-structure", "of a key transfer")
    key_id, wrapped = data.value
    if key_id.tag is not DataTag.ENUM or wrapped.tag is not DataTag.OCTET_STRING:
        raise EncodingError("bad-structure", "of a key transfer")
    if key_id.value not in _KEY_IDS or len(wrapped.value) != WRAPPED_OCTETS:
        raise EncodingError("bad-structure", "no such key")
    return KeyTransfer(KeyId(key_id.value), wrapped.value)


_KEY_IDS: Final = frozenset(KeyId)
