"""
Captured pushes, sent again as their meters would: one connection for each.

Owns the choice of records (what stood on a stream: HDLC, wrapper or M-Bus frames, pushed by a
meter) and the sending. What the other side makes of them is not its business; a push has no answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs
import trio

_STREAMS: Final = frozenset({"hdlc", "wrapper", "mbus-dlms", "mbus"})
# Kinds of the captures' own that a meter sends unasked; a record without a kind is one, too.
_PUSHES: Final = frozenset({"push", "segmented", "stream", None})
_CONNECT_S: Final = 5.0
_LINGER_S: Final = 5.0
_MAX_LINE: Final = 1_000_000


@attrs.frozen
class Capture:
    """Octets to send, and by what name people know them."""

    id: str
    octets: bytes


@attrs.define
class Replay:
    """What happened: captures sent, records left out with the reason, sends that failed."""

    sent: int = 0
    skipped: Counter[str] = attrs.field(factory=Counter)
    failed: list[str] = attrs.field(factory=list)


def captures(lines: Iterable[bytes], replay: Replay) -> Iterator[Capture]:
    """
    The records that a meter would push over TCP.

    Args: lines: JSON objects with `id`, `hex`, `transport` and perhaps `kind`. replay: is told
        what was left out and why.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line[:_MAX_LINE])
            transport, kind = record["transport"], record.get("kind")
            octets = bytes.fromhex(record["hex"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            replay.skipped["not a record"] += 1
            continue
        if transport not in _STREAMS:
            replay.skipped[f"transport {transport}"] += 1
        elif kind not in _PUSHES:
            replay.skipped[f"kind {kind}"] += 1
        else:
            yield Capture(str(record.get("id", number)), octets)


async def send_all(found: Iterable[Capture], host: str, port: int, replay: Replay) -> None:
    """
    Send each capture over a connection of its own, in order.

    A connection that the other side closes early is no failure: that is how it refuses.
    Raises: OSError: nobody listens at all (the first connection fails).
    """
    for capture in found:
        try:
            with trio.fail_after(_CONNECT_S):
                stream = await trio.open_tcp_stream(host, port)
        except (OSError, trio.TooSlowError) as error:
            if replay.sent == 0:
                raise OSError(f"{host}:{port} does not answer: {error}") from None
            replay.failed.append(capture.id)
            continue
        async with stream:
            try:
                await stream.send_all(capture.octets)
                await stream.send_eof()
                # Closing at once could reset the connection before the octets are read.
                with trio.move_on_after(_LINGER_S):
                    while await stream.receive_some(4096):
                        pass
            except trio.BrokenResourceError:
                pass
        replay.sent += 1
