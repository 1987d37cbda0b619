"""What the translator is given and what it answers, as values."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import Data
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.xdlms import Apdu

NO_UNIT: Final = 255


class TransportKind(StrEnum):
    """What the octets are framed in."""

    AUTO = "auto"
    HDLC = "hdlc"
    WRAPPER = "wrapper"
    MBUS = "mbus"
    LLC = "llc"
    P1 = "p1"
    APDU = "apdu"


@attrs.frozen
class TranslatorKeys:
    """
    Keys to open ciphered APDUs with, as far as they are known; prints none of them.

    `client_system_title` and `server_system_title` stand in where neither APDU nor association
    gives one.
    """

    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    client_system_title: bytes | None = None
    server_system_title: bytes | None = None


@attrs.frozen
class Fragment:
    """
    The beginning of an APDU whose end did not come.

    `apdu` is its kebab-case name. `promised_octets` is what the length of the string that is cut
    says, `promised_elements` what the counts of the containers say that are still open, outermost
    first. `value` is what was there of its data: containers hold the elements that came whole.
    """

    apdu: str
    promised_octets: int | None = None
    promised_elements: tuple[int, ...] = ()
    date_time: bytes | None = None
    value: Data | None = None


Content: TypeAlias = Apdu | Data | Fragment


@attrs.frozen
class TranslatedApdu:
    """
    One APDU.

    `content` is the plain APDU, a bare `Data`, a `Fragment`, or the `Ciphered` that could not be
    opened; `octets` is the length of the APDU as it was framed.
    `tag_verified` is None where there was no tag, or no authentication key to check it with.
    """

    content: Content
    octets: int
    plain: bytes | None = attrs.field(default=None, repr=False)
    system_title: bytes | None = None
    invocation_counter: int | None = None
    security_control: int | None = None
    tag_verified: bool | None = None


@attrs.frozen
class TranslatedReading:
    """One value with the object that it belongs to (None: nothing names it)."""

    obis: Obis | None
    class_id: int
    attribute_index: int
    data: Data
    scaler: int = 0
    unit: int = NO_UNIT
    captured_at: CosemDateTime | None = None


@attrs.frozen
class Translation:
    """
    Everything that was found. `complete` is False where the octets end early; `error` is the
    first thing that was broken.
    """

    transport: TransportKind
    frames: int
    complete: bool
    apdus: tuple[TranslatedApdu, ...]
    readings: tuple[TranslatedReading, ...]
    error: RemoteProtocolError | None
