"""The one table from error to exit code."""

from __future__ import annotations

import sys
from typing import Final

from hes.domain.errors import (
    AddressNotAllowedError,
    HesError,
    StorageUnavailableError,
)
from hes.settings import SettingsError
from hes.storage.cache.client import CacheUnavailableError

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
PARTIAL: Final = 3
NOT_ALLOWED: Final = 4
UNREACHABLE: Final = 5

_CODES: Final[tuple[tuple[type[HesError], int], ...]] = (
    (SettingsError, USAGE),
    (AddressNotAllowedError, NOT_ALLOWED),
    (StorageUnavailableError, UNREACHABLE),
    (CacheUnavailableError, UNREACHABLE),
    (HesError, FAILURE),
)


def exit_code(error: Exception) -> int | None:
    """The exit code of one of our errors; None for what is a bug and deserves its trace."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def lacks_schema(error: Exception) -> bool:
    """Whether a table is missing: nobody has migrated the database."""
    # Imported by who could raise it, and by nobody else for this.
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(error, psycopg.errors.UndefinedTable)
