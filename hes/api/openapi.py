"""
Writes the OpenAPI 3.1 document from the declared operations.

`python -m hes.api` prints it; `docs/reference/openapi.json` is kept equal by a test, and
the console's client types are generated from that file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs
import msgspec

from hes.api.bodies import JSON
from hes.api.problems import CONTENT_TYPE, PROBLEMS, Problem
from hes.api.routes import IfMatch, Inputs, Route

# Of the document, not of the product: the first number is that of the paths.
_VERSION = "1.0.0"

_TAG_PATTERN = '^("[1-9][0-9]*"|[*])$'
_REF = "#/components/schemas/{name}"
_DESCRIPTION = (
    "Meters, channels and readings of the head-end. Times are RFC 3339 with an offset, UTC out; "
    "ranges are half-open, [from, to); values are exact decimal strings in the stated unit; lists "
    "are read with `limit` and the opaque `cursor` of the page before. Errors are RFC 9457 "
    "problems with a stable `code`; quote `X-Request-Id` when asking for help."
)

Json = dict[str, Any]


def document(routes: Sequence[Route]) -> Json:
    """The OpenAPI document of these operations."""
    inputs = {each.type for route in routes for each in (route.query, route.in_path)}
    bodies = {route.body for route in routes if route.body is not None}
    returned = {kind for route in routes for kind in route.returns.values()}
    types = returned | inputs | bodies | {Problem}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    refs, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    by_type = dict(zip(ordered, refs, strict=True))
    paths: defaultdict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "HES",
            "summary": "Open head-end system for smart metering",
            "description": _DESCRIPTION,
            "version": _VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": dict(paths),
        "components": {
            "schemas": {
                name: _without_titles(schema)
                for name, schema in sorted(components.items())
                if name not in {kind.__name__ for kind in inputs}
            },
            "headers": {
                "X-Request-Id": {
                    "description": "Taken from the request where it sends one, else made.",
                    "schema": {"type": "string"},
                },
                "Link": {
                    "description": 'The next page, `rel="next"`; absent on the last.',
                    "schema": {"type": "string"},
                },
                "ETag": {
                    "description": "The revision of what is told, for `If-Match`.",
                    "schema": {"type": "string"},
                },
                "Retry-After": {
                    "description": "Seconds to wait before the same request is worth sending.",
                    "schema": {"type": "integer"},
                },
            },
        },
    }


def _operation(route: Route, by_type: Mapping[type, Json], components: Mapping[str, Json]) -> Json:
    operation: Json = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.summary,
    }
    if route.description:
        operation["description"] = route.description
    if route.scope is not None:
        operation["x-scope"] = route.scope
    given = [
        *_parameters(route.in_path, components),
        *_parameters(route.query, components),
    ]
    if route.if_match is not IfMatch.IGNORED:
        given.append(
            {
                "name": "If-Match",
                "in": "header",
                "description": "`ETag` of what the change is meant for.",
                "required": route.if_match is IfMatch.REQUIRED,
                "schema": {"type": "string", "pattern": _TAG_PATTERN},
            }
        )
    if given:
        operation["parameters"] = given
    if route.body is not None:
        content = {JSON: {"schema": by_type[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.upload:
        files = {media_type: {"schema": {"type": "string"}} for media_type in route.upload}
        operation["requestBody"] = {"required": True, "content": files}
    operation["responses"] = {
        **{
            str(status): _success(route, status, by_type[kind])
            for status, kind in route.returns.items()
        },
        **_problems(route.problems),
    }
    return operation


def _parameters(inputs: Inputs[Any], components: Mapping[str, Json]) -> Iterable[Json]:
    properties = components.get(inputs.type.__name__, {}).get("properties", {})
    for name, parameter in inputs.parameters.items():
        schema = _not_null(properties[parameter.field])
        described = {"description": schema.pop("description")} if "description" in schema else {}
        yield {
            "name": name,
            "in": inputs.where,
            **described,
            "required": parameter.required,
            "schema": schema,
        }


def _not_null(schema: Json) -> Json:
    """An optional parameter is left out, never null."""
    schema = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    choices = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    return {**schema, **choices[0]} if len(choices) == 1 else schema


def _success(route: Route, status: int, schema: Json) -> Json:
    content: Json = {"schema": schema}
    if route.example is not None:
        content["example"] = msgspec.to_builtins(route.example)
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if "revision" in {field.name for field in attrs.fields(route.returns[status])}:
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    if "cursor" in route.query.parameters:
        headers["Link"] = {"$ref": "#/components/headers/Link"}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {"application/json": content},
    }


def _problems(codes: Sequence[str]) -> Json:
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[PROBLEMS[code].status].append(code)
    responses: Json = {}
    for status, names in sorted(by_status.items()):
        headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        if any(PROBLEMS[name].retry_after_s is not None for name in names):
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        responses[str(status)] = {
            "description": "; ".join(f"`{name}`: {PROBLEMS[name].title}" for name in names),
            "headers": headers,
            "content": {
                CONTENT_TYPE: {
                    "schema": {"$ref": _REF.format(name="Problem")},
                    "examples": {name: {"value": _problem_example(name)} for name in names},
                }
            },
        }
    return responses


def _problem_example(code: str) -> Json:
    kind = PROBLEMS[code]
    return {
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.advice,
        "instance": "/v1/meters",
        "code": code,
        "request_id": "5f2b8c1e9d0a4c35",
        "errors": [],
    }


def _without_titles(schema: Json) -> Json:
    # Through JSON, so that a tuple given as default becomes an array.
    plain: Json = msgspec.json.decode(msgspec.json.encode(schema))
    return {key: value for key, value in plain.items() if key != "title"}


def text(routes: Sequence[Route]) -> str:
    """The document as it stands in `docs/reference/openapi.json`."""
    return json.dumps(document(routes), indent=2, ensure_ascii=False) + "\n"
