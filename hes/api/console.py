"""
Serves the built console: files as they are on disk, the page itself for every other address.

Names below `assets/` carry a hash of their content and may be kept for ever; everything else is
asked for anew. Where the console was not built, a page says how to build it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

RESERVED: Final = frozenset({"v1", "ws", "openapi.json", "docs", "healthz", "problems", "metrics"})

_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>HES: console not built</title>
<h1>The console is not built</h1>
<p>Run <code>make console</code> in the clone, then load this page again.</p>
<p>The API works without it: <a href="/openapi.json">/openapi.json</a>,
<a href="/v1/meters">/v1/meters</a>.</p>
</html>
"""

_MAX_PARTS: Final = 8
_SANE: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}")
_TYPES: Final = {".webmanifest": "application/manifest+json"}


def is_reserved(path: str) -> bool:
    """Whether this path belongs to the API even where nothing answers it."""
    return path.lstrip("/").partition("/")[0] in RESERVED


async def console_response(root: Path, path: str) -> web.StreamResponse | None:
    """The console's answer to GET `path`; None if it has nothing by that name."""
    found = await asyncio.to_thread(_find, root, path)
    if found is None:
        return None
    if not found.is_absolute():
        return web.Response(text=_NOT_BUILT, status=503, content_type="text/html")
    response = web.FileResponse(found)
    hashed = found.parent.name == "assets"
    response.headers[hdrs.CACHE_CONTROL] = (
        "public, max-age=31536000, immutable" if hashed else "no-cache"
    )
    if found.suffix in _TYPES:
        response.content_type = _TYPES[found.suffix]
    return response


def _find(root: Path, path: str) -> Path | None:
    """The file that answers `path`; a relative path means: nothing is built."""
    index = root.absolute() / "index.html"
    parts = [part for part in path.split("/") if part]
    if len(parts) > _MAX_PARTS or not all(map(_SANE.fullmatch, parts)):
        return None
    named = root.absolute().joinpath(*parts)
    if parts and named.suffix != ".gz" and named.is_file():
        return named
    if parts and (parts[0] == "assets" or "." in parts[-1]):
        return None
    return index if index.is_file() else Path("not-built")
