"""
How a client's association opens: what is fresh in it, what the server has agreed to, both proofs.

Owns the challenges and dedicated keys that were used, and what the AARE at hand has accepted; takes
no step of the state, which is `client.py`'s. Rule 1: what is refused has changed nothing. Rule 2: a
counter is committed once everything around it is verified: pass 4 with the proof inside.
"""

from __future__ import annotations

from hes_protocol import _handshake as handshake
from hes_protocol._channel import Channel, Opened
from hes_protocol._proofs import check_proof, make_proof
from hes_protocol.acse import Aare
from hes_protocol.axdr import Data
from hes_protocol.events import AssociationAccepted
from hes_protocol.requests import Associate
from hes_protocol.settings import ClientSettings
from hes_protocol.xdlms import ActionReturn


class Opening:
    """Args: settings: what to ask and what to accept. channel: the association's."""

    def __init__(self, settings: ClientSettings, channel: Channel) -> None:
        self._settings = settings
        self._channel = channel
        self._used: set[bytes] = set()
        self._fresh = handshake.Fresh()
        self._accepted: handshake.Accepted | None = None

    def request(self, request: Associate) -> tuple[handshake.Fresh, bytes]:
        """
        The AARQ, and what is fresh in it. Changes nothing but that a counter is drawn.

        Raises: LocalProtocolError: nothing fresh, or no counter.
        """
        fresh = handshake.fresh_for(request, self._settings, self._used)
        return fresh, handshake.association_request(self._settings, self._channel, fresh)

    def begin(self, fresh: handshake.Fresh) -> None:
        """The AARQ with this has been sent."""
        self._used |= fresh.values()
        self._fresh = fresh
        self._accepted = None
        self._channel.begin(fresh.dedicated_key)

    def accept(self, aare: Aare) -> handshake.Accepted:
        """
        Take an AARE that says `accepted`.

        Raises: SecurityError, EncodingError: it is not what was asked; nothing has changed.
        """
        challenge = self._fresh.challenge
        accepted = handshake.accept(aare, self._settings, self._channel, challenge)
        self._channel.commit(accepted.opened)
        self._channel.peer_title = accepted.server_title
        self._accepted = accepted
        return accepted

    def _challenges(self) -> tuple[bytes, bytes]:
        """The server's and ours, of an association with HLS that is accepted."""
        accepted, own = self._accepted, self._fresh.challenge
        assert accepted is not None
        assert accepted.challenge is not None
        assert own is not None
        return accepted.challenge, own

    def make_proof(self) -> Data:
        """What pass 3 carries. Raises: LocalProtocolError: no fresh counter."""
        challenge, own = self._challenges()
        return make_proof(self._settings, self._channel, challenge=challenge, own_challenge=own)

    def check_proof(self, outcome: ActionReturn, carrier: Opened) -> None:
        """
        Take pass 4.

        Args: outcome: what the server says to pass 3. carrier: the APDU that says it.
        Raises: SecurityError: the server has not proved who it is; nothing has changed.
        """
        challenge, own = self._challenges()
        counter = check_proof(
            self._settings,
            self._channel,
            handshake.proof_of(outcome),
            carrier,
            challenge=challenge,
            own_challenge=own,
        )
        self._channel.commit(carrier)
        if counter is not None:
            self._channel.commit_counter(counter)

    def opened(self) -> AssociationAccepted:
        """What the caller learns of an association that is open now."""
        accepted, settings, title = self._accepted, self._settings, self._channel.peer_title
        if accepted is None:  # pre-established
            limit = settings.max_receive_pdu_size
            return AssociationAccepted(settings.conformance, limit, title, settings.protection)
        return AssociationAccepted(
            accepted.initiate.conformance,
            accepted.initiate.server_max_receive_pdu_size,
            title,
            accepted.opened.protection,
            accepted.aare.responding_ae_qualifier,
            accepted.aare.responding_ae_invocation_id,
        )
