"""Makes the aiohttp application from the declared operations, the edge and the console."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from hes.api import boards, fleet, groups, meter_changes, meters, openapi, plans, readings
from hes.api.bodies import serve_uploads
from hes.api.edge import add_headers, edge
from hes.api.problems import PROBLEMS, ProblemError, ProblemKind
from hes.api.routes import SERVICES, WORKERS, Route, bind
from hes.api.services import Services
from hes.api.workers import Workers
from hes.console import STATIC

ROUTES: Final[tuple[Route, ...]] = (
    *meters.routes.declared,
    *meter_changes.routes.declared,
    *groups.routes.declared,
    *readings.routes.declared,
    *plans.routes.declared,
    *boards.routes.declared,
    *fleet.routes.declared,
)

MAX_BODY_OCTETS: Final = 64 * 1024


def create_app(
    services: Services, *, console: Path | None = STATIC, threads: int = 8
) -> web.Application:
    """
    The application, ready to be run by `serve`.

    Args: console: where the built console lies, None to serve the API alone. threads: at most so
        many capability calls run at a time; the database pool should have as many connections.
    """
    app = web.Application(middlewares=[edge(console)], client_max_size=MAX_BODY_OCTETS)
    app[SERVICES] = services
    app[WORKERS] = Workers(threads=threads)
    serve_uploads(app)
    bind(app, ROUTES)
    app.router.add_get("/openapi.json", _openapi())
    app.router.add_get("/problems/{code}", _explain_problem)
    app.on_response_prepare.append(add_headers)
    app.on_cleanup.append(_close_workers)
    return app


async def _close_workers(app: web.Application) -> None:
    app[WORKERS].close()


@cache
def _document() -> str:
    return openapi.text(ROUTES)


def _openapi() -> Callable[[web.Request], Awaitable[web.Response]]:
    document = _document()

    async def serve(_: web.Request) -> web.Response:
        response = web.Response(text=document, content_type="application/json")
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"
        return response

    return serve


async def _explain_problem(request: web.Request) -> web.Response:
    """What the `type` of a problem leads to."""
    kind = PROBLEMS.get(request.match_info["code"])
    if kind is None:
        raise ProblemError("not_found")
    return web.Response(text=_explanation(kind), content_type="text/html")


def _explanation(kind: ProblemKind) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{kind.code}</title>'
        f"<h1>{html.escape(kind.title)}</h1><p><code>{kind.code}</code>, status {kind.status}</p>"
        f"<p>{html.escape(kind.advice)}</p></html>\n"
    )
