"""Pushes for tests: payload, protection, framing, each by itself."""

from __future__ import annotations

from hes_protocol.axdr.data import Data, DataTag, array, structure
from hes_protocol.cosem import Obis
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, llc
from hes_protocol.security import Protection
from hes_protocol.security.suite0 import SuiteKeys, protect
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import Ciphered, DataNotification
from hes_protocol.xdlms.ciphered import GENERAL_GLO
from tests.unit.hes_collectors.support import AK, EK

ENERGY = Obis.parse("1.0.1.8.0.255")
POWER = Obis.parse("1.0.1.7.0.255")
SERIAL = Obis.parse("0.0.96.1.0.255")
METER_TITLE = b"HES\0\0\0\0\1"


def octets(obis: Obis) -> Data:
    return Data(DataTag.OCTET_STRING, obis.octets)


def register(obis: Obis, value: int, scaler: int = 0, unit: int = 30) -> Data:
    """A named value with its scaler_unit."""
    return structure(
        octets(obis),
        Data(DataTag.DOUBLE_LONG_UNSIGNED, value),
        structure(Data(DataTag.INTEGER, scaler), Data(DataTag.ENUM, unit)),
    )


def payload(*, serial: str | None = "HES00000001", energy_wh: int = 1234) -> Data:
    """Two registers, and the meter's serial number unless it is None."""
    values = [register(ENERGY, energy_wh), register(POWER, 250, 0, 27)]
    if serial is not None:
        values.insert(0, structure(octets(SERIAL), Data(DataTag.VISIBLE_STRING, serial.encode())))
    return array(*values)


def notification(body: Data | None = None, date_time: bytes | None = None) -> bytes:
    """A data-notification APDU."""
    return DataNotification(1, date_time, payload() if body is None else body).encode()


def ciphered(
    counter: int,
    *,
    apdu: bytes | None = None,
    protection: Protection = Protection.AUTHENTICATED_ENCRYPTED,
    ek: bytes = EK,
    ak: bytes = AK,
    title: bytes = METER_TITLE,
) -> bytes:
    """A general-glo-ciphered push."""
    plain = notification() if apdu is None else apdu
    content = protect(SuiteKeys(ek, ak), title, protection, counter, plain)
    return Ciphered(GENERAL_GLO, content, title).encode()


def wrapped(apdu: bytes) -> bytes:
    """In a wrapper frame from the management logical device."""
    return WrapperFrame(1, 16, apdu).to_octets()


def hdlc(
    apdu: bytes, *, segment_octets: int | None = None, kind: ControlKind = ControlKind.UI
) -> bytes:
    """In one HDLC frame, or in as many as segments of `segment_octets` need."""
    information = llc.add(apdu, response=True)
    size = segment_octets or len(information)
    segments = [information[at : at + size] for at in range(0, len(information), size)]
    return b"".join(
        HdlcFrame(
            HdlcAddress(0x20, 0x10, 2),
            HdlcAddress(1, None, 1),
            Control(kind, True, number % 8, 0),
            segmented=number < len(segments) - 1,
            information=segment,
        ).to_octets()
        for number, segment in enumerate(segments)
    )
