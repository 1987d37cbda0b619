"""
Commands as JSON lines over a unix socket: one object a line, one answer to each.

Owns the socket (mode 0600), its limits and the form of errors; what a command means is said by who
serves. An answer is an object, too: what was asked for, or `{"error": {"code", "detail"}}`.
Nothing that a client sends ends the server, and nobody holds it up for others.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trio

from hes_simulators.faults.errors import FaultError

MAX_LINE_OCTETS: Final = 1 << 20
MAX_CLIENTS: Final = 32
_IDLE_S: Final = 300.0
_ANSWER_S: Final = 60.0
_MAX_PATH_OCTETS: Final = 107  # sun_path of unix(7), without its zero
_OWNER_ONLY: Final = 0o177

Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlError(Exception):
    """The socket cannot be served or reached; the text says why."""


class RefusedError(Exception):
    """
    The other side has answered with an error.

    Args: code: for programs. detail: for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


async def serve_lines(
    path: Path, answer: Answer, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """
    Serve until cancelled; reports started when the socket is there, and takes it away at the end.

    Args: path: of the socket; what a dead process has left there is replaced. answer: gives the
        answer to one command, or raises FaultError.
    Raises: ControlError: somebody else serves there, it is no socket, or it cannot be made.
    """
    listening = await _listen(path)
    inode = _inode(path)
    limit = trio.CapacityLimiter(MAX_CLIENTS)

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            async with stream:
                if limit.available_tokens < 1:
                    await _send(stream, _error("too-many-clients", f"{MAX_CLIENTS} at a time"))
                    return
                async with limit:
                    await _converse(stream, answer)

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, serve, [trio.SocketListener(listening)])
            task_status.started()
    finally:
        if _inode(path) == inode:
            path.unlink()  # noqa: ASYNC240 - a socket file, gone at once


async def ask(path: Path, command: Mapping[str, Any]) -> dict[str, Any]:
    """
    Send one command to whoever serves at `path`.

    Raises: ControlError: nobody does, or what comes is no answer. RefusedError: it is an error.
        PermissionError: the socket is another user's.
    """
    try:
        with trio.fail_after(_ANSWER_S):
            async with await _connect(path) as stream:
                await _send(stream, command)
                line = await _Lines(stream).next()
                if line is not None:
                    return _checked(json.loads(line))
    except PermissionError as error:
        raise PermissionError(error.errno, "it is another user's", str(path)) from None
    except FileNotFoundError:
        raise ControlError(f"nothing runs here: {path} does not exist") from None
    except ConnectionRefusedError:
        raise ControlError(f"nothing runs here: {path} is left from one that was killed") from None
    except (
        OSError,
        RuntimeError,
        ValueError,
        trio.TooSlowError,
        trio.BrokenResourceError,
    ) as error:
        raise ControlError(f"{path}: {error or 'no answer'}") from None
    raise ControlError(f"{path}: no answer")


def somebody_serves(path: Path) -> bool:
    """Whether the socket is served, and not only left from somebody who was killed."""
    with _short(path) as name, socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(name) == 0


def _checked(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ControlError("what came is no answer")
    if "error" in answer:
        raise RefusedError(str(answer["error"]["code"]), str(answer["error"]["detail"]))
    return answer


async def _listen(path: Path) -> trio.socket.SocketType:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        await _remove_stale(path)
        listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Nobody else may connect at any moment: a chmod after bind would come too late.
        mask = os.umask(_OWNER_ONLY)
        try:
            with _short(path) as name:
                await listening.bind(name)
        except OSError:
            listening.close()
            raise
        finally:
            os.umask(mask)
        listening.listen(MAX_CLIENTS)
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}") from error
    return listening


async def _connect(path: Path) -> trio.SocketStream:
    with _short(path) as name:
        return await trio.open_unix_socket(name)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of the same socket that fits: its folder may stand deep in a tree."""
    if len(os.fsencode(path)) <= _MAX_PATH_OCTETS:
        yield os.fspath(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _inode(path: Path) -> int | None:
    """Which file stands there; None: none does."""
    try:
        return path.lstat().st_ino
    except OSError:
        return None


async def _remove_stale(path: Path) -> None:
    if _inode(path) is None:
        return
    if not path.is_socket():  # noqa: ASYNC240
        raise ControlError(f"{path} is there, and no socket")
    try:
        async with await _connect(path):
            pass
    except OSError:
        path.unlink()  # noqa: ASYNC240 - a socket file, gone at once
    else:
        raise ControlError(f"{path}: somebody else serves there")


async def _converse(stream: trio.SocketStream, answer: Answer) -> None:
    lines = _Lines(stream)
    while True:
        with trio.move_on_after(_IDLE_S) as patience:
            try:
                line = await lines.next()
            except FaultError as error:
                await _send(stream, _error(error.code, error.detail))
                return
        if patience.cancelled_caught or line is None:
            return
        await _send(stream, await _answered(line, answer))


async def _answered(line: bytes, answer: Answer) -> Mapping[str, Any]:
    try:
        command = json.loads(line)
    except (ValueError, RecursionError):
        return _error("no-json", "one object a line")
    if not isinstance(command, dict):
        return _error("no-object", "one object a line")
    try:
        return await answer(command)
    except FaultError as error:
        return _error(error.code, error.detail)


def _error(code: str, detail: str) -> dict[str, Any]:
    return {"error": {"code": code, "detail": detail}}


async def _send(stream: trio.SocketStream, message: Mapping[str, Any]) -> None:
    await stream.send_all(json.dumps(message, separators=(",", ":")).encode() + b"\n")


class _Lines:
    """Whole lines of a stream without their ends, empty ones left out."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def next(self) -> bytes | None:
        """
        The next line; None: there is none any more.

        Raises: FaultError: "too-long".
        """
        searched = 0
        while True:
            end = self._received.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                searched = 0
                if line.strip():
                    return line
                continue
            searched = len(self._received)
            if searched > MAX_LINE_OCTETS:
                raise FaultError("too-long", f"a line of more than {MAX_LINE_OCTETS} octets")
            data = await self._stream.receive_some(65_536)
            if not data:
                return None
            self._received += data
