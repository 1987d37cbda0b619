"""How `hes meter` shows a meter: as a row of a list, and with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from hes.cli.output import cell, write_rows, write_table

if TYPE_CHECKING:
    from hes.meters import MeterDetail, MeterRow, PlaceRow

LIST_COLUMNS: Final = (
    "serial",
    "model",
    "transport",
    "address",
    "port",
    "timezone",
    "mechanism",
    "state",
    "commissioned_at",
    "last_session_at",
    "last_outcome",
    "last_cause",
    "last_reading_at",
    "system_title",
    "recognised_model",
    "segment",
    "meter_id",
)
_ASSOCIATION_COLUMNS: Final = (
    "client_sap",
    "server_sap",
    "role",
    "transport",
    "counter_object",
    "mechanism",
    "suite",
    "policy",
    "has_secret",
    "has_ek",
    "has_ak",
    "secret_version",
    "ek_version",
    "ak_version",
    "accepted_counter",
    "reserved_to",
)
_PROFILE_COLUMNS: Final = ("obis", "capture_period_s", "columns")
_PLACE_COLUMNS: Final = (
    "usage_point",
    "measures",
    "site",
    "transformer",
    "feeder",
    "since",
    "until",
    "ct_ratio",
    "vt_ratio",
)
_SESSION_COLUMNS: Final = ("ended_at", "inbound", "phase", "outcome", "cause", "clock_drift_s")


_LIFE_COLUMNS: Final = ("state", "since", "reason", "actor", "recorded_at")
_ATTACHMENT_COLUMNS: Final = ("parent", "channel", "child", "since", "until")
_EXCHANGE_COLUMNS: Final = ("at", "usage_point", "old", "new", "reason", "actor")


def list_row(row: MeterRow) -> dict[str, object]:
    """A meter as a row of a list."""
    from hes.meters.association_rows import MECHANISM_NAMES

    fields = attrs.asdict(row, recurse=False)
    fields["mechanism"] = None if row.mechanism is None else MECHANISM_NAMES[row.mechanism]
    return {column: fields[column] for column in LIST_COLUMNS}


def detail_document(detail: MeterDetail) -> dict[str, Any]:
    """All that is known of a meter, as one document."""
    from hes.meters.association_rows import MECHANISM_NAMES

    return {
        **list_row(detail.row),
        "created_at": detail.created_at,
        "peer": detail.peer,
        "id_object": None if detail.id_object is None else str(detail.id_object),
        "id_value": detail.id_value,
        "due": None if detail.due is None else attrs.asdict(detail.due),
        "associations": [
            {
                **attrs.asdict(association, recurse=False),
                "mechanism": MECHANISM_NAMES[association.mechanism],
                "policy": association.policy.name.lower(),
                "counter_object": association.counter_object and str(association.counter_object),
            }
            for association in detail.associations
        ],
        "knowledge": None
        if detail.knowledge is None
        else {
            "learnt_at": detail.knowledge.learnt_at,
            "device_name": detail.knowledge.device_name,
            "objects": detail.knowledge.objects,
            "profiles": [
                {
                    "obis": str(profile.obis),
                    "capture_period_s": profile.capture_period_s,
                    "columns": len(profile.columns),
                }
                for profile in detail.knowledge.profiles
            ],
        },
        "groups": list(detail.groups),
        "tags": list(detail.tags),
        "life": [attrs.asdict(step) for step in detail.life],
        "attachments": [attrs.asdict(each) for each in detail.attachments],
        "exchanges": [attrs.asdict(each) for each in detail.exchanges],
        "places": [_place_row(place) for place in detail.places],
        "sessions": [attrs.asdict(session, recurse=False) for session in detail.sessions],
    }


def _place_row(place: PlaceRow) -> dict[str, object]:
    fields = attrs.asdict(place, recurse=False)
    fields["ct_ratio"], fields["vt_ratio"] = str(fields.pop("ct")), str(fields.pop("vt"))
    return fields


def write_detail(document: dict[str, Any]) -> None:
    """Print a meter for a person: its fields, then a table for each list."""
    fields = dict(document)
    associations, sessions = fields.pop("associations"), fields.pop("sessions")
    knowledge, due = fields.pop("knowledge"), fields.pop("due")
    places = fields.pop("places")
    life, attachments = fields.pop("life"), fields.pop("attachments")
    exchanges = fields.pop("exchanges")
    for words in ("groups", "tags"):
        fields[words] = ", ".join(fields[words])
    if due is not None:
        fields["due_at"], fields["failures"] = due["due_at"], due["failures"]
        fields["leased_until"] = due["leased_until"]
    if knowledge is not None:
        fields["learnt_at"], fields["objects"] = knowledge["learnt_at"], knowledge["objects"]
        fields["device_name"] = knowledge["device_name"]
    write_table([[name.replace("_", " "), cell(value)] for name, value in fields.items()])
    sections: list[tuple[str, list[dict[str, object]], Sequence[str]]] = [
        ("life", life, _LIFE_COLUMNS),
        ("places", places, _PLACE_COLUMNS),
        ("exchanges", exchanges, _EXCHANGE_COLUMNS),
        ("M-Bus", attachments, _ATTACHMENT_COLUMNS),
        ("associations", associations, _ASSOCIATION_COLUMNS),
        ("profiles", knowledge["profiles"] if knowledge else [], _PROFILE_COLUMNS),
        ("sessions", sessions, _SESSION_COLUMNS),
    ]
    for name, rows, columns in sections:
        if rows:
            click.echo(f"\n{name}:")
            write_rows(rows, columns, "table")
