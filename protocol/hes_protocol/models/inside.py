"""
From a model's merged tables (`heirs.Rows`) to the values of `objects`: names resolved, all checked.

Order matters only here: clients first, since access is by their names; then objects; then what
refers to objects. `docs/how-to/add-a-meter-model.md` tells the keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from hes_protocol.axdr import BitString, Data, DataTag
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.cosem.units import COUNT, unit_code
from hes_protocol.models.associations import read_clients, read_meter
from hes_protocol.models.classes import CLASSES, OPTION_BOUNDS, ClassTable
from hes_protocol.models.heirs import Rows
from hes_protocol.models.names import EVENTS, SOURCE_TAGS
from hes_protocol.models.notation import (
    read_access,
    read_attribute_name,
    read_constant,
    read_source,
    read_tag,
)
from hes_protocol.models.objects import (
    CLASS_PROFILE,
    CLASS_PUSH_SETUP,
    CaptureOn,
    MeterTable,
    ModelAlarm,
    ModelAttribute,
    ModelClient,
    ModelEventLog,
    ModelEvents,
    ModelObject,
    ModelProfile,
    ModelPush,
    PushForm,
    Sort,
    Statistic,
    Transport,
)
from hes_protocol.models.tables import Table, shown
from hes_protocol.security.control import Protection

_DATA: Final = 1
_MAX_U32: Final = 0xFFFFFFFF
_DAY_S: Final = 86_400
_WORD_BITS: Final = 32
_MOST_ALARM_BITS: Final = 1024
_CLOCK: Final = "8/0.0.1.0.0.255"
# Classes whose value has scaler and unit beside it.
_SCALED: Final = frozenset({3, 4, 5})
_VALUE: Final = 2

Objects = dict[tuple[int, Obis], ModelObject]


@attrs.frozen
class Inside:
    """What a model's tables hold, but for quirks and push layouts."""

    meter: MeterTable | None
    clients: Mapping[int, ModelClient]
    objects: Mapping[tuple[int, Obis], ModelObject]
    events: ModelEvents
    pushes: tuple[ModelPush, ...]


def read_inside(where: str, rows: Rows) -> Inside:
    """
    Read a model's tables.

    Args: where: how errors begin.
    Raises: LocalProtocolError: what is wrong, in which table and key.
    """
    meter = None if rows.meter is None else read_meter(where, rows.meter)
    clients = read_clients(where, rows.clients)
    reader = _ObjectReader(where, {client.name: sap for sap, client in clients.items()})
    for (class_id, obis), row in rows.objects.items():
        reader.add_object(class_id, obis, row)
    logs = [reader.add_code(name, row) for name, row in rows.event_logs.items()]
    alarms = tuple(reader.add_alarm(obis, row) for obis, row in rows.alarms.items())
    for obis, row in rows.profiles.items():
        reader.add_profile(obis, row)
    for log, row in zip(logs, rows.event_logs.values(), strict=True):
        reader.add_log(log, row)
    pushes = tuple(reader.add_push(obis, row) for obis, row in rows.push_setups.items())
    reader.resolve()
    if meter is not None and not clients:
        Table(f"{where}: meter", {}).refuse("client", "a meter has at least one")
    return Inside(
        meter=meter,
        clients=clients,
        objects=reader.objects,
        events=ModelEvents({log.name: log for log in logs}, alarms),
        pushes=tuple(reader.resolved_push(push) for push in pushes),
    )


# --- objects --------------------------------------------------------------------------------------


