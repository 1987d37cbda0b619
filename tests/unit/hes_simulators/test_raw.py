"""
Octets to meters and back, written down by hand: no client of ours takes part.

Wrapper and HDLC frames are made here; APDUs are hexadecimal, as IEC 62056-5-3 codes them. `..` in
an answer stands for any octet.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import pytest

from hes_simulators.conversation import Conversation, SessionSummary
from tests.unit.hes_simulators.living import hands

INITIATE = "01 00 00 00 06 5F1F04 00{conformance} {pdu}"
ALL = "407E1F"
LDN = "0001 00002A0000FF 02"
CLOCK = "0008 0000010000FF 02"
ACCEPTED = "A20302010 0 A305A103020100".replace(" ", "")
PUBLIC, READER = 16, 32
Say = Callable[..., str]


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def aarq(initiate: str, secret: bytes = b"") -> str:
    """Without a secret for the lowest level, else for LLS."""
    value = octets(initiate)
    fields = octets("A109060760857405080101")
    if secret:
        fields += octets("8A020780 8B0760857405080201")
        fields += bytes((0xAC, len(secret) + 2, 0x80, len(secret))) + secret
    fields += bytes((0xBE, len(value) + 2, 0x04, len(value))) + value
    return (bytes((0x60, len(fields))) + fields).hex()


def opening(conformance: str = "7E1F", pdu: str = "FFFF", secret: bytes = b"") -> str:
    return aarq(INITIATE.format(conformance=conformance.rjust(6, "0")[-6:], pdu=pdu), secret)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """Send an APDU to a meter over a wrapper connection; what it answers, without the wrapper."""
    conversation = Conversation(
        hands(getattr(request, "param", "hes-household")).meter, SessionSummary()
    )

    def said(apdu: str, client: int = PUBLIC, server: int = 1) -> str:
        body = octets(apdu)
        header = struct.pack(">HHHH", 1, client, server, len(body))
        answer = b"".join(conversation.receive(header + body))
        if not answer:
            return ""
        assert struct.unpack(">HHHH", answer[:8]) == (1, server, client, len(answer) - 8)
        return answer[8:].hex().upper()

    return said


def is_like(answer: str, pattern: str) -> bool:
    return re.fullmatch(pattern.replace(" ", ""), answer) is not None


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        (f"C001C1 {LDN} 00", "C401C100 090B 4845533030303030303034"),
        (f"C00101 {LDN} 00", "C4010100 090B 4845533030303030303034"),  # invoke id and priority
        (f"C001C1 {CLOCK} 00", "C401C100 090C .{24}"),
        ("C001C1 0001 00002A0000FF 03 00", "C401C101 04"),  # object-undefined
        ("C001C1 0008 0000010000FF 00 00", "C401C101 04"),  # attribute 0 is not offered
        ("C001C1 0003 0000010000FF 02 00", "C401C101 09"),  # object-class-inconsistent
        ("C001C1 0003 0100010800FF 02 00", "C401C101 04"),  # not in this client's list
        (f"C001C1 {LDN} 01 01 00", "C401C101 0D"),  # scope-of-access-violated
        (f"C003C1 02 {LDN} 00 0001 00002A0000FF 03 00", "C403C1 02 00 090B .{22} 01 04"),
        ("C003C1 00", "D80101"),
        ("C002C1 00000001", "C402C1 01 00000001 01 10"),  # no-long-get-in-progress
        (f"C101C1 {LDN} 00 090141", "C501C1 03"),  # read-write-denied
        ("C101C1 0001 00002A0000FF 05 00 090141", "C501C1 04"),
        ("C101C1 0001 00002A0000FF 01 00 0906 00002A0000FF", "C501C1 03"),
        ("C301C1 0001 00002A0000FF 01 00", "C701C1 04 00"),  # class 1 has no methods
        ("C301C1 0008 0000010000FF 01 01 0F00", "C701C1 03 00"),  # not this client's
        (f"D9 C0000001 00 01 01 {LDN} 01 00", "D80202"),  # ACCESS was not negotiated
        ("0501020008", "D80202"),  # short names
        ("B700", "D80202"),
        ("6203800100", "6303800100"),
    ],
)  # fmt: skip
def test_what_the_public_client_is_answered(say: Say, apdu: str, answer: str) -> None:
    assert ACCEPTED in say(opening())
    assert is_like(say(apdu), answer)


@pytest.mark.parametrize(
    ("apdu", "result"),
    [
        (opening(pdu="0005"), "A203020101 A305A103020101 BE06 0404 0E010603"),  # pdu-size-too-short
        (opening("000000"), "A203020101 A305A103020101 BE06 0404 0E010602"),
        (opening().replace("065f1f", "055f1f"), "A203020101 A305A103020101 BE06 0404 0E010601"),
        (opening().replace("0760857405080101", "0760857405080102"), "A203020101 A305A103020102"),
        (opening(secret=b"12345678"), "A203020101 A305A10302010B"),
    ],
)
def test_an_association_that_cannot_be(say: Say, apdu: str, result: str) -> None:
    """application-context-name and mechanism not recognised; initiate errors 1, 2 and 3."""
    assert is_like(say(apdu), "61.. A109060760857405080101" + result)
    assert say(f"C001C1 {LDN} 00") == "D80101"


def test_who_may_not_be_answered_is_associated_silently(say: Say) -> None:
    """Response_Allowed FALSE, an unconfirmed association."""
    assert say(aarq("01 00 01 00 00 06 5F1F04 00007E1F FFFF")) == ""
    assert say(f"C001C1 {LDN} 00").startswith("C401C100")


def test_an_association_ends_and_begins_anew_on_one_connection(say: Say) -> None:
    assert say(f"C001C1 {LDN} 00") == "D80101"
    for _ in range(2):
        assert ACCEPTED in say(opening())
        assert ACCEPTED in say(opening())  # once more, unreleased
        assert say("6200") == "6303800100"
        assert say(f"C001C1 {LDN} 00") == "D80101"
    assert say(opening(), server=2) == ""  # nobody lives there
    assert is_like(
        say(opening(), client=77), "61.. A109060760857405080101 A203020101 A305A1030201.."
    )


@pytest.mark.parametrize("say", ["is-15959-single-phase"], indirect=True)
def test_two_clients_on_one_connection_and_the_profile_of_one(say: Say) -> None:
    """Selective access, blocks of 128 octets, and rights that differ."""
    profile, clock = "0007 0100630100FF 02", "0204 120008 09060000010000FF 0F02 120000"
    assert ACCEPTED in say(opening(pdu="0080", secret=b"00000000"), READER)
    assert ACCEPTED in say(opening())
    assert say(f"C001C1 {profile} 00") == "C401C10104"
    assert say(f"C101C1 {CLOCK} 00 090C 07EA0B15FF00000000800000", READER) == "D80202"
    first = say(f"C001C1 {profile} 00", READER)
    assert is_like(first, "C402C1 00 00000001 00 75 01 8206 .*")
    assert len(first) // 2 <= 128
    assert ACCEPTED in say(opening())  # the other's blocks go on
    assert is_like(say("C002C1 00000001", READER), "C402C1 00 00000002 00 75 .*")
    assert say("C002C1 00000005", READER) == "C402C1010000000501 13".replace(" ", "")
    assert say("C002C1 00000002", READER) == "C402C1010000000201 10".replace(" ", "")
    hour = "090C 07EA0B11FF 06000000 800000 090C 07EA0B11FF 07000000 800000"
    column = "0101 0204 120003 0906 01000C1B00FF 0F02 120000"
    ranged = f"C001C1 {profile} 01 01 0204 {clock} {hour}"
    assert is_like(say(f"{ranged} {column}", READER), "C401C100 0103 (0201 12.{4}){3}")
    assert is_like(say(f"{ranged} 0100", READER), "C402C1 00 00000001 00 75 0103 0207 090C .*")
    entry = f"C001C1 {profile} 01 02 0204"
    assert is_like(say(f"{entry} 0600000001 0600000001 120001 120001", READER),
                   "C401C100 0101 0201 090C .{24}")  # fmt: skip
    assert say(f"{entry} 0600100000 0600100001 120001 120000", READER) == "C401C1000100"
    assert say(f"{entry} 0600000000 0600000000 120001 120000", READER) == "C401C1010D"
    assert say(f"C001C1 {profile} 01 01 0600000001", READER) == "C401C1010C"


CONTEXT = "C001C1 000F 0000280000FF 05 00"


def test_an_association_shows_what_was_agreed(say: Say) -> None:
    """xdlms_context_info: what the server takes, then what this client does."""
    for pdu in ("0123", "0456"):
        assert ACCEPTED in say(opening(pdu=pdu))
        agreed = f"C401C100 0206 0418.{{6}} 120200 12{pdu} 1106 0F00 0900"
        assert is_like(say(CONTEXT), agreed)
