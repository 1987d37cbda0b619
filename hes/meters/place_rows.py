"""The fields of a row that say where its meter hangs, what it measures there, and its groups."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs

from hes.meters.fields import RowError, label, labels, moment, shown, take
from hes.storage.installations import Ratio
from hes.storage.sites import Measured

ADDRESS_LENGTH: Final = 1000
GROUPS_MAX: Final = 100

_RATIO: Final = re.compile(r"([0-9]{1,9})(?:\s*[/:]\s*([0-9]{1,9}))?")


@attrs.frozen
class PlaceSpec:
    """
    Where a meter hangs: at a usage point, and what is measured there.

    None is what the row does not say. Of `site`, `transformer` and `feeder` the one named by
    `measures` is never None; what stands beside it feeds it.
    """

    usage_point: str
    measures: Measured
    site: str | None = None
    site_address: str | None = None
    transformer: str | None = None
    feeder: str | None = None
    installed_at: datetime | None = None
    ct: Ratio | None = None
    vt: Ratio | None = None


def parse_place(fields: dict[str, Any]) -> PlaceSpec | None:
    """
    Take the fields of a place out of a row; None if it has none of them.

    Raises:
        RowError: a value cannot be, or the fields do not go together.
    """
    values: dict[str, Any] = {name: take(fields, name, read, None) for name, read in _READ.items()}
    if not any(value is not None for value in values.values()):
        return None
    measures = values["measures"] or Measured.SITE
    if values[measures.value] is None:
        raise RowError(measures.value, f"missing; {_first(values)} needs it")
    for name in _NOT_BESIDE[measures]:
        if values[name] is not None:
            raise RowError(name, f"has no place where a {measures} is measured")
    if values["feeder"] is not None and measures is Measured.SITE and values["transformer"] is None:
        raise RowError("transformer", "missing; a feeder feeds sites through one")
    return PlaceSpec(
        usage_point=values["usage_point"] or values[measures.value],
        measures=measures,
        site=values["site"],
        site_address=values["site_address"],
        transformer=values["transformer"],
        feeder=values["feeder"],
        installed_at=values["installed_at"],
        ct=values["ct_ratio"],
        vt=values["vt_ratio"],
    )


def names_a_place(fields: dict[str, Any]) -> bool:
    """Whether a row says where its meter hangs, and not only since when."""
    return any(fields.get(name) not in (None, "") for name in _READ.keys() - {"installed_at"})


def parse_groups(fields: dict[str, Any]) -> tuple[str, ...] | None:
    """
    Take the meter's groups out of a row: a name or a list of names; None if it says nothing.

    Raises:
        RowError: a name cannot be.
    """
    groups: tuple[str, ...] | None = take(fields, "group", labels(GROUPS_MAX), None)
    return groups


def _ratio(value: Any) -> Ratio:
    match = _RATIO.fullmatch(str(value)) if type(value) in (str, int) else None
    numerator, denominator = (int(match[1]), int(match[2] or 1)) if match else (0, 0)
    if not numerator or not denominator:
        raise ValueError(f"{shown(value)} is no ratio such as 200/5 or 40")
    return Ratio(numerator, denominator)


def _measured(value: Any) -> Measured:
    try:
        return Measured(value)
    except ValueError:
        names = ", ".join(Measured)
        raise ValueError(f"{shown(value)} is none of {names}") from None


def _address(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - one class for all that a row may say
    if len(value) > ADDRESS_LENGTH:
        raise ValueError(f"longer than {ADDRESS_LENGTH} characters")
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return value


def _first(values: dict[str, Any]) -> str:
    return next(name for name, value in values.items() if value is not None)


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "site": label,
    "usage_point": label,
    "measures": _measured,
    "site_address": _address,
    "transformer": label,
    "feeder": label,
    "installed_at": moment,
    "ct_ratio": _ratio,
    "vt_ratio": _ratio,
}

_NOT_BESIDE: Final[dict[Measured, tuple[str, ...]]] = {
    Measured.SITE: (),
    Measured.TRANSFORMER: ("site", "site_address"),
    Measured.FEEDER: ("site", "site_address", "transformer"),
}

FIELDS: Final = (*_READ, "group")
