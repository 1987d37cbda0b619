"""
What a fault proxy does to what goes through it: settings of one direction, changed while it runs.

Names as in toxiproxy where it has one. Everything is off unless set; what is random follows from
the proxy's seed and the number of the connection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import attrs


class ProxyError(Exception):
    """No such setting, value, address or command; the text says which."""


class Direction(StrEnum):
    """Which way octets go."""

    UP = "up"
    """From the client (who connects to the proxy) to the server."""
    DOWN = "down"
    """Back."""


def _number(low: float, high: float, *, whole: bool = False) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        kinds = (int,) if whole else (int, float)
        if value is None and attribute.default is None:
            return
        if type(value) not in kinds or not low <= value <= high or not math.isfinite(value):
            kind = "a whole number" if whole else "a number"
            raise ProxyError(f"{attribute.name}: {kind} from {low} to {high}")

    return check


_OCTETS: Final = 1 << 40


@attrs.frozen(kw_only=True)
class Toxics:
    """
    What happens in one direction of every connection, or to every datagram.

    Args:
        latency_s: everything arrives so much later.
        jitter_s: and up to so much more, at random; over TCP nothing overtakes.
        bandwidth: octets per second, of each connection; 0: as fast as it goes.
        slice: octets in one piece at most; 0: as they come.
        slice_pause_s: between two pieces.
        reset_after: octets after which the connection is reset on both sides (RST).
        corrupt: probability that one bit of a piece, or datagram, is another.
        duplicate: probability that a piece, or datagram, goes twice.
        reorder: probability that a piece, or datagram, goes after the next one.
        drop: probability that a datagram, or piece, is lost.
        blackhole_after: octets after which nothing arrives any more, and nobody is told: the
            connection is half-open.
        slow_close_s: how long the end of this direction is kept from the other side.
    Raises: ProxyError: out of range.
    """

    latency_s: float = attrs.field(default=0.0, validator=_number(0, 3600))
    jitter_s: float = attrs.field(default=0.0, validator=_number(0, 3600))
    bandwidth: int = attrs.field(default=0, validator=_number(0, _OCTETS, whole=True))
    slice: int = attrs.field(default=0, validator=_number(0, 65_536, whole=True))
    slice_pause_s: float = attrs.field(default=0.0, validator=_number(0, 3600))
    reset_after: int | None = attrs.field(default=None, validator=_number(0, _OCTETS, whole=True))
    corrupt: float = attrs.field(default=0.0, validator=_number(0, 1))
    duplicate: float = attrs.field(default=0.0, validator=_number(0, 1))
    reorder: float = attrs.field(default=0.0, validator=_number(0, 1))
    drop: float = attrs.field(default=0.0, validator=_number(0, 1))
    blackhole_after: int | None = attrs.field(
        default=None, validator=_number(0, _OCTETS, whole=True)
    )
    slow_close_s: float = attrs.field(default=0.0, validator=_number(0, 3600))

    def changed(self, changes: Mapping[str, Any]) -> Toxics:
        """
        With other values for some settings.

        Raises: ProxyError: no such setting, or out of range.
        """
        known = attrs.fields_dict(Toxics)
        for name in changes:
            if name not in known:
                raise ProxyError(f"no setting {str(name)[:40]!r}")
        return attrs.evolve(self, **changes)


CLEAN: Final = Toxics()
