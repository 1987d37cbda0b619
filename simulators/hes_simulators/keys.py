"""
Who may associate with a meter, by which secret and keys: of each client its own, all seeded.

Owns secrets and keys, fresh and as clients have changed them since, and the server's rules that
follow from them. Does not own wrong attempts (`lockout`), nor the methods that change keys
(`classes.security_setup`; class_id 15 for secrets).

Rule 1: `associations` makes the rules of all clients once; whoever changes a secret, a key or the
policy says so by `change`, which replaces that client's rules in `meter.associations`. The
protocol's server looks them up at an AARQ, so they hold from the next association on, and the one
under way, in which the change was confirmed, goes on as it began. Rule 2: an invocation counter
belongs to a key: with another encryption key the client's counters begin anew, under another
`counter_id`, and one that comes back goes on with its own; the meter's own never go back. Rule 3:
what differs from the seed is in the meter's state, in the security context of the client
(`context_of`), and nowhere else. Rule 4: a client called "pre-established" (no AARQ; pushes and
broadcasts) has the main client's keys and counters.

Source: IEC 62056-5-3, "Security suites", "keys"; IEC 62056-6-2, class_id 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.models.objects import ModelClient
from hes_protocol.security.control import Protection
from hes_protocol.security.key_wrap import KeyId
from hes_protocol.security.mechanisms import NEED_SECRET
from hes_protocol.settings import REPLY_TO_HLS, ServerAssociation
from hes_simulators.identity import LLS_SECRET, Identity
from hes_simulators.state import MeterState

if TYPE_CHECKING:
    from hes_simulators.meter import Meter, MeterKind

_CLASS_ASSOCIATION: Final = 15
_KEY_OCTETS: Final = 16
_GENERATION: Final = 1 << 16  # above every SAP
_MAIN_CLIENT: Final = "management"
_PRE_ESTABLISHED: Final = "pre-established"

# What a security context keeps, by name.
_SECRET, _POLICY, _GENERATION_NAME, _USED = "secret", "policy", "generation", "keys-used"
_KEY_NAMES: Final = {key_id: f"key-{int(key_id)}" for key_id in KeyId}
# What a key is derived from.
_PURPOSES: Final = {
    KeyId.GLOBAL_UNICAST_ENCRYPTION: "ek",
    KeyId.AUTHENTICATION: "ak",
    KeyId.GLOBAL_BROADCAST_ENCRYPTION: "gbek",
    KeyId.MASTER: "kek",
}


@lru_cache(maxsize=1024)
def context_of(client_sap: int) -> Obis:
    """The name under which a meter's state keeps what concerns one client: its security setup."""
    return Obis(bytes((0, 0, 43, client_sap >> 8 & 0xFF, client_sap & 0xFF, 255)))


def main_client(clients: Iterable[ModelClient]) -> ModelClient:
    """
    The client that head-ends use: "management", else the best secured one.

    It has the keys and secrets of `Identity`, which `--keys-out` writes.
    """
    known = tuple(clients)
    for client in known:
        if client.name == _MAIN_CLIENT:
            return client
    return max(known, key=lambda one: (one.mechanism, one.protection, -one.sap))


def secured(client: ModelClient, mechanism: Mechanism) -> ModelClient:
    """A client that authenticates otherwise than the model says; with GMAC it ciphers all."""
    ciphered = mechanism is Mechanism.HLS_GMAC
    protection = Protection.AUTHENTICATED_ENCRYPTED if ciphered else Protection.PLAIN
    return attrs.evolve(client, mechanism=mechanism, protection=protection)


def is_ciphering(client: ModelClient) -> bool:
    """Whether a client has keys at all: else its association knows no ciphering."""
    return client.mechanism is Mechanism.HLS_GMAC or bool(client.protection)


