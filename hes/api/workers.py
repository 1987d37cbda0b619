"""
Bounded worker threads in which asyncio calls the synchronous capabilities.

One pool per process, as wide as the API may hold database connections. What does not fit into
the queue is refused at once: a late answer costs more than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hes.api.problems import ProblemError

T = TypeVar("T")


class Workers:
    """A thread pool with a bounded queue."""

    def __init__(self, *, threads: int = 8, waiting: int = 128) -> None:
        self._limit = threads + waiting
        self._taken = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="api")

    async def run(self, function: Callable[[], T]) -> T:
        """
        Run `function` in a worker thread and wait for it.

        Raises: ProblemError: the queue is full.
        """
        if self._taken >= self._limit:
            raise ProblemError("overloaded")
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, function)
        future.add_done_callback(self._release)
        return await asyncio.shield(future)

    def _release(self, future: asyncio.Future[T]) -> None:
        self._taken -= 1
        if not future.cancelled():
            future.exception()  # looked at, so that an abandoned request leaves no warning

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
