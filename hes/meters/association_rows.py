"""The fields of a row that say how a meter is talked to: clients, mechanisms, secrets."""

from __future__ import annotations

from typing import Any, Final

import attrs

from hes.domain.meters import Association, Mechanism, Policy, Role, Secrets, Transport
from hes.meters.fields import RowError, hex_octets, number, refuse_others, shown, take
from hes_protocol.cosem import Obis

SECRET_LENGTH_OCTETS: Final = 256
ASSOCIATIONS_MAX: Final = 16
PUBLIC_SAP: Final = 16

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

FIELDS: Final = (
    "client_sap",
    "server_sap",
    "mechanism",
    "suite",
    "secret",
    "ek",
    "ak",
    "role",
    "counter_object",
)

_BY_PASSWORD: Final = frozenset(
    {
        Mechanism.LLS,
        Mechanism.HLS,
        Mechanism.HLS_MD5,
        Mechanism.HLS_SHA1,
        Mechanism.HLS_SHA256,
    }
)


@attrs.frozen
class AssociationSpec:
    """An association to be, with its secrets in clear, which print as nothing."""

    association: Association
    secrets: Secrets = attrs.field(default=Secrets(), repr=False)


def parse_association(
    fields: dict[str, Any], transport: Transport, *, own_transport: bool = False
) -> AssociationSpec:
    """
    Take the fields of an association out of a row.

    Args:
        transport: what the meter as a whole uses.
        own_transport: the field `transport` is the association's, and not the meter's.

    Raises:
        RowError: a value cannot be, or the mechanism needs a secret that is not there.
    """
    own = take(fields, "transport", read_transport, None) if own_transport else None
    hdlc = (own or transport) is Transport.HDLC
    suite = take(fields, "suite", number(0, 2), 0)
    mechanism = take(fields, "mechanism", _mechanism, Mechanism.NONE)
    key = hex_octets(_KEY_LENGTH_OCTETS[suite], _KEY_LENGTH_OCTETS[suite])
    secrets = Secrets(
        secret=take(fields, "secret", hex_octets(1, SECRET_LENGTH_OCTETS), None),
        ek=take(fields, "ek", key, None),
        ak=take(fields, "ak", key, None),
    )
    client_sap = take(fields, "client_sap", number(1, _HDLC_CLIENT_MAX if hdlc else _SAP_MAX), 1)
    role = Role.PUBLIC if client_sap == PUBLIC_SAP else Role.MANAGEMENT
    association = Association(
        client_sap=client_sap,
        server_sap=take(fields, "server_sap", number(1, _HDLC_SERVER_MAX if hdlc else _SAP_MAX), 1),
        mechanism=mechanism,
        suite=suite,
        policy=_policy(mechanism, secrets),
        role=take(fields, "role", _role, role),
        transport=None if own is transport else own,
        counter_object=take(fields, "counter_object", _obis, None),
    )
    return AssociationSpec(association, secrets)


def parse_associations(value: Any, transport: Transport) -> tuple[AssociationSpec, ...]:
    """
    Read a list of associations, all that a meter shall have.

    Raises:
        RowError: one cannot be, or two have one client; the field says which.
    """
    if not isinstance(value, list) or not 0 < len(value) <= ASSOCIATIONS_MAX:
        raise RowError("associations", f"not a list of 1 to {ASSOCIATIONS_MAX} associations")
    specs: list[AssociationSpec] = []
    for place, entry in enumerate(value):
        where = f"associations[{place}]"
        if not isinstance(entry, dict):
            raise RowError(where, "not a JSON object")
        fields = dict(entry)
        try:
            spec = parse_association(fields, transport, own_transport=True)
            refuse_others(fields)
        except RowError as error:
            raise RowError(f"{where}.{error.field}", error.message) from None
        client_sap = spec.association.client_sap
        if any(other.association.client_sap == client_sap for other in specs):
            raise RowError(f"{where}.client_sap", "two associations have the same")
        specs.append(spec)
    return tuple(specs)


def read_transport(value: Any) -> Transport:
    """Read what carries APDUs."""
    try:
        return Transport(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is neither wrapper nor hdlc") from None


def _role(value: Any) -> Role:
    try:
        return Role(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is none of {', '.join(Role)}") from None


def _obis(value: Any) -> Obis:
    try:
        return Obis.parse(value)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{shown(value)} is no OBIS code such as 0.0.43.1.1.255") from None


def _mechanism(value: Any) -> Mechanism:
    if isinstance(value, str) and value.lower() in _MECHANISMS:
        return _MECHANISMS[value.lower()]
    try:
        return Mechanism(number(0, 7)(value))
    except ValueError:
        names = ", ".join(_MECHANISMS)
        raise ValueError(f"{shown(value)} is none of {names}, nor a number from 0 to 7") from None


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
