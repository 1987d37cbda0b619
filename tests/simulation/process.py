"""
One collector's process as the operating system sees it: it is killed, stopped, goes on; its clock.

Everything that a collector does outside of its own memory passes here: octets that it sends, calls
into the database. Whoever is dead does nothing any more, whatever its tasks still try while trio
takes them down. Whoever is stopped (SIGSTOP) does it late: what had been decided before goes out
when it goes on, as in a process that was stopped between a look at the lease and the system call.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import trio

from hes.domain.errors import StorageUnavailableError
from tests.simulation.counters_seen import counters_in
from tests.simulation.history import History
from tests.simulation.wire import End, Line
from tests.unit.hes_collectors.support import wall_clock

P = ParamSpec("P")
T = TypeVar("T")


class Process:
    """
    A collector's process, from its start to its end.

    `tokens` are the leases that it was given last, by meter; the database's model fills them in.
    """

    def __init__(self, name: str, history: History, skew_s: float) -> None:
        self.name = name
        self.history = history
        self.skew_s = skew_s
        self.alive = True
        self.scope = trio.CancelScope()
        self.tokens: dict[UUID, int] = {}
        # Takes connections of meters that dial in; None: nobody listens.
        self.listener: Callable[[trio.abc.Stream], None] | None = None
        self._lines: list[Line] = []
        self._goes_on: trio.Event | None = None

    def now(self) -> datetime:
        """The machine's clock, which may be wrong."""
        return wall_clock() + timedelta(seconds=self.skew_s)

    # --- what is done to it ---------------------------------------------------------------------

    def kill(self, *, power: bool) -> None:
        """
        End it without a word.

        Args: power: the machine is gone as well: nobody at the other ends notices.
        """
        self.history.note(self.name, "killed", power=power)
        self.alive = False
        self.listener = None
        for line in self._lines:
            if power:
                line.weather.silent_after = 0
            else:
                line.cut()
        self.go_on()
        self.scope.cancel()

    def stop(self) -> None:
        """SIGSTOP."""
        if self._goes_on is None:
            self.history.note(self.name, "stopped")
            self._goes_on = trio.Event()

    def go_on(self) -> None:
        """SIGCONT."""
        if self._goes_on is not None:
            self.history.note(self.name, "goes-on")
            self._goes_on.set()
            self._goes_on = None

    # --- what it does ---------------------------------------------------------------------------

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return self._goes_on is not None

    async def turn(self) -> bool:
        """Wait until it may do something; returns whether it had to wait."""
        waited = False
        while self._goes_on is not None:
            waited = True
            with trio.CancelScope(shield=True):
                await self._goes_on.wait()
        return waited

    def stream(self, line: Line, meter_id: UUID, number: int, keys: Any) -> ProcessStream:
        """Its end of a connection to a meter."""
        self._lines = [known for known in self._lines if not known.near.closed]
        self._lines.append(line)
        return ProcessStream(self, line.near, meter_id, number, keys)


class ProcessStream(trio.abc.Stream):
    """
    A process's end of a line; every chunk that leaves is noted, with what allows it to.

    Args: number: of the connection. keys: of the meter, to see the counters in what is sent.
    """

    def __init__(self, process: Process, end: End, meter_id: UUID, number: int, keys: Any) -> None:
        self._process = process
        self._end = end
        self._meter_id = meter_id
        self._number = number
        self._keys = keys

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As of `End`."""
        await trio.lowlevel.checkpoint()
        process = self._process
        held = await process.turn()
        if not process.alive:
            raise trio.BrokenResourceError("this process is dead")
        process.history.note(
            process.name,
            "sent",
            meter=self._meter_id.int,
            connection=self._number,
            token=process.tokens.get(self._meter_id),
            held=held,
            counters=counters_in(bytes(data), self._keys),
        )
        await self._end.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As of `End`."""
        data = await self._end.receive_some(max_bytes)
        await self._process.turn()
        return data

    async def wait_send_all_might_not_block(self) -> None:
        """At once."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """As of `End`."""
        if not self._end.closed and self._process.alive:
            self._process.history.note(
                self._process.name, "closed", meter=self._meter_id.int, connection=self._number
            )
        self._end.hang_up()
        await trio.lowlevel.checkpoint()


class ProcessThreads:
    """
    Calls into the database from a process: as many at once as it has threads, and not at once.

    Args: delay_s: drawn before each call and after it.
    """

    def __init__(self, process: Process, limit: int, delay_s: Callable[[], float]) -> None:
        self._process = process
        self._limiter = trio.CapacityLimiter(limit)
        self._delay_s = delay_s

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `WorkerThreads.run`: cancellation waits."""
        async with self._limiter:
            shielded = partial(self._run, call, *args, **kwargs)
            with trio.CancelScope(shield=True):
                said = await shielded()
        return said

    async def run_or_leave(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `WorkerThreads.run_or_leave`."""
        async with self._limiter:
            return await self._run(call, *args, **kwargs)

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self._process.turn()
        await trio.sleep(self._delay_s())
        await self._process.turn()
        try:
            said = call(*args, **kwargs)
        finally:
            await trio.sleep(self._delay_s())
            await self._process.turn()
        if not self._process.alive:
            raise StorageUnavailableError("this process is dead")
        return said


def skewed(random: Random) -> float:
    """How wrong a machine's clock is, seconds: mostly hardly, sometimes by an hour."""
    return random.choice((0.0, random.uniform(-0.5, 0.5), random.uniform(-20, 20), 3600.0))
