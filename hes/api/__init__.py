"""aiohttp routes, schemas, OpenAPI and the one table from error to HTTP status."""
