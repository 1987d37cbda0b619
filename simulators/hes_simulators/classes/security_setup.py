"""
Class 64, security setup: policy, and keys that arrive wrapped by the master key.

Owns the methods and what they check; keys themselves are `hes_simulators.keys`'s. The object serves
the association in which it is read or invoked, as 0.0.40.0.0.255 does, unless the model says whose
it is (option `client`).

What is changed is kept at once and holds from the client's next association on: the one under way,
in which the answer must still be read, goes on as it began.

Source: IEC 62056-6-2, class_id 64, versions 0 and 1; security suite 0 only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array
from hes_protocol.errors import EncodingError, SecurityError
from hes_protocol.models.objects import ModelClient, ModelObject
from hes_protocol.security.control import Protection
from hes_protocol.security.key_wrap import KeyId, read_key_transfer_data, unwrap_key
from hes_simulators import keys
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    READ_WRITE_DENIED,
    SCOPE_VIOLATED,
    TYPE_UNMATCHED,
    Refused,
    enum,
    invoking,
    number,
    octets,
)
from hes_simulators.classes.association import current
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import moment

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_SUITE: Final = 0
# Version 1: bits 2 and 3 authenticate and encrypt requests, 5 and 6 responses.
_REQUEST_SHIFT, _RESPONSE_SHIFT, _PROTECTION_SHIFT = 2, 5, 4
_BOTH_WAYS: Final = (1 << _REQUEST_SHIFT) + (1 << _RESPONSE_SHIFT)


class SecuritySetup(Plain):
    """Class_id 64."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | None:
        """Policy, suite, titles; the client's is that of the association in which it asks."""
        client = _client(meter, one, sap)
        match index:
            case 2:
                return enum(_policy_code(one, keys.Keyring.of(meter).policy(client)))
            case 3:
                return enum(_SUITE)
            case 4:
                opened = current(meter, client, sap)
                return octets((opened and opened.system_title) or b"")
            case 5:
                return octets(meter.identity.system_title)
            case 6 if one.version:
                return array()  # no certificates in suite 0
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """Nothing here is written: methods change what may change."""
        raise Refused(READ_WRITE_DENIED)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """1 security_activate, 2 global_key_transfer; others need certificates."""
        client = _client(meter, one, sap)
        match method_index:
            case 1:
                _activate(meter, one, client, data)
            case 2:
                _transfer(meter, one, client, data)
            case _:
                raise Refused(OBJECT_UNDEFINED)
        return None


def _client(meter: Meter, one: ModelObject, sap: int) -> ModelClient:
    named = one.options.get("client", sap)
    if isinstance(named, int):
        return meter.clients[named]
    return next(client for client in meter.clients.values() if client.name == named)


def _policy_code(one: ModelObject, policy: Protection) -> int:
    protection = int(policy) >> _PROTECTION_SHIFT
    return protection * _BOTH_WAYS if one.version else protection


def _policy(one: ModelObject, code: int) -> Protection:
    """
    Raises: Refused: a policy that this suite does not have, or one for one direction only.
    """
    protection = code >> _REQUEST_SHIFT & 3 if one.version else code
    if not 0 <= protection <= 3 or _policy_code(one, Protection(protection << 4)) != code:
        raise Refused(OTHER_REASON)
    return Protection(protection << _PROTECTION_SHIFT)


def _activate(meter: Meter, one: ModelObject, client: ModelClient, data: Data | None) -> None:
    wanted = _policy(one, number(data, DataTag.ENUM))
    present = keys.Keyring.of(meter).policy(client)
    # A policy is only ever strengthened, and a client without keys could never come back.
    if not wanted.covers(present) or (wanted and not keys.is_ciphering(client)):
        raise Refused(SCOPE_VIOLATED)
    if wanted is not present:
        keys.change(meter, client, policy=wanted)
        meter.raise_event("parameters_changed", moment(meter.now_us))


def _transfer(meter: Meter, one: ModelObject, client: ModelClient, data: Data | None) -> None:
    """All keys or none: the first that does not unwrap leaves everything as it was."""
    if not keys.is_ciphering(client):
        raise Refused(SCOPE_VIOLATED)
    try:
        transfers = read_key_transfer_data(data)
    except EncodingError:
        raise Refused(TYPE_UNMATCHED) from None
    master = keys.Keyring.of(meter).key(client, KeyId.MASTER)
    changed: dict[KeyId, bytes] = {}
    for transfer in transfers:
        try:
            changed[transfer.key_id] = unwrap_key(master, transfer.wrapped)
        except SecurityError:
            meter.raise_event("decryption_failed", moment(meter.now_us))
            raise Refused(OTHER_REASON) from None
    keys.change(
        meter, client, keys=changed, keep_counters=bool(one.options.get("keep_counters", False))
    )
    meter.raise_event("key_changed", moment(meter.now_us))