class _ObjectReader:
    """Reads tables into `objects`; what they say of other objects is resolved at the end."""

    def __init__(self, where: str, clients: Mapping[str, int]) -> None:
        self.objects: Objects = {}
        self._where = where
        self._clients = clients
        self._captures: dict[Obis, Table] = {}
        self._pushed: dict[Obis, Table] = {}

    def add_object(self, class_id: int, obis: Obis, row: Mapping[str, Any]) -> None:
        """A table [[object]]."""
        table = Table(f"{self._where}: object {class_id}/{obis}", row)
        if class_id not in CLASSES:
            table.refuse("class_id", f"{class_id} is none of {', '.join(map(str, CLASSES))}")
        kind = {CLASS_PROFILE: "profile", CLASS_PUSH_SETUP: "push_setup"}.get(class_id)
        if kind is not None:
            table.refuse("class_id", f"a {kind} has a table of its own, [[{kind}]]")
        for key in ("class_id", "obis"):
            table.get(key)
        self._add(self._object(table, CLASSES[class_id], obis), table)

    def add_profile(self, obis: Obis, row: Mapping[str, Any]) -> None:
        """A table [[profile]]."""
        table = Table(f"{self._where}: profile {obis}", row)
        on = table.member("on", CaptureOn, CaptureOn.PERIOD)
        period_s = table.integer("period_s", 1, _MAX_U32) if on is CaptureOn.PERIOD else 0
        self._add_profile(table, obis, on, period_s, self._entries(table, on, period_s))

    def add_code(self, name: str, row: Mapping[str, Any]) -> ModelEventLog:
        """The object with the last code of a table [[event_log]], and what goes into the log."""
        table = Table(f"{self._where}: event_log {name}", row)
        code = table.obis_or_none("code")
        if code is not None:
            tag = table.read("type", read_tag, "unsigned")
            readers = table.read("access", self._access)["r"]
            attribute = ModelAttribute(index=_VALUE, source="event_code", tag=tag, read=readers)
            one = ModelObject(
                class_id=_DATA,
                version=0,
                obis=code,
                clients=readers,
                attributes={_VALUE: attribute},
                options={"log": name},
            )
            self._add(one, table)
        return ModelEventLog(
            name=name,
            obis=table.obis("obis"),
            code_obis=code,
            codes=_codes(table.table("events"), 0xFFFF),
        )

    def add_log(self, log: ModelEventLog, row: Mapping[str, Any]) -> None:
        """The profile of a table [[event_log]]."""
        capture = [_CLOCK] if log.code_obis is None else [_CLOCK, f"{_DATA}/{log.code_obis}"]
        table = Table(f"{self._where}: event_log {log.name}", {"capture": capture, **row})
        for key in ("name", "code", "type", "events"):
            table.get(key, None)
        options = {"log": log.name}
        entries = table.integer("entries", 1, _MAX_U32)
        self._add_profile(table, log.obis, CaptureOn.EVENT, 0, entries, options)

    def add_alarm(self, obis: Obis, row: Mapping[str, Any]) -> ModelAlarm:
        """A table [[alarm]]: its register, filter and descriptor."""
        table = Table(f"{self._where}: alarm {obis}", row)
        table.get("obis")
        access = table.read("access", self._access)
        filtering = access
        if "filter_access" in table:
            filtering = table.read("filter_access", self._access)
        length = table.integer("bit_string", 0, _MOST_ALARM_BITS, 0)
        last = (length or _WORD_BITS) - 1
        alarm = ModelAlarm(
            obis=obis,
            filter_obis=table.obis_or_none("filter"),
            descriptor_obis=table.obis_or_none("descriptor"),
            bits=_codes(table.table("bits"), last),
            clears=_cleared(table.table("clears"), last),
            length=length,
        )
        bits = DataTag.BIT_STRING if length else DataTag.DOUBLE_LONG_UNSIGNED
        all_bits = Data(bits, BitString.of((1 << length) - 1, length) if length else _MAX_U32)
        values = (
            (obis, access, ModelAttribute(index=_VALUE, source="alarm", tag=bits)),
            (
                alarm.descriptor_obis,
                access,
                ModelAttribute(index=_VALUE, source="alarm_descriptor", tag=bits),
            ),
            (alarm.filter_obis, filtering, ModelAttribute(index=_VALUE, constant=all_bits)),
        )
        for name, may, value in values:
            if name is not None:
                attribute = attrs.evolve(value, read=may["r"], write=may["w"])
                one = ModelObject(
                    class_id=_DATA,
                    version=0,
                    obis=name,
                    clients=may["-"],
                    attributes={_VALUE: attribute},
                    options={"alarm": str(obis), "bits": length},
                )
                self._add(one, table)
        table.done()
        return alarm

    def add_push(self, obis: Obis, row: Mapping[str, Any]) -> ModelPush:
        """A table [[push_setup]]; `resolved_push` adds its objects."""
        table = Table(f"{self._where}: push_setup {obis}", row)
        on = table.texts("on")
        for event in on:
            _known_event(table, "on", event)
        client = table.text("client")
        if client not in self._clients:
            table.refuse("client", f"there is no client {client}")
        push = ModelPush(
            obis=obis,
            name=table.text("name", ""),
            every_s=table.number("every_s", 0.1, _MAX_U32) if "every_s" in table else 0,
            offset_s=table.number("offset_s", 0, _DAY_S, 0),
            on=on,
            form=table.member("form", PushForm, PushForm.BARE),
            protection=table.member("protection", Protection, Protection.PLAIN),
            transport=table.member("transport", Transport, Transport.WRAPPER),
            client_sap=self._clients[client],
            preamble=table.read("preamble", read_constant) if "preamble" in table else None,
            window_s=table.number("window_s", 0, 0xFFFF, 0),
            confirmed=table.flag("confirmed", default=False),
            retries=table.integer("retries", 0, 255, 0),
            retry_delay_s=table.number("retry_delay_s", 0, 0xFFFF, 5),
            date_time=table.flag("date_time", default=False) if "date_time" in table else None,
            invoke_bits=table.integer("invoke_bits", 0, _MAX_U32, 0),
            numbered=table.flag("numbered", default=True),
        )
        table.get("objects", None)
        self._pushed[obis] = table
        self._add(self._object(table, CLASSES[CLASS_PUSH_SETUP], obis, ("obis",)), table)
        return push

    def resolve(self) -> None:
        """Give profiles their capture objects, now that all objects are there."""
        for obis, table in self._captures.items():
            key = (CLASS_PROFILE, obis)
            one = self.objects[key]
            assert isinstance(one, ModelProfile)
            columns = tuple(self._columns(table, "capture"))
            by = table.get("sort_by", None)
            if one.sort.by_value != (by is not None):
                table.refuse("sort_by", "goes with a sort by value, as largest")
            if by is not None and (by := self._column(table, "sort_by", by)) not in columns:
                table.refuse("sort_by", f"{by.obis} is not captured")
            self.objects[key] = attrs.evolve(one, capture_objects=columns, sort_object=by)

    def resolved_push(self, push: ModelPush) -> ModelPush:
        """The same push with its objects."""
        return attrs.evolve(push, objects=tuple(self._columns(self._pushed[push.obis], "objects")))

    # --- parts of an object -------------------------------------------------------------------

    def _add(self, one: ModelObject, table: Table) -> None:
        if one.key in self.objects:
            table.refuse("obis", f"{one.class_id}/{one.obis} stands there twice")
        self.objects[one.key] = one

    def _entries(self, table: Table, on: CaptureOn, period_s: int) -> int:
        if on is CaptureOn.READ:
            return 1
        if on is CaptureOn.PERIOD and "days" in table:
            if "entries" in table:
                table.refuse("days", "and entries exclude each other")
            return max(table.integer("days", 1, 4000) * _DAY_S // period_s, 1)
        return table.integer("entries", 1, _MAX_U32)

    def _add_profile(
        self,
        table: Table,
        obis: Obis,
        on: CaptureOn,
        period_s: int,
        entries: int,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        sort = table.member("sort", Sort, Sort.FIFO)
        table.get("sort_by", None)
        table.get("capture")
        self._captures[obis] = table
        one = self._object(table, CLASSES[CLASS_PROFILE], obis, ("obis",))
        fields = {field.name: getattr(one, field.name) for field in attrs.fields(ModelObject)}
        fields["options"] = {**one.options, **(options or {})}
        profile = ModelProfile(
            **fields, on=on, capture_period_s=period_s, entries=entries, sort=sort
        )
        self._add(profile, table)

    def _object(
        self, table: Table, kind: ClassTable, obis: Obis, known: tuple[str, ...] = ()
    ) -> ModelObject:
        """What all kinds of objects have; the last to read a table."""
        for key in known:
            table.get(key, None)
        access = table.read("access", self._access, None if self._clients else {})
        version = table.integer("version", 0, 255, kind.version)
        last = kind.last_attribute(version)
        if last is None:
            table.refuse("version", f"{version} is none of {', '.join(map(str, kind.lasts))}")
        hidden = {self._attribute_index(table, "hidden", one, last) for one in table.rows("hidden")}
        own = {
            self._attribute_index(table, "attributes", name, last): value
            for name, value in table.table("attributes").items()
        }
        attributes = {
            index: ModelAttribute(
                index=index,
                read=frozenset() if index in kind.secret | hidden else access["r"],
                write=access["w"] if index in kind.settable - hidden else frozenset(),
            )
            for index in range(2, last + 1)
        }
        attributes |= self._value(table, kind, attributes[2])
        for index, value in own.items():
            attributes[index] = self._own_attribute(table, attributes[index], value)
        read = ModelObject(
            class_id=kind.class_id,
            version=version,
            obis=obis,
            clients=access["-"].union(*(one.read | one.write for one in attributes.values())),
            attributes=attributes,
            methods=self._methods(table, kind, access["x"]),
            options=self._options(table, kind),
        )
        table.done()
        return read

    def _access(self, value: Any) -> Mapping[str, frozenset[int]]:
        if value is None:
            raise ValueError("it is missing")
        return read_access(value, self._clients)

    def _value(
        self, table: Table, kind: ClassTable, plain: ModelAttribute
    ) -> dict[int, ModelAttribute]:
        """Attribute 2 of classes that hold one, from the keys `value`, `type`, `scaler`, `unit`."""
        if kind.class_id not in (_DATA, *_SCALED):
            return {}
        given = table.get("value", None)
        if given is None and not self._clients:  # known of a real meter: no value, but its unit
            value = plain
        else:
            value = self._valued(table, "value", plain, table.get("value"))
        if "type" in table:
            value = attrs.evolve(value, tag=table.read("type", read_tag))
        if kind.class_id in _SCALED:
            unit = table.text("unit", "")
            with table.reading("unit"):
                code = unit_code(unit) if unit else COUNT.code
            scaler = table.integer("scaler", -128, 127, 0)
            value = attrs.evolve(value, scaler=scaler, unit=code)
        return {2: value, **self._beside_value(kind, value)}

    def _beside_value(self, kind: ClassTable, value: ModelAttribute) -> dict[int, ModelAttribute]:
        """The other attributes that follow from the value, for classes 4 and 5."""
        if value.source is None:
            return {}
        if kind.class_id == 4 and value.statistic is Statistic.MAXIMUM:
            return {5: attrs.evolve(
                value, index=5, statistic=Statistic.MAXIMUM_AT, tag=DataTag.OCTET_STRING, unit=None
            )}  # fmt: skip
        if kind.class_id == 5:
            return {3: attrs.evolve(value, index=3, statistic=Statistic.AVERAGE)}
        return {}

    def _valued(self, table: Table, key: str, plain: ModelAttribute, given: Any) -> ModelAttribute:
        with table.reading(key):
            source = read_source(given)
            if source is None:
                return attrs.evolve(plain, constant=read_constant(given))
        name, statistic = source
        return attrs.evolve(
            plain,
            source=name,
            statistic=statistic,
            period_s=table.integer("period_s", 1, _MAX_U32, 900),
            tag=SOURCE_TAGS.get(name, DataTag.DOUBLE_LONG_UNSIGNED),
        )

    def _own_attribute(self, table: Table, plain: ModelAttribute, given: Any) -> ModelAttribute:
        """One of `attributes`: a value, or a table of `value` and `access`."""
        if not isinstance(given, dict) or "array" in given:
            return self._valued(table, f"attributes: {plain.index}", plain, given)
        own = Table(f"{table.where}: attributes: {plain.index}", given)
        if "value" in own:
            plain = self._valued(own, "value", plain, own.get("value"))
        if "type" in own:
            plain = attrs.evolve(plain, tag=own.read("type", read_tag))
        if "access" in own:
            access = own.read("access", self._access)
            plain = attrs.evolve(plain, read=access["r"], write=access["w"])
        own.done()
        return plain

    def _methods(
        self, table: Table, kind: ClassTable, may: frozenset[int]
    ) -> dict[int, frozenset[int]]:
        given = table.get("methods", list(kind.usual) if may else [])
        if isinstance(given, dict):
            named = table.table("methods")
            return {
                self._method_index(table, name, kind): named.read(name, self._access)["x"]
                for name in named
            }
        return {self._method_index(table, one, kind): may for one in table.rows("methods") or given}

    def _options(self, table: Table, kind: ClassTable) -> dict[str, Any]:
        options = table.table("options")
        found = {}
        for name in sorted(kind.options):
            value = options.get(name, None)
            if value is not None:
                bounds = OPTION_BOUNDS.get(name)
                found[name] = options.integer(name, *bounds) if bounds else value
        options.done()
        return found

    def _attribute_index(self, table: Table, key: str, given: Any, last: int) -> int:
        return _within(table, key, given, 2, last, "attribute")

    def _method_index(self, table: Table, given: Any, kind: ClassTable) -> int:
        return _within(table, "methods", given, 1, len(kind.methods), "method")

    def _columns(self, table: Table, key: str) -> Iterator[CaptureObject]:
        """Capture objects by their short names."""
        for text in table.rows(key):
            yield self._column(table, key, text)

    def _column(self, table: Table, key: str, text: Any) -> CaptureObject:
        with table.reading(key):
            class_id, obis, index, data_index = read_attribute_name(text)
        if class_id is None:
            named = [one for one in self.objects.values() if one.obis == obis]
            if len(named) != 1:
                table.refuse(key, f"{text}: there are {len(named)} objects of that name")
            class_id = named[0].class_id
        one = self.objects.get((class_id, obis))
        if one is None:
            table.refuse(key, f"{text}: there is no such object")
        elif index != 1 and index not in one.attributes:
            table.refuse(key, f"{text}: the object has no attribute {index}")
        return CaptureObject(class_id, obis, index, data_index)


def _within(table: Table, key: str, given: Any, low: int, high: int, what: str) -> int:
    text = str(given) if type(given) in (int, str) else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and low <= int(text) <= high):
        table.refuse(key, f"{shown(given)} is no {what} of the class: it has {low} to {high}")
    return int(text)


def _codes(table: Table, highest: int) -> dict[str, int]:
    found = {}
    for event in table:
        _known_event(table, event, event)
        found[event] = table.integer(event, 0, highest)
    return found


def _cleared(table: Table, last: int) -> dict[str, tuple[int, ...]]:
    """Rows of bit numbers by event name."""
    found = {}
    for event in table:
        _known_event(table, event, event)
        bits = table.rows(event)
        if not all(type(bit) is int and 0 <= bit <= last for bit in bits):
            table.refuse(event, f"not all of them are bits 0 to {last}")
        found[event] = tuple(bits)
    return found


def _known_event(table: Table, key: str, event: str) -> None:
    if event not in EVENTS:
        table.refuse(key, f"{shown(event)} is no event, see hes_protocol.models.EVENTS")
