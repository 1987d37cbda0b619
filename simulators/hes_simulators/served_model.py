"""
The objects of a model as its meters serve them: who sees which, lists of objects, constants.

Owns the rules of access, and what is the same in every meter of a model, encoded once. Does not own
values, see `classes`.

Rule 1: an object that is not in a client's object list does not exist for it. Rule 2: attribute 1
is always the logical_name. Rule 3: what the list says may be read can be read, and nothing else.
Source: IEC 62056-6-2, class_id 15 (object_list, access_rights).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from functools import cached_property
from typing import Final

import attrs

from hes_protocol.axdr import NULL, Data, DataTag, array, encode, structure
from hes_protocol.cosem import Obis
from hes_protocol.models import Model
from hes_protocol.models.objects import ModelClient, ModelObject, ModelProfile
from hes_protocol.quirks import Quirks
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.classes import CLASSES, LivingClass
from hes_simulators.keys import main_client
from hes_simulators.selection import selectors

COUNTER: Final = Obis.parse("0.0.43.1.0.255")
_CLASS_ASSOCIATION: Final = 15
_CLASS_MBUS_CLIENT: Final = 72
_BUFFER: Final = 2
# From this version of class_id 15 on access modes are bits, before they are numbers.
_MODES_ARE_BITS: Final = 3


class Access(IntFlag):
    """Access modes of association version 3; READ and WRITE alone are also those before."""

    NONE = 0
    READ = 1
    WRITE = 2
    AUTHENTICATED_REQUEST = 4
    ENCRYPTED_REQUEST = 8
    AUTHENTICATED_RESPONSE = 32
    ENCRYPTED_RESPONSE = 64


class ServedModel:
    """
    What all meters of one model serve.

    Args: model: with a table [meter]. quirks: what they do otherwise than the standard.
    """

    def __init__(self, model: Model, quirks: Quirks) -> None:
        self.model = attrs.evolve(model, objects=dict(_placed(model, quirks)))
        self._selectors = selectors(quirks)
        self._classes: dict[Obis, list[int]] = {}
        self._lists: dict[tuple[int, int], bytes] = {}
        self._constants: dict[tuple[int, Obis, int], bytes] = {}
        for class_id, obis in self.model.objects:
            self._classes.setdefault(obis, []).append(class_id)

    @cached_property
    def told(self) -> frozenset[str]:
        """Names of events that the model's meters tell in any way: a log, an alarm, a push."""
        events, pushes = self.model.events, self.model.pushes
        logged = (name for log in events.logs.values() for name in log.codes)
        alarmed = (name for alarm in events.alarms for name in alarm.bits)
        return frozenset((*logged, *alarmed, *(name for push in pushes for name in push.on)))

    @cached_property
    def mbus_clients(self) -> dict[int, ModelObject]:
        """M-Bus client objects by channel."""
        found = (one for one in self.model.objects.values() if one.class_id == _CLASS_MBUS_CLIENT)
        return {int(one.options.get("channel", one.obis.octets[1])): one for one in found}

    @cached_property
    def living(self) -> tuple[tuple[ModelObject, LivingClass], ...]:
        """Objects that do something by themselves, with their class."""
        found: list[tuple[ModelObject, LivingClass]] = []
        for one in self.model.objects.values():
            known: object = CLASSES.get(one.class_id)
            if isinstance(known, LivingClass):
                found.append((one, known))
        return tuple(found)

    def find(self, class_id: int, obis: Obis, client_sap: int) -> ModelObject | DataAccessResult:
        """
        The object as a client sees it.

        Returns: OBJECT_UNDEFINED where it does not exist for this client, OBJECT_CLASS_INCONSISTENT
            where only another class has that logical_name.
        """
        found = self.model.objects.get((class_id, obis))
        if found is not None and client_sap in found.clients:
            return found
        others = (self.model.objects[other, obis] for other in self._classes.get(obis, ()))
        if found is None and any(client_sap in other.clients for other in others):
            return DataAccessResult.OBJECT_CLASS_INCONSISTENT
        return DataAccessResult.OBJECT_UNDEFINED

    def constant(self, one: ModelObject, index: int, data: Data) -> bytes:
        """A value that all meters of the model share, encoded once."""
        key = (one.class_id, one.obis, index)
        known = self._constants.get(key)
        if known is None:
            known = self._constants[key] = encode(data)
        return known

    def visible(self, client_sap: int) -> Iterable[ModelObject]:
        """The objects of a client's object list."""
        return (one for one in self.model.objects.values() if client_sap in one.clients)

    def object_list(self, client: ModelClient, version: int) -> bytes:
        """The object list that a client is shown by an association of that version, encoded."""
        key = (client.sap, version)
        known = self._lists.get(key)
        if known is None:
            entries = (self._entry(one, client, version) for one in self.visible(client.sap))
            known = self._lists[key] = encode(array(*entries))
        return known

    def access_rights(self, one: ModelObject, client: ModelClient, version: int) -> Data:
        """What a client may do with an object, as in its object list."""
        modes = {1: Access.READ} | {
            index: (Access.READ if client.sap in attribute.read else Access.NONE)
            | (Access.WRITE if client.sap in attribute.write else Access.NONE)
            for index, attribute in one.attributes.items()
        }
        attributes = array(
            *(
                structure(
                    Data(DataTag.INTEGER, index),
                    Data(DataTag.ENUM, _mode(mode, client, version)),
                    self._selector_list(one, index),
                )
                for index, mode in sorted(modes.items())
            )
        )
        methods = array(
            *(
                structure(Data(DataTag.INTEGER, index), _method_mode(client, version))
                for index, saps in sorted(one.methods.items())
                if client.sap in saps
            )
        )
        return structure(attributes, methods)

    def _entry(self, one: ModelObject, client: ModelClient, version: int) -> Data:
        return structure(
            Data(DataTag.LONG_UNSIGNED, one.class_id),
            Data(DataTag.UNSIGNED, one.version),
            Data(DataTag.OCTET_STRING, one.obis.octets),
            self.access_rights(one, client, version),
        )

    def _selector_list(self, one: ModelObject, index: int) -> Data:
        if not isinstance(one, ModelProfile) or index != _BUFFER:
            return NULL
        return array(*(Data(DataTag.INTEGER, selector) for selector in self._selectors))


