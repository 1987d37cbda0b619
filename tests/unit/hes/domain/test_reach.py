"""Where meters are: networks, ports, and the faces of an address."""

from __future__ import annotations

from ipaddress import ip_network

import attrs
import pytest

from hes.domain.errors import AddressNotAllowedError
from hes.domain.reach import Reach, canonical, parse_ports

METERS = Reach((ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))
EVERYTHING = Reach((ip_network("0.0.0.0/0"), ip_network("::/0")))


def test_what_an_address_carries_is_checked_too() -> None:
    six = Reach((ip_network("::/0"),))
    both = attrs.evolve(METERS, networks=(*six.networks, *METERS.networks))
    assert six.has_address(canonical("2001:db8::1"))
    for prefix in ("64:ff9b::", "64:ff9b:1::", "::", "::ffff:0:", "2001:db8::5efe:"):
        assert not both.has_address(canonical(f"{prefix}7f00:1")), prefix
        assert both.has_address(canonical(f"{prefix}a01:203")), prefix
    assert not both.has_address(canonical("2002:7f00:1::"))
    assert both.has_address(canonical("2002:a01:203::1"))


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.0.0.9", "224.0.0.1", "255.255.255.255", "169.254.169.254"),
        *("::", "ff02::1", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"),
    ],
)
def test_addresses_of_nobody_are_never_allowed(text: str) -> None:
    assert not EVERYTHING.has_address(canonical(text))


@pytest.mark.parametrize("text", ["name", "fe80::1%eth0", "1.2.3", ""])
def test_canonical_takes_only_plain_literals(text: str) -> None:
    with pytest.raises(AddressNotAllowedError):
        canonical(text)


def test_a_segment_narrows_and_never_widens() -> None:
    segment = METERS.within([ip_network("10.1.7.0/24"), ip_network("10.0.0.0/8")])
    assert segment.has_address(canonical("10.1.7.1"))
    narrow = METERS.within([ip_network("10.1.7.0/24"), ip_network("192.168.0.0/16")])
    assert narrow.networks == (ip_network("10.1.7.0/24"),)
    assert METERS.within([ip_network("192.168.0.0/16")]).networks == ()
    assert METERS.within([ip_network("fd00::/8")]).networks == (ip_network("fd00:1::/32"),)
    assert METERS.within([]) == METERS


@pytest.mark.parametrize(
    ("text", "ports"), [("4059", (4059, 4059)), ("40000-40999", (40000, 40999)), ("1-65535", None)]
)
def test_ports(text: str, ports: tuple[int, int] | None) -> None:
    assert parse_ports(text) == (ports or (1, 65535))


@pytest.mark.parametrize("text", ["", "0", "65536", "5-4", "-5", "4059-", "x", "４０５９", " 4059"])
def test_no_ports(text: str) -> None:
    with pytest.raises(ValueError, match="neither a port"):
        parse_ports(text)
