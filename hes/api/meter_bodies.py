"""What is asked for over the wire when meters are changed."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hes.api.bodies import Body
from hes.api.meter_schemas import RoleName, StateName, Time

OnExistingName = Literal["keep", "replace", "error"]

Serial = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Names = Annotated[list[Name], Meta(max_length=100)]
Ids = Annotated[list[UUID], Meta(max_length=1_000)]
Sap = Annotated[int, Meta(ge=1, le=65535)]
Channel = Annotated[int, Meta(ge=1, le=64)]
Why = Annotated[str, Meta(min_length=1, max_length=500, description="Kept with what is done.")]
Secret = Annotated[
    str, Meta(max_length=512, description="Octets in hex. Wrapped at once, never returned.")
]
Registers = Annotated[
    dict[str, str], Meta(max_length=100, description="From OBIS code to the value, a decimal.")
]

# Checked by the rules for rows of meter files, which say more than a schema can.
Text = str | None | UnsetType
Whole = int | None | UnsetType


class AssociationIn(Body, frozen=True, kw_only=True):
    """How a client of ours talks to a meter."""

    server_sap: Whole = UNSET
    mechanism: Annotated[
        str | UnsetType, Meta(description="none, lls, md5, sha1, gmac, sha256, ecdsa")
    ] = UNSET
    suite: Whole = UNSET
    role: RoleName | UnsetType = UNSET
    transport: Literal["wrapper", "hdlc"] | UnsetType | None = UNSET
    counter_object: Text = UNSET
    secret: Secret | UnsetType | None = UNSET
    ek: Secret | UnsetType | None = UNSET
    ak: Secret | UnsetType | None = UNSET


class ClientAssociationIn(AssociationIn, frozen=True, kw_only=True):
    """The same among others, with its client."""

    client_sap: Sap


class MeterPatch(Body, frozen=True, kw_only=True):
    """Fields of a meter; those that are left out stay, null takes one away."""

    system_title: Text = UNSET
    timezone: str | UnsetType = UNSET
    transport: Literal["wrapper", "hdlc"] | UnsetType = UNSET
    address: Text = UNSET
    port: Whole = UNSET
    model: Text = UNSET
    id_object: Text = UNSET
    peer: Text = UNSET
    commissioned_at: str | UnsetType = UNSET
    segment: Text = UNSET
    tags: Names | UnsetType | None = UNSET
    group: Names | UnsetType | None = UNSET
    site: Text = UNSET
    site_address: Text = UNSET
    usage_point: Text = UNSET
    measures: Text = UNSET
    transformer: Text = UNSET
    feeder: Text = UNSET
    installed_at: Text = UNSET
    ct_ratio: Text = UNSET
    vt_ratio: Text = UNSET


class _OfNew(MeterPatch, frozen=True, kw_only=True):
    client_sap: Whole = UNSET
    server_sap: Whole = UNSET
    mechanism: str | UnsetType = UNSET
    suite: Whole = UNSET
    role: RoleName | UnsetType = UNSET
    counter_object: Text = UNSET
    secret: Secret | UnsetType | None = UNSET
    ek: Secret | UnsetType | None = UNSET
    ak: Secret | UnsetType | None = UNSET
    associations: list[ClientAssociationIn] | UnsetType = UNSET


class MeterIn(_OfNew, frozen=True, kw_only=True):
    """A new meter: a row of a meter file (docs/reference/meter-file.md)."""

    serial: Serial
    timezone: str
    state: Literal["discovered", "commissioned", "in_service"] | UnsetType = UNSET
    parent: Text = UNSET
    channel: Whole = UNSET


class NewMeterIn(_OfNew, frozen=True, kw_only=True):
    """The meter that comes; of one that is in the inventory already the serial is enough."""

    serial: Serial


class StateIn(Body, frozen=True, kw_only=True):
    """A step in a meter's life. `since`: when it holds from, null for now."""

    state: StateName
    reason: Why
    since: Time | None = None


class ExchangeIn(Body, frozen=True, kw_only=True):
    """One meter instead of another one since `at`, and what their registers showed then."""

    meter: NewMeterIn
    at: Time
    reason: Why
    last_registers: Registers = msgspec.field(default_factory=dict)
    first_registers: Registers = msgspec.field(default_factory=dict)


class TagsIn(Body, frozen=True, kw_only=True):
    """All tags of a meter."""

    tags: Names


class GroupsIn(Body, frozen=True, kw_only=True):
    """All groups of a meter."""

    groups: Names


class ChildIn(Body, frozen=True, kw_only=True):
    """Which meter hangs at a channel. `since` null: since now, if the channel is free."""

    child: UUID
    since: Time | None = None


class MembersIn(Body, frozen=True, kw_only=True):
    """Meters to be put in a group and to be taken out of it."""

    add: Ids = msgspec.field(default_factory=list)
    remove: Ids = msgspec.field(default_factory=list)


def fields_of(body: msgspec.Struct) -> dict[str, Any]:
    """What a body says, without what it leaves out."""
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    return {
        name: [fields_of(each) for each in value] if name == "associations" else value
        for name, value in given.items()
        if value is not UNSET
    }
