"""
The route registry: one declaration gives the aiohttp route, its checks and its OpenAPI entry.

Rule 1: a handler is a plain synchronous function from `Call` to a schema object. It runs in a
worker thread, may call any capability, and its answer is encoded there too.
Rule 2: query and path are attrs classes; a trailing underscore in a field's name is not part of
the parameter's name (`from_` is `from`). What a class does not name is refused.
Rule 3: an operation that takes a body names its class (`Body`), or the media types of a file; its
handler is given what arrived as a second argument.
Rule 4: an answer that has a `revision` is sent with it as `ETag`. An operation with `if_match`
takes the one that a change is meant for, and must be given it where that is `REQUIRED`.
Rule 5: every problem that a handler raises is declared; the document lists no other.
"""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum
from typing import Any, Final, Generic, TypeVar

import attrs
import msgspec
from aiohttp import hdrs, web
from yarl import URL

from hes.api.bodies import read_json, receive
from hes.api.edge import REQUEST_ID
from hes.api.problems import PROBLEMS, InvalidField, ProblemError
from hes.api.services import Services
from hes.api.workers import Workers

# Nobody can log in yet; until then it was somebody at this machine.
CALLER = "api"

SERVICES = web.AppKey("services", Services)
WORKERS = web.AppKey("workers", Workers)

Q = TypeVar("Q")
P = TypeVar("P")
H = TypeVar("H", bound=Callable[..., object])

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?"
)
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_PATH_NAME = re.compile(r"\{(\w+)\}")
_STRONG_TAG: Final = re.compile(r'"([1-9][0-9]{0,8})"')


class IfMatch(Enum):
    """Whether an operation looks at `If-Match` (RFC 9110, 13.1.1)."""

    IGNORED = "ignored"
    TAKEN = "taken"
    REQUIRED = "required"


@attrs.frozen
class Nothing:
    """No parameters."""


@attrs.frozen
class Call(Generic[Q, P]):
    """What a handler is given; `revision`: that of `If-Match`, None: whichever it has."""

    services: Services
    query: Q
    path: P
    request_id: str
    revision: int | None = None


@attrs.frozen
class Parameter:
    """A parameter: the field of its class that takes it, its type, whether it must be given."""

    field: str
    type: Any
    required: bool


def _parameters(inputs: Inputs[Any]) -> Mapping[str, Parameter]:
    hints = typing.get_type_hints(inputs.type, include_extras=True)
    return {
        field.name.removesuffix("_"): Parameter(
            field.name, hints[field.name], field.default is attrs.NOTHING
        )
        for field in attrs.fields(inputs.type)
    }


@attrs.frozen
class Inputs(Generic[Q]):
    """The parameters of one kind (query, path) that an operation takes, by name."""

    where: str
    type: type[Q]
    parameters: Mapping[str, Parameter] = attrs.field(
        init=False, default=attrs.Factory(_parameters, takes_self=True)
    )


@attrs.frozen
class Route:
    """One declared operation."""

    method: str
    path: str
    handler: Callable[..., object]
    query: Inputs[Any]
    in_path: Inputs[Any]
    returns: Mapping[int, type]
    problems: tuple[str, ...]
    scope: str | None
    tag: str
    summary: str
    description: str
    example: object
    body: type | None = None
    upload: tuple[str, ...] = ()
    if_match: IfMatch = IfMatch.IGNORED

    @property
    def operation_id(self) -> str:
        """The handler's name in camelCase."""
        head, *rest = self.handler.__name__.split("_")
        return head + "".join(word.title() for word in rest)


