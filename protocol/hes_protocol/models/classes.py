"""
What the standard says of each interface class, as far as model files need it.

Owns names of attributes and methods, which attributes a client that may write can set, which
nobody may read, and which options a file may give an object. What a class *does* is the
simulators' (`hes_simulators.classes`). The standard leaves it to the maker which attributes can be
set and which methods there are: here those that a simulated meter goes by, so that nothing is taken
and ignored.

Source: IEC 62056-6-2, "interface classes"; versions are those that the models here use.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs


@attrs.frozen
class ClassTable:
    """
    One interface class. `version` is the usual one; `attributes` are names from attribute 2 on, in
    order, of the newest; `settable` what may be written with the access "w"; `secret` what is never
    read; `methods` names from 1 on, of which "x" allows `usual`; `options` what an object of the
    class may be told besides; `lasts` the last attribute of each version that is known here.
    """

    class_id: int
    name: str
    version: int
    attributes: tuple[str, ...]
    settable: frozenset[int] = frozenset()
    secret: frozenset[int] = frozenset()
    methods: tuple[str, ...] = ()
    usual: tuple[int, ...] = ()
    options: frozenset[str] = frozenset()
    lasts: Mapping[int, int] = MappingProxyType({})

    def last_attribute(self, version: int) -> int | None:
        """The index of the last attribute in a version; None: no such version is known here."""
        return self.lasts.get(version)


def _class(
    class_id: int,
    name: str,
    version: int,
    attributes: str,
    methods: str = "",
    *,
    settable: tuple[int, ...] = (),
    secret: tuple[int, ...] = (),
    usual: tuple[int, ...] | None = None,
    options: str = "",
    lasts: Mapping[int, int] | None = None,
) -> ClassTable:
    names, known = tuple(methods.split()), tuple(attributes.split())
    return ClassTable(
        class_id,
        name,
        version,
        known,
        frozenset(settable),
        frozenset(secret),
        names,
        tuple(range(1, len(names) + 1)) if usual is None else usual,
        frozenset(options.split()),
        MappingProxyType(dict(lasts or {version: len(known) + 1})),
    )


_TABLE: Final = (
    _class(1, "data", 0, "value", settable=(2,), options="longest_octets client"),
    _class(3, "register", 0, "value scaler_unit", "reset", usual=()),
    _class(4, "extended register", 0, "value scaler_unit status capture_time", "reset", usual=()),
    _class(
        5,
        "demand register",
        0,
        "current_average_value last_average_value scaler_unit status capture_time"
        " start_time_current period number_of_periods",
        "reset next_period",
        settable=(8, 9),
        usual=(),
    ),
    _class(
        6,
        "register activation",
        0,
        "register_assignment mask_list active_mask",
        "add_register add_mask delete_mask",
        usual=(),
    ),
    _class(
        7,
        "profile generic",
        1,
        "buffer capture_objects capture_period sort_method sort_object entries_in_use"
        " profile_entries",
        "reset capture",
        settable=(3, 4),
    ),
    _class(
        8,
        "clock",
        0,
        "time time_zone status daylight_savings_begin daylight_savings_end"
        " daylight_savings_deviation daylight_savings_enabled clock_base",
        "adjust_to_quarter adjust_to_measuring_period adjust_to_minute adjust_to_preset_time"
        " preset_adjusting_time shift_time",
        settable=(2, 3, 8),
    ),
    _class(9, "script table", 0, "scripts", "execute", options="scripts"),
    _class(11, "special days table", 0, "entries", "insert delete", settable=(2,)),
    _class(
        15,
        "association LN",
        1,
        "object_list associated_partners_id application_context_name xdlms_context_info"
        " authentication_mechanism_name secret association_status security_setup_reference"
        " user_list current_user",
        "reply_to_HLS_authentication change_HLS_secret add_object remove_object",
        settable=(7,),
        secret=(7,),
        usual=(1, 2),
        options="client security_setup",
        # Version 3 tells access modes as bits, see `hes_simulators.served_model`.
        lasts={0: 8, 1: 9, 2: 11, 3: 11},
    ),
    _class(17, "SAP assignment", 0, "SAP_assignment_list", "connect_logical_device", usual=()),
    _class(
        18,
        "image transfer",
        0,
        "image_block_size image_transferred_blocks_status image_first_not_transferred_block_number"
        " image_transfer_enabled image_transfer_status image_to_activate_info",
        "image_transfer_initiate image_block_transfer image_verify image_activate",
        settable=(5,),
        options="block_octets verify_s reboot_s",
    ),
    _class(
        20,
        "activity calendar",
        0,
        "calendar_name_active season_profile_active week_profile_table_active"
        " day_profile_table_active calendar_name_passive season_profile_passive"
        " week_profile_table_passive day_profile_table_passive activate_passive_calendar_time",
        "activate_passive_calendar",
        settable=(6, 7, 8, 9, 10),
        options="days",
    ),
    _class(
        21,
        "register monitor",
        0,
        "thresholds monitored_value actions",
        settable=(2, 4),
        options="thresholds monitored",
    ),
    _class(
        22,
        "single action schedule",
        0,
        "executed_script type execution_time",
        settable=(4,),
        options="script selector at",
    ),
    _class(
        40,
        "push setup",
        0,
        "push_object_list send_destination_and_method communication_window"
        " randomisation_start_interval number_of_retries repetition_delay",
        "push",
        settable=(2, 3, 4, 5, 6, 7),
        options="destination",
    ),
    _class(63, "status mapping", 0, "status_word mapping_table"),
    _class(
        64,
        "security setup",
        0,
        "security_policy security_suite client_system_title server_system_title certificates",
        "security_activate global_key_transfer",
        options="client keep_counters",
        lasts={0: 5, 1: 6},
    ),
    _class(
        70,
        "disconnect control",
        0,
        "output_state control_state control_mode",
        "remote_disconnect remote_reconnect",
        settable=(4,),
        options="control_mode",
    ),
    _class(
        71,
        "limiter",
        0,
        "monitored_value threshold_active threshold_normal threshold_emergency"
        " min_over_threshold_duration min_under_threshold_duration emergency_profile"
        " emergency_profile_group_id_list emergency_profile_active actions",
        settable=(4, 5, 6, 7, 8, 9),
        options="monitored threshold_normal threshold_emergency min_over_s min_under_s",
    ),
    _class(
        72,
        "M-Bus client",
        1,
        "mbus_port_reference capture_definition capture_period primary_address"
        " identification_number manufacturer_id version device_type access_number status alarm"
        " configuration encryption_key_status",
        "slave_install slave_deinstall capture reset_alarm synchronize_clock data_send"
        " set_encryption_key transfer_key",
        settable=(4, 5, 6, 7, 8, 9),
        usual=(1, 2, 3, 4, 5, 7, 8),
        options="channel",
        lasts={0: 12, 1: 14},
    ),
    _class(74, "M-Bus master port setup", 0, "comm_speed"),
    _class(
        111,
        "account",
        0,
        "account_mode_and_status current_credit_in_use current_credit_status available_credit"
        " amount_to_clear clearance_threshold aggregated_debt credit_reference_list"
        " charge_reference_list credit_charge_configuration token_gateway_configuration"
        " account_activation_time account_closure_time currency low_credit_threshold"
        " next_credit_available_threshold max_provision max_provision_period",
        "activate_account close_account reset_account",
        settable=(7, 16),
        options="mode status currency currency_scale low_credit next_credit clearance_threshold"
        " max_provision max_provision_period credits charges gateway",
    ),
    _class(
        112,
        "credit",
        0,
        "current_credit_amount credit_type priority warning_threshold limit credit_configuration"
        " credit_status preset_credit_amount credit_available_threshold period",
        "update_amount set_amount_to_value invoke_credit",
        settable=(6, 9, 10),
        options="amount type priority warning limit preset available_from every_s",
    ),
    _class(
        113,
        "charge",
        0,
        "total_amount_paid charge_type priority unit_charge_active unit_charge_passive"
        " unit_charge_activation_time period charge_configuration last_collection_time"
        " last_collection_amount total_amount_remaining proportion",
        "update_unit_charge activate_passive_unit_charge collect update_total_amount_remaining"
        " set_total_amount_remaining",
        settable=(6, 7, 13),
        options="type priority price price_scale per_scale remaining proportion every_s",
    ),
    _class(
        115,
        "token gateway",
        0,
        "token token_time token_description token_delivery_method token_status",
        "enter",
    ),
)

CLASSES: Final[Mapping[int, ClassTable]] = MappingProxyType(
    {table.class_id: table for table in _TABLE}
)
"""By class_id: the classes that a model file may use."""

_LONG: Final = (-(2**31), 2**31 - 1)
OPTION_BOUNDS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "longest_octets": (1, 0xFFFF),
        "block_octets": (1, 0xFFFF),
        "channel": (1, 255),
        "selector": (0, 0xFFFF),
        "control_mode": (0, 6),
        "min_over_s": (0, 2**32 - 1),
        "min_under_s": (0, 2**32 - 1),
        "every_s": (1, 2**32 - 1),
        "priority": (0, 255),
        "type": (0, 255),
        "mode": (0, 255),
        "status": (0, 255),
        "currency_scale": (-128, 127),
        "price_scale": (-128, 127),
        "per_scale": (-128, 127),
        "proportion": (0, 0xFFFF),
        **dict.fromkeys(
            [
                "threshold_normal",
                "threshold_emergency",
                "low_credit",
                "next_credit",
                "clearance_threshold",
                "amount",
                "warning",
                "limit",
                "preset",
                "available_from",
                "price",
                "remaining",
            ],
            _LONG,
        ),
    }
)
"""Options that are whole numbers, with the least and the greatest, whatever the class."""
