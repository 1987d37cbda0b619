"""What a plan reads, as a JSON document (column `plan.reads`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hes.domain.work import Attribute, Read, ReadKind
from hes_protocol.cosem import Obis


def to_document(reads: Sequence[Read]) -> list[dict[str, Any]]:
    """Reads as JSON; what is not said of one is left out."""
    return [_to_entry(read) for read in reads]


def from_document(document: Sequence[dict[str, Any]]) -> tuple[Read, ...]:
    """
    Reads from what `to_document` made.

    Raises: KeyError, ValueError: it did not.
    """
    return tuple(
        Read(
            ReadKind(entry["kind"]),
            Obis.parse(entry["source"]) if "source" in entry else None,
            tuple(
                Attribute(each["class_id"], Obis.parse(each["obis"]), each["attribute_index"])
                for each in entry.get("attributes", ())
            ),
        )
        for entry in document
    )


def _to_entry(read: Read) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": read.kind.value}
    if read.source is not None:
        entry["source"] = str(read.source)
    if read.attributes:
        entry["attributes"] = [
            {
                "class_id": each.class_id,
                "obis": str(each.obis),
                "attribute_index": each.attribute_index,
            }
            for each in read.attributes
        ]
    return entry