class Routes:
    """The operations of one module, in the order of their declaration."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.declared: list[Route] = []

    def route(
        self,
        method: str,
        path: str,
        *,
        returns: Mapping[int, type],
        query: type[Q] = Nothing,  # type: ignore[assignment]
        path_types: type[P] = Nothing,  # type: ignore[assignment]
        problems: Sequence[str] = (),
        scope: str | None = None,
        example: object = None,
        body: type | None = None,
        upload: Sequence[str] = (),
        if_match: IfMatch = IfMatch.IGNORED,
    ) -> Callable[[H], H]:
        """
        Declare an operation; the handler's docstring is its summary and description.

        Args: scope: what a caller will need to be granted, None for what everybody may know.
            body: the class of its JSON body; upload: the media types of the file that it takes.
        Raises: ValueError: the path's names are not the fields of `path_types`, or a problem is
            not in the table.
        """
        in_query, in_path = Inputs("query", query), Inputs("path", path_types)
        if set(_PATH_NAME.findall(path)) != set(in_path.parameters):
            raise ValueError(f"{path} does not name the fields of {path_types.__name__}")
        always = ["parameter_unknown", "internal_error"]
        if in_query.parameters or in_path.parameters:
            always.append("parameter_invalid")
        if body is not None:
            always += ["body_invalid", "media_type_unsupported", "payload_too_large"]
        if upload:
            always += ["media_type_unsupported", "payload_too_large", "upload_too_slow"]
        if if_match is not IfMatch.IGNORED:
            always.append("revision_changed")
        if if_match is IfMatch.REQUIRED:
            always.append("revision_required")
        known = tuple(dict.fromkeys((*problems, *always)))
        if unknown := set(known) - set(PROBLEMS):
            raise ValueError(f"{path} names unknown problems: {unknown}")

        def declare(handler: H) -> H:
            summary, _, description = (handler.__doc__ or "").strip().partition("\n")
            self.declared.append(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    query=in_query,
                    in_path=in_path,
                    returns=returns,
                    problems=known,
                    scope=scope,
                    tag=self._tag,
                    summary=summary.rstrip("."),
                    description=" ".join(description.split()),
                    example=example,
                    body=body,
                    upload=tuple(upload),
                    if_match=if_match,
                )
            )
            return handler

        return declare


def _flatten(kind: Any) -> list[Any]:
    """The types that a union or an annotated type is made of."""
    args = typing.get_args(kind)
    return [kind] if not args else [leaf for arg in args for leaf in _flatten(arg)]


def _convert(text: str, kind: Any) -> object:
    """
    One parameter's value.

    Raises: ValueError: says what was expected.
    """
    if datetime in _flatten(kind):
        match = _RFC3339.fullmatch(text)
        if match is None:
            hint = "; write + as %2B" if " " in text else ""
            raise ValueError(f"expected a time as 2026-01-31T00:00:00Z (RFC 3339){hint}")
        if match["offset"] is None:
            raise ValueError("expected a time with an offset: end it in Z or +01:00")
    elif int in _flatten(kind):
        if _WHOLE.fullmatch(text) is None:
            raise ValueError("expected a whole number")
    elif text == "null" and str not in _flatten(kind):
        raise ValueError("expected a value, not null")
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise ValueError(str(exc).replace("`", "").replace("Expected", "expected")) from exc


def decode(inputs: Inputs[Q], given: Sequence[tuple[str, str]]) -> Q:
    """
    Check parameters and make the object of their class.

    Raises: ProblemError: parameter_unknown or parameter_invalid, naming each that is wrong.
    """
    known, where = inputs.parameters, inputs.where
    unknown = sorted({name for name, _ in given} - set(known))
    if unknown:
        takes = ", ".join(known) or "none"
        raise ProblemError(
            "parameter_unknown",
            f"{', '.join(repr(name[:64]) for name in unknown[:8])} is not a parameter of this "
            f"operation; it takes: {takes}",
            [InvalidField(f"/{where}/{name[:64]}", "unknown") for name in unknown[:8]],
        )
    values: dict[str, object] = {}
    errors: list[InvalidField] = []
    for name, text in given:
        parameter = known[name]
        if parameter.field in values:
            errors.append(InvalidField(f"/{where}/{name}", "given more than once"))
            continue
        try:
            values[parameter.field] = _convert(text, parameter.type)
        except ValueError as exc:
            values[parameter.field] = None
            errors.append(InvalidField(f"/{where}/{name}", str(exc)))
    errors.extend(
        InvalidField(f"/{where}/{name}", "missing")
        for name, parameter in known.items()
        if parameter.required and parameter.field not in values
    )
    if errors:
        first = errors[0]
        raise ProblemError(
            "parameter_invalid", f"{first.pointer.rpartition('/')[2]}: {first.message}", errors
        )
    return inputs.type(**values)


def next_link(url: URL, cursor: str) -> str:
    """The `Link` header that leads to the page after this one."""
    target = URL.build(path=url.path, query={**url.query, "cursor": cursor})
    return f'<{target}>; rel="next"'


def _revision(route: Route, request: web.Request) -> int | None:
    """
    The revision that a change is meant for.

    Raises: ProblemError: revision_required; revision_changed: a tag that we never gave out.
    """
    if route.if_match is IfMatch.IGNORED:
        return None
    given = request.headers.getall(hdrs.IF_MATCH, [])
    if not given and route.if_match is IfMatch.REQUIRED:
        raise ProblemError("revision_required")
    if not given or given == ["*"]:
        return None
    match = _STRONG_TAG.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise ProblemError("revision_changed")
    return int(match[1])


@attrs.frozen
class _Answer:
    body: bytes
    cursor: str | None
    revision: int | None


def _answer(route: Route, call: Call[Any, Any], given: Sequence[object]) -> _Answer:
    body = route.handler(call, *given)
    return _Answer(
        msgspec.json.encode(body),
        getattr(body, "next_cursor", None),
        getattr(body, "revision", None),
    )


def bind(app: web.Application, routes: Sequence[Route]) -> None:
    """Add the declared operations to the application, with HEAD and OPTIONS."""
    methods: dict[str, set[str]] = {}
    for route in routes:
        served = _served(route)
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, served)
        if route.method == hdrs.METH_GET:
            resource.add_route(hdrs.METH_HEAD, served)
            methods.setdefault(route.path, set()).add(hdrs.METH_HEAD)
        methods.setdefault(route.path, set()).update({route.method, hdrs.METH_OPTIONS})
    for path, allowed in methods.items():
        app.router.add_route(hdrs.METH_OPTIONS, path, _options(", ".join(sorted(allowed))))


def _served(route: Route) -> Callable[[web.Request], Any]:
    (status,) = route.returns

    async def serve(request: web.Request) -> web.Response:
        call: Call[Any, Any] = Call(
            services=request.app[SERVICES],
            query=decode(route.query, list(request.query.items())),
            path=decode(route.in_path, list(request.match_info.items())),
            request_id=request[REQUEST_ID],
            revision=_revision(route, request),
        )
        async with _given(route, request) as given:
            answer = await request.app[WORKERS].run(functools.partial(_answer, route, call, given))
        response = web.Response(status=status, body=answer.body, content_type="application/json")
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        if answer.cursor is not None:
            response.headers[hdrs.LINK] = next_link(request.rel_url, answer.cursor)
        if answer.revision is not None:
            response.headers[hdrs.ETAG] = f'"{answer.revision}"'
        return response

    return serve


@asynccontextmanager
async def _given(route: Route, request: web.Request) -> AsyncIterator[Sequence[object]]:
    """What the handler gets beside the call."""
    if route.body is not None:
        yield [await read_json(request, route.body)]
    elif route.upload:
        async with receive(request, dict.fromkeys(route.upload)) as upload:
            yield [upload]
    else:
        yield []


def _options(allow: str) -> Callable[[web.Request], Any]:
    async def options(_: web.Request) -> web.Response:
        return web.Response(status=204, headers={hdrs.ALLOW: allow})

    return options
