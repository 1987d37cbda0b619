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
`counter_id`; the meter's own never go back. Rule 3: what differs from the seed is in the meter's
state, in the security context of the client (`context_of`), and nowhere else.

Source: IEC 62056-5-3, "Security suites", "keys"; IEC 62056-6-2, class_id 64.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

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

# What a security context keeps, by name.
_SECRET, _POLICY, _GENERATION_NAME = "secret", "policy", "generation"
_KEY_NAMES: Final = {key_id: f"key-{int(key_id)}" for key_id in KeyId}


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


@attrs.frozen
class Keys:
    """One client's keys of suite 0, 16 octets each; `broadcast` and `master` as all have them."""

    encryption: bytes = attrs.field(repr=False)
    authentication: bytes = attrs.field(repr=False)
    broadcast: bytes = attrs.field(repr=False)
    master: bytes = attrs.field(repr=False)


def seeded_keys(identity: Identity, client: ModelClient, *, main: bool) -> Keys:
    """The keys of a fresh meter; the main client's are those of its identity."""
    own = "" if main else f"/{client.sap}"
    return Keys(
        encryption=identity.encryption_key if main else _derived(identity, f"ek{own}"),
        authentication=identity.authentication_key if main else _derived(identity, f"ak{own}"),
        broadcast=_derived(identity, f"gbek{own}"),
        master=_derived(identity, f"kek{own}"),
    )


def current_keys(identity: Identity, state: MeterState, client: ModelClient, *, main: bool) -> Keys:
    """The keys that a client's next association is made with."""
    seeded, context = seeded_keys(identity, client, main=main), context_of(client.sap)

    def kept(key_id: KeyId, key: bytes) -> bytes:
        changed: bytes = state.peek(context, _KEY_NAMES[key_id], key)
        return changed

    return Keys(
        encryption=kept(KeyId.GLOBAL_UNICAST_ENCRYPTION, seeded.encryption),
        authentication=kept(KeyId.AUTHENTICATION, seeded.authentication),
        broadcast=kept(KeyId.GLOBAL_BROADCAST_ENCRYPTION, seeded.broadcast),
        master=kept(KeyId.MASTER, seeded.master),
    )


def secret_of(
    identity: Identity, state: MeterState, client: ModelClient, *, main: bool
) -> bytes | None:
    """The password or HLS secret of a client's next association; None where it needs none."""
    if client.mechanism not in NEED_SECRET:
        return None
    seeded = identity.hls_secret if main else _derived(identity, f"secret/{client.sap}")
    if client.mechanism is Mechanism.LLS:
        seeded = LLS_SECRET
    secret: bytes = state.peek(context_of(client.sap), _SECRET, seeded)
    return secret


def policy_of(state: MeterState, client: ModelClient) -> Protection:
    """The least protection of a client's next association: the model's, or what was activated."""
    return Protection(state.peek(context_of(client.sap), _POLICY, int(client.protection)))


def is_ciphering(client: ModelClient) -> bool:
    """Whether a client has keys at all: else its association knows no ciphering."""
    return client.mechanism is Mechanism.HLS_GMAC or bool(client.protection)


def associations(
    kind: MeterKind, identity: Identity, state: MeterState, clients: Iterable[ModelClient]
) -> dict[int, ServerAssociation]:
    """
    The rules of all clients by SAP, as they are now.

    Raises: LocalProtocolError: a client that asks for what this suite does not have.
    """
    known = tuple(clients)
    main = main_client(known)
    return {
        client.sap: _association(kind, identity, state, client, main=client is main)
        for client in known
    }


def change(meter: Meter, client: ModelClient, **changes: Any) -> None:
    """
    Keep what was changed in a client's context, and let its next association go by it.

    Args: changes: `secret` (octets), `policy` (`Protection`), `keys` ({KeyId: 16 octets}),
        `keep_counters` (with an encryption key: True where the model lets counters go on).
    """
    kept = meter.state.of(context_of(client.sap))
    if "secret" in changes:
        kept[_SECRET] = changes["secret"]
    if "policy" in changes:
        kept[_POLICY] = int(changes["policy"])
    keys = changes.get("keys", {})
    kept |= {_KEY_NAMES[key_id]: key for key_id, key in keys.items()}
    if KeyId.GLOBAL_UNICAST_ENCRYPTION in keys and not changes.get("keep_counters", False):
        kept[_GENERATION_NAME] = kept.get(_GENERATION_NAME, 0) + 1
    meter.associations[client.sap] = _association(
        meter.kind, meter.identity, meter.state, client, main=is_main(meter, client)
    )


def is_main(meter: Meter, client: ModelClient) -> bool:
    """Whether a client has the keys of the meter's identity."""
    return main_client(meter.clients.values()).sap == client.sap


def client_counter(meter: Meter, client_sap: int) -> int:
    """The highest invocation counter accepted of a client under its present key, 0 for none."""
    return meter.state.counters.get(meter.associations[client_sap].counter_id, 0)


def _association(
    kind: MeterKind, identity: Identity, state: MeterState, client: ModelClient, *, main: bool
) -> ServerAssociation:
    quirks, sap = kind.quirks, client.sap
    hls_object = quirks.hls_object.get(sap)
    ciphering = is_ciphering(client)
    keys = current_keys(identity, state, client, main=main) if ciphering else None
    return ServerAssociation(
        client_sap=sap,
        mechanism=client.mechanism,
        secret=secret_of(identity, state, client, main=main),
        hls_object=(
            REPLY_TO_HLS if hls_object is None else Method(_CLASS_ASSOCIATION, hls_object, 1)
        ),
        encryption_key=None if keys is None else keys.encryption,
        authentication_key=None if keys is None else keys.authentication,
        minimum_protection=policy_of(state, client),
        max_receive_pdu_size=kind.max_receive_pdu_size,
        conformance=client.conformance,
        same_proof_counter=quirks.counter_reuse,
        empty_system_title=quirks.empty_system_title,
        no_rlrq=quirks.no_rlrq,
        counter_id=sap + _GENERATION * state.peek(context_of(sap), _GENERATION_NAME, 0),
    )


def _derived(identity: Identity, purpose: str) -> bytes:
    """Another key of the same meter; it follows from the seed as those of the identity do."""
    return blake2b(
        purpose.encode(),
        digest_size=_KEY_OCTETS,
        key=identity.encryption_key,
        person=b"hes-sim-key",
    ).digest()
