"""
What goes over the wire, and nothing else: the domain's types are not serialisable by themselves.

Every list is `{items, next_cursor, has_more, total_estimate}`. Field names keep their meaning for
good; new ones may be added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal
from uuid import UUID

import attrs
from msgspec import Meta

from hes.api.meter_schemas import Attachment, Exchange, LifeStep, Place, RoleName, StateName
from hes.api.meter_schemas import Time as Time
from hes.domain.meters import Mechanism, Policy
from hes.domain.quality import Quality

Octets = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$", description="octets in hex")]
ObisText = Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){5}$", description="OBIS code, dotted")]
Limit = Annotated[int, Meta(ge=1, le=1000, description="How many items at most.")]
Cursor = Annotated[
    str, Meta(min_length=1, max_length=512, description="`next_cursor` of the page before.")
]
ChannelId = Annotated[int, Meta(ge=1, le=2**31 - 1)]
IntervalName = Literal["hour", "day", "month"]
EntryState = Literal["open", "replayed", "dropped"]
EntryId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Reason = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]
Zone = Annotated[
    str,
    Meta(min_length=1, max_length=64, description="IANA name, such as Europe/Berlin."),
]
Search = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Part of the serial, the address or the system title in hex; any case.",
    ),
]

NameWanted = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]

Outcome = Literal["ok", "transport", "application", "security", "storage"]
Phase = Literal["connect", "associate", "request", "store", "release", "done"]
MechanismName = Literal[
    "none", "lls", "hls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256", "hls-ecdsa"
]
PolicyName = Literal["plain", "authenticated", "encrypted", "authenticated-encrypted"]
QualityFlag = Literal[
    "unauthenticated",
    "time_of_receipt",
    "clock_invalid",
    "clock_doubtful",
    "time_ambiguous",
    "clock_inferred",
    "time_nonexistent",
    "missing",
    "off_grid",
    "clock_adjusted",
    "power_failed",
]

MECHANISMS: Final[Mapping[Mechanism, MechanismName]] = {
    Mechanism.NONE: "none",
    Mechanism.LLS: "lls",
    Mechanism.HLS: "hls",
    Mechanism.HLS_MD5: "hls-md5",
    Mechanism.HLS_SHA1: "hls-sha1",
    Mechanism.HLS_GMAC: "hls-gmac",
    Mechanism.HLS_SHA256: "hls-sha256",
    Mechanism.HLS_ECDSA: "hls-ecdsa",
}
POLICIES: Final[Mapping[Policy, PolicyName]] = {
    Policy.PLAIN: "plain",
    Policy.AUTHENTICATED: "authenticated",
    Policy.ENCRYPTED: "encrypted",
    Policy.AUTHENTICATED_ENCRYPTED: "authenticated-encrypted",
}
QUALITY_FLAGS: Final[Mapping[Quality, QualityFlag]] = {
    Quality.UNAUTHENTICATED: "unauthenticated",
    Quality.TIME_OF_RECEIPT: "time_of_receipt",
    Quality.CLOCK_INVALID: "clock_invalid",
    Quality.CLOCK_DOUBTFUL: "clock_doubtful",
    Quality.TIME_AMBIGUOUS: "time_ambiguous",
    Quality.CLOCK_INFERRED: "clock_inferred",
    Quality.TIME_NONEXISTENT: "time_nonexistent",
    Quality.MISSING: "missing",
    Quality.OFF_GRID: "off_grid",
    Quality.CLOCK_ADJUSTED: "clock_adjusted",
    Quality.POWER_FAILED: "power_failed",
}


@attrs.frozen
class LastSession:
    """How the last session with a meter ended; `cause` is a code, null if nothing failed."""

    ended_at: Time
    outcome: Outcome
    cause: str | None


@attrs.frozen
class MeterSummary:
    """A meter in a list. `address` and `port` are null for meters that only push."""

    id: UUID
    serial: str
    system_title: Octets | None
    model: str | None
    transport: Literal["wrapper", "hdlc"]
    address: str | None
    port: int | None
    timezone: Annotated[str, Meta(description="IANA name; the meter's civil time.")]
    state: StateName
    commissioned_at: Time
    recognised_model: Annotated[
        str | None, Meta(description="What it was taken for; `model`, where said, stands above it.")
    ]
    segment: Annotated[
        str | None, Meta(description="The part of the network whose limits it shares.")
    ]
    mechanism: MechanismName | None
    last_session: LastSession | None
    last_reading_at: Annotated[
        Time | None, Meta(description="Up to when readings of a profile are stored.")
    ]


@attrs.frozen
class MeterList:
    """A page of meters in the order of their serials."""

    items: Sequence[MeterSummary]
    next_cursor: str | None
    has_more: bool
    total_estimate: int


@attrs.frozen
class AssociationInfo:
    """How one client of ours talks to the meter; of its secrets, only which are kept."""

    client_sap: int
    server_sap: int
    mechanism: MechanismName
    suite: int
    policy: Annotated[PolicyName, Meta(description="The least protection that is accepted.")]
    role: RoleName
    transport: Annotated[
        Literal["wrapper", "hdlc"] | None, Meta(description="Null: as its meter says.")
    ]
    counter_object: Annotated[
        ObisText | None, Meta(description="Where its counter is learnt; null: as the model says.")
    ]
    has_secret: bool
    has_encryption_key: bool
    has_authentication_key: bool
    secret_version: int
    encryption_key_version: int
    authentication_key_version: int


@attrs.frozen
class Session:
    """One finished session. `phase` is where it was when it ended."""

    id: UUID
    inbound: bool
    started_at: Time
    ended_at: Time
    phase: Phase
    outcome: Outcome
    cause: str | None
    octets_in: int
    octets_out: int
    clock_drift_s: float | None


@attrs.frozen
class NextRead:
    """When the meter is read next; `reading` while a collector talks to it."""

    due_at: Time
    failed_attempts: int
    reading: bool


@attrs.frozen
class Meter:
    """One meter with its associations and last sessions, latest first."""

    id: UUID
    serial: str
    system_title: Octets | None
    model: str | None
    transport: Literal["wrapper", "hdlc"]
    address: str | None
    port: int | None
    timezone: str
    state: StateName
    commissioned_at: Time
    recognised_model: str | None
    segment: str | None
    created_at: Time
    peer: Annotated[str | None, Meta(description="The line by which a push is known.")]
    id_object: ObisText | None
    id_value: str | None
    last_reading_at: Time | None
    associations: Sequence[AssociationInfo]
    next_read: NextRead | None
    objects: Annotated[int | None, Meta(description="Objects learnt; null before the first.")]
    device_name: Annotated[str | None, Meta(description="The logical device name, as learnt.")]
    sessions: Sequence[Session]
    groups: Sequence[str]
    tags: Sequence[str]
    life: Annotated[Sequence[LifeStep], Meta(description="Its last steps.")]
    places: Sequence[Place]
    attachments: Annotated[
        Sequence[Attachment], Meta(description="M-Bus: its children and parents, now and before.")
    ]
    exchanges: Sequence[Exchange]


@attrs.frozen
class Channel:
    """
    What a meter measures, as people address it.

    `source` is the profile it is read from (null: spot reads and pushes), `capture_period_s` is 0
    where there is none. `unit` and `scaler` are those of the channel's latest series. `stamped_at`
    tells which end of its period a value's `captured_at` names.
    """

    id: ChannelId
    obis: ObisText
    class_id: int
    attribute_index: int
    data_index: int
    source: ObisText | None
    capture_period_s: int
    kind: Literal["instantaneous", "cumulative", "average", "delta", "status"]
    stamped_at: Literal["end", "start"]
    store: Literal["integer", "float", "text"]
    unit: str | None
    scaler: int
    first_captured_at: Time | None
    last_captured_at: Time | None


@attrs.frozen
class ChannelList:
    """All channels of a meter; the first is the one that `/readings` chooses by itself."""

    items: Sequence[Channel]
    next_cursor: str | None
    has_more: bool
    total_estimate: int


@attrs.frozen
class RolledUp:
    """
    What the values of an hour, a local day or a month come to, up to `until`.

    Values stamped at their end belong to the bucket that they end in. `expected` is null without a
    grid; `falls` counts how often a cumulative register went down.
    """

    until: Time
    first: Annotated[str | None, Meta(description="Exact decimal, as the others.")]
    last: str | None
    min: str | None
    max: str | None
    sum: str | None
    samples: int
    expected: int | None
    falls: int


@attrs.frozen
class Reading:
    """
    One value. Null: the meter says that it has none for this interval.

    With `interval`: a bucket that begins at `captured_at`; `value` is what a cumulative register
    rose by, the sum of deltas, the mean of others.
    """

    captured_at: Time
    value: Annotated[
        str | None, Meta(description="Exact decimal in the unit of the channel, or text.")
    ]
    unit: str | None
    quality: Annotated[
        Sequence[QualityFlag], Meta(description="What is known against it; empty: nothing.")
    ]
    revised: Annotated[bool, Meta(description="Other values for this time are kept as well.")]
    rolled_up: Annotated[RolledUp | None, Meta(description="Only with `interval`.")] = None


@attrs.frozen
class ReadingList:
    """Readings of one channel in the order of time, [from, to)."""

    channel: Channel
    items: Sequence[Reading]
    next_cursor: str | None
    has_more: bool
    total_estimate: int | None


@attrs.frozen
class LatestReading:
    """A channel's latest reading; the channel list tells more of the channel."""

    channel: ChannelId
    obis: ObisText
    source: ObisText | None
    capture_period_s: int
    reading: Reading


