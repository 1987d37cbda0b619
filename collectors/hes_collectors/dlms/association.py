"""
From a meter's inventory entry and secrets to the client that talks to it. Pure but for challenges.
"""

from __future__ import annotations

from typing import Final

from hes.domain.errors import KeyUnavailableError
from hes.domain.meters import Mechanism, Meter, Policy, Secrets
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.outcomes import MechanismUnsupportedError
from hes_protocol.acse.names import Mechanism as MechanismId
from hes_protocol.client import Client, ClientSettings, Link
from hes_protocol.cosem.objects import Method
from hes_protocol.security import Protection
from hes_protocol.security.mechanisms import HLS, NEED_SECRET
from hes_protocol.settings import REPLY_TO_HLS
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

# HLS 2 is the manufacturer's own function, which no meter file can name; ECDSA wants suite 1 or 2.
_UNSUPPORTED: Final = frozenset({Mechanism.HLS, Mechanism.HLS_ECDSA})
_CLASS_ASSOCIATION: Final = 15
_REPLY_TO_HLS: Final = 1
_SERVICES: Final = DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER
# How many general blocks we take at once, and how many blocks of any kind one answer may have: each
# costs its turn on the line and its tag, and a meter may send them without end.
_WINDOW: Final = 16
_MOST_BLOCKS: Final = 2048


def is_ciphered(meter: Meter) -> bool:
    """Whether APDUs to this meter are ciphered, and so need counters."""
    association = meter.association
    return association.mechanism is Mechanism.HLS_GMAC or association.policy is not Policy.PLAIN


def is_authenticated(meter: Meter) -> bool:
    """Whether the policy wants a verified tag on everything that the meter says."""
    return bool(meter.association.policy & Policy.AUTHENTICATED)


def client_for(
    context: Context,
    meter: Meter,
    secrets: Secrets,
    server_counter: int | None,
    counters: OwnCounters,
    link: Link,
) -> Client:
    """
    The client side of the meter's association.

    Whoever authenticates by GMAC also protects every APDU fully; what is accepted from the meter
    is the association's policy.

    Raises: MechanismUnsupportedError: a mechanism or suite that is not built yet.
        KeyUnavailableError: the association needs a key or a secret that is not kept.
    """
    association = meter.association
    if association.mechanism in _UNSUPPORTED or association.suite != 0:
        raise MechanismUnsupportedError(
            f"mechanism {association.mechanism.name}, suite {association.suite}"
        )
    if is_ciphered(meter) and (secrets.ek is None or secrets.ak is None):
        raise KeyUnavailableError("a ciphered association needs both keys")
    mechanism = MechanismId(association.mechanism)
    if mechanism in NEED_SECRET and secrets.secret is None:
        raise KeyUnavailableError(f"{mechanism.name} needs a secret")
    gmac = mechanism is MechanismId.HLS_GMAC
    settings, quirks = context.settings, context.quirks_of(meter)
    hls_object = quirks.hls_object.get(association.client_sap)
    return Client(
        ClientSettings(
            client_sap=association.client_sap,
            server_sap=association.server_sap,
            mechanism=mechanism,
            secret=secrets.secret,
            encryption_key=secrets.ek,
            authentication_key=secrets.ak,
            system_title=settings.system_title,
            protection=(
                Protection.AUTHENTICATED_ENCRYPTED if gmac else Protection(association.policy)
            ),
            minimum_protection=Protection(association.policy),
            max_receive_pdu_size=settings.max_receive_pdu_size,
            conformance=_SERVICES & ~quirks.not_proposed,
            general_blocks=_WINDOW,
            max_result_octets=settings.max_result_octets,
            max_blocks=_MOST_BLOCKS,
            challenge=context.challenge() if mechanism in HLS else None,
            hls_object=(
                REPLY_TO_HLS
                if hls_object is None
                else Method(_CLASS_ASSOCIATION, hls_object, _REPLY_TO_HLS)
            ),
            empty_system_title=quirks.empty_system_title,
            same_proof_counter=quirks.counter_reuse,
            no_rlrq=quirks.no_rlrq,
            server_system_title=meter.system_title,
            server_counter=server_counter,
        ),
        link,
        counters.take,
    )
