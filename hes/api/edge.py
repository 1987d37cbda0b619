"""
What happens to every request and answer before and after its handler.

Request id, host check against DNS rebinding, origin check of what changes something, security
headers, and the turning of every exception into a problem. No exception text and no trace leaves
the process.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from hes.api.console import console_response, is_reserved
from hes.api.problems import (
    CONTENT_TYPE,
    ProblemError,
    problem_body,
    problem_of_error,
    problem_of_status,
)
from hes.domain.errors import HesError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)

REQUEST_ID: Final = web.RequestKey("request_id", str)

_HEADER: Final = "X-Request-Id"
_SAFE_METHODS: Final = {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS}
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:\d{1,5})?")

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; "
        "connect-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "HES",
}


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine by a loopback address or `localhost`."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["name"].strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer: request id and security headers (an `on_response_prepare` signal)."""
    response.headers[_HEADER] = request.get(REQUEST_ID) or uuid.uuid4().hex
    for name, value in SECURITY_HEADERS.items():
        response.headers[name] = value


def edge(console: Path | None) -> Middleware:
    """The one middleware. `console`: where the built console lies; None: it is not served."""

    @web.middleware
    async def at_the_edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(_HEADER, "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        request[REQUEST_ID] = request_id
        if not is_loopback_host(request.headers.get(hdrs.HOST, "")):
            return _problem(request, ProblemError("host_not_allowed"))
        if request.method not in _SAFE_METHODS and not _is_own_page(request):
            return _problem(request, ProblemError("origin_not_allowed"))
        try:
            return await handler(request)
        except web.HTTPException as exc:
            if exc.status < 400:
                raise
            if exc.status == 404 and console is not None:
                page = await _console_page(request, console)
                if page is not None:
                    return page
            response = _problem(request, problem_of_status(exc.status))
            if hdrs.ALLOW in exc.headers:
                response.headers[hdrs.ALLOW] = exc.headers[hdrs.ALLOW]
            return response
        except ProblemError as exc:
            return _problem(request, exc)
        except HesError as exc:
            problem = problem_of_error(exc)
            if problem is None:
                return _fault(request)
            if problem.kind.status >= 500:
                code = problem.kind.code
                _log.warning(
                    "api_request_refused", request_id=request_id, code=code, cause=str(exc)
                )
            return _problem(request, problem)
        except Exception:  # noqa: BLE001 - the one place where a handler's fault ends
            return _fault(request)

    return at_the_edge


def _is_own_page(request: web.Request) -> bool:
    """
    Whether a request comes from no page, or from one of ours.

    A foreign page may send what it likes here, though it cannot read the answer; browsers then say
    whose page it is.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        return False
    origin = request.headers.get(hdrs.ORIGIN)
    return origin is None or origin.partition("://")[2] == request.headers.get(hdrs.HOST)


async def _console_page(request: web.Request, console: Path) -> web.StreamResponse | None:
    if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD} or is_reserved(request.path):
        return None
    return await console_response(console, request.path)


def _fault(request: web.Request) -> web.Response:
    """A fault of ours: everything to the log, nothing but the request id to the caller."""
    resource = request.match_info.route.resource
    _log.exception(
        "api_request_failed",
        request_id=request[REQUEST_ID],
        method=request.method,
        route=resource.canonical if resource is not None else None,
    )
    return _problem(request, ProblemError("internal_error"))


def _problem(request: web.Request, error: ProblemError) -> web.Response:
    response = web.Response(
        status=error.kind.status,
        body=problem_body(error, instance=request.path, request_id=request[REQUEST_ID]),
        content_type=CONTENT_TYPE,
    )
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    if error.kind.status == 408:
        response.force_close()  # what is left of the request will never come
    if error.kind.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.kind.retry_after_s)
    return response
