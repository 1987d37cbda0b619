"""APDUs, and errors in their place, that have arrived and that nobody has fetched yet."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.hdlc import llc
from hes_protocol.hdlc.address import HdlcAddress

MAX_ITEMS: Final = 8


@attrs.frozen
class _Item:
    sender: HdlcAddress
    content: bytes | RemoteProtocolError


class Mailbox:
    """Bounded: while it `is_full` numbered frames are refused, unnumbered ones lost."""

    def __init__(self) -> None:
        self.sender: HdlcAddress | None = None
        self._items: deque[_Item] = deque()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be put."""
        return len(self._items) >= MAX_ITEMS

    def put(self, sender: HdlcAddress, information: bytes) -> None:
        """Keep the APDU in an information field, or what is wrong with it."""
        try:
            self._items.append(_Item(sender, llc.apdu_in(information)))
        except RemoteProtocolError as error:
            self.put_error(sender, error)

    def put_error(self, sender: HdlcAddress, error: RemoteProtocolError) -> None:
        """Keep an error: it is raised where the APDU would have been given."""
        self._items.append(_Item(sender, error))

    def drop_from(self, upper: int) -> None:
        """Forget what a sender has said: it begins anew."""
        if self._items:
            self._items = deque(item for item in self._items if item.sender.upper != upper)

    def take(self) -> bytes | None:
        """
        The next APDU, or None; `sender` says whose it was.

        Raises: RemoteProtocolError: what stands in its place.
        """
        if not self._items:
            return None
        item = self._items.popleft()
        self.sender = item.sender
        if isinstance(item.content, RemoteProtocolError):
            raise item.content
        return item.content
