"""
The wire between a collector's process and a meter: in memory, with latency, and breakable.

A `Line` has two ends. What an end sends is with the other one some time later, in order. A line may
be cut after so many octets (both ends notice), fall silent (nobody notices: half-open), cut what
it carries into single octets, or lump it together. Whoever is killed or stopped is `process`'s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import attrs
import trio


@attrs.define
class Weather:
    """
    What befalls a line.

    `cut_after` and `silent_after` count the octets of both directions; `delay_s` is drawn for each
    chunk; `slice_octets` is what arrives at a time, None: as sent.
    """

    delay_s: Callable[[], float] = lambda: 0.0
    cut_after: float = math.inf
    silent_after: float = math.inf
    slice_octets: int | None = None


class Line:
    """One connection; `near` and `far` are its ends."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.carried = 0
        self.broken = False
        self.near, self.far = End(self), End(self)
        self.near.other, self.far.other = self.far, self.near

    def cut(self) -> None:
        """Both ends find the connection reset."""
        self.broken = True
        self.near.wake()
        self.far.wake()

    def carry(self, to: End, data: bytes) -> None:
        """
        Bring octets to an end, as far as the weather lets them.

        Raises: trio.BrokenResourceError: the connection is reset.
        """
        weather = self.weather
        whole = len(data)
        data = data[: max(0, int(min(weather.cut_after, 1 << 40)) - self.carried)]
        heard = data[: max(0, int(min(weather.silent_after, 1 << 40)) - self.carried)]
        self.carried += whole
        if heard:
            to.arrive(heard, trio.current_time() + weather.delay_s())
        if len(data) < whole:
            self.cut()
            raise trio.BrokenResourceError("reset")

    @property
    def silent(self) -> bool:
        """Whether it is half-open: not even an end is noticed."""
        return self.carried >= self.weather.silent_after


class End(trio.abc.Stream):
    """One end of a line: a stream as good as a socket's."""

    other: End

    def __init__(self, line: Line) -> None:
        self._line = line
        self._arrived: deque[tuple[float, bytes]] = deque()
        self._news = trio.Event()
        self._ended = False
        self.closed = False

    def arrive(self, data: bytes, at_s: float) -> None:
        """Octets that can be read from `at_s` on, never before those that came earlier."""
        if self._arrived:
            at_s = max(at_s, self._arrived[-1][0])
        self._arrived.append((at_s, data))
        self.wake()

    def wake(self) -> None:
        """There is something new to look at."""
        self._news.set()
        self._news = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send; there is always room.

        Raises: trio.BrokenResourceError, trio.ClosedResourceError.
        """
        await trio.lowlevel.checkpoint()
        if self.closed:
            raise trio.ClosedResourceError
        if self._line.broken or (self.other.closed and not self._line.silent):
            raise trio.BrokenResourceError("reset")
        self._line.carry(self.other, bytes(data))

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """
        What has arrived; b"" once the other end is closed and all is read.

        Raises: trio.BrokenResourceError, trio.ClosedResourceError.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            if self._arrived:
                at_s, data = self._arrived[0]
                if at_s <= trio.current_time():
                    return self._taken(data, max_bytes)
                await trio.sleep_until(at_s)
            elif self._line.broken:
                raise trio.BrokenResourceError("reset")
            elif self._ended:
                return b""
            else:
                await self._news.wait()

    def _taken(self, data: bytes, max_bytes: int | None) -> bytes:
        most = self._line.weather.slice_octets or max_bytes or len(data)
        at_s, _ = self._arrived.popleft()
        if len(data) > most:
            self._arrived.appendleft((at_s, data[most:]))
        return data[:most]

    async def wait_send_all_might_not_block(self) -> None:
        """At once."""
        await trio.lowlevel.checkpoint()

    def hang_up(self) -> None:
        """Close this end; the other one notices unless the line is silent."""
        if not self.closed:
            self.closed = True
            self.wake()
            if not self._line.silent:
                self.other._ended = True
                self.other.wake()

    async def aclose(self) -> None:
        """As `hang_up`."""
        self.hang_up()
        await trio.lowlevel.checkpoint()
