"""What was learnt of a meter, as JSON in one row: read whole, written whole, never searched."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import attrs
import psycopg
from psycopg.types.json import Jsonb

from hes.domain.errors import UnknownMeterError
from hes.domain.meters import (
    CaptureColumn,
    LinkKnowledge,
    MeterKnowledge,
    ObjectEntry,
    ProfileAccess,
    ProfileKnowledge,
    Scale,
)
from hes.domain.work import Attribute
from hes.storage.database import Database
from hes.storage.system_titles import pin_system_title
from hes_protocol.cosem import Obis

# Raised whenever the meaning of the document changes: what an older version has learnt is then
# learnt anew, at the price of one longer session per meter.
_VERSION: Final = 3


class KnowledgeStore:
    """`KnowledgePort` on PostgreSQL. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, meter_id: UUID) -> MeterKnowledge | None:
        """
        What is known, None if the meter was never explored (by this version of the code).

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT knowledge FROM meter_knowledge WHERE meter_id = %s", (meter_id,)
            ).fetchone()
        return None if row is None else from_document(row[0])

    def load_many(self, meter_ids: Collection[UUID]) -> Mapping[UUID, MeterKnowledge]:
        """
        What is known of many meters; those are missing of which `load` knows nothing.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT meter_id, (knowledge - 'device_name')::text, knowledge->>'device_name'"
                " FROM meter_knowledge WHERE meter_id = ANY(%s)",
                (list(meter_ids),),
            ).fetchall()
        return {
            meter_id: attrs.evolve(knowledge, device_name=device_name)
            for meter_id, text, device_name in rows
            if (knowledge := _of_kind(text)) is not None
        }

    def save(self, meter_id: UUID, knowledge: MeterKnowledge) -> None:
        """
        Keep it, in place of what was known before, and what model the meter was taken for.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        try:
            with self._database.connection() as connection:
                connection.execute(
                    "INSERT INTO meter_knowledge (meter_id, knowledge) VALUES (%s, %s)"
                    " ON CONFLICT (meter_id) DO UPDATE"
                    " SET knowledge = excluded.knowledge, learnt_at = excluded.learnt_at",
                    (meter_id, Jsonb(to_document(knowledge))),
                )
                connection.execute(
                    "UPDATE meter SET recognised_model = %(model)s"
                    " WHERE meter_id = %(meter)s AND recognised_model IS DISTINCT FROM %(model)s",
                    {"meter": meter_id, "model": knowledge.model},
                )
        except psycopg.errors.ForeignKeyViolation as exc:
            raise UnknownMeterError(f"no meter {meter_id}") from exc

    def pin_system_title(self, meter_id: UUID, system_title: bytes) -> bool:
        """
        Keep a system title that was seen, if the meter has none yet and nobody else has it.

        Returns:
            Whether it is (now) this meter's.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return pin_system_title(connection, meter_id, system_title)


@lru_cache(maxsize=1024)
def _of_kind(text: str) -> MeterKnowledge | None:
    """A document without the meter's own name: meters of one kind share it, and are many."""
    return from_document(json.loads(text))


def to_document(knowledge: MeterKnowledge) -> Mapping[str, Any]:
    """The JSON form: logical names dotted, an object or column as a short list."""
    return {
        "version": _VERSION,
        "objects": [
            [entry.class_id, entry.version, str(entry.obis)] for entry in knowledge.objects
        ],
        "profiles": [
            {
                "obis": str(profile.obis),
                "capture_period_s": profile.capture_period_s,
                "access": profile.access,
                "refused": profile.refused,
                "newest_first": profile.newest_first,
                "entries": profile.entries,
                "columns": [
                    [
                        column.class_id,
                        str(column.obis),
                        column.attribute_index,
                        column.data_index,
                        column.scaler,
                        column.unit,
                    ]
                    for column in profile.columns
                ],
            }
            for profile in knowledge.profiles
        ],
        "scales": [
            [
                scale.attribute.class_id,
                str(scale.attribute.obis),
                scale.attribute.attribute_index,
                scale.scaler,
                scale.unit,
                scale.refused,
            ]
            for scale in knowledge.scales
        ],
        "link": attrs.asdict(knowledge.link),
        "device_name": knowledge.device_name,
        "model": knowledge.model,
    }


def from_document(document: Mapping[str, Any]) -> MeterKnowledge | None:
    """The reverse of `to_document`; None for a document of another version."""
    if document.get("version") != _VERSION:
        return None
    return MeterKnowledge(
        objects=tuple(
            ObjectEntry(class_id, version, Obis.parse(obis))
            for class_id, version, obis in document["objects"]
        ),
        profiles=tuple(
            ProfileKnowledge(
                obis=Obis.parse(profile["obis"]),
                capture_period_s=profile["capture_period_s"],
                columns=tuple(
                    CaptureColumn(class_id, Obis.parse(obis), *numbers)
                    for class_id, obis, *numbers in profile["columns"]
                ),
                access=ProfileAccess(profile["access"]) if profile.get("access") else None,
                newest_first=profile["newest_first"],
                entries=profile["entries"],
                refused=profile.get("refused"),
            )
            for profile in document["profiles"]
        ),
        scales=tuple(
            Scale(Attribute(class_id, Obis.parse(obis), index), *rest)
            for class_id, obis, index, *rest in document["scales"]
        ),
        link=_link(document["link"]),
        device_name=document.get("device_name"),
        model=document.get("model"),
    )


def _link(document: Mapping[str, Any]) -> LinkKnowledge:
    hdlc = document.get("hdlc")
    return LinkKnowledge(**{**document, "hdlc": None if hdlc is None else tuple(hdlc)})
