"""
From a meter's inventory entry and secrets to the client that talks to it. Pure but for challenges.
"""

from __future__ import annotations

from typing import Final

from hes.domain.errors import KeyUnavailableError
from hes.domain.meters import Mechanism, Meter, Policy, Secrets, Transport
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.outcomes import TransportUnsupportedError
from hes_protocol.acse.names import Mechanism as MechanismId
from hes_protocol.client import Client, ClientSettings, Link
from hes_protocol.security import Protection

_SUPPORTED: Final = frozenset({Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC})


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

    Raises: TransportUnsupportedError: not over the wrapper, or by a mechanism or suite that is
        not built yet. KeyUnavailableError: the association needs a key that is not kept.
    """
    association = meter.association
    if meter.transport is not Transport.WRAPPER:
        raise TransportUnsupportedError("outbound sessions run over the wrapper only")
    if association.mechanism not in _SUPPORTED or association.suite != 0:
        raise TransportUnsupportedError("mechanism or suite is not supported")
    if is_ciphered(meter) and (secrets.ek is None or secrets.ak is None):
        raise KeyUnavailableError("a ciphered association needs both keys")
    if association.mechanism is Mechanism.LLS and secrets.secret is None:
        raise KeyUnavailableError("LLS needs a password")
    gmac = association.mechanism is Mechanism.HLS_GMAC
    settings = context.settings
    return Client(
        ClientSettings(
            client_sap=association.client_sap,
            server_sap=association.server_sap,
            mechanism=MechanismId(association.mechanism),
            secret=secrets.secret,
            encryption_key=secrets.ek,
            authentication_key=secrets.ak,
            system_title=settings.system_title,
            protection=(
                Protection.AUTHENTICATED_ENCRYPTED if gmac else Protection(association.policy)
            ),
            minimum_protection=Protection(association.policy),
            max_receive_pdu_size=settings.max_receive_pdu_size,
            max_result_octets=settings.max_result_octets,
            challenge=context.challenge() if gmac else None,
            server_system_title=meter.system_title,
            server_counter=server_counter,
        ),
        link,
        counters.take,
    )
