"""
The model `hes-household`: a single-phase household meter, with or without a solar roof.

Owns the table of its objects. What depends on the meter or the moment is a function of a
`Context`, everything else a constant. Models that inherit from it show quirks of real meters.

Two clients: the public one (SAP 16, no security) may read clock, logical device name and the
invocation counter that the management client (SAP 1) must exceed; the latter reads everything.
Source: IEC 62056-6-2, class_id 1, 3, 7, 8, 15, 17, 64; IEC 62056-6-1 for the logical names.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from hes_protocol.acse.names import ApplicationContext
from hes_protocol.axdr import BitString, Data, DataTag, array, structure
from hes_protocol.cosem import Obis, ScalerUnit, Unit
from hes_protocol.profile import NullMeaning
from hes_protocol.quirks import STANDARD, Quirks
from hes_protocol.security.control import Protection
from hes_protocol.server import Selection
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.energy.curves import Registers
from hes_simulators.energy.grid import SLOT_S, SLOTS_PER_DAY
from hes_simulators.load_profile import (
    AVERAGE_POWER,
    CLOCK,
    COLUMNS,
    EXPORT_ENERGY,
    IMPORT_ENERGY,
    LOAD_PROFILE,
    PROFILE_STATUS,
    VOLTAGE_L1,
    encode_rows,
    held_slots,
)
from hes_simulators.local_time import STATUS_DAYLIGHT_SAVING, cosem_time
from hes_simulators.objects import Context, CosemObject, ObjectModel, SelectiveAccess, Value
from hes_simulators.selective_access import select, selectors

MODEL: Final = "hes-household"
PUBLIC_SAP: Final = 16
MANAGEMENT_SAP: Final = 1
SERVER_SAP: Final = 1

_PUBLIC_AND_MANAGEMENT: Final = frozenset({PUBLIC_SAP, MANAGEMENT_SAP})
_MANAGEMENT: Final = frozenset({MANAGEMENT_SAP})

ASSOCIATION: Final = Obis.parse("0.0.40.0.0.255")
SAP_ASSIGNMENT: Final = Obis.parse("0.0.41.0.0.255")
LOGICAL_DEVICE_NAME: Final = Obis.parse("0.0.42.0.0.255")
SECURITY_SETUP: Final = Obis.parse("0.0.43.0.0.255")
INVOCATION_COUNTER: Final = Obis.parse("0.0.43.1.0.255")
SERIAL_NUMBER: Final = Obis.parse("0.0.96.1.0.255")
METERING_POINT: Final = Obis.parse("0.0.96.1.10.255")
IMPORT_POWER: Final = Obis.parse("1.0.1.7.0.255")
EXPORT_POWER: Final = Obis.parse("1.0.2.7.0.255")

# Unit codes of IEC 62056-6-2, "Enumerated values for physical units".
_WATT, _WATT_HOUR, _VOLT = 27, 30, 35
_METERING_POINT_OCTETS: Final = 33  # EIC, and the metering point names of most countries
_FIFO: Final = 1
_INTERNAL_CRYSTAL: Final = 1
_ASSOCIATED: Final = 2
_DLMS_VERSION: Final = 6
# The European rule: the last Sunday (day 0xFE, weekday 7) of March and of October, every year.
_SUMMER_BEGINS: Final = bytes.fromhex("ffff03fe0702000000800000")
_SUMMER_ENDS: Final = bytes.fromhex("ffff0afe0703000000800080")
# joint-iso-ctt(2) country(16) 756 identified-organization(5) DLMS-UA(8)
_DLMS_UA_ARCS: Final = ((DataTag.UNSIGNED, 2), (DataTag.UNSIGNED, 16), (DataTag.LONG_UNSIGNED, 756))


def household_model(profile_days: int, quirks: Quirks = STANDARD) -> ObjectModel:
    """
    The object model.

    Args: profile_days: depth of the load profile's buffer. quirks: what the meter does otherwise.
    """
    counter = quirks.counter_object.get(MANAGEMENT_SAP) or INVOCATION_COUNTER
    object_lists: dict[int, bytes] = {}
    model = ObjectModel(
        (
            *_names(counter),
            *_clock_and_status(quirks),
            *_registers(),
            _load_profile(profile_days, quirks),
            *_association(lambda context: object_lists[context.association.client_sap]),
        )
    )
    object_lists |= {sap: model.object_list(sap) for sap in _PUBLIC_AND_MANAGEMENT}
    return model


def _names(counter: Obis) -> tuple[CosemObject, ...]:
    return (
        _data(
            LOGICAL_DEVICE_NAME,
            lambda context: _octets(context.identity.logical_device_name),
            _PUBLIC_AND_MANAGEMENT,
        ),
        _data(SERIAL_NUMBER, lambda context: _octets(context.identity.serial.encode())),
        _data(
            counter,
            lambda context: Data(
                DataTag.DOUBLE_LONG_UNSIGNED, context.client_counters.get(MANAGEMENT_SAP, 0)
            ),
            _PUBLIC_AND_MANAGEMENT,
        ),
        CosemObject(
            1,
            0,
            METERING_POINT,
            {2: lambda context: context.written.get((METERING_POINT, 2), _octets(b""))},
            _MANAGEMENT,
            writable={2: _metering_point},
        ),
        CosemObject(
            17,
            0,
            SAP_ASSIGNMENT,
            {
                2: lambda context: array(
                    structure(
                        Data(DataTag.LONG_UNSIGNED, SERVER_SAP),
                        _octets(context.identity.logical_device_name),
                    )
                )
            },
            _MANAGEMENT,
        ),
    )


def _clock_and_status(quirks: Quirks) -> tuple[CosemObject, ...]:
    clock = CosemObject(
        8,
        0,
        CLOCK,
        {
            2: lambda context: _octets(cosem_time(context.at, context.zone).to_octets()),
            3: lambda context: Data(DataTag.LONG, -_standard_offset_min(context)),
            4: lambda context: _unsigned(cosem_time(context.at, context.zone).clock_status),
            5: _octets(_SUMMER_BEGINS),
            6: _octets(_SUMMER_ENDS),
            7: Data(DataTag.INTEGER, 60),
            8: Data(DataTag.BOOLEAN, not quirks.standard_time),
            9: _enum(_INTERNAL_CRYSTAL),
        },
        _PUBLIC_AND_MANAGEMENT,
    )
    return clock, _data(PROFILE_STATUS, lambda context: _unsigned(_status(context)))


def _registers() -> tuple[CosemObject, ...]:
    unsigned32, unsigned16 = DataTag.DOUBLE_LONG_UNSIGNED, DataTag.LONG_UNSIGNED
    return (
        _register(IMPORT_ENERGY, unsigned32, lambda shown: shown.import_wh, 0, _WATT_HOUR),
        _register(EXPORT_ENERGY, unsigned32, lambda shown: shown.export_wh, 0, _WATT_HOUR),
        _register(IMPORT_POWER, unsigned32, lambda shown: shown.import_w, 0, _WATT),
        _register(EXPORT_POWER, unsigned32, lambda shown: shown.export_w, 0, _WATT),
        _register(AVERAGE_POWER, unsigned32, lambda shown: shown.import_w, 0, _WATT),
        _register(VOLTAGE_L1, unsigned16, lambda shown: shown.voltage_dv, -1, _VOLT),
    )


def _load_profile(depth_days: int, quirks: Quirks) -> CosemObject:
    compressed = quirks.null_means is NullMeaning.PREVIOUS

    def whole_buffer(context: Context) -> bytes:
        held = held_slots(context.curve, context.at, depth_days)
        rows = context.curve.intervals(held.start, held.stop)
        return encode_rows(rows, COLUMNS, context.zone, compressed=compressed)

    def part_of_buffer(context: Context, selection: Selection) -> bytes | DataAccessResult:
        held = held_slots(context.curve, context.at, depth_days)
        selected = select(selection, held, context.zone, quirks)
        if isinstance(selected, DataAccessResult):
            return selected
        rows = context.curve.intervals(selected.slots.start, selected.slots.stop)
        return encode_rows(rows, selected.columns, context.zone, compressed=compressed)

    def entries_in_use(context: Context) -> Data:
        return _double_long(len(held_slots(context.curve, context.at, depth_days)))

    unsorted = structure(
        Data(DataTag.LONG_UNSIGNED, 0),
        _octets(bytes(6)),
        Data(DataTag.INTEGER, 0),
        Data(DataTag.LONG_UNSIGNED, 0),
    )
    return CosemObject(
        7,
        1,
        LOAD_PROFILE,
        {
            2: whole_buffer,
            3: array(*(column.capture_object.to_data() for column in COLUMNS)),
            4: _double_long(SLOT_S),
            5: _enum(_FIFO),
            6: unsorted,
            7: entries_in_use,
            8: _double_long(depth_days * SLOTS_PER_DAY),
        },
        _MANAGEMENT,
        selective={2: SelectiveAccess(selectors(quirks), part_of_buffer)},
    )


def _association(object_list: Callable[[Context], bytes]) -> tuple[CosemObject, ...]:
    association = CosemObject(
        15,
        1,
        ASSOCIATION,
        {
            2: object_list,
            3: _partners,
            4: _context_name,
            5: _xdlms_context,
            6: _mechanism_name,
            8: _enum(_ASSOCIATED),
            9: _octets(SECURITY_SETUP.octets),
        },
        _PUBLIC_AND_MANAGEMENT,
        hidden=(7,),  # the secret
        methods=(1,),  # reply_to_HLS_authentication, which the protocol's server answers
    )
    security_setup = CosemObject(
        64,
        0,
        SECURITY_SETUP,
        {
            2: lambda context: _enum(_policy(context.association.minimum_protection)),
            3: _enum(0),
            5: lambda context: _octets(context.identity.system_title),
        },
        _MANAGEMENT,
        hidden=(4,),
    )
    return association, security_setup


def _data(obis: Obis, value: Value, clients: frozenset[int] = _MANAGEMENT) -> CosemObject:
    return CosemObject(1, 0, obis, {2: value}, clients)


def _register(
    obis: Obis, tag: DataTag, shown: Callable[[Registers], int], scaler: int, unit: int
) -> CosemObject:
    return CosemObject(
        3,
        0,
        obis,
        {
            2: lambda context: Data(tag, shown(context.curve.registers(context.at))),
            3: ScalerUnit(scaler, Unit.of(unit)).to_data(),
        },
        _MANAGEMENT,
    )


def _standard_offset_min(context: Context) -> int:
    """Minutes east of UTC without summer time."""
    local = context.at.astimezone(context.zone)
    offset, summer = local.utcoffset(), local.dst() or timedelta(0)
    assert offset is not None  # every zone has one
    return int((offset - summer).total_seconds()) // 60


def _status(context: Context) -> int:
    summer = cosem_time(context.at, context.zone).daylight_saving
    return STATUS_DAYLIGHT_SAVING if summer else 0


def _partners(context: Context) -> Data:
    return structure(
        Data(DataTag.INTEGER, context.association.client_sap),
        Data(DataTag.LONG_UNSIGNED, SERVER_SAP),
    )


def _context_name(context: Context) -> Data:
    ciphered = context.association.minimum_protection is not Protection.PLAIN
    name = ApplicationContext.LOGICAL_NAME_CIPHERED if ciphered else ApplicationContext.LOGICAL_NAME
    return _object_identifier(1, name)


def _mechanism_name(context: Context) -> Data:
    return _object_identifier(2, context.association.mechanism)


def _object_identifier(kind: int, arc: int) -> Data:
    arcs = (Data(tag, value) for tag, value in _DLMS_UA_ARCS)
    return structure(*arcs, *(_unsigned(value) for value in (5, 8, kind, arc)))


def _xdlms_context(context: Context) -> Data:
    association = context.association
    size = Data(DataTag.LONG_UNSIGNED, association.max_receive_pdu_size)
    conformance = int(association.conformance).to_bytes(3, "big")
    return structure(
        Data(DataTag.BIT_STRING, BitString(24, conformance)),
        size,
        size,
        _unsigned(_DLMS_VERSION),
        Data(DataTag.INTEGER, 0),
        _octets(b""),
    )


def _policy(protection: Protection) -> int:
    """security_policy of version 0: 0 none, 1 authenticated, 2 encrypted, 3 both."""
    return int(protection) >> 4


def _metering_point(data: Data) -> DataAccessResult:
    if data.tag is not DataTag.OCTET_STRING:
        return DataAccessResult.TYPE_UNMATCHED
    fits = len(data.value) <= _METERING_POINT_OCTETS
    return DataAccessResult.SUCCESS if fits else DataAccessResult.OTHER_REASON


def _octets(value: bytes) -> Data:
    return Data(DataTag.OCTET_STRING, value)


def _unsigned(value: int) -> Data:
    return Data(DataTag.UNSIGNED, value)


def _double_long(value: int) -> Data:
    return Data(DataTag.DOUBLE_LONG_UNSIGNED, value)


def _enum(value: int) -> Data:
    return Data(DataTag.ENUM, value)
