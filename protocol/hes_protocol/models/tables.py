"""
A table of a model file, read key by key: types are checked, unknown keys found, errors say where.

Every error is a `LocalProtocolError` that names the model, the table and the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final, NoReturn, TypeVar

from hes_protocol.cosem import Obis
from hes_protocol.errors import LocalProtocolError

E = TypeVar("E", bound=Enum)
T = TypeVar("T")

_REQUIRED: Final[Any] = object()
_LONGEST_TEXT: Final = 1000


class Table:
    """
    One table; `where` is how errors begin: "model a: profile 1.0.99.1.0.255".

    Raises: LocalProtocolError: what stands there is no table.
    """

    def __init__(self, where: str, values: Any) -> None:
        self.where = where
        if not isinstance(values, Mapping):
            raise LocalProtocolError(f"{where}: {shown(values)} is no table")
        self._values: Mapping[str, Any] = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """The value as it stands there. Raises: LocalProtocolError: missing, without default."""
        self._asked.add(key)
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise LocalProtocolError(f"{self.where}: {key} is missing")
        return value

    def text(self, key: str, default: str = _REQUIRED) -> str:
        """A text; not an empty one unless that is the default."""
        value = self.get(key, default)
        if not isinstance(value, str) or (not value and value is not default):
            self.refuse(key, f"{shown(value)} is no text")
        if len(value) > _LONGEST_TEXT:
            self.refuse(key, f"longer than {_LONGEST_TEXT} characters")
        return str(value)

    def integer(self, key: str, low: int, high: int, default: int = _REQUIRED) -> int:
        """A whole number within `low`..`high`."""
        value = self.get(key, default)
        if type(value) is not int or not low <= value <= high:
            self.refuse(key, f"{shown(value)} is no whole number within {low}..{high}")
        return int(value)

    def number(self, key: str, low: float, high: float, default: float = _REQUIRED) -> float:
        """A number within `low`..`high`."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not low <= value <= high:
            self.refuse(key, f"{shown(value)} is no number within {low}..{high}")
        return value  # type: ignore[no-any-return]

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"{shown(value)} is neither true nor false")
        return bool(value)

    def obis(self, key: str) -> Obis:
        """An OBIS code."""
        with self.reading(key):
            return Obis.parse(self.text(key))

    def obis_or_none(self, key: str) -> Obis | None:
        """An OBIS code, None where there is none."""
        return self.obis(key) if key in self else None

    def member(self, key: str, kind: type[E], default: E = _REQUIRED) -> E:
        """A member of an enum, by its name in lower case."""
        value = self.get(key, default)
        if isinstance(value, kind):
            return value
        names = {member.name.lower(): member for member in kind}
        if not isinstance(value, str) or value not in names:
            self.refuse(key, f"{shown(value)} is none of {', '.join(names)}")
        return names[value]

    def rows(self, key: str) -> list[Any]:
        """A list; empty where there is none."""
        value = self.get(key, [])
        if not isinstance(value, list):
            self.refuse(key, f"{shown(value)} is no list")
        return list(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.rows(key)
        if not all(isinstance(one, str) for one in value):
            self.refuse(key, "not all of them are texts")
        return tuple(value)

    def table(self, key: str) -> Table:
        """A table within; empty where there is none."""
        return Table(f"{self.where}: {key}", self.get(key, {}))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def items(self) -> Iterator[tuple[str, Any]]:
        """All keys with what stands there."""
        for key in self._values:
            yield key, self.get(key)

    @contextmanager
    def reading(self, key: str) -> Iterator[None]:
        """What a reader has against the value of `key`, with the place it stands in."""
        try:
            yield
        except ValueError as error:
            self.refuse(key, str(error), error)

    def read(self, key: str, reader: Callable[[Any], T], default: Any = _REQUIRED) -> T:
        """The value as `reader` understands it; it raises ValueError."""
        with self.reading(key):
            return reader(self.get(key, default))

    def refuse(self, key: str, why: str, cause: Exception | None = None) -> NoReturn:
        """Raises: LocalProtocolError: always."""
        raise LocalProtocolError(f"{self.where}: {key}: {why}") from cause

    def done(self) -> None:
        """Raises: LocalProtocolError: there is a key that nobody asked for."""
        unknown = self._values.keys() - self._asked
        if unknown:
            known = ", ".join(sorted(self._asked))
            raise LocalProtocolError(f"{self.where}: there is no {min(unknown)}; there are {known}")


def shown(value: Any) -> str:
    """A value for an error's text, never a long one."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        return "a number that long"
    return text if len(text) <= 60 else text[:57] + "..."
