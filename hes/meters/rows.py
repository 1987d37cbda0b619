"""
A row of a meter file: what it must hold, and what is said of one that does not.

The file is the one of `contracts.md`: JSON lines as `hes sim run --keys-out` writes them. Rules
that all fields share: an empty text is as good as null, texts lose the blanks around them, a field
that we do not know is an error (it may be a misspelt one). What is said of an error never quotes a
secret, nor anything that looks like one in the wrong place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeVar
from zoneinfo import available_timezones

import attrs

from hes.domain.meters import Association, Mechanism, Policy, Secrets, Transport
from hes.meters.lines import LINE_LENGTH_OCTETS
from hes_protocol.cosem import Obis

DEFAULT_PORT: Final = 4059
TEXT_LENGTH: Final = 64
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
_LIKE_A_KEY: Final = re.compile(r"[0-9A-Fa-f]{16}")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")

T = TypeVar("T")


class RowError(Exception):
    """
    A row that cannot be used.

    Args:
        field: the field that is at fault, None for the row as a whole.
        message: one sentence for a person, without secrets.
        serial: whose row it is, where that could be read.
    """

    def __init__(self, field: str | None, message: str, serial: str | None = None) -> None:
        super().__init__(field, message, serial)
        self.field = field
        self.message = message
        self.serial = serial


@attrs.frozen
class MeterSpec:
    """A row that can be used: a meter to be, without an id. `commissioned_at` None: not said."""

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


def parse_row(text: bytes) -> MeterSpec:
    """
    Read one row, a JSON object.

    Raises:
        RowError: it is none, or a field is missing, unknown, or has a value that cannot be.
    """
    fields = _object(text)
    serial: str | None = None
    try:
        serial = _take(fields, "serial", _serial)
        return _spec(serial, fields)
    except RowError as error:
        error.serial = serial
        raise


def _spec(serial: str, fields: dict[str, Any]) -> MeterSpec:
    transport = _take(fields, "transport", _transport, Transport.WRAPPER)
    hdlc = transport is Transport.HDLC
    suite = _take(fields, "suite", _number(0, 2), 0)
    mechanism = _take(fields, "mechanism", _mechanism, Mechanism.NONE)
    key = _hex(_KEY_LENGTH_OCTETS[suite], _KEY_LENGTH_OCTETS[suite])
    secrets = Secrets(
        secret=_take(fields, "secret", _hex(1, SECRET_LENGTH_OCTETS), None),
        ek=_take(fields, "ek", key, None),
        ak=_take(fields, "ak", key, None),
    )
    address = _take(fields, "address", _address, None)
    port = _take(fields, "port", _number(1, 65535), None)
    if address is None and port is not None:
        raise RowError("port", "a port without an address")
    if address is not None and port is None:
        port = DEFAULT_PORT
    id_object, id_value = _take(fields, "id_object", _id_object, (None, None))
    spec = MeterSpec(
        serial=serial,
        timezone=_take(fields, "timezone", _timezone),
        transport=transport,
        association=Association(
            client_sap=_take(
                fields, "client_sap", _number(1, _HDLC_CLIENT_MAX if hdlc else _SAP_MAX), 1
            ),
            server_sap=_take(
                fields, "server_sap", _number(1, _HDLC_SERVER_MAX if hdlc else _SAP_MAX), 1
            ),
            mechanism=mechanism,
            suite=suite,
            policy=_policy(mechanism, secrets),
        ),
        secrets=secrets,
        system_title=_take(fields, "system_title", _hex(8, 8), None),
        address=address,
        port=port,
        model=_take(fields, "model", _label, None),
        id_object=id_object,
        id_value=id_value,
        peer=_take(fields, "peer", _peer, None),
        commissioned_at=_take(fields, "commissioned_at", _moment, None),
    )
    for name in fields:
        raise RowError(_field_name(name), "no such field")
    return spec


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > LINE_LENGTH_OCTETS:
        raise RowError(None, f"longer than {LINE_LENGTH_OCTETS} octets")
    try:
        value = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_pairs)
    except UnicodeDecodeError:
        raise RowError(None, "not UTF-8") from None
    except json.JSONDecodeError as error:
        # Its message says what and where, and quotes nothing of the row.
        where = f"column {error.colno}"
        raise RowError(None, f"not JSON: {error.msg} at {where}") from None
    except (ValueError, RecursionError):
        raise RowError(None, "not JSON that can be read: too deep, or a number too long") from None
    if not isinstance(value, dict):
        raise RowError(None, "not a JSON object")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            # Which of the two is meant cannot be known.
            raise RowError(_field_name(name), "given twice")
        fields[name] = value
    return fields


class _Missing:
    """Marks a field that has no default."""


_MISSING: Final = _Missing()


def _take(
    fields: dict[str, Any],
    name: str,
    read: Callable[[Any], T],
    default: Any = _MISSING,
) -> Any:
    """Take a field out of the row, so that what is left over is unknown."""
    value = fields.pop(name, None)
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        if default is _MISSING:
            raise RowError(name, "missing")
        return default
    try:
        return read(value)
    except ValueError as error:
        raise RowError(name, str(error)) from None


def _serial(value: Any) -> str:
    # Written as a number by a spreadsheet's export: the digits are all there.
    return _label(str(value) if type(value) is int else value)


def _label(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - one class for all that a row may say
    if len(value) > TEXT_LENGTH:
        raise ValueError(f"longer than {TEXT_LENGTH} characters")
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return value


def _number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"not a whole number from {least} to {most}")
        return value

    return read


def _hex(least: int, most: int) -> Callable[[Any], bytes]:
    def read(value: Any) -> bytes:
        try:
            octets = bytes.fromhex(value)
        except (TypeError, ValueError):
            # Neither the value nor the place in it: this may be a key with a typing error.
            raise ValueError("not a text of hex digits") from None
        if not least <= len(octets) <= most:
            due = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"{len(octets)} octets where {due} are due")
        return octets

    return read


def _transport(value: Any) -> Transport:
    try:
        return Transport(value)
    except ValueError:
        raise ValueError(f"{_shown(value)} is neither wrapper nor hdlc") from None


def _mechanism(value: Any) -> Mechanism:
    if isinstance(value, str) and value.lower() in _MECHANISMS:
        return _MECHANISMS[value.lower()]
    try:
        return Mechanism(_number(0, 7)(value))
    except ValueError:
        names = ", ".join(_MECHANISMS)
        raise ValueError(f"{_shown(value)} is none of {names}, nor a number from 0 to 7") from None


def _timezone(value: Any) -> str:
    if not isinstance(value, str) or value not in _timezones():
        raise ValueError(f"{_shown(value)} is no IANA time zone such as Europe/Vienna")
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
            raise ValueError(f"{_shown(value)} is neither an IP address nor a host name") from None
        return value.lower()


def _peer(value: Any) -> str:
    try:
        # As a text: of a number it would make an address.
        return str(ip_network(str(value)))
    except ValueError:
        raise ValueError(
            f"{_shown(value)} is neither an IP address nor a network such as 10.1.2.0/24"
        ) from None


def _id_object(value: Any) -> tuple[Obis, str | None]:
    """Read `OBIS`, or `OBIS=value` where a push calls the meter otherwise than by its serial."""
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004
    obis, equals, text = value.partition("=")
    try:
        parsed = Obis.parse(obis.strip())
    except ValueError:
        raise ValueError(f"{_shown(obis)} is no OBIS code") from None
    if equals and not text.strip():
        raise ValueError("no value after the equals sign")
    return parsed, _label(text.strip()) if equals else None


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{_shown(value)} is no time such as 2026-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{_shown(value)} has no offset from UTC; end it with Z or +01:00")
    if not 1970 < moment.year < 2200:
        raise ValueError(f"{_shown(value)} lies outside 1971 to 2199")
    return moment.astimezone(UTC)


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


def _shown(value: Any) -> str:
    """Quote a value for a person, unless it may be a key in the wrong field."""
    if not isinstance(value, str | int | float) or _LIKE_A_KEY.search(str(value)):
        return "the value"
    text = str(value)
    return json.dumps(text if len(text) <= 40 else text[:39] + "…", ensure_ascii=False)


def _field_name(name: str) -> str:
    return name if re.fullmatch(r"\w{1,40}", name) and not _LIKE_A_KEY.search(name) else "…"
