"""
The names that model files use for what a meter holds and for what happens to it.

Owns what there is, and what each means; which of them a meter has, where and by which code, its
model says. `docs/reference/models.md` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hes_protocol.axdr import DataTag

METER_SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "clock": "the meter's clock, twelve octets",
        "clock_status": "the status octet of the clock",
        "time_zone": "minutes west of UTC, without summer time (class_id 8, attribute 3)",
        "serial": "the serial number, ASCII",
        "logical_device_name": "up to 16 octets that begin with the maker's three letters",
        "system_title": "eight octets",
        "client_counter": "the highest counter accepted of the main client, or of option `client`",
        "own_counter": "the meter's own next invocation counter",
        "firmware_version": "the version that runs; another one after an activated image",
        "firmware_signature": "hash of the firmware that runs",
        "profile_status": "AMR profile status, one octet (0.0.96.10.1-8.255)",
        "event_code": "the code of the last event of the log whose code object this is",
        "alarm": "the alarm register: bits of what happened and was not cleared",
        "error": "the error register",
        "tariff": "the rate that is active now, from 1",
        "disconnect_state": "whether the load is on (class_id 70, attribute 2)",
        "billing_count": "billing periods closed so far",
        "billing_at": "when the last billing period was closed, twelve octets",
        "outage_count": "power failures so far",
        "outage_s": "seconds without power so far",
        "last_outage_s": "seconds that the last power failure took",
        "operating_s": "seconds with power so far",
        "operating_min": "minutes with power so far",
        "billing_operating_min": "minutes with power in the billing period",
        "billing_power_factor_pm": "active by apparent import of the billing period, per mille",
        "load_profile_period_s": "capture_period of the load profile 1.0.99.1.0.255",
        "tamper_count": "tamper events so far (cover, magnet)",
        "programming_count": "writes of clients so far",
        "battery_hours": "battery use so far, hours",
        "alarm_descriptor": "the alarm register's bits that were set since they were last sent",
        "credit": "what is left to use (prepayment), in the currency's scale",
    }
)
"""
Sources that are the meter's own; all others are quantities of its installation, see
`hes_simulators.energy.QUANTITIES` (`import_wh`, `voltage_l1_dv`, ...).
"""

SOURCE_TAGS: Final[Mapping[str, DataTag]] = MappingProxyType(
    {
        "clock": DataTag.OCTET_STRING,
        "clock_status": DataTag.UNSIGNED,
        "time_zone": DataTag.LONG,
        "serial": DataTag.OCTET_STRING,
        "logical_device_name": DataTag.OCTET_STRING,
        "system_title": DataTag.OCTET_STRING,
        "firmware_version": DataTag.OCTET_STRING,
        "firmware_signature": DataTag.OCTET_STRING,
        "profile_status": DataTag.UNSIGNED,
        "event_code": DataTag.UNSIGNED,
        "tariff": DataTag.UNSIGNED,
        "disconnect_state": DataTag.BOOLEAN,
        "billing_at": DataTag.OCTET_STRING,
        "credit": DataTag.DOUBLE_LONG,
    }
)
"""How a source is sent where a file gives no type; all others as double-long-unsigned."""

EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # supply
        "power_down": "the supply failed",
        "power_up": "the supply came back",
        "reboot": "the meter restarted",
        "voltage_sag_l1": "voltage of phase 1 fell below its threshold",
        "voltage_sag_l2": "voltage of phase 2 fell below its threshold",
        "voltage_sag_l3": "voltage of phase 3 fell below its threshold",
        "voltage_swell_l1": "voltage of phase 1 rose above its threshold",
        "voltage_swell_l2": "voltage of phase 2 rose above its threshold",
        "voltage_swell_l3": "voltage of phase 3 rose above its threshold",
        "voltage_normal_l1": "voltage of phase 1 is within its thresholds again",
        "voltage_normal_l2": "voltage of phase 2 is within its thresholds again",
        "voltage_normal_l3": "voltage of phase 3 is within its thresholds again",
        "phase_missing_l1": "phase 1 has no voltage",
        "phase_missing_l2": "phase 2 has no voltage",
        "phase_missing_l3": "phase 3 has no voltage",
        "over_current": "current above what the meter is made for",
        "over_current_end": "current within limits again",
        # clock and tariff
        "clock_adjusted_old": "the clock was set; stamped with the time before",
        "clock_adjusted_new": "the clock was set; stamped with the time after",
        "clock_invalid": "the clock lost its time",
        "daylight_saving": "summer time began or ended",
        "tariff_changed": "another rate is active",
        "billing_reset": "a billing period was closed",
        "battery_low": "the battery must be replaced",
        "battery_replaced": "the battery was replaced",
        # somebody at the meter
        "cover_opened": "the terminal cover was removed",
        "cover_closed": "the terminal cover is back",
        "case_opened": "the meter's case was opened",
        "case_closed": "the meter's case was closed",
        "strong_magnet": "a strong magnetic field",
        "magnet_gone": "the strong magnetic field is gone",
        "reverse_current": "current flows the wrong way",
        "reverse_current_end": "current flows the right way again",
        "neutral_disturbed": "neutral missing or fed by somebody",
        "neutral_restored": "neutral as it should be",
        # security
        "wrong_password": "authentication failed, n times in a row",
        "locked_out": "a client is refused for a while after wrong secrets",
        "decryption_failed": "an APDU whose tag was wrong",
        "replay": "an APDU with an invocation counter that was used before",
        "key_changed": "a key was exchanged",
        "secret_changed": "a password or HLS secret was changed",
        "association_opened": "a client associated",
        # the load
        "disconnected_remotely": "the load was switched off by a client",
        "connected_remotely": "the load was switched on by a client",
        "ready_for_reconnection": "the customer may switch the load on again",
        "disconnected_locally": "the load was switched off by the meter itself",
        "connected_locally": "the load was switched on at the meter",
        "disconnected_manually": "the load was switched off by the customer",
        "connected_manually": "the load was switched on by the customer",
        "over_limit": "the limiter's threshold was exceeded",
        "limiter_released": "consumption is below the limiter's threshold again",
        "limiter_changed": "the limiter's threshold was changed",
        # prepayment
        "credit_low": "the credit is below the warning",
        "credit_exhausted": "no credit is left",
        "token_accepted": "a token was accepted",
        "token_rejected": "a token was refused",
        # firmware and configuration
        "firmware_ready": "an image was verified and is ready",
        "firmware_activated": "an image was activated",
        "firmware_failed": "an image did not verify",
        "parameters_changed": "a client wrote a parameter",
        "profile_cleared": "a profile's buffer was emptied",
        "events_cleared": "an event log was emptied",
        "alarms_cleared": "the alarm register was cleared",
        # inside, communication
        "self_test_failed": "memory or measurement is in doubt",
        "module_power_down": "the communication module lost its supply",
        "no_connection": "the meter could not reach the head-end",
        "connection_lost": "the connection to the head-end broke",
        # M-Bus devices behind the meter
        "mbus_installed": "a device was bound to a channel",
        "mbus_removed": "a device was released from its channel",
        "mbus_lost": "a device on M-Bus no longer answers",
        "mbus_found": "a device on M-Bus answers again",
        "mbus_tamper": "a device on M-Bus reports fraud",
        "mbus_battery_low": "a device on M-Bus reports a low battery",
        "mbus_valve_closed": "the valve of a device was closed",
        "mbus_valve_opened": "the valve of a device was opened",
    }
)
"""Names of what happens to a meter, shared by all models; their codes are each model's own."""
