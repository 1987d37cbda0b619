"""
A row of a meter file: what it must hold, and what is said of one that does not.

The file is the one of `contracts.md`: JSON lines as `hes sim run --keys-out` writes them, or CSV
(`hes.meters.files`). `fields` has the rules that all fields share, `place_rows` the fields that say
where a meter hangs, `association_rows` those that say how it is talked to. A field that we do not
know is an error (it may be a misspelt one).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, Final
from zoneinfo import available_timezones

import attrs

from hes.domain.life import FIRST, MeterState
from hes.domain.meters import Transport
from hes.meters import association_rows
from hes.meters.association_rows import (
    AssociationSpec,
    parse_association,
    parse_associations,
    read_transport,
)
from hes.meters.fields import (
    RowError,
    hex_octets,
    label,
    labels,
    moment,
    number,
    read_object,
    refuse_others,
    shown,
    take,
)
from hes.meters.place_rows import PlaceSpec, names_a_place, parse_groups, parse_place
from hes.storage.mbus import CHANNEL_MAX
from hes_protocol.cosem import Obis

DEFAULT_PORT: Final = 4059
TAGS_MAX: Final = 100
REGISTERS_MAX: Final = 100

_HOST_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,10})?")

# Beside those of associations and places.
FIELDS: Final = (
    "serial",
    "timezone",
    "system_title",
    "address",
    "port",
    "transport",
    "model",
    "id_object",
    "peer",
    "commissioned_at",
    "state",
    "segment",
    "tags",
    "parent",
    "channel",
    "exchanges",
    "last_registers",
    "first_registers",
    "reason",
)

# What a meter that hangs at another one's M-Bus channel does not have of its own.
_NOT_OF_CHILDREN: Final = (
    "address",
    "port",
    "transport",
    "associations",
    *association_rows.FIELDS,
)


@attrs.frozen
class ChildSpec:
    """At which M-Bus channel of which meter, by its serial, a child hangs, and since when."""

    parent: str
    channel: int
    since: datetime | None = None


@attrs.frozen
class ExchangeSpec:
    """Whose place a meter takes, by the old one's serial, and what registers showed then."""

    old: str
    at: datetime
    reason: str
    last_registers: Mapping[str, str] = attrs.field(factory=dict)
    first_registers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class MeterSpec:
    """
    A row that can be used: a meter to be, without an id.

    None is what the row does not say; of `groups`, `tags`, `segment`, `place`, `child` and `state`
    that leaves what there is. `whole`: the meter has no other associations than these.
    """

    serial: str
    timezone: str
    transport: Transport
    associations: tuple[AssociationSpec, ...]
    whole: bool = False
    system_title: bytes | None = None
    address: str | None = None
    port: int | None = None
    model: str | None = None
    id_object: Obis | None = None
    id_value: str | None = None
    peer: str | None = None
    commissioned_at: datetime | None = None
    place: PlaceSpec | None = None
    groups: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    segment: str | None = None
    state: MeterState | None = None
    child: ChildSpec | None = None
    exchange: ExchangeSpec | None = None


def parse_row(text: bytes) -> MeterSpec:
    """
    Read one row, a JSON object.

    Raises:
        RowError: it is none, or a field is missing, unknown, or has a value that cannot be.
    """
    return parse_fields(read_object(text))


def parse_fields(fields: dict[str, Any]) -> MeterSpec:
    """
    Read a row's fields, which are used up.

    Raises:
        RowError: a field is missing, unknown, or has a value that cannot be.
    """
    serial: str | None = None
    try:
        serial = take(fields, "serial", _serial)
        spec = _spec(serial, fields)
        refuse_others(fields)
    except RowError as error:
        error.serial = serial
        raise
    return spec


def _spec(serial: str, fields: dict[str, Any]) -> MeterSpec:
    child, exchange = _child(serial, fields), _exchange(serial, fields)
    transport = take(fields, "transport", read_transport, Transport.WRAPPER)
    listed = fields.pop("associations", None)
    associations: tuple[AssociationSpec, ...] = ()
    if listed is not None:
        associations = parse_associations(listed, transport)
    elif child is None:
        associations = (parse_association(fields, transport),)
    address = take(fields, "address", _address, None)
    port = take(fields, "port", number(1, 65535), None)
    if address is None and port is not None:
        raise RowError("port", "a port without an address")
    if address is not None and port is None:
        port = DEFAULT_PORT
    id_object, id_value = take(fields, "id_object", _id_object, (None, None))
    return MeterSpec(
        serial=serial,
        timezone=take(fields, "timezone", _timezone),
        transport=transport,
        associations=associations,
        whole=listed is not None or child is not None,
        system_title=take(fields, "system_title", hex_octets(8, 8), None),
        address=address,
        port=port,
        model=take(fields, "model", label, None),
        id_object=id_object,
        id_value=id_value,
        peer=take(fields, "peer", _peer, None),
        commissioned_at=take(fields, "commissioned_at", moment, None),
        place=parse_place(fields),
        groups=parse_groups(fields),
        tags=take(fields, "tags", labels(TAGS_MAX), None),
        segment=take(fields, "segment", label, None),
        state=take(fields, "state", _state, None),
        child=child,
        exchange=exchange,
    )


