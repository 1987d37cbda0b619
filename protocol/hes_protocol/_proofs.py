"""
Passes 3 and 4 of HLS: the proofs of either side, whatever the mechanism; the same for both roles.

Pass 3 is f(StoC), which the client invokes reply_to_HLS_authentication with; pass 4 is f(CtoS),
which that method returns. IEC 62056-5-3, "HLS authentication".

A proof by GMAC is, octet for octet, the tag of an APDU of ours that is authenticated only and whose
octets are the challenge: same key, same security control, same initialization vector. Challenges
travel unprotected, so whoever is on the line could have us sign a request or an answer of his own.
That is why one that reads as such an APDU is refused.
"""

from __future__ import annotations

from typing import Final

from hes_protocol._channel import Channel, KeyKind, Opened
from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.errors import RemoteProtocolError, SecurityError
from hes_protocol.security import gmac_token, verify_gmac_token
from hes_protocol.security.mechanisms import HlsExchange, hls_function, verify_hash
from hes_protocol.settings import ClientSettings, ServerAssociation
from hes_protocol.xdlms import decode_apdu
from hes_protocol.xdlms.access import ACCESS_REQUEST, ACCESS_RESPONSE
from hes_protocol.xdlms.action import ACTION_REQUEST, ACTION_RESPONSE
from hes_protocol.xdlms.get import GET_REQUEST, GET_RESPONSE
from hes_protocol.xdlms.notification import DATA_NOTIFICATION, EVENT_NOTIFICATION
from hes_protocol.xdlms.set import SET_REQUEST, SET_RESPONSE

_WORTH_FORGING: Final = frozenset(
    {
        GET_REQUEST,
        SET_REQUEST,
        ACTION_REQUEST,
        ACCESS_REQUEST,
        GET_RESPONSE,
        SET_RESPONSE,
        ACTION_RESPONSE,
        ACCESS_RESPONSE,
        DATA_NOTIFICATION,
        EVENT_NOTIFICATION,
    }
)


def reads_as_apdu(challenge: bytes) -> bool:
    """Whether a challenge is a whole request, answer or push: of random ones hardly any is."""
    if challenge[0] not in _WORTH_FORGING:
        return False
    try:
        decode_apdu(challenge)
    except RemoteProtocolError:
        return False
    return True


def make_proof(
    rules: ClientSettings | ServerAssociation,
    channel: Channel,
    *,
    challenge: bytes,
    own_challenge: bytes,
) -> Data:
    """
    Prove ourselves. With GMAC it draws a counter.

    Args: challenge: the other side's. own_challenge: ours.
    Raises: LocalProtocolError: no fresh counter, no keys, or no titles.
    """
    if rules.mechanism is Mechanism.HLS_GMAC:
        keys, title = channel.require_keys()
        return Data(
            DataTag.OCTET_STRING, gmac_token(keys, title, channel.draw_counter(), challenge)
        )
    exchange = HlsExchange(
        challenge=challenge,
        own_challenge=own_challenge,
        secret=rules.secret or b"",
        title=channel.system_title,
        peer_title=channel.peer_title,
    )
    return Data(DataTag.OCTET_STRING, hls_function(rules.mechanism, rules.hls_function)(exchange))


def check_proof(
    rules: ClientSettings | ServerAssociation,
    channel: Channel,
    proof: Data | None,
    carrier: Opened,
    *,
    challenge: bytes,
    own_challenge: bytes,
) -> int | None:
    """
    Check the other side's proof: pass 4 for a client, pass 3 for a server. Changes nothing.

    Args: proof: what the ACTION carries. carrier: that ACTION as it came. challenge: the other
        side's. own_challenge: ours, which the proof must answer.
    Returns: the counter in the proof, to be committed; None where the mechanism has none.
    Raises: SecurityError: no such proof, a wrong one, or a counter that is not fresh.
    """
    if proof is None or proof.tag is not DataTag.OCTET_STRING or not proof.value:
        raise SecurityError("authentication-failed", "no proof")
    if rules.mechanism is not Mechanism.HLS_GMAC:
        exchange = HlsExchange(
            challenge=own_challenge,
            own_challenge=challenge,
            secret=rules.secret or b"",
            title=channel.peer_title,
            peer_title=channel.system_title,
        )
        verify_hash(hls_function(rules.mechanism, rules.hls_function), exchange, proof.value)
        return None
    keys, _ = channel.require_keys()
    if channel.peer_title is None:
        raise SecurityError("authentication-failed", "nobody known")
    counter = verify_gmac_token(keys, channel.peer_title, proof.value, own_challenge)
    known = channel.peer_counter
    # Under another key the same counter makes another initialization vector.
    same = carrier.key is KeyKind.UNICAST and counter == carrier.invocation_counter
    if (known is not None and counter <= known) or (same and not rules.same_proof_counter):
        raise SecurityError("counter-replayed", "in a proof")
    return counter
