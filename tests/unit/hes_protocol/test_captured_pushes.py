"""
Pushes of real meters, as our client hears them and as our server would have sent them.

The recordings lie in HES_VECTORS and are never committed. Whoever hears a push has no association
with the meter, so both roles stand in a pre-established one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    Client,
    ClientSettings,
    ContinueNeeded,
    NotificationReceived,
)
from hes_protocol.cosem import DEVIATION_UNSPECIFIED, CosemDateTime
from hes_protocol.hdlc import HdlcLink, llc
from hes_protocol.security import Protection
from hes_protocol.server import Notify, Server, ServerAssociation
from hes_protocol.settings import Link
from hes_protocol.wrapper import HEADER_OCTETS, WrapperDatagramLink
from hes_protocol.xdlms import (
    BlockAssembler,
    DataNotification,
    DataNotificationConfirm,
    GeneralBlockTransfer,
    decode_apdu,
)
from tests.captured_roles import standing_server
from tests.captures import BareLink, capture, hdlc_frames, octets_of

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.conformance("data-notification", "vector"),
    pytest.mark.conformance("pre-established", "vector"),
]

TITLE = slice(2, 10)  # of a general-glo-ciphering: behind its tag and the length of the title
COUNTER = slice(12, 16)  # behind the length of what is ciphered and the security control


def keys_of(folder: Path, name: str) -> tuple[bytes, bytes]:
    keys = capture(folder, name)["keys"]
    return bytes.fromhex(keys["ek"]), bytes.fromhex(keys["ak"])


def listener(
    link: Link, keys: tuple[bytes, bytes] | None = None, title: bytes | None = None
) -> Client:
    encryption_key, authentication_key = keys or (None, None)
    protection = Protection.PLAIN if keys is None else Protection.AUTHENTICATED_ENCRYPTED
    settings = ClientSettings(
        client_sap=1,
        pre_established=True,
        encryption_key=encryption_key,
        authentication_key=authentication_key,
        protection=protection,
        system_title=None if keys is None else bytes(8),
        server_system_title=title,
    )
    client = Client(settings, link, count(1).__next__)
    assert client.send(Associate()) == b""
    assert isinstance(client.next_event(), AssociationAccepted)
    return client


def heard(client: Client, octets: bytes) -> Iterator[NotificationReceived]:
    client.receive_data(octets)
    while (event := client.next_event()) is not None:
        assert isinstance(event, NotificationReceived)
        yield event


@pytest.mark.conformance("wrapper-udp", "vector")
@pytest.mark.conformance("general-glo", "vector")
@pytest.mark.conformance("authenticated-encrypted", "vector")
@pytest.mark.parametrize("number", [1, 2, 5, 9, 13])
def test_ciphered_datagrams(number: int, hes_vectors: Path) -> None:
    name = f"u9n-udp-{number}"
    datagram, keys = octets_of(hes_vectors, name), keys_of(hes_vectors, name)
    apdu = datagram[HEADER_OCTETS:]
    client = listener(WrapperDatagramLink(1, 1), keys, apdu[TITLE])
    [push] = heard(client, datagram)
    assert push.protection is Protection.AUTHENTICATED_ENCRYPTED  # and its tag is right
    rules = ServerAssociation(
        client_sap=1, encryption_key=keys[0], authentication_key=keys[1], pre_established=True
    )
    server = Server(
        {1: rules},
        WrapperDatagramLink(1, 1),
        server_sap=1,
        system_title=apdu[TITLE],
        next_counter=lambda: int.from_bytes(apdu[COUNTER], "big"),
        next_challenge=lambda: b"no challenge",
        client_counters={},
    )
    assert server.send(Notify(push.apdu, 1, push.protection)) == datagram


@pytest.mark.conformance("general-glo", "vector")
@pytest.mark.conformance("authenticated-encrypted", "vector")
@pytest.mark.conformance("gbt-streaming", "vector")
@pytest.mark.conformance("gbt-without-llc", "vector")
@pytest.mark.parametrize("name", ["edp-hdlc_landis_gyr_e450", "edp-hdlc_lgz_e450_2"])
def test_ciphered_blocks_without_llc_headers(name: str, hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, name)
    frames = hdlc_frames(octets)
    apdus = [frame.information for frame in frames]
    assert [llc.is_llc(apdu) for apdu in apdus] == [True, False, False]
    blocks = []
    for apdu in (llc.strip(apdus[0]), *apdus[1:]):
        block = decode_apdu(apdu)
        assert isinstance(block, GeneralBlockTransfer)
        assert (block.streaming, block.window) == (True, 0)
        assert block.encode() == apdu
        blocks.append(block)
    assert [block.block_number for block in blocks] == [1, 2, 3]
    assert [block.last_block for block in blocks] == [False, False, True]
    title = blocks[0].block_data[TITLE]
    link = HdlcLink(frames[0].destination, frames[0].source)
    [push] = heard(listener(link, keys_of(hes_vectors, name), title), octets)
    assert push.protection is Protection.AUTHENTICATED_ENCRYPTED
    assert isinstance(push.apdu, DataNotification)


@pytest.mark.conformance("gbt-streaming", "vector")
@pytest.mark.conformance("gbt-without-llc", "vector")
@pytest.mark.parametrize(
    "name", ["scs-e450-1", "scs-e450-2", "scs-e450-extreg", "scs-e450-vse2026", "scs-e570-vse2026"]
)
def test_blocks_in_the_clear(name: str, hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, name)
    frames = hdlc_frames(octets)
    link = HdlcLink(frames[0].destination, frames[0].source)
    [push] = heard(listener(link), octets)  # of scs-e450-1 the second: the first is not whole
    joined = BlockAssembler()
    for frame in frames:
        apdu = frame.information
        block = decode_apdu(llc.strip(apdu) if llc.is_llc(apdu) else apdu)
        assert isinstance(block, GeneralBlockTransfer)
        if (whole := joined.take(block)) is not None:
            assert push.apdu == decode_apdu(whole)
            assert push.apdu.encode() == whole


@pytest.mark.conformance("hdlc-segmentation", "vector")
@pytest.mark.parametrize(
    "name", ["push-am550-ch-tasmota", "edp-hdlc_iskra550", "scs-am550-vse2026", "scs-e360-vse2026"]
)
def test_segmented_and_whole(name: str, hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, name)
    frames = hdlc_frames(octets)
    assert [frame.segmented for frame in frames] == [True] * (len(frames) - 1) + [False]
    link = HdlcLink(frames[0].destination, frames[0].source)
    [push] = heard(listener(link), octets)
    whole = b"".join(frame.information for frame in frames)
    assert push.apdu.encode() == llc.strip(whole)


@pytest.mark.conformance("data-notification-confirmed", "vector")
@pytest.mark.parametrize(
    "name", ["push-aidon-no-list1", "push-aidon-no-list2", "push-aidon-no-list3"]
)
def test_pushes_that_ask_to_be_confirmed(name: str, hes_vectors: Path) -> None:
    """The recordings hold the push alone: nobody can answer on these meters' interface."""
    [frame] = hdlc_frames(octets_of(hes_vectors, name))
    octets = llc.strip(frame.information)
    client = listener(BareLink())
    client.receive_data(octets)
    push, needed = client.next_event(), client.next_event()
    assert isinstance(push, NotificationReceived)
    assert isinstance(push.apdu, DataNotification)
    assert push.apdu.confirmed
    assert isinstance(needed, ContinueNeeded)
    confirm = decode_apdu(client.send(needed.reply))
    assert isinstance(confirm, DataNotificationConfirm)
    assert confirm.long_invoke_id == push.apdu.long_invoke_id
    assert standing_server().send(Notify(push.apdu, 1)) == octets


@pytest.mark.conformance("date-time-untagged", "vector")
@pytest.mark.conformance("date-time", "vector")
@pytest.mark.conformance("deviation", "vector")
@pytest.mark.parametrize(
    ("name", "local", "deviation_min"),
    [
        ("push-kaifa-se-a", "2024-12-01 17:21:40", -60),
        ("push-kaifa-esc-1", "2020-02-15 01:00:30", DEVIATION_UNSPECIFIED),
        ("push-kaifa-7e-in-fcs", "2020-02-15 01:25:34", DEVIATION_UNSPECIFIED),
    ],
)
def test_a_time_behind_a_tag(name: str, local: str, deviation_min: int, hes_vectors: Path) -> None:
    [frame] = hdlc_frames(octets_of(hes_vectors, name))
    octets = llc.strip(frame.information)
    client = listener(BareLink())
    client.receive_data(octets)
    push = client.next_event()
    assert isinstance(push, NotificationReceived)
    assert isinstance(push.apdu, DataNotification)
    assert octets[5:7] == b"\x09\x0c"
    assert push.apdu.date_time is not None
    time = CosemDateTime.from_octets(push.apdu.date_time)
    assert (str(time.local())[:19], time.deviation_min) == (local, deviation_min)
