"""
The object model: which COSEM objects a kind of meter has, what they hold, and who may read them.

Owns the table and the rules of access; not the values, which come from functions of a `Context`.
One model serves every meter of a fleet: nothing in it belongs to a single meter.

Rule 1: an object that is not in a client's object list does not exist for it. Rule 2: attribute 1
is always the logical_name. Rule 3: what the list says may be read can be read, and nothing else.
Source: IEC 62056-6-2, class_id 15 (object_list, access_rights).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from enum import IntEnum

import attrs

from hes_protocol.axdr import NULL, Data, DataTag, array, encode, structure
from hes_protocol.cosem import Obis
from hes_protocol.server import Selection, ServerAssociation
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.energy.curves import Curve
from hes_simulators.identity import Identity


class AccessMode(IntEnum):
    """Access modes of attributes and methods in object lists of association version 1."""

    NO_ACCESS = 0
    ACCESS = 1  # of an attribute: read only
    READ_AND_WRITE = 3


@attrs.frozen
class Context:
    """Whose attribute is asked for, when, and in which association."""

    identity: Identity
    curve: Curve
    zone: tzinfo
    at: datetime
    association: ServerAssociation
    client_counters: Mapping[int, int]
    written: Mapping[tuple[Obis, int], Data] = attrs.field(factory=dict)
    """What clients have written to this meter, by logical_name and attribute_index."""


Value = Data | Callable[[Context], Data | bytes]
"""A constant, or what gives the value (bytes: encoded already) at the moment of the question."""


@attrs.frozen
class SelectiveAccess:
    """An attribute that can be read in part: by which `selectors`, and how."""

    selectors: tuple[int, ...]
    read: Callable[[Context, Selection], bytes | DataAccessResult]


@attrs.frozen
class CosemObject:
    """
    One object.

    `values` maps attribute_index (2 and above) to what can be read; `hidden` are attributes that
    the class has and nobody may read; `methods` are methods that may be invoked; `selective`
    says which attributes can be read in part; `writable` what may be written to those of `values`
    that may be written: SUCCESS, or why not. `clients` are the SAPs in whose object list it is.
    """

    class_id: int
    version: int
    obis: Obis
    values: Mapping[int, Value]
    clients: frozenset[int]
    hidden: tuple[int, ...] = ()
    methods: tuple[int, ...] = ()
    selective: Mapping[int, SelectiveAccess] = attrs.field(factory=dict)
    writable: Mapping[int, Callable[[Data], DataAccessResult]] = attrs.field(factory=dict)

    def list_entry(self) -> Data:
        """The object's element of an object list, access rights included."""
        attributes = array(
            *(
                structure(
                    Data(DataTag.INTEGER, index),
                    Data(DataTag.ENUM, mode),
                    self._selector_list(index),
                )
                for index, mode in self._modes()
            )
        )
        methods = array(
            *(
                structure(Data(DataTag.INTEGER, index), Data(DataTag.ENUM, AccessMode.ACCESS))
                for index in self.methods
            )
        )
        return structure(
            Data(DataTag.LONG_UNSIGNED, self.class_id),
            Data(DataTag.UNSIGNED, self.version),
            Data(DataTag.OCTET_STRING, self.obis.octets),
            structure(attributes, methods),
        )

    def readable(self, attribute_index: int) -> bool:
        """Whether the object's clients may read this attribute."""
        return attribute_index == 1 or attribute_index in self.values

    def _modes(self) -> list[tuple[int, AccessMode]]:
        readable = dict.fromkeys((1, *self.values), AccessMode.ACCESS)
        readable |= dict.fromkeys(self.writable, AccessMode.READ_AND_WRITE)
        return sorted((readable | dict.fromkeys(self.hidden, AccessMode.NO_ACCESS)).items())

    def _selector_list(self, index: int) -> Data:
        selective = self.selective.get(index)
        if selective is None:
            return NULL
        return array(*(Data(DataTag.INTEGER, selector) for selector in selective.selectors))


class ObjectModel:
    """
    The objects of one kind of meter, by class_id and logical_name.

    Args: objects: all of them; two with one class_id and logical_name are a mistake.
    Raises: ValueError: an object stands there twice.
    """

    def __init__(self, objects: Iterable[CosemObject]) -> None:
        self._objects: dict[tuple[int, Obis], CosemObject] = {}
        self._constants: dict[tuple[int, Obis, int], bytes] = {}
        for one in objects:
            key = (one.class_id, one.obis)
            if key in self._objects:
                raise ValueError(f"{one.class_id}/{one.obis} twice")
            self._objects[key] = one
            name = Data(DataTag.OCTET_STRING, one.obis.octets)
            for index, value in {1: name, **one.values}.items():
                if isinstance(value, Data):
                    self._constants[(*key, index)] = encode(value)
        self._classes: dict[Obis, list[CosemObject]] = {}
        for one in self._objects.values():
            self._classes.setdefault(one.obis, []).append(one)

    def find(self, class_id: int, obis: Obis, client_sap: int) -> CosemObject | DataAccessResult:
        """
        The object as a client sees it.

        Returns: the object; else OBJECT_CLASS_INCONSISTENT for a logical_name that this client
            knows under another class_id, OBJECT_UNDEFINED for one that it does not know.
        """
        found = self._objects.get((class_id, obis))
        if found is not None and client_sap in found.clients:
            return found
        if any(client_sap in other.clients for other in self._classes.get(obis, ())):
            return DataAccessResult.OBJECT_CLASS_INCONSISTENT
        return DataAccessResult.OBJECT_UNDEFINED

    def read(
        self,
        found: CosemObject,
        attribute_index: int,
        selection: Selection | None,
        context: Context,
    ) -> bytes | DataAccessResult:
        """
        Read an attribute, whole or in part.

        Returns: the encoded value; else READ_WRITE_DENIED where nobody may read it,
            OBJECT_UNDEFINED for an attribute that the class does not have here,
            SCOPE_OF_ACCESS_VIOLATED for one that can only be read whole.
        """
        if selection is not None and found.readable(attribute_index):
            selective = found.selective.get(attribute_index)
            if selective is None:
                return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
            return selective.read(context, selection)
        constant = self._constants.get((found.class_id, found.obis, attribute_index))
        if constant is not None:
            return constant
        value = found.values.get(attribute_index)
        if callable(value):
            answer = value(context)
            return answer if isinstance(answer, bytes) else encode(answer)
        if attribute_index in found.hidden:
            return DataAccessResult.READ_WRITE_DENIED
        return DataAccessResult.OBJECT_UNDEFINED

    def write(
        self, found: CosemObject, attribute_index: int, data: Data, *, whole: bool
    ) -> DataAccessResult:
        """
        Whether an attribute takes a value; the meter keeps it.

        Args: whole: not only a part of it, for which no object here has a way.
        Returns: SUCCESS; else READ_WRITE_DENIED where nobody may write, OBJECT_UNDEFINED for an
            attribute that the class does not have here, SCOPE_OF_ACCESS_VIOLATED for a part, or
            what the attribute says to the value.
        """
        check = found.writable.get(attribute_index)
        if check is None:
            if found.readable(attribute_index) or attribute_index in found.hidden:
                return DataAccessResult.READ_WRITE_DENIED
            return DataAccessResult.OBJECT_UNDEFINED
        return check(data) if whole else DataAccessResult.SCOPE_OF_ACCESS_VIOLATED

    def object_list(self, client_sap: int) -> bytes:
        """The object list that a client is shown, encoded."""
        return encode(
            array(
                *(one.list_entry() for one in self._objects.values() if client_sap in one.clients)
            )
        )
