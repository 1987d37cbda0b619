"""
How meters that dial in behave on their connection, as a table of a model file.

    [dial_in]                            # meters of this model may keep a connection to us
    speaks_first = "head_end"            # "meter" (the default): it says who it is, or beats

    [[dial_in.heartbeat]]                # what is no APDU of DLMS, in a wrapper frame
    prefix = "0a020c"                    # hex: how it begins
    serial = [3, 12]                     # from this octet on, so many, ASCII: the serial number
    answer = "echo"                      # or "none" (the default), or hex

Heartbeats that are pushes need no table: they name the meter as any push does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from hes_protocol.models.tables import Table

_MOST_OCTETS: Final = 1024


class FirstSpeaker(StrEnum):
    """Who says the first word on a connection that a meter has opened."""

    METER = "meter"
    HEAD_END = "head_end"


@attrs.frozen
class Heartbeat:
    """
    A frame by which a meter says that it is there.

    Its octets begin with `prefix`; `serial_octets` octets from `serial_at` on are its serial
    number in ASCII, 0: it names nobody. `answer` is what it wants to hear, None: nothing;
    `echo`: itself.
    """

    prefix: bytes
    serial_at: int = 0
    serial_octets: int = 0
    answer: bytes | None = None
    echo: bool = False

    def matches(self, octets: bytes) -> bool:
        """Whether this is such a frame, whole."""
        whole = len(octets) >= self.serial_at + self.serial_octets
        return whole and octets.startswith(self.prefix)

    def serial(self, octets: bytes) -> str | None:
        """Whom it names, None: nobody, or in octets that are no text."""
        named = octets[self.serial_at : self.serial_at + self.serial_octets].strip(b" \0")
        text = named.decode("ascii", "replace")
        return text if text.isascii() and text.isprintable() and text else None

    def answer_to(self, octets: bytes) -> bytes | None:
        """What is answered, None: nothing."""
        return octets if self.echo else self.answer


@attrs.frozen
class DialIn:
    """The table [dial_in]."""

    speaks_first: FirstSpeaker = FirstSpeaker.METER
    heartbeats: tuple[Heartbeat, ...] = ()


def parse_dial_in(table: Table) -> DialIn:
    """
    The table [dial_in].

    Raises: LocalProtocolError: what is wrong, by its key.
    """
    heartbeats = tuple(
        _heartbeat(Table(f"{table.where}: heartbeat number {number}", row))
        for number, row in enumerate(table.rows("heartbeat"), 1)
    )
    made = DialIn(table.member("speaks_first", FirstSpeaker, FirstSpeaker.METER), heartbeats)
    table.done()
    return made


def _heartbeat(table: Table) -> Heartbeat:
    prefix = table.read("prefix", _hex)
    at, count = 0, 0
    if "serial" in table:
        place = table.rows("serial")
        if len(place) != 2 or not all(
            type(one) is int and 0 <= one <= _MOST_OCTETS for one in place
        ):
            table.refuse("serial", "not where it begins and how many octets it has")
        at, count = place
    answer = table.text("answer", "none")
    made = Heartbeat(
        prefix,
        at,
        count,
        answer=None if answer in ("none", "echo") else table.read("answer", _hex),
        echo=answer == "echo",
    )
    table.done()
    return made


def _hex(text: object) -> bytes:
    octets = bytes.fromhex(text) if isinstance(text, str) else b""
    if not 1 <= len(octets) <= _MOST_OCTETS:
        raise ValueError(f"not 1 to {_MOST_OCTETS} octets in hex")
    return octets
