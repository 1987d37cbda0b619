"""Worker threads: bounded, and refusing rather than queueing for ever."""

import asyncio
import threading

import pytest

from hes.api.problems import ProblemError
from hes.api.workers import Workers


def test_calls_run_beside_the_loop_and_return_or_raise() -> None:
    async def main() -> None:
        workers = Workers(threads=2)
        try:
            assert await workers.run(lambda: threading.current_thread().name) != "MainThread"
            with pytest.raises(ZeroDivisionError):
                await workers.run(lambda: 1 // 0)
        finally:
            workers.close()

    asyncio.run(main())


def test_what_does_not_fit_is_refused_at_once_and_room_comes_back() -> None:
    async def main() -> None:
        workers = Workers(threads=1, waiting=1)
        gate = threading.Event()
        try:
            held = [asyncio.ensure_future(workers.run(gate.wait)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(ProblemError) as caught:
                await workers.run(gate.wait)
            assert caught.value.kind.code == "overloaded"
            gate.set()
            assert await asyncio.gather(*held) == [True, True]
            assert await workers.run(gate.is_set)
        finally:
            gate.set()
            workers.close()

    asyncio.run(main())


def test_a_caller_that_goes_away_leaves_its_place_only_when_the_work_is_done() -> None:
    async def main() -> None:
        workers = Workers(threads=1, waiting=0)
        gate = threading.Event()
        try:
            task = asyncio.ensure_future(workers.run(gate.wait))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(ProblemError):
                await workers.run(gate.is_set)
        finally:
            gate.set()
            workers.close()

    asyncio.run(main())
