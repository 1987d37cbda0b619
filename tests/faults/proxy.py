"""
Stands between a client and PostgreSQL, and does harm at a chosen message of the writer's way.

It reads the client's side of the protocol message by message. The way begins where the writer asks
which batches are there, and goes on on that connection; each message is a fail point, each that
the server answers is a statement.

Source: PostgreSQL manual, "Message Formats".
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum, auto
from typing import Final

import attrs
import psycopg

_BEGINNING: Final = b"FROM batch WHERE batch_key = ANY"
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
# Simple query, Sync, CopyDone: the server answers, and waits for more.
_STATEMENT_ENDS: Final = b"QSc"
# ReadyForQuery, CopyInResponse.
_ANSWER_ENDS: Final = b"ZG"
_NO_TYPE_YET: Final = (80877102, 80877103, 80877104)  # CancelRequest, SSLRequest, GSSENCRequest


class When(Enum):
    """What happens to the message; the client always sees its connection end."""

    BEFORE = auto()
    """The server never gets it and sees the connection end, too."""
    AFTER = auto()
    """The server has done what it says; its answer is lost."""
    LATE = auto()
    """The server gets it half a second later: when the client asks, it is still under way."""
    NEVER = auto()
    """The server never gets it and does not notice that the client is gone."""
    HOLD = auto()
    """As if nothing were, but the message waits until the harm is done."""


@attrs.define
class Fault:
    """
    Harm to be done once.

    Args:
        at: which message or statement of the way, from 0; None: COMMIT.
        when: what becomes of it.
        statements: whether `at` counts statements instead of messages.
        harm: what to do then, for instance to kill somebody.
    """

    at: int | None
    when: When
    statements: bool = False
    harm: Callable[[], None] = lambda: None
    passed: list[str] = attrs.field(factory=list)
    """What has gone by: the types of the messages, or the statements' last."""
    struck: bool = False
    """Whether the message has come."""
    done: threading.Event = attrs.field(factory=threading.Event)
    """Set once the harm is done."""

    def strikes(self, kind: str, octets: bytes) -> bool:
        """Count a message; whether it is the one."""
        if self.at is None:
            return octets == _COMMIT
        if self.statements and kind not in _STATEMENT_ENDS.decode():
            return False
        self.passed.append("COMMIT" if octets == _COMMIT else kind)
        return len(self.passed) == self.at + 1


class Proxy:
    """
    `url` leads through it; at most one fault is armed at a time.

    With `refuse` new connections are ended at once.
    """

    def __init__(self, url: str) -> None:
        info = psycopg.conninfo.conninfo_to_dict(url)
        self._target = (str(info["host"]), int(info["port"] or 5432))
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = re.sub(r"@[^/]*/", f"@127.0.0.1:{port}/", url)
        self.refuse = False
        self._fault: Fault | None = None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def arm(self, fault: Fault) -> Fault:
        """Do this at the next occasion."""
        self._fault = fault
        return fault

    def disarm(self) -> None:
        """Do no harm any more."""
        self._fault = None

    def close(self) -> None:
        """End all connections and threads."""
        # shutdown wakes a thread that waits in accept or recv; close alone would not.
        for one in (self._listener, *self._sockets):
            _end(one)
            one.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                for one in (client, server):
                    # Else each statement waits 40 ms for a delayed acknowledgement.
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [client, server]
                link = _Link(self, client, server)
                for work in (link.requests, link.answers):
                    thread = threading.Thread(target=work)
                    self._threads.append(thread)
                    thread.start()

    def struck(self, link: _Link, kind: str, octets: bytes) -> Fault | None:
        """The armed fault, if this message is its; it is disarmed then."""
        with self._lock:
            fault = self._fault
            if fault is None:
                return None
            if fault.at is not None and not link.is_on_the_way:
                if _BEGINNING not in octets:
                    return None
                link.is_on_the_way = True
            if not fault.strikes(kind, octets):
                return None
            self._fault = None
            fault.struck = True
            return fault


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_mute = False
        self._answered = threading.Event()
        self.is_on_the_way = False

    def requests(self) -> None:
        with suppress(OSError):
            for kind, octets in _messages(self._client):
                fault = self._proxy.struck(self, kind, octets)
                if fault is None:
                    self._server.sendall(octets)
                elif fault.when is When.HOLD:
                    fault.harm()
                    fault.done.set()
                    self._server.sendall(octets)
                else:
                    self._do(fault, kind, octets)
                    return
        _end(self._server)

    def _do(self, fault: Fault, kind: str, octets: bytes) -> None:
        if fault.when is When.AFTER:
            self._is_mute = True
            self._server.sendall(octets)
            if kind in _STATEMENT_ENDS.decode():
                self._answered.wait(10)
        fault.harm()
        _end(self._client)
        if fault.when is When.LATE:
            threading.Event().wait(0.5)
            with suppress(OSError):
                self._server.sendall(octets)
        if fault.when in {When.BEFORE, When.AFTER}:
            _end(self._server)
        fault.done.set()

    def answers(self) -> None:
        with suppress(OSError):
            while octets := self._server.recv(65536):
                if self._is_mute:
                    if any(one in octets for one in _ANSWER_ENDS):
                        self._answered.set()
                else:
                    self._client.sendall(octets)
        self._answered.set()
        _end(self._client)


def _messages(client: socket.socket) -> Iterator[tuple[str, bytes]]:
    """What a client sends, with the type of each message; empty before the session has begun."""
    received = bytearray()
    has_begun = False
    while octets := client.recv(65536):
        received += octets
        while True:
            head = 1 if has_begun else 0
            if len(received) < head + 4:
                break
            size = head + int.from_bytes(received[head : head + 4])
            if len(received) < size:
                break
            message = bytes(received[:size])
            del received[:size]
            yield chr(message[0]) if has_begun else "", message
            if not has_begun:
                has_begun = int.from_bytes(message[4:8]) not in _NO_TYPE_YET


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
