"""Loopback addresses of meters."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from hes_simulators.addresses import MeterNetwork, NetworkError


def test_default_network() -> None:
    network = MeterNetwork()
    assert network.capacity == 65_024
    assert str(network.address(0)) == "127.16.0.1"
    assert str(network.address(253)) == "127.16.0.254"
    assert str(network.address(254)) == "127.16.1.1"
    assert str(network.address(65_023)) == "127.16.255.254"


@pytest.mark.parametrize(
    "network", ["127.16.0.0/22", "127.1.2.0/24", "127.1.2.128/25", "127.1.2.0/30", "127.1.2.4/30"]
)
def test_index_is_the_inverse_and_every_address_is_inside(network: str) -> None:
    meters = MeterNetwork(IPv4Network(network))
    addresses = [meters.address(index) for index in range(meters.capacity)]
    assert len(set(addresses)) == meters.capacity
    assert [meters.host(index) for index in range(meters.capacity)] == list(map(str, addresses))
    assert all(address in meters.network for address in addresses)
    assert [meters.index(address) for address in addresses] == list(range(meters.capacity))


def test_nobodys_addresses() -> None:
    meters = MeterNetwork(IPv4Network("127.16.0.0/24"))
    for text in ("127.16.0.0", "127.16.0.255", "127.16.1.1", "127.0.0.1"):
        assert meters.index(IPv4Address(text)) is None


def test_full_and_foreign_networks_are_refused() -> None:
    with pytest.raises(NetworkError, match="room for 254"):
        MeterNetwork(IPv4Network("127.16.0.0/24")).address(254)
    with pytest.raises(NetworkError, match="not inside"):
        MeterNetwork(IPv4Network("10.0.0.0/8"))
