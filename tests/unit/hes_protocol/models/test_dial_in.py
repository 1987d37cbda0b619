"""The table [dial_in] of a model file."""

from __future__ import annotations

import pytest

from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import DialIn, FirstSpeaker, Heartbeat, parse_model, parse_models

HEAD = 'name = "a"\nmaker = "m"\nsource = "s"\n'
BEAT = HEAD + '[[dial_in.heartbeat]]\nprefix = "0a020c"\nserial = [3, 12]\n'
FRAME = bytes.fromhex("0a020c") + b"  0012345678" + b"\x2c\x01\x02"


def test_a_heartbeat_names_its_meter_and_is_answered_as_the_model_says() -> None:
    for answer, expected in (
        ("", None),
        ('answer = "none"', None),
        ('answer = "echo"', FRAME),
        ('answer = "da"', b"\xda"),
    ):
        dial_in = parse_model(BEAT + answer).dial_in
        assert dial_in is not None
        [beat] = dial_in.heartbeats
        assert beat.matches(FRAME)
        assert beat.serial(FRAME) == "0012345678"
        assert beat.answer_to(FRAME) == expected


def test_what_is_no_heartbeat_and_what_names_nobody() -> None:
    beat = Heartbeat(b"\x0a\x02\x0c", 3, 12)
    assert not beat.matches(FRAME[:14])
    assert not beat.matches(b"\x0a" + FRAME)
    assert beat.serial(FRAME[:3] + b"\xff" * 12) is None
    assert beat.serial(FRAME[:3] + b"\x01" * 12) is None
    assert beat.serial(FRAME[:3] + bytes(12)) is None
    assert Heartbeat(b"\xdd").serial(b"\xdd\x10") is None


def test_it_is_inherited_whole() -> None:
    heir = 'name = "b"\nmaker = "m"\nsource = "s"\ninherits = "a"\n'
    _, same = parse_models([BEAT, heir])
    assert same.dial_in is not None
    assert len(same.dial_in.heartbeats) == 1
    _, other = parse_models([BEAT, heir + '[dial_in]\nspeaks_first = "head_end"\n'])
    assert other.dial_in == DialIn(FirstSpeaker.HEAD_END)
    assert parse_model(HEAD).dial_in is None


@pytest.mark.parametrize(
    "table",
    [
        "dial_in = 1",
        '[dial_in]\nspeaks_first = "nobody"',
        "[dial_in]\nunknown = 1",
        "[dial_in]\nheartbeat = 1",
        "[dial_in]\nheartbeat = [1]",
        "[[dial_in.heartbeat]]",
        '[[dial_in.heartbeat]]\nprefix = ""',
        '[[dial_in.heartbeat]]\nprefix = "x"',
        '[[dial_in.heartbeat]]\nprefix = "0a"\nserial = [1]',
        '[[dial_in.heartbeat]]\nprefix = "0a"\nserial = [true, 2]',
        '[[dial_in.heartbeat]]\nprefix = "0a"\nserial = [-1, 2]',
        '[[dial_in.heartbeat]]\nprefix = "0a"\nanswer = "yes"',
        '[[dial_in.heartbeat]]\nprefix = "0a"\nanswer = 1',
        '[[dial_in.heartbeat]]\nprefix = "0a"\nmore = 1',
    ],
)
def test_what_is_wrong_is_said(table: str) -> None:
    with pytest.raises(LocalProtocolError, match="dial_in"):
        parse_model(HEAD + table)
