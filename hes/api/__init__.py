"""
aiohttp routes, schemas, OpenAPI and the one table from error to HTTP status.

`create_app(services)` makes the application, `serve(app, host, port)` runs it. Everything that
the API knows of the system it asks the capabilities in `Services`; it runs no SQL.
"""

from hes.api.app import create_app
from hes.api.server import BindRefusedError, serve
from hes.api.services import Services

__all__ = ["BindRefusedError", "Services", "create_app", "serve"]
