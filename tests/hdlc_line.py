"""
A client's and a server's HDLC link with a line between them that may be bad, in memory.

Time is a step of its own: when nobody has anything to say, the one that waits has waited enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from hes_protocol.hdlc import HdlcLink, HdlcServerLink

Way = Callable[[bytes], Iterable[bytes]]
"""What becomes of the octets of one writing: the pieces that arrive."""


def good(octets: bytes) -> Iterable[bytes]:
    """They arrive."""
    return (octets,)


@attrs.define
class HdlcLine:
    """
    What went over is kept in `sent`, what arrived in `requests` and `answers`.

    `answer` makes the server's answer from a request; None says nothing.
    """

    client: HdlcLink
    server: HdlcServerLink
    answer: Callable[[bytes], bytes | None] = bytes
    to_server: Way = good
    to_client: Way = good
    requests: list[tuple[int | None, bytes]] = attrs.field(factory=list)
    answers: list[bytes] = attrs.field(factory=list)
    sent: list[tuple[str, bytes]] = attrs.field(factory=list)
    timeouts: int = 0

    def connect(self) -> None:
        """Set the link up."""
        octets = self.client.connect()
        while not self.client.connected:
            self.play(octets)
            octets = b"" if self.client.connected else self.wait()

    def ask(self, apdu: bytes) -> bytes:
        """
        Send a request until its answer is there.

        Raises: RemoteProtocolError: the link is lost, or the answer has no sense.
        """
        octets = self.client.wrap(apdu)
        before = len(self.answers)
        while True:
            self.play(octets)
            if len(self.answers) > before:
                return self.answers[before]
            octets = self.client.data_to_send() or self.wait()

    def play(self, octets: bytes) -> None:
        """Write for the client, and read what the server says to it."""
        if octets:
            self.sent.append(("client", octets))
        for piece in self.to_server(octets) if octets else ():
            self.server.receive_data(piece)
            self.hear_server()
        self.hear_server()

    def hear_server(self) -> None:
        """The server answers what it has; the client reads it."""
        for reply in self._replies():
            self.sent.append(("server", reply))
            for piece in self.to_client(reply):
                self.client.receive_data(piece)
        while (apdu := self.client.next_apdu()) is not None:
            self.answers.append(apdu)

    def wait(self) -> bytes:
        """Nothing has come for long; what the client says to that."""
        self.timeouts += 1
        if self.server.timeout_s is not None:
            self._write_server(self.server.handle_timeout())
        return self.client.handle_timeout()

    def _write_server(self, octets: bytes) -> None:
        for piece in self.to_client(octets) if octets else ():
            self.client.receive_data(piece)

    def _replies(self) -> Iterator[bytes]:
        while (apdu := self.server.next_apdu()) is not None:
            self.requests.append((self.server.peer_sap, apdu))
            answer = self.answer(apdu)
            octets = b"" if answer is None else self.server.wrap(answer)
            if octets:
                yield octets
        if octets := self.server.data_to_send():
            yield octets
