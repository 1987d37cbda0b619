"""
Association LN (class_id 15) and SAP assignment (class_id 17): what a client may see and do here.

The association object of the current association is 0.0.40.0.0.255 for every client; a model may
have one more for each, which names it (option `client`). reply_to_HLS_authentication is the
protocol's server's; secrets are `keys`'.
Source: IEC 62056-6-2, class_id 15 (versions 0 to 3), class_id 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.acse.names import ApplicationContext, Mechanism
from hes_protocol.axdr import BitString, Data, DataTag, array, structure
from hes_protocol.models.objects import ModelClient, ModelObject
from hes_protocol.security.control import Protection
from hes_protocol.server import AssociationOpened
from hes_simulators import keys
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    enum,
    invoking,
    long_unsigned,
    obis_of,
    octet_string,
    octets,
    unsigned,
)
from hes_simulators.classes.plain import Plain

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_DLMS_VERSION: Final = 6
_ASSOCIATED: Final = 2
_NOT_ASSOCIATED: Final = 0
_SECRET: Final = 7
_MOST_SECRET_OCTETS: Final = 64
_SECURITY_SETUP: Final = 64
# joint-iso-ctt(2) country(16) 756 identified-organization(5) DLMS-UA(8)
_DLMS_UA_ARCS: Final = ((DataTag.UNSIGNED, 2), (DataTag.UNSIGNED, 16), (DataTag.LONG_UNSIGNED, 756))
_CHANGEABLE: Final = frozenset({Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256})


class AssociationLn(Plain):
    """class_id 15."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """All attributes but the secret, which nobody reads."""
        client = _client(meter, one, sap)
        rules = meter.associations[client.sap]
        match index:
            case 2:
                return meter.kind.served.object_list(client, one.version)
            case 3:
                return structure(Data(DataTag.INTEGER, client.sap), long_unsigned(meter.server_sap))
            case 4:
                ciphered = rules.minimum_protection is not Protection.PLAIN
                context = ApplicationContext
                name = context.LOGICAL_NAME_CIPHERED if ciphered else context.LOGICAL_NAME
                return _object_identifier(1, name)
            case 5:
                size = rules.max_receive_pdu_size
                opened = current(meter, client, sap)
                sent = size if opened is None else opened.max_send_pdu_size
                conformance = BitString(24, int(rules.conformance).to_bytes(3, "big"))
                return structure(
                    Data(DataTag.BIT_STRING, conformance),
                    long_unsigned(size),
                    long_unsigned(sent),
                    unsigned(_DLMS_VERSION),
                    Data(DataTag.INTEGER, 0),
                    octets(b""),
                )
            case 6:
                return _object_identifier(2, rules.mechanism)
            case 8:
                return enum(_ASSOCIATED if client.sap == sap else _NOT_ASSOCIATED)
            case 9:
                return octets(_security_setup(meter, one, client))
            case 10:
                return array()
            case 11:
                return structure(unsigned(0), octets(b""))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """The password of LLS, from the next association on."""
        client = _client(meter, one, sap)
        if index != _SECRET or client.mechanism is not Mechanism.LLS:
            raise Refused(OTHER_REASON)
        keys.change(meter, client, secret=octet_string(data, 1, _MOST_SECRET_OCTETS))
        meter.event("secret_changed")

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """change_HLS_secret, where HLS has a secret."""
        client = _client(meter, one, sap)
        if method_index != 2:
            raise Refused(OBJECT_UNDEFINED)
        secret = octet_string(data, 8, _MOST_SECRET_OCTETS)
        if client.mechanism not in _CHANGEABLE:
            raise Refused(OTHER_REASON)
        keys.change(meter, client, secret=secret)
        meter.event("secret_changed")
        return None


class SapAssignment(Plain):
    """class_id 17: one logical device."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """SAP_assignment_list."""
        name = octets(meter.identity.logical_device_name)
        return array(structure(long_unsigned(meter.server_sap), name)) if index == 2 else None


def current(meter: Meter, client: ModelClient, sap: int) -> AssociationOpened | None:
    """How the client's association was opened, where it is the one in which it asks."""
    opened = meter.current
    return opened if opened is not None and opened.client_sap == client.sap == sap else None


def _client(meter: Meter, one: ModelObject, sap: int) -> ModelClient:
    """Whose association it is: the one that the object names, else the one that asks."""
    name = one.options.get("client")
    return meter.clients[sap] if name is None else meter.kind.model.client(str(name))


def _security_setup(meter: Meter, one: ModelObject, client: ModelClient) -> bytes:
    """The logical_name of the client's security setup; six zeros where it has none."""
    named = one.options.get("security_setup")
    if named is not None:
        return obis_of(named).octets
    for other in meter.kind.model.objects.values():
        if other.class_id == _SECURITY_SETUP and keys.is_ciphering(client):
            owner = other.options.get("client")
            if owner == client.name or (owner is None and client.sap in other.clients):
                return other.obis.octets
    return bytes(6)


def _object_identifier(kind: int, arc: int) -> Data:
    arcs = (Data(tag, value) for tag, value in _DLMS_UA_ARCS)
    return structure(*arcs, *(unsigned(value) for value in (5, 8, kind, arc)))
