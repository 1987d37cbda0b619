"""Every client of every model gets in by its own mechanism and secret, and by nothing else."""

from __future__ import annotations

import pytest

from hes_protocol.acse import Mechanism
from hes_protocol.client import Associate, Client, Get, GetCompleted
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute
from hes_protocol.models.objects import ModelClient
from hes_protocol.wrapper import WrapperLink
from hes_protocol.xdlms.ciphered import CipherForm
from hes_protocol.xdlms.results import DataAccessResult
from tests.attacker import MODELS, Attacker, clients_of, kind_of, meter_of

CASES = [(name, client) for name in MODELS for client in clients_of(name)]
IDS = [f"{name}-{client.name}" for name, client in CASES]
STANDING = [name for name in MODELS if "pre-established" in str(kind_of(name).clients)]


@pytest.mark.parametrize(("name", "client"), CASES, ids=IDS)
def test_the_right_mechanism_opens_the_association(name: str, client: ModelClient) -> None:
    assert Attacker(meter_of(name), client).associate()


@pytest.mark.parametrize(("name", "client"), CASES, ids=IDS)
def test_no_other_mechanism_does(name: str, client: ModelClient) -> None:
    meter = meter_of(name)
    for mechanism in Mechanism:
        if mechanism in (client.mechanism, Mechanism.HLS, Mechanism.HLS_ECDSA):
            continue
        changes: dict[str, object] = {"mechanism": mechanism, "secret": b"12345678"}
        changes["system_title"] = b"ATK00001"
        if mechanism is Mechanism.HLS_GMAC:
            changes |= {"encryption_key": bytes(16), "authentication_key": bytes(16)}
        assert not Attacker(meter, client).associate(**changes), mechanism.name


@pytest.mark.parametrize(
    ("name", "client"), [(name, one) for name, one in CASES if one.mechanism or one.protection]
)
def test_no_other_clients_keys_or_secrets_do(name: str, client: ModelClient) -> None:
    other = bytes(range(16))
    wrong = (
        {"encryption_key": other, "authentication_key": other}
        if client.protection
        else {"secret": other}
    )
    assert not Attacker(meter_of(name), client).associate(**wrong)


@pytest.mark.parametrize("name", [name for name in MODELS if len(clients_of(name)) > 1])
def test_two_clients_share_no_secret(name: str) -> None:
    rules = meter_of(name).associations
    saps = [client.sap for client in clients_of(name)]
    keys = [rules[sap].encryption_key for sap in saps if rules[sap].encryption_key]
    assert len(keys) == len(set(keys))
    secrets = [rules[sap].secret for sap in saps if rules[sap].secret]
    assert len(secrets) == len(set(secrets))


@pytest.mark.parametrize("name", STANDING)
def test_a_pre_established_client_asks_without_opening_anything(name: str) -> None:
    """It names its title with each request. What it sees is the model's; it need be understood."""
    meter = meter_of(name)
    [client] = [one for one in kind_of(name).clients.values() if one.name == "pre-established"]
    attacker = Attacker(meter, client)
    settings = attacker.settings(pre_established=True, cipher_form=CipherForm.GENERAL_GLO)
    asking = Client(settings, WrapperLink(client.sap, meter.server_sap), lambda: 7)
    assert asking.send(Associate()) == b""
    asking.next_event()
    octets = asking.send(Get(Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)))
    for answer in attacker.frame(octets):
        asking.receive_data(answer)
    got = asking.next_event()
    assert isinstance(got, GetCompleted)
    assert got.result in (DataAccessResult.SUCCESS, DataAccessResult.OBJECT_UNDEFINED)
    assert not Attacker(meter, client).associate()  # nor may it, by AARQ
