"""
A row of a meter file: what it must hold, and what is said of one that does not.

The file is the one of `contracts.md`: JSON lines as `hes sim run --keys-out` writes them. `fields`
has the rules that all fields share, `place_rows` the fields that say where a meter hangs. A field
that we do not know is an error (it may be a misspelt one).
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, Final
from zoneinfo import available_timezones

import attrs

from hes.domain.meters import Association, Mechanism, Policy, Secrets, Transport
from hes.meters.fields import (
    RowError,
    field_name,
    hex_octets,
    label,
    moment,
    number,
    read_object,
    shown,
    take,
)
from hes.meters.place_rows import PlaceSpec, parse_groups, parse_place
from hes_protocol.cosem import Obis

DEFAULT_PORT: Final = 4059
SECRET_LENGTH_OCTETS: Final = 256

_KEY_LENGTH_OCTETS: Final = {0: 16, 1: 16, 2: 32}
_HDLC_CLIENT_MAX: Final = 0x7F
_HDLC_SERVER_MAX: Final = 0x3FFF
_SAP_MAX: Final = 0xFFFF

_MECHANISMS: Final = {
    "none": Mechanism.NONE,
    "lls": Mechanism.LLS,
    "hls": Mechanism.HLS,
    "md5": Mechanism.HLS_MD5,
    "sha1": Mechanism.HLS_SHA1,
    "gmac": Mechanism.HLS_GMAC,
    "sha256": Mechanism.HLS_SHA256,
    "ecdsa": Mechanism.HLS_ECDSA,
}
MECHANISM_NAMES: Final = {mechanism: name for name, mechanism in _MECHANISMS.items()}

_BY_PASSWORD: Final = frozenset(
    {
        Mechanism.LLS,
        Mechanism.HLS,
        Mechanism.HLS_MD5,
        Mechanism.HLS_SHA1,
        Mechanism.HLS_SHA256,
    }
)

_HOST_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@attrs.frozen
class MeterSpec:
    """
    A row that can be used: a meter to be, without an id.

    None is what the row does not say; of `groups` and `place` that leaves what there is.
    """

    serial: str
    timezone: str
    transport: Transport
    association: Association
    secrets: Secrets
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


def parse_row(text: bytes) -> MeterSpec:
    """
    Read one row, a JSON object.

    Raises:
        RowError: it is none, or a field is missing, unknown, or has a value that cannot be.
    """
    fields = read_object(text)
    serial: str | None = None
    try:
        serial = take(fields, "serial", _serial)
        return _spec(serial, fields)
    except RowError as error:
        error.serial = serial
        raise


def _spec(serial: str, fields: dict[str, Any]) -> MeterSpec:
    transport = take(fields, "transport", _transport, Transport.WRAPPER)
    hdlc = transport is Transport.HDLC
    suite = take(fields, "suite", number(0, 2), 0)
    mechanism = take(fields, "mechanism", _mechanism, Mechanism.NONE)
    key = hex_octets(_KEY_LENGTH_OCTETS[suite], _KEY_LENGTH_OCTETS[suite])
    secrets = Secrets(
        secret=take(fields, "secret", hex_octets(1, SECRET_LENGTH_OCTETS), None),
        ek=take(fields, "ek", key, None),
        ak=take(fields, "ak", key, None),
    )
    address = take(fields, "address", _address, None)
    port = take(fields, "port", number(1, 65535), None)
    if address is None and port is not None:
        raise RowError("port", "a port without an address")
    if address is not None and port is None:
        port = DEFAULT_PORT
    id_object, id_value = take(fields, "id_object", _id_object, (None, None))
    spec = MeterSpec(
        serial=serial,
        timezone=take(fields, "timezone", _timezone),
        transport=transport,
        association=Association(
            client_sap=take(
                fields, "client_sap", number(1, _HDLC_CLIENT_MAX if hdlc else _SAP_MAX), 1
            ),
            server_sap=take(
                fields, "server_sap", number(1, _HDLC_SERVER_MAX if hdlc else _SAP_MAX), 1
            ),
            mechanism=mechanism,
            suite=suite,
            policy=_policy(mechanism, secrets),
        ),
        secrets=secrets,
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
    )
    for name in fields:
        raise RowError(field_name(name), "no such field")
    return spec


def _serial(value: Any) -> str:
    # Written as a number by a spreadsheet's export: the digits are all there.
    return label(str(value) if type(value) is int else value)


def _transport(value: Any) -> Transport:
    try:
        return Transport(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is neither wrapper nor hdlc") from None


def _mechanism(value: Any) -> Mechanism:
    if isinstance(value, str) and value.lower() in _MECHANISMS:
        return _MECHANISMS[value.lower()]
    try:
        return Mechanism(number(0, 7)(value))
    except ValueError:
        names = ", ".join(_MECHANISMS)
        raise ValueError(f"{shown(value)} is none of {names}, nor a number from 0 to 7") from None


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


def _policy(mechanism: Mechanism, secrets: Secrets) -> Policy:
    """
    The least protection that we accept: as much as the secrets allow.

    Raises:
        RowError: the mechanism needs a secret that is not there.
    """
    if secrets.ak is not None and secrets.ek is None:
        raise RowError("ek", "missing, but ak is given")
    if mechanism is Mechanism.HLS_GMAC and (secrets.ek is None or secrets.ak is None):
        raise RowError("ek" if secrets.ek is None else "ak", "missing; mechanism gmac needs it")
    if mechanism in _BY_PASSWORD and secrets.secret is None:
        raise RowError("secret", f"missing; mechanism {MECHANISM_NAMES[mechanism]} needs it")
    if secrets.ek is None:
        return Policy.PLAIN
    return Policy.ENCRYPTED if secrets.ak is None else Policy.AUTHENTICATED_ENCRYPTED
