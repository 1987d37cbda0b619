"""
What one station sends in numbered frames: cut, numbered, kept until acknowledged (IEC 62056-46).

Information fields are cut as late as they are sent, so a peer that agrees on tiny frames makes us
hold no more than we were given.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

MODULUS: Final = 8


@attrs.frozen
class Segment:
    """A piece of an information field; `segmented` where more of the same field follows."""

    information: bytes
    segmented: bool


class SendWindow:
    """
    Numbered segments from V(A), the oldest that is not acknowledged, up to V(S).

    Args:
        max_information: octets of one information field.
        window: frames that may be sent before an answer, 1..7.
    """

    def __init__(self, max_information: int, window: int) -> None:
        self._max_information = max_information
        self._window = window
        self._fields: deque[bytes] = deque()
        self._offset = 0
        self._acknowledged = 0
        self._kept: deque[Segment] = deque()
        self._sent = 0
        self._fields_kept = 0

    @property
    def pending_fields(self) -> int:
        """Information fields of which not everything is acknowledged."""
        return len(self._fields) + self._fields_kept

    @property
    def next_sequence(self) -> int:
        """V(S): the number of the next frame that is sent."""
        return (self._acknowledged + self._sent) % MODULUS

    @property
    def is_due(self) -> bool:
        """Whether a frame may be sent now."""
        return self._sent < len(self._kept) or bool(self._fields and len(self._kept) < self._window)

    def put(self, information: bytes) -> None:
        """Queue an information field."""
        self._fields.append(information)

    def acknowledges(self, receive_sequence: int) -> bool:
        """Whether N(R) is one that the peer can mean: from V(A) to one behind the last sent."""
        return (receive_sequence - self._acknowledged) % MODULUS <= len(self._kept)

    @property
    def has_sent(self) -> bool:
        """Whether anything was sent that is not acknowledged."""
        return bool(self._kept)

    def acknowledge(self, receive_sequence: int) -> int:
        """
        Let go of what stands before N(R); the caller has asked `acknowledges`.

        Returns: how many frames that were.
        """
        count = (receive_sequence - self._acknowledged) % MODULUS
        for _ in range(count):
            if not self._kept.popleft().segmented:
                self._fields_kept -= 1
        self._sent = max(0, self._sent - count)
        self._acknowledged = receive_sequence
        return count

    def rewind(self) -> None:
        """Send again, next time, all that is not acknowledged."""
        self._sent = 0

    def take_due(self) -> list[tuple[int, Segment]]:
        """The frames that may be sent now, with their N(S); they count as sent."""
        due = []
        while self.is_due:
            if self._sent == len(self._kept):
                self._kept.append(self._cut())
            due.append((self.next_sequence, self._kept[self._sent]))
            self._sent += 1
        return due

    def _cut(self) -> Segment:
        field = self._fields[0]
        end = self._offset + self._max_information
        segment = Segment(field[self._offset : end], segmented=end < len(field))
        if segment.segmented:
            self._offset = end
        else:
            self._fields.popleft()
            self._fields_kept += 1
            self._offset = 0
        return segment
