"""Challenges that read as an APDU: nobody signs a request or an answer for somebody on the line."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hes_protocol._proofs import reads_as_apdu
from hes_protocol.acse import Aare, Aarq, Mechanism
from hes_protocol.axdr import NULL, Data, DataTag
from hes_protocol.client import Associate, ContinueNeeded
from hes_protocol.errors import SecurityError
from hes_protocol.security import Protection, SuiteKeys, gmac_token, protect
from hes_protocol.server import AssociationRefused
from hes_protocol.xdlms import (
    AccessGet,
    AccessRequest,
    ActionRequestNormal,
    DataNotification,
    EventNotification,
    GetDataResult,
    GetRequestNormal,
    GetResponseNormal,
    SetRequestNormal,
    decode_apdu,
)
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    CAPTURE,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    ENCRYPTION_KEY,
    ConnectionPair,
    apdu_of,
    client_settings,
    events_of,
    server_association,
    to_client,
    to_server,
)

GMAC = Mechanism.HLS_GMAC
KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)


WHOLE_APDUS = (
    ActionRequestNormal(CAPTURE, Data(DataTag.INTEGER, 0)),
    GetRequestNormal(CLOCK),
    SetRequestNormal(CLOCK, None, Data(DataTag.OCTET_STRING, bytes(12))),
    AccessRequest((AccessGet(CLOCK),), (NULL,)),
    GetResponseNormal(GetDataResult(octets=b"\x06" + bytes(4))),
    DataNotification(1, None, Data(DataTag.DOUBLE_LONG_UNSIGNED, 7)),
    EventNotification(CLOCK, Data(DataTag.UNSIGNED, 1)),
)


@pytest.mark.conformance("hls-gmac", "client", "server")
class TestChallengesThatAreApdus:
    """With authentication only, f(challenge) would be the tag of the APDU that the challenge is."""

    def test_why(self) -> None:
        apdu = WHOLE_APDUS[0].encode()
        proof = gmac_token(KEYS, CLIENT_TITLE, 7, apdu)
        forged = proof[:5] + apdu + proof[5:]
        assert forged == protect(KEYS, CLIENT_TITLE, Protection.AUTHENTICATED, 7, apdu)

    @pytest.mark.parametrize("apdu", WHOLE_APDUS, ids=lambda apdu: type(apdu).__name__)
    def test_no_side_signs_one(self, apdu: Any) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED)
        aarq = decode_apdu(apdu_of(pair.client.send(Associate())))
        assert isinstance(aarq, Aarq)
        forged = attrs.evolve(aarq, authentication_value=apdu.encode())
        pair.server.receive_data(to_server(forged.encode()))
        refused, _ = events_of(pair.server)
        assert isinstance(refused, AssociationRefused)
        assert pair.client_counters == {}

        pair = ConnectionPair.protected(Protection.AUTHENTICATED)
        pair.server.receive_data(pair.client.send(Associate()))
        (aare_octets,) = pair.server_answers()
        aare = decode_apdu(apdu_of(aare_octets))
        assert isinstance(aare, Aare)
        before = pair.state()
        altered = attrs.evolve(aare, authentication_value=apdu.encode())
        pair.client.receive_data(to_client(altered.encode()))
        with pytest.raises(SecurityError) as caught:
            pair.client.next_event()
        assert caught.value.code == "authentication-failed"
        assert pair.state() == before
        pair.client.receive_data(aare_octets)
        assert isinstance(pair.client.next_event(), ContinueNeeded)

    @pytest.mark.parametrize("apdu", WHOLE_APDUS, ids=lambda apdu: type(apdu).__name__)
    def test_what_reads_as_one(self, apdu: Any) -> None:
        octets = apdu.encode()
        assert reads_as_apdu(octets) is True
        assert reads_as_apdu(octets[:2]) is False
        assert reads_as_apdu(b"\0" + octets) is False

    @pytest.mark.parametrize("nearly", [-1, 1])
    def test_what_only_begins_like_one_is_taken(self, nearly: int) -> None:
        apdu = WHOLE_APDUS[0].encode()
        octets = apdu[:nearly] if nearly < 0 else apdu + bytes(nearly)
        pair = ConnectionPair.of(
            client_settings(mechanism=GMAC, challenge=octets), server_association(mechanism=GMAC)
        ).opened()
        assert pair.server.is_associated(CLIENT_SAP)

    def test_other_mechanisms_hash_what_they_get(self) -> None:
        apdu = WHOLE_APDUS[0].encode()
        md5 = Mechanism.HLS_MD5
        pair = ConnectionPair.of(
            client_settings(mechanism=md5, challenge=apdu), server_association(mechanism=md5)
        ).opened()
        assert pair.server.is_associated(CLIENT_SAP)