def _child(serial: str, fields: dict[str, Any]) -> ChildSpec | None:
    parent = take(fields, "parent", label, None)
    channel = take(fields, "channel", number(1, CHANNEL_MAX), None)
    if (parent is None) != (channel is None):
        name, other = ("parent", "channel") if parent is None else ("channel", "parent")
        raise RowError(name, f"missing; {other} needs it")
    if parent is None:
        return None
    if parent == serial:
        raise RowError("parent", "is the meter itself")
    for name in _NOT_OF_CHILDREN:
        if take(fields, name, lambda value: value, None) is not None:
            raise RowError(name, "a meter with a parent is read by way of that, and has none")
    return ChildSpec(parent, channel, _installed_at(fields, None))


def _exchange(serial: str, fields: dict[str, Any]) -> ExchangeSpec | None:
    old = take(fields, "exchanges", label, None)
    spec_of = {name: take(fields, name, _registers, {}) for name in _REGISTERS}
    reason = take(fields, "reason", _reason, None)
    if old is None:
        for name, value in (*spec_of.items(), ("reason", reason)):
            if value:
                raise RowError(name, "has no place in a row that exchanges no meter")
        return None
    if old == serial:
        raise RowError("exchanges", "is the meter itself")
    at = _installed_at(fields)
    return ExchangeSpec(old, at, reason or f"exchanged for {serial}", **spec_of)


def _installed_at(fields: dict[str, Any], *default: None) -> Any:
    """Take `installed_at`, and leave it for the place as well where the row names one."""
    read = take(dict(fields), "installed_at", moment, *default)
    if not names_a_place(fields):
        fields.pop("installed_at", None)
    return read


_REGISTERS: Final = ("last_registers", "first_registers")


def _registers(value: Any) -> Mapping[str, str]:
    """Read `{"1.0.1.8.0.255": "1234.5"}`, or `1.0.1.8.0.255=1234.5|…` as a text."""
    if isinstance(value, str):
        pairs = [part.partition("=")[::2] for part in value.split("|")]
    elif isinstance(value, dict):
        pairs = [(name, str(each)) for name, each in value.items()]
    else:
        raise ValueError("neither an object of registers nor a text")  # noqa: TRY004
    if len(pairs) > REGISTERS_MAX:
        raise ValueError(f"more than {REGISTERS_MAX} registers")
    read = {}
    for obis, text in pairs:
        try:
            name = str(Obis.parse(obis.strip()))
        except ValueError:
            raise ValueError(f"{shown(obis)} is no OBIS code") from None
        if not _DECIMAL.fullmatch(text.strip()):
            raise ValueError(f"{shown(text)} is no decimal number such as 1234.5")
        if name in read:
            raise ValueError(f"{name} is given twice")
        read[name] = text.strip()
    return read


def _reason(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 500 or not value.isprintable():
        raise ValueError("not a printable text of at most 500 characters")
    return value


def _state(value: Any) -> MeterState:
    try:
        return MeterState(value)
    except ValueError:
        names = ", ".join(MeterState)
        raise ValueError(f"{shown(value)} is none of {names}") from None


def first_state(spec: MeterSpec) -> MeterState:
    """
    In which state a new meter begins.

    Raises:
        RowError: no meter begins there.
    """
    state = spec.state or MeterState.IN_SERVICE
    if state not in FIRST:
        allowed = ", ".join(each for each in MeterState if each in FIRST)
        raise RowError("state", f"a new meter is one of {allowed}", spec.serial)
    return state


def _serial(value: Any) -> str:
    # Written as a number by a spreadsheet's export: the digits are all there.
    return label(str(value) if type(value) is int else value)


def _timezone(value: Any) -> str:
    if not isinstance(value, str) or value not in _timezones():
        raise ValueError(f"{shown(value)} is no IANA time zone such as Europe/Vienna")
    return value


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _address(value: Any) -> str:
    """
    Read an IP address or a host name.

    Numbers in other clothes (`127.1`, `2130706433`, `0x7f.1`) are neither; resolvers take them
    for addresses, so they could hide where a collector is sent.
    """
    if not isinstance(value, str):
        raise ValueError("neither an IP address nor a host name")  # noqa: TRY004
    try:
        return str(ip_address(value))
    except ValueError:
        labels = value.removesuffix(".").split(".")
        if (
            len(value) > 253
            or not all(_HOST_LABEL.fullmatch(label) for label in labels)
            or _NUMBER_LABEL.fullmatch(labels[-1])
        ):
            raise ValueError(f"{shown(value)} is neither an IP address nor a host name") from None
        return value.lower()


def _peer(value: Any) -> str:
    try:
        # As a text: of a number it would make an address.
        return str(ip_network(str(value)))
    except ValueError:
        raise ValueError(
            f"{shown(value)} is neither an IP address nor a network such as 10.1.2.0/24"
        ) from None


def _id_object(value: Any) -> tuple[Obis, str | None]:
    """Read `OBIS`, or `OBIS=value` where a push calls the meter otherwise than by its serial."""
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004
    obis, equals, text = value.partition("=")
    try:
        parsed = Obis.parse(obis.strip())
    except ValueError:
        raise ValueError(f"{shown(obis)} is no OBIS code") from None
    if equals and not text.strip():
        raise ValueError("no value after the equals sign")
    return parsed, label(text.strip()) if equals else None
