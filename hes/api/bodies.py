"""
What a request brings in its body: a JSON object that is checked whole, or a file on its way.

A JSON body is read into memory, up to the application's limit. So is a file, up to one of its own,
whole before anybody looks at it: a slow sender holds no worker thread and no connection to the
database. It never lies on a disk, since it may hold keys.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Final, TypeVar

import attrs
import msgspec
from aiohttp import web

from hes.api.problems import InvalidField, ProblemError

JSON: Final = "application/json"
UPLOAD_LENGTH_OCTETS: Final = 64 * 1024 * 1024

_BLOCK_OCTETS: Final = 64 * 1024
_IDLE_S: Final = 30.0
_WHOLE_S: Final = 600.0
_AT_ONCE: Final = 2
_UPLOADS: Final = web.AppKey("uploads", dict[str, int])

B = TypeVar("B")


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of JSON bodies: what a class does not name is refused."""


@attrs.frozen
class Upload:
    """A file that has arrived whole; `media_type` is one of those that the operation takes."""

    file: BinaryIO
    media_type: str


def decode_json(octets: bytes, kind: type[B]) -> B:
    """
    A body as an object of its class.

    Raises: ProblemError: body_invalid, naming the member that is wrong; no value is quoted, it may
        be a secret.
    """
    try:
        return msgspec.json.decode(octets, type=kind)
    except msgspec.ValidationError as exc:
        message, _, place = str(exc).replace("`", "").partition(" - at ")
        # `$.a[0].b` as a JSON pointer.
        steps = place.strip().removeprefix("$").replace("[", ".").replace("]", "")
        pointer = "/body" + steps.replace(".", "/")
        message = message.replace("Expected", "expected").replace("Object", "object")
        raise ProblemError(
            "body_invalid", f"{pointer}: {message}", [InvalidField(pointer, message)]
        ) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ProblemError("body_invalid", "the body is no JSON that can be read") from exc


async def read_json(request: web.Request, kind: type[B]) -> B:
    """
    The body of a request.

    Raises: ProblemError: media_type_unsupported, body_invalid; HTTPRequestEntityTooLarge.
    """
    _media_type(request, {JSON: kind})
    return decode_json(await request.read(), kind)


def serve_uploads(app: web.Application) -> None:
    """Make an application count its uploads, before it starts."""
    app[_UPLOADS] = {"running": 0}


@asynccontextmanager
async def receive(request: web.Request, media_types: Mapping[str, Any]) -> AsyncIterator[Upload]:
    """
    The file that a request brings, gone at the end of the context.

    Raises: ProblemError: media_type_unsupported, payload_too_large, upload_too_slow; overloaded:
        others are arriving.
    """
    media_type = _media_type(request, media_types)
    if (request.content_length or 0) > UPLOAD_LENGTH_OCTETS:
        raise ProblemError("payload_too_large")
    uploads = request.app[_UPLOADS]
    if uploads["running"] >= _AT_ONCE:
        raise ProblemError("overloaded")
    uploads["running"] += 1
    try:
        with io.BytesIO() as file:
            await _gather(request, file)
            file.seek(0)
            yield Upload(file, media_type)
    finally:
        uploads["running"] -= 1


async def _gather(request: web.Request, file: BinaryIO) -> None:
    octets = 0
    try:
        async with asyncio.timeout(_WHOLE_S):
            while True:
                async with asyncio.timeout(_IDLE_S):
                    block = await request.content.read(_BLOCK_OCTETS)
                if not block:
                    return
                octets += len(block)
                if octets > UPLOAD_LENGTH_OCTETS:
                    raise ProblemError("payload_too_large")
                file.write(block)
    except TimeoutError as exc:
        raise ProblemError("upload_too_slow") from exc


def _media_type(request: web.Request, taken: Mapping[str, Any]) -> str:
    """A page of another origin can send forms and plain text without asking, but none of these."""
    if request.content_type not in taken:
        raise ProblemError("media_type_unsupported", f"Send this as {' or '.join(taken)}.")
    return request.content_type
