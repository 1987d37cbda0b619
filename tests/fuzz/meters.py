"""
Simulated meters of every family of models, fed with whatever their clients send.

The first octet chooses model and client; the second, which of the APDUs are ciphered as that client
would, and with its highest bit that nobody has associated before. APDUs follow, each behind its
length. The meter is a fresh one each time, so that a finding is one input.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.models.objects import ModelClient, ModelObject
from hes_protocol.xdlms import ActionRequestNormal, GetRequestNormal, SetRequestNormal
from hes_protocol.xdlms.descriptor import AccessSelection
from tests.attacker import FAMILIES, Attacker, clients_of, kind_of, meter_of
from tests.fuzz.machines import apdus_of, joined

_CASES: Final = tuple((name, client) for name in FAMILIES for client in clients_of(name))
_ALONE: Final = 0x80
_ALL_CIPHERED: Final = 0x3F
_MOST_SEEDS: Final = 400
_PROFILE, _BUFFER = 7, 2
_VALUES: Final = (
    Data(DataTag.INTEGER, 0),
    Data(DataTag.OCTET_STRING, bytes(12)),
    array(structure(Data(DataTag.ENUM, 0), Data(DataTag.OCTET_STRING, bytes(24)))),
    structure(Data(DataTag.DOUBLE_LONG_UNSIGNED, 0), Data(DataTag.OCTET_STRING, bytes(16))),
)


def simulated_meter(octets: bytes) -> str:
    """A meter; the octets are what somebody says who knows the keys of one of its clients."""
    if len(octets) < 3:
        return ""
    name, client = _CASES[octets[0] % len(_CASES)]
    attacker = Attacker(meter_of(name), client)
    if not octets[1] & _ALONE and not attacker.associate():
        raise AssertionError(f"{name} does not let {client.name} in")
    seen = ""
    for number, apdu in enumerate(apdus_of(octets[2:])):
        answer = attacker.tries(apdu, protected=bool(octets[1] >> number & 1))
        # The tag, and what comes after invoke_id: the result, where it is not ciphered.
        seen += "-" if answer is None else f"{answer[:1].hex()}{answer[3:5].hex()} "
    return seen


def _seeds() -> tuple[bytes, ...]:
    seeds = []
    for number, (name, client) in enumerate(_CASES):
        control = _ALL_CIPHERED if client.protection else 0
        for one in kind_of(name).model.objects.values():
            if client.sap in one.clients:
                seeds.append(joined(number, control, _requests(one, client)))
    step = max(1, len(seeds) // _MOST_SEEDS)
    return tuple(seeds[::step])


def _requests(one: ModelObject, client: ModelClient) -> list[bytes]:
    """Something of all that a client may do with an object."""
    # Whole buffers are slow, and not what breaks.
    read = [
        index
        for index, attribute in one.attributes.items()
        if client.sap in attribute.read and (one.class_id, index) != (_PROFILE, _BUFFER)
    ]
    write = [index for index, attribute in one.attributes.items() if client.sap in attribute.write]
    methods = [index for index, saps in one.methods.items() if client.sap in saps]
    value = _VALUES[one.obis.octets[4] % len(_VALUES)]
    requests = [
        GetRequestNormal(Attribute(one.class_id, one.obis, index)).encode() for index in read[:2]
    ]
    if one.class_id == _PROFILE:
        some = AccessSelection(2, structure(*(Data(DataTag.DOUBLE_LONG_UNSIGNED, 1),) * 4))
        requests.append(GetRequestNormal(Attribute(_PROFILE, one.obis, _BUFFER), some).encode())
    requests += [
        SetRequestNormal(Attribute(one.class_id, one.obis, index), None, value).encode()
        for index in write[:1]
    ]
    requests += [
        ActionRequestNormal(Method(one.class_id, one.obis, index), value).encode()
        for index in methods[:2]
    ]
    return requests


SEEDS: Final = _seeds()
