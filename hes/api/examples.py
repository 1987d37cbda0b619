"""Examples for the OpenAPI document; made-up meters, real shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import attrs

from hes.api import schemas
from hes.api.meter_schemas import Attachment, Exchange, LifeStep, Place

_METER: Final = UUID("018f0000-0000-7000-8000-000000000001")
_SESSION: Final = UUID("018f0000-0000-7000-8000-00000000000a")
_AT: Final = datetime(2026, 1, 31, 10, 15, tzinfo=UTC)

METERS: Final = schemas.MeterList(
    items=[
        schemas.MeterSummary(
            id=_METER,
            serial="SIM00000001",
            system_title="53494d0000000001",
            model="sim-household",
            transport="wrapper",
            address="127.16.0.1",
            port=4159,
            timezone="Europe/Berlin",
            state="in_service",
            commissioned_at=datetime(2026, 1, 1, tzinfo=UTC),
            recognised_model=None,
            segment="north",
            mechanism="hls-gmac",
            last_session=schemas.LastSession(ended_at=_AT, outcome="ok", cause=None),
            last_reading_at=_AT,
        )
    ],
    next_cursor="kqZtZXRlcnOS",
    has_more=True,
    total_estimate=100,
)

METER: Final = schemas.Meter(
    id=_METER,
    serial="SIM00000001",
    system_title="53494d0000000001",
    model="sim-household",
    transport="wrapper",
    address="127.16.0.1",
    port=4159,
    timezone="Europe/Berlin",
    state="in_service",
    commissioned_at=datetime(2026, 1, 1, tzinfo=UTC),
    recognised_model=None,
    segment="north",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    peer=None,
    id_object=None,
    id_value=None,
    last_reading_at=_AT,
    associations=[
        schemas.AssociationInfo(
            client_sap=1,
            server_sap=1,
            mechanism="hls-gmac",
            suite=0,
            policy="authenticated-encrypted",
            has_secret=False,
            has_encryption_key=True,
            has_authentication_key=True,
            role="management",
            transport=None,
            counter_object=None,
            secret_version=1,
            encryption_key_version=2,
            authentication_key_version=1,
        )
    ],
    next_read=schemas.NextRead(due_at=_AT, failed_attempts=0, reading=False),
    objects=12,
    sessions=[
        schemas.Session(
            id=_SESSION,
            inbound=False,
            started_at=_AT,
            ended_at=_AT,
            phase="done",
            outcome="ok",
            cause=None,
            octets_in=5120,
            octets_out=640,
            clock_drift_s=-0.4,
        )
    ],
    device_name="SIM00000001",
    groups=["north"],
    tags=["solar"],
    life=[
        LifeStep(
            state="in_service",
            since=datetime(2026, 1, 1, tzinfo=UTC),
            reason="imported",
            actor="ada",
            recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    ],
    places=[
        Place(
            usage_point="AT0010000000000000001000000000001",
            measures="site",
            site="Mill",
            transformer="T1",
            feeder="F1",
            timezone="Europe/Berlin",
            since=datetime(2026, 1, 1, tzinfo=UTC),
            until=None,
            ct_ratio="200/5",
            vt_ratio="1/1",
        )
    ],
    attachments=[
        Attachment(
            parent_id=_METER,
            parent="SIM00000001",
            channel=1,
            child_id=UUID("018f0000-0000-7000-8000-000000000002"),
            child="GAS00000001",
            since=datetime(2026, 1, 1, tzinfo=UTC),
            until=None,
        )
    ],
    exchanges=[
        Exchange(
            usage_point="AT0010000000000000001000000000001",
            old_id=UUID("018f0000-0000-7000-8000-000000000003"),
            old="OLD00000001",
            new_id=_METER,
            new="SIM00000001",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            last_registers={"1.0.1.8.0.255": "48211.7"},
            first_registers={"1.0.1.8.0.255": "0.0"},
            reason="calibration has expired",
            actor="ada",
        )
    ],
)

_CHANNEL: Final = schemas.Channel(
    id=7,
    obis="1.0.1.8.0.255",
    class_id=3,
    attribute_index=2,
    data_index=0,
    source="1.0.99.1.0.255",
    capture_period_s=900,
    kind="cumulative",
    stamped_at="end",
    store="integer",
    unit="Wh",
    scaler=0,
    first_captured_at=datetime(2026, 1, 1, tzinfo=UTC),
    last_captured_at=_AT,
)

CHANNELS: Final = schemas.ChannelList(
    items=[_CHANNEL], next_cursor=None, has_more=False, total_estimate=1
)

READINGS: Final = schemas.ReadingList(
    channel=_CHANNEL,
    items=[
        schemas.Reading(captured_at=_AT, value="6842204", unit="Wh", quality=[], revised=False),
    ],
    next_cursor=None,
    has_more=False,
    total_estimate=None,
)

LATEST: Final = schemas.LatestList(
    items=[
        schemas.LatestReading(
            channel=7,
            obis="1.0.1.8.0.255",
            source="1.0.99.1.0.255",
            capture_period_s=900,
            reading=READINGS.items[0],
        )
    ],
    read_from="cache",
)

QUARANTINE: Final = schemas.QuarantineList(
    items=[
        schemas.QuarantinedFrame(
            id=1,
            received_at=_AT,
            reason="unknown_meter",
            meter_id=None,
            meter_serial=None,
            identity="53494d0000000099",
            peer="127.0.0.1",
            octets=96,
            raw="0001000100010024db0853494d0000000099",
            rows=None,
            state="open",
            requested_at=None,
            requested_by=None,
            attempted_at=_AT,
            said="unknown-meter",
            handled_at=None,
            handled_by=None,
            handled_why=None,
        )
    ],
    next_cursor=None,
    has_more=False,
    total_estimate=1,
)

REPLAY: Final = attrs.evolve(
    QUARANTINE.items[0], requested_at=_AT, requested_by="api", attempted_at=None, said=None
)

STATS: Final = schemas.Stats(meters=100, readings=67_200, sessions_last_minute=96, as_of=_AT)

SERVICES: Final = schemas.ServiceList(
    items=[
        schemas.Service(name="database", state="ok", detail="answers"),
        schemas.Service(name="cache", state="ok", detail="settled 0.4 s ago"),
    ],
    latest_values="cache",
)

HEALTH: Final = schemas.Health(status="ok", version="0.1.0")
