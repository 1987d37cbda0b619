"""
M-Bus client (class_id 72): a gas or water meter behind this one.

Owns what the client knows of the device, and when it hears it; what the device measures is a
source of the meter, as heard at the last capture.
Source: IEC 62056-6-2, class_id 72 version 0 and 1; EN 13757-3 for device types.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.models.objects import MeterChannel, ModelObject
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    double_long_unsigned,
    enum,
    invoking,
    long_unsigned,
    nothing,
    number,
    octet_string,
    octets,
    unsigned,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import DAY_S
from hes_simulators.quantities import Rows, boundaries
from hes_simulators.randomness import Int64Array

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

CLASS_ID: Final = 72
_PORT: Final = bytes((0, 0, 24, 6, 0, 255))
_DEVICE_TYPES: Final = {"gas": 0x03, "water": 0x07, "heat": 0x04}
# What is captured, by EN 13757-3: eight digits as BCD, in units of 0.001 m3.
_EIGHT_DIGITS, _LITRES = b"\x0c", b"\x13"
_GENERATION: Final = 1
_INSTALLED, _ALARM, _HEARD = "installed", "alarm", "heard_us"
_GONE, _AWAY, _KEYS = "gone_us", "away_us", "keys"
_PRIMARY_ADDRESS: Final = 5
_WIDTHS: Final = {
    _PRIMARY_ADDRESS: (DataTag.UNSIGNED, 250),
    6: (DataTag.DOUBLE_LONG_UNSIGNED, 0xFFFFFFFF),
    7: (DataTag.LONG_UNSIGNED, 0xFFFF),
    8: (DataTag.UNSIGNED, 0xFF),
    9: (DataTag.UNSIGNED, 0xFF),
}
# EN 13757-3, configuration field: mode 5 (AES-128, CBC), two blocks of it.
_AES_MODE: Final = 0x0520
_LEAST_PERIOD_S: Final = 60
_KEY_OCTETS: Final = 16


class KeyStatus(IntEnum):
    """encryption_key_status."""

    NONE = 0
    SET = 1
    TRANSFERRED = 2
    SET_AND_TRANSFERRED = 3
    IN_USE = 4


class MbusClient(Plain):
    """class_id 72."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """All attributes: of the device that the channel was made with, none when released."""
        channel = channel_of(meter, one)
        present = channel is not None and meter.state.peek(one.obis, _INSTALLED, True)
        match index:
            case 2:
                return octets(_PORT)
            case 3:
                return array(structure(octets(_EIGHT_DIGITS), octets(_LITRES)))
            case 4:
                return double_long_unsigned(0 if channel is None else period_s(meter, one, channel))
            case 5:
                return unsigned(channel.channel if channel is not None and present else 0)
            case 6:
                return double_long_unsigned(_identification(meter, channel) if present else 0)
            case 7:
                return long_unsigned(_maker(meter) if present else 0)
            case 8:
                return unsigned(_GENERATION if present else 0)
            case 9:
                kind = channel.kind if channel is not None and present else ""
                return unsigned(_DEVICE_TYPES.get(kind, 0))
            case 10:
                return unsigned(meter.now_us // 3_600_000_000 & 0xFF if present else 0)
            case 11:
                return unsigned(0)
            case 12:
                return unsigned(int(meter.state.peek(one.obis, _ALARM, 0)))
            case 13:
                return long_unsigned(
                    _AES_MODE if _key_status(meter, one) is KeyStatus.IN_USE else 0
                )
            case 14:
                return enum(_key_status(meter, one))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """capture_period, and the identification of the device."""
        if index == 4:
            seconds = number(data, DataTag.DOUBLE_LONG_UNSIGNED, _LEAST_PERIOD_S, DAY_S)
            if DAY_S % seconds:
                raise Refused(OTHER_REASON)
        elif index in _WIDTHS:
            tag, most = _WIDTHS[index]
            number(data, tag, 0, most)
        else:
            super().take(meter, one, index, data, sap)
            return
        meter.keep(one, index, data)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """Installing and releasing, capture, alarms, keys of the device."""
        kept = meter.state.of(one.obis)
        match method_index:
            case 1:
                address = number(data, DataTag.UNSIGNED, 0, 250)
                if kept.get(_INSTALLED, True):
                    raise Refused(OTHER_REASON)
                kept[_INSTALLED] = True
                if address:  # 0: the device keeps its own
                    meter.state.written[one.obis, _PRIMARY_ADDRESS] = unsigned(address)
                kept[_AWAY].append([*kept.pop(_GONE), meter.now_us])
                meter.event("mbus_installed")
            case 2:
                nothing(data)
                if not kept.get(_INSTALLED, True):
                    raise Refused(OTHER_REASON)
                kept[_INSTALLED], kept[_GONE] = False, [meter.now_us, _last_heard_us(meter, one)]
                kept.setdefault(_AWAY, [])
                for attribute in _WIDTHS:
                    meter.state.written.pop((one.obis, attribute), None)
                kept.pop(_KEYS, None)
                meter.event("mbus_removed")
            case 3:
                nothing(data)
                if not kept.get(_INSTALLED, True):
                    raise Refused(OTHER_REASON)
                kept.setdefault(_HEARD, []).append(meter.now_us)
                del kept[_HEARD][:-64]
            case 4:
                nothing(data)
                kept[_ALARM] = 0
            case 5:
                nothing(data)
            case 7 | 8:
                octet_string(data, _KEY_OCTETS, 2 * _KEY_OCTETS)
                # The meter's own copy of the key, and that of the device.
                status = KeyStatus.SET if method_index == 7 else KeyStatus.TRANSFERRED
                kept[_KEYS] = [kept.get(_KEYS, [0])[0] | status, meter.now_us]
                meter.event("key_changed")
            case _:
                raise Refused(OBJECT_UNDEFINED)
        return None


def _key_status(meter: Meter, one: ModelObject) -> KeyStatus:
    """A key that both have is in use once the device has been heard again."""
    status, since_us = meter.state.peek(one.obis, _KEYS, (KeyStatus.NONE, 0))
    if status == KeyStatus.SET_AND_TRANSFERRED and _last_heard_us(meter, one) > since_us:
        return KeyStatus.IN_USE
    return KeyStatus(status)


def channel_of(meter: Meter, one: ModelObject) -> MeterChannel | None:
    """The channel of an object: by its option, else by value group B of its name."""
    wanted = int(one.options.get("channel", one.obis.octets[1]))
    for channel in meter.table.channels:
        if channel.channel == wanted:
            return channel
    return None


def period_s(meter: Meter, one: ModelObject, channel: MeterChannel) -> int:
    """How often the device is heard."""
    written = meter.state.written.get((one.obis, 4))
    return channel.capture_period_s if written is None else int(written.value)


def heard_us(meter: Meter, one: ModelObject, at_us: Int64Array, on_time: Int64Array) -> Int64Array:
    """
    When the device was heard last at each moment.

    Args: at_us: the moments. on_time: the last ends of the capture period before them.
    """
    kept = meter.state.objects.get(one.obis)
    if kept is None:
        return on_time
    heard = on_time.copy()
    away = [*kept.get(_AWAY, ()), *([[*kept[_GONE], 1 << 62]] if _GONE in kept else [])]
    for gone_us, last_us, back_us in away:
        # Not heard while it is away: what was heard last, on time or on demand, stands.
        heard = np.where((heard > gone_us) & (heard < back_us), last_us, heard)
    for asked_us in kept.get(_HEARD, ()):
        heard = np.where((at_us >= asked_us) & (heard < asked_us), asked_us, heard)
    last: Int64Array = np.maximum.accumulate(heard)
    return last


def _last_heard_us(meter: Meter, one: ModelObject) -> int:
    channel = channel_of(meter, one)
    rows = Rows.at(meter, meter.now_us)
    if channel is None:
        return meter.now_us
    on_time = boundaries(meter, rows, period_s(meter, one, channel))[0]
    return int(heard_us(meter, one, rows.at_us, on_time)[0])


def _identification(meter: Meter, channel: MeterChannel | None) -> int:
    """Eight digits as BCD, as on the label: the meter's number and the channel's."""
    number_ = (meter.identity.index + 1) * 10 + (0 if channel is None else channel.channel)
    return int(f"{number_ % 100_000_000:08d}", 16)


def _maker(meter: Meter) -> int:
    """Three letters as EN 13757-3 packs them: five bits each."""
    first, second, third = (ord(letter) - 64 for letter in meter.table.maker_code.upper())
    return first << 10 | second << 5 | third