class Keyring:
    """The secrets and keys of one meter as its clients' next associations go by them."""

    def __init__(
        self, identity: Identity, state: MeterState, clients: Iterable[ModelClient]
    ) -> None:
        self._identity, self._state = identity, state
        self._main_sap = main_client(clients).sap

    @classmethod
    def of(cls, meter: Meter) -> Keyring:
        """Of a meter."""
        return cls(meter.identity, meter.state, meter.clients.values())

    def context(self, client: ModelClient) -> Obis:
        """Where the state keeps a client's keys and policy."""
        return context_of(self._sap(client))

    def key(self, client: ModelClient, key_id: KeyId) -> bytes:
        """A key of suite 0, 16 octets, seeded or transferred."""
        kept: bytes | None = self._state.peek(self.context(client), _KEY_NAMES[key_id])
        if kept is not None:
            return kept
        sap = self._sap(client)
        if sap == self._main_sap and key_id is KeyId.GLOBAL_UNICAST_ENCRYPTION:
            return self._identity.encryption_key
        if sap == self._main_sap and key_id is KeyId.AUTHENTICATION:
            return self._identity.authentication_key
        return _derived(self._identity, f"{_PURPOSES[key_id]}/{sap}")

    def secret(self, client: ModelClient) -> bytes | None:
        """The password or HLS secret; None where the mechanism needs none."""
        if client.mechanism not in NEED_SECRET:
            return None
        secret: bytes | None = self._state.peek(context_of(client.sap), _SECRET)
        if secret is not None:
            return secret
        if client.mechanism is Mechanism.LLS:
            return LLS_SECRET
        main = client.sap == self._main_sap
        return self._identity.hls_secret if main else _derived(self._identity, f"hls/{client.sap}")

    def policy(self, client: ModelClient) -> Protection:
        """The least protection: the model's, or what was activated since."""
        return Protection(self._state.peek(self.context(client), _POLICY, int(client.protection)))

    def counter_id(self, client: ModelClient) -> int:
        """Under which number the state counts the client's APDUs (rule 2)."""
        generation: int = self._state.peek(self.context(client), _GENERATION_NAME, 0)
        return self._sap(client) + _GENERATION * generation

    def has_own(self, client: ModelClient) -> bool:
        """Whether anything of a client's rules is this meter's and not all fresh meters'."""
        if is_ciphering(client) or client.mechanism in NEED_SECRET - {Mechanism.LLS}:
            return True
        changed = self._state.objects
        return context_of(client.sap) in changed or self.context(client) in changed

    def rules(self, kind: MeterKind, client: ModelClient) -> ServerAssociation:
        """
        What the protocol's server goes by.

        Raises: LocalProtocolError: a client that asks for what this suite does not have.
        """
        quirks = kind.quirks
        hls_object = quirks.hls_object.get(client.sap)
        standing = client.name == _PRE_ESTABLISHED
        ciphers = is_ciphering(client)

        def key(key_id: KeyId, *, needed: bool = ciphers) -> bytes | None:
            return self.key(client, key_id) if needed else None

        return ServerAssociation(
            client_sap=client.sap,
            mechanism=client.mechanism,
            secret=self.secret(client),
            hls_object=(
                REPLY_TO_HLS if hls_object is None else Method(_CLASS_ASSOCIATION, hls_object, 1)
            ),
            encryption_key=key(KeyId.GLOBAL_UNICAST_ENCRYPTION),
            authentication_key=key(KeyId.AUTHENTICATION),
            broadcast_key=key(KeyId.GLOBAL_BROADCAST_ENCRYPTION, needed=ciphers and standing),
            minimum_protection=self.policy(client),
            max_receive_pdu_size=kind.max_receive_pdu_size,
            conformance=client.conformance,
            same_proof_counter=quirks.counter_reuse,
            pre_established=standing,
            empty_system_title=quirks.empty_system_title,
            no_rlrq=quirks.no_rlrq,
            counter_id=self.counter_id(client),
        )

    def _sap(self, client: ModelClient) -> int:
        """Whose keys they are (rule 4)."""
        return self._main_sap if client.name == _PRE_ESTABLISHED else client.sap


def master_key(identity: Identity, client_sap: int) -> bytes:
    """The master key (KEK) of a fresh meter, which wraps the keys that are transferred to it."""
    return _derived(identity, f"kek/{client_sap}")


def associations(
    kind: MeterKind, identity: Identity, state: MeterState, clients: Iterable[ModelClient]
) -> dict[int, ServerAssociation]:
    """
    The rules of all clients by SAP, as they are now.

    Raises: LocalProtocolError: a client that asks for what this suite does not have.
    """
    known = tuple(clients)
    keyring, shared = Keyring(identity, state, known), kind.shared_rules
    found = {}
    for client in known:
        rules = None if keyring.has_own(client) else shared.get(client.sap)
        if rules is None:
            rules = keyring.rules(kind, client)
            if not keyring.has_own(client):
                shared[client.sap] = rules
        found[client.sap] = rules
    return found


def change(
    meter: Meter,
    client: ModelClient,
    *,
    secret: bytes | None = None,
    policy: Protection | None = None,
    keys: Mapping[KeyId, bytes] | None = None,
    keep_counters: bool = False,
) -> None:
    """
    Keep what was changed, and let the next associations go by it.

    Args: keys: 16 octets each. keep_counters: where the model's counters go on with another key.
    """
    keyring, state = Keyring.of(meter), meter.state
    if secret is not None:
        state.of(context_of(client.sap))[_SECRET] = secret
    if policy is not None:
        state.of(keyring.context(client))[_POLICY] = int(policy)
    if keys:
        kept = state.of(keyring.context(client))
        encryption = keys.get(KeyId.GLOBAL_UNICAST_ENCRYPTION)
        if encryption is not None and not keep_counters:
            used = kept.setdefault(
                _USED, [_digest(keyring.key(client, KeyId.GLOBAL_UNICAST_ENCRYPTION))]
            )
            kept[_GENERATION_NAME] = _place(used, _digest(encryption))
        kept |= {_KEY_NAMES[key_id]: key for key_id, key in keys.items()}
    for other in meter.clients.values():
        if other is client or keyring.context(other) == keyring.context(client):
            meter.associations[other.sap] = keyring.rules(meter.kind, other)
    meter.kind.keeps(meter)


def client_counter(meter: Meter, client_sap: int) -> int:
    """The highest invocation counter accepted of a client under its present key, 0 for none."""
    return meter.state.counters.get(meter.associations[client_sap].counter_id, 0)


def _place(used: list[bytes], digest: bytes) -> int:
    """Which of the keys used so far it is; one that comes back has a place already."""
    if digest not in used:
        used.append(digest)
    return used.index(digest)


def _digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=8, person=b"hes-sim-key").digest()


def _derived(identity: Identity, purpose: str) -> bytes:
    """Another key of the same meter; it follows from the seed as those of the identity do."""
    return blake2b(
        purpose.encode(),
        digest_size=_KEY_OCTETS,
        key=identity.encryption_key,
        person=b"hes-sim-key",
    ).digest()
