"""Meters, the associations through which we talk to them, and what we have learnt of them."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

import attrs

from hes.domain.work import Attribute
from hes_protocol.cosem import Obis


class Transport(StrEnum):
    """What carries APDUs to and from a meter."""

    WRAPPER = "wrapper"
    HDLC = "hdlc"


class Mechanism(IntEnum):
    """Authentication mechanism_id (IEC 62056-5-3)."""

    NONE = 0
    LLS = 1
    HLS = 2
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7


class Policy(IntEnum):
    """
    The least protection that an association accepts; anything weaker is a security event.

    The values are the protection bits of `security_control`.
    """

    PLAIN = 0x00
    AUTHENTICATED = 0x10
    ENCRYPTED = 0x20
    AUTHENTICATED_ENCRYPTED = 0x30


@attrs.frozen
class Secrets:
    """
    An association's secrets in clear. Lives only in a collector's memory; prints as nothing.

    `secret` is the LLS password or HLS secret, `ek` the global unicast encryption key, `ak` the
    authentication key. `key_fingerprint` names `ek` to `CounterPort.reserve` and is no secret.
    """

    secret: bytes | None = attrs.field(default=None, repr=False)
    ek: bytes | None = attrs.field(default=None, repr=False)
    ak: bytes | None = attrs.field(default=None, repr=False)
    key_fingerprint: bytes | None = attrs.field(default=None, repr=False, eq=False)

    def __str__(self) -> str:
        return "Secrets(…)"


class Role(StrEnum):
    """What an association is for."""

    MANAGEMENT = "management"
    READER = "reader"
    PUBLIC = "public"  # tells who the meter is and what it counts, and no values
    PRE_ESTABLISHED = "pre_established"  # stands without being opened (IEC 62056-5-3)


@attrs.frozen
class Association:
    """
    How one client of ours talks to one meter; secrets are kept apart, see `KeyPort`.

    `transport` None: as its meter says. `counter_object` is that from which the counter is learnt
    that the meter expects of this client, None: as its model says.
    """

    client_sap: int = 1
    server_sap: int = 1
    mechanism: Mechanism = Mechanism.NONE
    suite: int = 0
    policy: Policy = Policy.PLAIN
    role: Role = Role.MANAGEMENT
    transport: Transport | None = None
    counter_object: Obis | None = None


@attrs.frozen
class Meter:
    """
    A meter in the inventory.

    `address` and `port` are None for meters that only push. `peer` names the configured line, an
    address or network, by which a push without any identity in its frame is known. `id_object`
    is the object whose value in a push names this meter (its `serial`, unless the model says
    otherwise). `timezone` is an IANA name. `association` is the one that a collector reads by.
    `transport` is that of `association` where it has one of its own. `model` is what an operator
    said, else what the meter was recognised as.
    """

    meter_id: UUID
    serial: str
    timezone: str
    transport: Transport
    association: Association
    commissioned_at: datetime
    system_title: bytes | None = None
    address: str | None = None
    port: int | None = None
    model: str | None = None
    id_object: Obis | None = None
    peer: str | None = None


@attrs.frozen
class CaptureColumn:
    """One capture object of a profile with the scaler and unit of the register it comes from."""

    class_id: int
    obis: Obis
    attribute_index: int
    data_index: int
    scaler: int = 0
    unit: int = 255


class ProfileAccess(StrEnum):
    """How a meter lets itself be asked for a part of a profile."""

    RANGE = "range"
    RANGE_WITHOUT_DEVIATION = "range-without-deviation"
    ENTRY = "entry"


@attrs.frozen
class ProfileKnowledge:
    """
    What a profile looks like: learnt once per meter and kept.

    `capture_period_s` is 0 where rows are captured when something happens: event logs, billing.
    `access` is what the meter took after it had refused another way; None: nothing was refused.
    `newest_first`: its buffer, and so an answer, begins with the row captured last. `entries` is
    how many rows the buffer holds (profile_entries), None where the meter does not say. `refused`
    is why it cannot be read (a cause code); it is then not asked for again before the meter is
    explored anew.
    """

    obis: Obis
    capture_period_s: int
    columns: tuple[CaptureColumn, ...]
    access: ProfileAccess | None = None
    newest_first: bool = False
    entries: int | None = None
    refused: str | None = None

    @property
    def depth_s(self) -> int | None:
        """How far back a full buffer reaches, in seconds; None where nobody can tell."""
        return (self.entries or 0) * self.capture_period_s or None


@attrs.frozen
class ObjectEntry:
    """One object of the meter's object list."""

    class_id: int
    version: int
    obis: Obis


@attrs.frozen
class Scale:
    """
    Scaler and unit code of a register's attribute, told by its scaler_unit.

    `refused` is why the attribute itself cannot be read (a cause code); it is then not asked for
    again before the meter is explored anew.
    """

    attribute: Attribute
    scaler: int = 0
    unit: int = 255
    refused: str | None = None


@attrs.frozen
class LinkKnowledge:
    """
    How requests to a meter are best packed.

    `conformance`: the services that it agreed to, 24 bits; `max_pdu`: the largest APDU that it
    takes, 0 for any; None: not known. `with_list`, `access`: False where the meter offers the
    service and yet refuses it. `hdlc`: what was agreed on for the link: the most octets of
    information that are sent and received in a frame, and the windows of both; it is proposed the
    next time.
    """

    conformance: int | None = None
    max_pdu: int | None = None
    with_list: bool = True
    access: bool = True
    hdlc: tuple[int, int, int, int] | None = None


@attrs.frozen
class MeterKnowledge:
    """
    What a collector learns of a meter in its first session: objects and profiles.

    `scales` come with the first reading of registers. `device_name` is the logical device name,
    `model` the name of the model that the meter was taken for by what it shows; None: no one model.
    """

    objects: tuple[ObjectEntry, ...]
    profiles: tuple[ProfileKnowledge, ...]
    scales: tuple[Scale, ...] = ()
    link: LinkKnowledge = LinkKnowledge()
    device_name: str | None = None
    model: str | None = None