@attrs.frozen
class LatestList:
    """The latest reading of each channel. Where they were read makes no difference but in time."""

    items: Sequence[LatestReading]
    read_from: Literal["cache", "database"]


@attrs.frozen
class QuarantinedFrame:
    """
    A frame that became no reading, or rows that were refused, with the reason.

    `raw` is cut after 64 octets. A replay that is `requested_at` is yet to be made; `said` is why
    the last one failed. `handled_…` tells who replayed or dropped it, when and why.
    """

    id: int
    received_at: Time
    reason: str
    meter_id: UUID | None
    meter_serial: str | None
    identity: Annotated[str | None, Meta(description="Whom the frame itself names.")]
    peer: str | None
    octets: Annotated[int, Meta(description="Length of the whole frame.")]
    raw: Octets
    rows: Annotated[int | None, Meta(description="How many rows were refused.")]
    state: EntryState
    requested_at: Time | None
    requested_by: str | None
    attempted_at: Time | None
    said: str | None
    handled_at: Time | None
    handled_by: str | None
    handled_why: str | None


@attrs.frozen
class QuarantineList:
    """A page of the quarantine, latest first."""

    items: Sequence[QuarantinedFrame]
    next_cursor: str | None
    has_more: bool
    total_estimate: int | None


@attrs.frozen
class Stats:
    """The fleet in numbers, as of `as_of`."""

    meters: int
    readings: int
    sessions_last_minute: int
    as_of: Time


@attrs.frozen
class Service:
    """A server that the head-end stands on. `degraded`: slower, and correct."""

    name: Literal["database", "cache"]
    state: Literal["ok", "degraded", "away"]
    detail: str


@attrs.frozen
class ServiceList:
    """The servers, and whether latest values are read from the cache or from the database."""

    items: Sequence[Service]
    latest_values: Literal["cache", "database"]


@attrs.frozen
class Health:
    """This process answers."""

    status: Literal["ok"]
    version: str
