"""
What sessions have to say to storage when they are over, many at a time.

Rule 1: a session waits for nobody: what it says is settled soon, within a fraction of a second.
Rule 2: while storage is away all waits; nobody is asked meanwhile, so no more comes than sessions
ran. Rule 3: what cannot be kept harms nothing else: it is tried by itself, and its lease ends by
itself. Rule 4: at the end the rest is settled once more, within `shutdown_s`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
import trio

from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import Finished, Lease
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.outcomes import log_crash

_GROUPED_S: Final = 0.2
_GROUPED: Final = 50
Hop = Callable[..., Awaitable[Any]]
_log = structlog.get_logger(__name__)


@asynccontextmanager
async def settling(context: Context) -> AsyncIterator[Settler]:
    """A settler at work until the block ends, however it ends, and then until all is settled."""
    settler = Settler(context)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(settler.run)
            yield settler
            nursery.cancel_scope.cancel()
    finally:
        await settler.finish()


class Settler:
    """Of one collector: outbound and dialled sessions share it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._finished: list[Finished] = []
        self._released: list[tuple[Lease, datetime | None]] = []
        self._suspects = 0
        self._some = trio.Event()
        self._many = trio.Event()

    def settle(self, finished: Finished) -> None:
        """Keep what a session says, soon."""
        self._finished.append(finished)
        self._tell()

    def release(self, lease: Lease, until: datetime | None = None) -> None:
        """
        End a lease under which nothing was asked, or not to an end: all is due as it was.

        Args: until: but the meter rests until then.
        """
        self._released.append((lease, until))
        self._tell()

    async def run(self) -> None:
        """
        Settle until cancelled.

        Raises: nothing but trio.Cancelled.
        """
        while True:
            await self._some.wait()
            with trio.move_on_after(_GROUPED_S):
                await self._many.wait()
            await self._context.gate.wait_open()
            await self._settle(self._context.outbound_threads.run)

    async def finish(self) -> None:
        """Settle what is left, once, as far as storage takes it in time."""
        with trio.move_on_after(self._context.settings.shutdown_s, shield=True):
            await self._settle(self._context.outbound_threads.run_or_leave)

    def _tell(self) -> None:
        self._some.set()
        if len(self._finished) + len(self._released) >= _GROUPED:
            self._many.set()

    async def _settle(self, hop: Hop) -> None:
        """All that there is; what storage does not take stays."""
        self._some, self._many = trio.Event(), trio.Event()
        try:
            while self._finished:
                await self._finish_some(hop)
            while self._released:
                await self._release_some(hop)
        except StorageUnavailableError as error:
            self._context.gate.report(error)
        if self._finished or self._released:
            self._tell()

    async def _finish_some(self, hop: Hop) -> None:
        """
        One group; one session by itself where a group was refused for what some of it says.

        Raises: StorageUnavailableError: all of it stays.
        """
        group = self._finished[: 1 if self._suspects else _GROUPED]
        try:
            lost = await hop(self._context.ports.leases.finish, group)
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - Rule 3
            log_crash(error)
            if len(group) > 1:
                self._suspects = len(group)
                return
        else:
            for token in lost:
                _log.warning("lease_lost", token=token)
        del self._finished[: len(group)]
        self._suspects = max(0, self._suspects - 1)

    async def _release_some(self, hop: Hop) -> None:
        """
        One group of those that rest equally long.

        Raises: StorageUnavailableError: all of it stays.
        """
        until = self._released[0][1]
        group = [lease for lease, other in self._released if other == until][:_GROUPED]
        try:
            await hop(partial(self._context.ports.leases.release, group, until=until))
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - Rule 3
            log_crash(error)
        ended = {lease.token for lease in group}
        self._released = [one for one in self._released if one[0].token not in ended]
