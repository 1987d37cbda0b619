"""Keys of each client, their change by class 64, and what is left of them after a restart."""

from __future__ import annotations

import attrs
import pytest

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.security import Protection
from hes_protocol.security.key_wrap import KeyId, KeyTransfer, key_transfer_data, wrap_key
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators import keys
from hes_simulators.identity import LLS_SECRET, Identity
from hes_simulators.keys import Keyring
from hes_simulators.state import MeterState
from tests.unit.hes_simulators.ruler import RulerMeter

SETUP = "0.0.43.0.0.255"
BOTH = Protection.AUTHENTICATED_ENCRYPTED
SUCCESS, OTHER = ActionResultCode.SUCCESS, ActionResultCode.OTHER_REASON
NEW = bytes(range(16))
MODEL = """
name = "keyed"
maker = "HES"
source = "none: for tests"
[meter]
[client.public]
sap = 16
[client.reader]
sap = 2
mechanism = "lls"
[client.installer]
sap = 3
mechanism = "hls_sha256"
[client.management]
sap = 1
mechanism = "hls_gmac"
protection = "authenticated"
[client.pre-established]
sap = 102
protection = "authenticated_encrypted"
[[object]]
class_id = 64
obis = "0.0.43.0.0.255"
access = { management = "rx" }
"""


def keyed(text: str = MODEL) -> RulerMeter:
    return RulerMeter.of(text)


def master(meter: RulerMeter) -> bytes:
    return Keyring.of(meter).key(meter.clients[1], KeyId.MASTER)


def transfer(meter: RulerMeter, **wrapped: bytes) -> ActionResultCode:
    transfers = [KeyTransfer(KeyId[name], key) for name, key in wrapped.items()]
    return meter.invoke(64, SETUP, 2, key_transfer_data(transfers))


def test_each_client_has_secrets_and_keys_of_its_own() -> None:
    meter = keyed()
    rules = meter.associations
    assert rules[16].mechanism is Mechanism.NONE
    assert rules[16].encryption_key is None
    assert rules[2].secret == LLS_SECRET
    assert rules[3].secret not in (None, meter.identity.hls_secret)
    assert rules[1].encryption_key == meter.identity.encryption_key
    assert rules[1].authentication_key == meter.identity.authentication_key
    assert rules[1].minimum_protection is Protection.AUTHENTICATED
    other = keys.associations(meter.kind, Identity.of(1, 1), MeterState(), meter.clients.values())
    assert other[3].secret != rules[3].secret
    again = keys.associations(meter.kind, meter.identity, MeterState(), meter.clients.values())
    assert again == rules
    assert meter.state.is_fresh
    assert keys.master_key(meter.identity, 1) == master(meter)


def test_what_one_meter_changes_is_no_other_meters() -> None:
    meter = keyed()
    other = keys.associations(meter.kind, Identity.of(1, 1), MeterState(), meter.clients.values())
    assert other[16] is meter.associations[16]  # nothing of its own: one for all fresh meters
    assert other[2] is meter.associations[2]
    keys.change(meter, meter.clients[2], secret=b"12345678")
    for state, secret in ((meter.state, b"12345678"), (MeterState(), LLS_SECRET)):
        again = keys.associations(meter.kind, meter.identity, state, meter.clients.values())
        assert again[2].secret == secret
    assert meter.associations[2].secret == b"12345678"
    assert other[2].secret == LLS_SECRET


def test_the_pre_established_client_shares_the_main_clients_keys_and_counters() -> None:
    rules = keyed().associations
    assert rules[102].pre_established
    assert rules[102].encryption_key == rules[1].encryption_key
    assert rules[102].counter_id == rules[1].counter_id
    assert rules[102].broadcast_key not in (None, rules[1].encryption_key)


def test_the_main_client_is_management_or_the_best_secured() -> None:
    clients = tuple(keyed().clients.values())
    assert keys.main_client(clients).name == "management"
    named = [attrs.evolve(one, name=f"client-{one.sap}") for one in clients if one.sap != 102]
    assert keys.main_client(named).sap == 3


def test_a_transferred_key_replaces_the_old_one_and_counts_anew() -> None:
    meter = keyed()
    before = meter.associations[1]
    meter.state.counters[before.counter_id] = 500
    wrapped = wrap_key(master(meter), NEW)
    assert transfer(meter, GLOBAL_UNICAST_ENCRYPTION=wrapped) is SUCCESS
    after = meter.associations[1]
    assert after.encryption_key == NEW == meter.associations[102].encryption_key
    assert after.authentication_key == before.authentication_key
    assert after.counter_id not in (before.counter_id, 2, 3, 16)
    assert keys.client_counter(meter, 1) == 0
    assert meter.events == ["key_changed"]
    assert before.encryption_key == meter.identity.encryption_key  # whoever has it, keeps it