def _mode(mode: Access, client: ModelClient, version: int) -> int:
    if version < _MODES_ARE_BITS or not mode:
        return int(mode)
    return int(mode | _protected(client))


def _method_mode(client: ModelClient, version: int) -> Data:
    if version == 0:
        return Data(DataTag.BOOLEAN, True)
    if version < _MODES_ARE_BITS:
        return Data(DataTag.ENUM, 1)
    return Data(DataTag.ENUM, int(Access.READ | _protected(client)))


def _protected(client: ModelClient) -> Access:
    """The protection that a client's association asks for of every APDU, in both directions."""
    found = Access.NONE
    if client.protection.authenticated:
        found |= Access.AUTHENTICATED_REQUEST | Access.AUTHENTICATED_RESPONSE
    if client.protection.encrypted:
        found |= Access.ENCRYPTED_REQUEST | Access.ENCRYPTED_RESPONSE
    return found


def _placed(model: Model, quirks: Quirks) -> Iterable[tuple[tuple[int, Obis], ModelObject]]:
    """The objects, with the client's counter where a quirk has it."""
    for (class_id, obis), one in model.objects.items():
        elsewhere = _counter_obis(model, quirks) if (class_id, obis) == (1, COUNTER) else None
        if elsewhere is None or (1, elsewhere) in model.objects:
            yield (class_id, obis), one
        else:
            yield (1, elsewhere), attrs.evolve(one, obis=elsewhere)


def _counter_obis(model: Model, quirks: Quirks) -> Obis | None:
    return quirks.counter_object.get(main_client(model.clients.values()).sap)
