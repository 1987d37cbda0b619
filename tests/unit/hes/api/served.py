"""Runs the real application on a loopback port in a thread, and asks it over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from aiohttp import web

from hes.api.server import run_until

_START_S = 10


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@attrs.frozen
class Api:
    """A running API at `url`."""

    url: str

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        *,
        body: object = None,
    ) -> Answer:
        """One request on a connection of its own; `body` goes as JSON."""
        where = urlsplit(self.url)
        assert where.hostname is not None
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        with contextlib.closing(connection):
            fields = dict(headers or {})
            if body is not None:
                fields.setdefault("content-type", "application/json")
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers=fields)
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())


@contextlib.contextmanager
def served(app: web.Application) -> Iterator[Api]:
    """Serve `app` until the block ends."""
    ready = threading.Event()
    found: list[str] = []
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def announce(url: str) -> None:
        found.append(url)
        ready.set()

    def run() -> None:
        try:
            loop.run_until_complete(run_until(app, "127.0.0.1", 0, stop, on_ready=announce))
        except BaseException as exc:
            failed.append(exc)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="api-under-test")
    thread.start()
    try:
        assert ready.wait(_START_S), "the API did not start"
        if failed:
            raise failed[0]
        yield Api(found[0])
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join()
