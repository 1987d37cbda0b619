"""
Inheritance of model files: what an heir's tables change in its parent's, before they are read.

Rule 1: [meter] and each [client.NAME] are changed key by key. Rule 2: an object has its identity
in (class_id, obis), a profile, a push setup and an alarm in their obis, an event log in its name;
one that the parent has is changed key by key, `events`, `bits`, `options` and `attributes` within
it, too; with `remove = true` it is gone, with `replace = true` nothing of it stays. Rule 3: the
order is the parent's, then what is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from hes_protocol.cosem import Obis
from hes_protocol.models.tables import Table

# Tables within a table that are changed key by key, not replaced.
_WITHIN: Final = ("attributes", "bits", "events", "options")
_MOST_OBJECTS: Final = 5000

Tables = Mapping[Any, Mapping[str, Any]]


@attrs.frozen
class Rows:
    """The tables of one model and of all that it inherits from, by their identity; not read yet."""

    meter: Mapping[str, Any] | None = None
    clients: Tables = attrs.field(factory=dict)
    objects: Tables = attrs.field(factory=dict)
    profiles: Tables = attrs.field(factory=dict)
    event_logs: Tables = attrs.field(factory=dict)
    alarms: Tables = attrs.field(factory=dict)
    push_setups: Tables = attrs.field(factory=dict)


def merged(document: Table, parent: Rows) -> Rows:
    """
    A model's own tables over its parent's.

    Raises: LocalProtocolError: a table without identity, two of one, or one to remove that is not
        there or says something else as well.
    """
    where = document.where
    meter = dict(document.table("meter").items()) if "meter" in document else None
    clients = {
        name: dict(Table(f"{where}: client {name}", table).items())
        for name, table in document.table("client").items()
    }
    return Rows(
        meter=parent.meter if meter is None else {**(parent.meter or {}), **meter},
        clients=_over(parent.clients, clients, f"{where}: client"),
        objects=_over(parent.objects, _objects(document), f"{where}: object", "class_id", "obis"),
        profiles=_over(parent.profiles, _named(document, "profile"), f"{where}: profile", "obis"),
        event_logs=_over(
            parent.event_logs, _named(document, "event_log", "name"), f"{where}: event_log", "name"
        ),
        alarms=_over(parent.alarms, _named(document, "alarm"), f"{where}: alarm", "obis"),
        push_setups=_over(
            parent.push_setups, _named(document, "push_setup"), f"{where}: push_setup", "obis"
        ),
    )


def _over(old: Tables, new: Tables, where: str, *identity: str) -> Tables:
    found = {key: dict(table) for key, table in old.items()}
    for key, changes in new.items():
        table = Table(f"{where} {_shown(key)}", changes)
        if table.flag("remove", default=False):
            others = changes.keys() - {"remove", *identity}
            if others:
                table.refuse("remove", f"nothing stays, and yet there is {min(others)}")
            if found.pop(key, None) is None:
                table.refuse("remove", "there is none in what this model inherits")
            continue
        old_row = {} if table.flag("replace", default=False) else found.get(key, {})
        found[key] = _changed(old_row, changes)
        for word in ("remove", "replace"):
            found[key].pop(word, None)
    return found


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    within = {
        key: {**old[key], **new[key]}
        for key in _WITHIN
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict)
    }
    return {**old, **new, **within}


def _named(document: Table, kind: str, by: str = "obis") -> Tables:
    found: dict[Any, Mapping[str, Any]] = {}
    for number, row in enumerate(document.rows(kind), 1):
        table = Table(f"{document.where}: {kind} number {number}", row)
        key = table.obis(by) if by == "obis" else table.text(by)
        if key in found:
            table.refuse(by, f"{key} stands there twice")
        found[key] = row
    return found


def _objects(document: Table) -> Tables:
    """
    Objects one by one: a table [[object]] is one by its `obis`, or many by its `list`, each with
    the keys of the table and those of its own; a text in the list is a `value`.
    """
    found: dict[tuple[int, Obis], Mapping[str, Any]] = {}
    for number, row in enumerate(document.rows("object"), 1):
        table = Table(f"{document.where}: object number {number}", row)
        class_id = table.integer("class_id", 1, 0xFFFF)
        shared = {key: value for key, value in table.items() if key != "list"}
        if "list" not in table:
            entries: dict[str, dict[str, Any]] = {table.text("obis"): {}}
        elif "obis" in table:
            table.refuse("list", "and obis exclude each other")
        else:
            entries = {
                name: {"value": one}
                if isinstance(one, (str, list))
                else dict(Table(f"{table.where}: list: {name}", one).items())
                for name, one in table.table("list").items()
            }
        for name, own in entries.items():
            with table.reading("obis" if "obis" in table else "list"):
                obis = Obis.parse(name)
            if (class_id, obis) in found:
                table.refuse("obis", f"{class_id}/{obis} stands there twice")
            if len(found) >= _MOST_OBJECTS:
                table.refuse("list", f"more than {_MOST_OBJECTS} objects")
            found[class_id, obis] = {**_changed(shared, own), "obis": name}
    return found


def _shown(key: Any) -> str:
    return f"{key[0]}/{key[1]}" if isinstance(key, tuple) else str(key)
