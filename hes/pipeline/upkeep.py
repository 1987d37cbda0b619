"""
Sees, for as long as a process runs, that readings of the weeks to come have their chunks.

`hes migrate` makes some ahead too; but a collector may run for months without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import structlog

from hes.domain.errors import StorageUnavailableError
from hes.pipeline.writer import utc_now
from hes.storage.database import Database
from hes.storage.features import ensure_ahead

_log = structlog.get_logger(__name__)

_EVERY_S: Final = 6 * 3600.0
_AGAIN_S: Final = 60.0


class ChunksAhead:
    """
    Makes chunks ahead, in a thread of its own while the context lasts: at once, then now and then.

    Args:
        clock: our clock, aware UTC.
        every_s, again_s: how long to wait after it is done, and after it could not be done.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = utc_now,
        every_s: float = _EVERY_S,
        again_s: float = _AGAIN_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._every_s = every_s
        self._again_s = again_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hes-chunks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            wait_s = self._again_s
            try:
                ensure_ahead(self._database, self._clock())
                wait_s = self._every_s
            except StorageUnavailableError as exc:
                _log.warning("chunks_ahead_postponed", reason=str(exc))
            except Exception:  # noqa: BLE001 - rows make their own chunks meanwhile
                _log.exception("chunks_ahead_failed")