def test_a_key_that_comes_back_finds_its_counters_where_they_were() -> None:
    meter = keyed()
    kek, old = master(meter), meter.identity.encryption_key
    ids = []
    for key in (old, NEW, old, NEW[::-1], NEW):
        assert transfer(meter, GLOBAL_UNICAST_ENCRYPTION=wrap_key(kek, key)) is SUCCESS
        ids.append(meter.associations[1].counter_id)
    assert ids == [1, 1 + (1 << 16), 1, 1 + (2 << 16), 1 + (1 << 16)]


def test_other_keys_leave_the_counters_alone() -> None:
    meter = keyed()
    meter.state.counters[1] = 500
    kek = master(meter)
    result = transfer(
        meter,
        AUTHENTICATION=wrap_key(kek, NEW),
        GLOBAL_BROADCAST_ENCRYPTION=wrap_key(kek, NEW[::-1]),
        MASTER=wrap_key(kek, bytes(16)),
    )
    assert result is SUCCESS
    assert meter.associations[1].authentication_key == NEW
    assert meter.associations[102].broadcast_key == NEW[::-1]
    assert keys.client_counter(meter, 1) == 500
    assert master(meter) == bytes(16)
    assert transfer(meter, AUTHENTICATION=wrap_key(kek, NEW)) is OTHER  # by the old master key


def test_a_model_may_let_its_counters_go_on() -> None:
    meter = keyed()
    keys.change(
        meter,  # type: ignore[arg-type]
        meter.clients[1],
        keys={KeyId.GLOBAL_UNICAST_ENCRYPTION: NEW},
        keep_counters=True,
    )
    assert meter.associations[1].counter_id == 1


def test_one_key_that_does_not_unwrap_and_none_is_changed() -> None:
    meter = keyed()
    good = wrap_key(master(meter), NEW)
    for bad in (bytes(24), wrap_key(bytes(16), NEW), good[:-1] + bytes((good[-1] ^ 1,))):
        result = transfer(meter, AUTHENTICATION=good, GLOBAL_UNICAST_ENCRYPTION=bad)
        assert result is OTHER
    assert meter.associations[1].authentication_key == meter.identity.authentication_key
    assert meter.state.is_fresh
    assert meter.events == ["decryption_failed"] * 3


@pytest.mark.parametrize(
    "parameter",
    [
        None,
        Data(DataTag.NULL_DATA),
        array(),
        Data(DataTag.OCTET_STRING, bytes(24)),
        array(structure(Data(DataTag.ENUM, 9), Data(DataTag.OCTET_STRING, bytes(24)))),
        array(structure(Data(DataTag.UNSIGNED, 0), Data(DataTag.OCTET_STRING, bytes(24)))),
        array(structure(Data(DataTag.ENUM, 0), Data(DataTag.OCTET_STRING, bytes(23)))),
        array(structure(Data(DataTag.ENUM, 0))),
    ],
)
def test_what_is_no_key_transfer_is_refused_by_its_type(parameter: Data | None) -> None:
    meter = keyed()
    assert meter.invoke(64, SETUP, 2, parameter) is ActionResultCode.TYPE_UNMATCHED
    assert meter.state.is_fresh


def test_a_policy_is_only_ever_strengthened() -> None:
    meter = keyed()
    assert meter.read(64, SETUP, 2) == 1
    weaker = ActionResultCode.SCOPE_OF_ACCESS_VIOLATED
    results = [meter.invoke(64, SETUP, 1, Data(DataTag.ENUM, code)) for code in (0, 2, 4, 1, 3, 1)]
    assert results == [weaker, weaker, OTHER, SUCCESS, SUCCESS, weaker]
    assert meter.read(64, SETUP, 2) == 3
    assert meter.associations[1].minimum_protection is BOTH
    assert meter.invoke(64, SETUP, 1, Data(DataTag.UNSIGNED, 3)) is ActionResultCode.TYPE_UNMATCHED


def test_what_was_changed_is_found_again_in_the_state() -> None:
    meter = keyed()
    transfer(meter, GLOBAL_UNICAST_ENCRYPTION=wrap_key(master(meter), NEW))
    keys.change(meter, meter.clients[2], secret=b"12345678")  # type: ignore[arg-type]
    meter.invoke(64, SETUP, 1, Data(DataTag.ENUM, 3))
    restarted = keys.associations(meter.kind, meter.identity, meter.state, meter.clients.values())
    assert restarted == meter.associations
    assert restarted[2].secret == b"12345678"


def test_titles_and_suite_are_read_and_nothing_written() -> None:
    meter = keyed()
    assert meter.read(64, SETUP, 3) == 0
    assert meter.read(64, SETUP, 5) == meter.identity.system_title
    assert meter.write(64, SETUP, 2, Data(DataTag.ENUM, 3)) is DataAccessResult.READ_WRITE_DENIED
    assert meter.invoke(64, SETUP, 3) is ActionResultCode.OBJECT_UNDEFINED
