"""
What a family of meters does otherwise than the standard: named flags, one class.

Owns the names and their parsing from a model's table `[quirks]`; the defaults are the standard's
behaviour, so a meter of no model, or of one without the flag, is taken at the standard's word.

    [quirks]
    empty_system_title = true             # its AARE has no responding-AP-title, or an empty one
    no_rlrq = true                        # the link is closed without RLRQ
    not_proposed = ["access", "general_block_transfer"]   # services that it must not be offered
    counter_reuse = true                  # proof and APDU around it share an invocation counter
    tagged_push_time = true               # data-notification: 09 0C, where the standard has 0C
    selection = "entry"                   # profiles are read by entry; by range it refuses
    deviation = "refused"                 # or "required": of the bounds of a range
    null_means = "previous"               # or "missing": a null cell of a profile
    standard_time = true                  # its clock knows no summer time and gives no deviation
    hls_object = "0.0.40.0.1.255"         # where reply_to_HLS_authentication is, for every client
    hdlc_address = { physical = 17, size = 4 }    # lower part and octets of its HDLC address
    counter_object = { 32 = "0.0.43.1.2.255", 48 = "0.0.43.1.3.255" }     # or by client SAP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

import attrs

from hes_protocol.cosem import Obis
from hes_protocol.profile import NullMeaning
from hes_protocol.xdlms.results import Conformance

_SAP_MAX: Final = 0xFFFF
E = TypeVar("E", bound=StrEnum)


class SelectionBy(StrEnum):
    """How a part of a profile may be asked for (IEC 62056-6-2, class_id 7, selective access)."""

    RANGE = "range"
    ENTRY = "entry"


class Deviation(StrEnum):
    """What a meter says to a deviation in the bounds of a range: users-ask, point 14."""

    REFUSED = "refused"
    REQUIRED = "required"


@attrs.frozen
class ByClient:
    """An object that is another one for each client of a meter; `every` where all have the same."""

    every: Obis | None = None
    clients: Mapping[int, Obis] = attrs.field(factory=dict)

    def get(self, client_sap: int) -> Obis | None:
        """The object of this client, None where the model does not say."""
        return self.clients.get(client_sap, self.every)


@attrs.frozen
class HdlcAddressing:
    """How a model's HDLC address goes on behind the logical device; `size` is 1, 2 or 4 octets."""

    physical: int | None = None
    size: int | None = None


@attrs.frozen
class Quirks:
    """
    The flags of one model.

    `tagged_push_time` needs no switch on our side: the decoder knows both forms by their octets.
    It tells people, and simulated meters how to push.

    `not_proposed`: it offers these services and does them wrongly, or refuses an association in
    which they are proposed.

    `counter_reuse`: in HLS_GMAC a proof may have the invocation counter of the APDU that carries
    it, the meter's or, where we are the meter, the client's (dlms-cosem 25.1.0 does so). One
    initialization vector for two tags wears the authentication key down: no model has it that can
    do better.
    """

    empty_system_title: bool = False
    no_rlrq: bool = False
    not_proposed: Conformance = Conformance.NONE
    counter_reuse: bool = False
    tagged_push_time: bool = False
    selection: SelectionBy | None = None
    deviation: Deviation | None = None
    null_means: NullMeaning | None = None
    standard_time: bool = False
    hls_object: ByClient = ByClient()
    counter_object: ByClient = ByClient()
    hdlc_address: HdlcAddressing = HdlcAddressing()


STANDARD: Final = Quirks()
"""No quirk at all."""


def parse_quirks(table: Mapping[str, Any], inherited: Quirks = STANDARD) -> Quirks:
    """
    Read a table `[quirks]`; what it does not name is as in `inherited`.

    Raises: ValueError: an unknown flag, or a value of another type; the text names both.
    """
    unknown = table.keys() - _READERS.keys()
    if unknown:
        raise ValueError(
            f"quirks: there is no flag {min(unknown)}; there are {', '.join(_READERS)}"
        )
    changes = {}
    for name, value in table.items():
        try:
            changes[name] = _READERS[name](value)
        except ValueError as error:
            raise ValueError(f"quirks: {name}: {error}") from None
    return attrs.evolve(inherited, **changes)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004
    return value


def _one_of(kind: type[E]) -> Callable[[Any], E]:
    def read(value: Any) -> E:
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(member.value for member in kind)
            raise ValueError(f"{value!r} is none of {names}") from None

    return read


def _services(value: Any) -> Conformance:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of services")  # noqa: TRY004
    known = {one.name.lower(): one for one in Conformance if one.name is not None}
    found = Conformance.NONE
    for name in value:
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
        found |= known[name]
    return found


def _by_client(value: Any) -> ByClient:
    if isinstance(value, str):
        return ByClient(Obis.parse(value))
    if not isinstance(value, dict) or not value:
        raise ValueError("neither an OBIS code nor a table of them by client SAP")
    return ByClient(None, {_sap(client): _obis(obis) for client, obis in value.items()})


def _hdlc_address(value: Any) -> HdlcAddressing:
    if not isinstance(value, dict) or not value or value.keys() - {"physical", "size"}:
        raise ValueError("no table of physical and size")
    physical, size = value.get("physical"), value.get("size")
    if physical is not None and (type(physical) is not int or not 0 <= physical < 1 << 14):
        raise ValueError(f"{physical!r} is no physical device")
    if size not in (None, 1, 2, 4) or (size == 1 and physical is not None):
        raise ValueError(f"{size!r} is no size that fits")
    return HdlcAddressing(physical, size)


def _sap(text: str) -> int:
    if not text.isdecimal() or int(text) > _SAP_MAX:
        raise ValueError(f"{text!r} is no client SAP")
    return int(text)


def _obis(value: Any) -> Obis:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no OBIS code")  # noqa: TRY004
    return Obis.parse(value)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "empty_system_title": _flag,
    "no_rlrq": _flag,
    "not_proposed": _services,
    "counter_reuse": _flag,
    "tagged_push_time": _flag,
    "selection": _one_of(SelectionBy),
    "deviation": _one_of(Deviation),
    "null_means": _one_of(NullMeaning),
    "standard_time": _flag,
    "hls_object": _by_client,
    "counter_object": _by_client,
    "hdlc_address": _hdlc_address,
}
