"""
Runs the application on uvloop until it is told to stop, on loopback only.

Nobody can log in yet, so whoever reaches the port reads everything: binding beyond this machine
is refused here, in one place (issue 7 lifts it).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from collections.abc import Callable
from typing import Final

import structlog
import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hes.domain.errors import PermanentError

_log = structlog.get_logger(__name__)


# How long a body that nobody asked for is still read, so that the answer gets through.
_LINGER_S: Final = 1.0


class _NotHttp(logging.Filter):
    """Of what is no HTTP, one line without the trace that aiohttp would write."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        _log.info("http_request_malformed", cause=type(error).__name__)
        return False


_server_log = logging.getLogger("hes.api.http")
_server_log.addFilter(_NotHttp())


class BindRefusedError(PermanentError):
    """The API may not, or cannot, listen on this address."""


def require_loopback(host: str) -> None:
    """
    Let only addresses of this machine pass.

    Raises: BindRefusedError: `host` is not a loopback address or `localhost`.
    """
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise BindRefusedError(
            f"the API does not listen on {host!r}: nobody can log in yet, so it is open to this "
            "machine only; use 127.0.0.1, ::1 or localhost"
        )


async def run_until(
    app: web.Application,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[str], None] | None = None,
    shutdown_s: float = 10.0,
) -> None:
    """
    Serve `app` until `stop` is set, then let running requests finish within `shutdown_s`.

    Args: on_ready: is given the address, with the port that port 0 became.
    Raises: BindRefusedError: beyond loopback, or the port is taken.
    """
    require_loopback(host)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_server_log,
        shutdown_timeout=shutdown_s,
        lingering_time=_LINGER_S,
    )
    await runner.setup()
    try:
        bare = host.strip("[]")
        try:
            await web.TCPSite(runner, bare, port).start()
        except OSError as exc:
            raise BindRefusedError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
        bound = runner.addresses[0][1]
        url = f"http://{f'[{bare}]' if ':' in bare else bare}:{bound}"
        _log.info("api_started", url=url)
        if on_ready is not None:
            on_ready(url)
        await stop.wait()
    finally:
        await runner.cleanup()
        _log.info("api_stopped")


def serve(
    app: web.Application,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    on_ready: Callable[[str], None] | None = None,
    shutdown_s: float = 10.0,
) -> None:
    """
    Serve `app` on uvloop until SIGTERM or SIGINT.

    Raises: BindRefusedError: beyond loopback, or the port is taken.
    """
    require_loopback(host)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run_until(app, host, port, stop, on_ready=on_ready, shutdown_s=shutdown_s)

    uvloop.run(main())
