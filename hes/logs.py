"""
Structured logs on stderr: one configuration for every process.

Events are `noun_verb_past` with fields; identifiers, not objects; never keys, passwords or
deciphered APDUs: so no traceback shows what variables held. People get colours on a terminal,
machines get JSON lines.
"""

from __future__ import annotations

import logging
import sys

import structlog

from hes.settings import LogSettings


def configure(settings: LogSettings, process: str) -> None:
    """
    Configure structlog once, at the start of a process.

    Args: settings: level and format. process: goes into every line, e.g. "collect-dlms".
    """
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
