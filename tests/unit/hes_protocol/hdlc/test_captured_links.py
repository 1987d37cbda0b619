"""
Links of real meters: ours say, octet for octet, what was recorded, in both roles.

The recordings lie in HES_VECTORS and are never committed. APDUs are taken from them as they are;
addresses, numbers, bits, segments and check sequences are our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from hes_protocol.hdlc import (
    ControlKind,
    HdlcFrame,
    HdlcLink,
    HdlcServerLink,
    LinkParameters,
    llc,
)
from tests.captures import capture, hdlc_frames

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.conformance("hdlc-parameters", "client", "server", "vector"),
    pytest.mark.conformance("hdlc-addresses", "client", "server", "vector"),
    pytest.mark.conformance("llc", "client", "server", "vector"),
]

SESSIONS = (
    "sess-skq",
    "sess-circutor-v0411",
    "sess-mikroelektronika-none",
    "sess-mikroelektronika-authentication",
    "sess-mikroelektronika-encryption",
    "sess-mikroelektronika-authentication-and-encryption",
)


def frames_of(vectors: Path, name: str) -> list[tuple[str, HdlcFrame]]:
    return [
        (part["dir"], frame)
        for part in capture(vectors, name)["frames"]
        for frame in hdlc_frames(bytes.fromhex(part["hex"]))
    ]


def parameters_in(frame: HdlcFrame) -> LinkParameters:
    return LinkParameters.from_information(frame.information)


@pytest.mark.parametrize("name", SESSIONS)
def test_our_client_says_what_was_recorded(name: str, hes_vectors: Path) -> None:
    link: Any = None
    said = 0
    for who, frame in frames_of(hes_vectors, name):
        if who == "rx":
            if link is not None:
                link.receive_data(frame.to_octets())
                if frame.control.kind is ControlKind.I:
                    assert link.next_apdu() == llc.strip(frame.information)
            continue
        match frame.control.kind:
            case ControlKind.SNRM:
                link = HdlcLink(frame.source, frame.destination, parameters_in(frame))
                [ours] = hdlc_frames(link.connect())
                assert parameters_in(ours) == parameters_in(frame)
            case ControlKind.I:
                assert link.connected
                assert link.wrap(llc.strip(frame.information)) == frame.to_octets()
                said += 1
            case ControlKind.DISC if link is not None and link.client == frame.source:
                assert link.disconnect() == frame.to_octets()
    assert said >= 2


@pytest.mark.parametrize("name", SESSIONS)
def test_our_server_says_what_was_recorded(name: str, hes_vectors: Path) -> None:
    frames = frames_of(hes_vectors, name)
    server: Any = None
    said = 0
    for place, (who, frame) in enumerate(frames):
        if who == "tx":
            if frame.control.kind is ControlKind.SNRM:
                offered = parameters_in(frames[place + 1][1])
                server = server or HdlcServerLink(frame.destination, offered)
                # Some say more in UA than an SNRM that says nothing allows: propose it to ours.
                frame = attrs.evolve(frame, information=_mirrored(offered).to_information())
            if server is not None:
                server.receive_data(frame.to_octets())
                if frame.control.kind is ControlKind.I:
                    assert server.next_apdu() == llc.strip(frame.information)
        elif server is not None:
            if frame.control.kind is ControlKind.I:
                assert server.wrap(llc.strip(frame.information)) == frame.to_octets()
                said += 1
            else:
                [ours] = hdlc_frames(server.data_to_send())
                linked = ours.control.kind is not ControlKind.DM  # who is no client of ours
                assert not linked or ours.control == frame.control
                if frames[place - 1][1].control.kind is ControlKind.SNRM:
                    assert parameters_in(ours) == parameters_in(frame)
    assert said >= 2


def _mirrored(parameters: LinkParameters) -> LinkParameters:
    return LinkParameters(
        parameters.max_information_receive,
        parameters.max_information_transmit,
        parameters.window_receive,
        parameters.window_transmit,
    )
