"""Where a collector may connect to: every spelling ends at a checked literal, or nowhere."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any

import attrs
import pytest
import trio

from hes.domain.errors import AddressNotAllowedError
from hes.domain.reach import Reach
from hes_collectors.dlms import addresses
from hes_collectors.dlms.addresses import Endpoint, connect, resolve

METERS = Reach((ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))

# Spellings of addresses that a head-end must not be sent to, while its meters are in METERS.
OUTSIDE = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.1",
    "00000177.0.0.1",
    "127.0x0.0.1",
    "127.0.0.01",
    "127.0.0.0x1",
    "169.254.169.254",
    "169.254.43518",
    "0xa9fea9fe",
    "2852039166",
    "025177524776",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "10.2.0.1",
    "10.0.255.255",
    "10.131073",
    "192.168.0.1",
    "172.16.0.1",
    "8.8.8.8",
    "134744072",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "4294967295",
    "0xffffffff",
    "100.64.0.1",
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "0000:0000:0000:0000:0000:0000:0000:0001",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::FFFF:7F00:0001",
    "0:0:0:0:0:ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:10.2.0.1",
    "::127.0.0.1",
    "::7f00:1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    "fe80::1",
    "ff02::1",
    "fd00:2::1",
    "fc00::1",
    "2001:db8::1",
    "127.0.0.1.",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "ip6-localhost",
    "0.0.0.1",
    "169.254.0.1",
    "169.254.169.254.",
    "10.1.0.1.",
    "::ffff:0:127.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b:1::7f00:1",
    "fd00:1::5efe:127.0.0.1",
    "fd00:1::5efe:7f00:1",
    "fd00:1::200:5efe:169.254.169.254",
    "fd00:ec2::254",
    "febf::1",
    "fec0::1",
    "ff05::2",
]
MALFORMED = [
    "",
    " ",
    "127.0.0.1 ",
    " 10.1.0.1",
    "10.1.0.1\n",
    "10.1.0.1\0",
    "10.1.0.1#",
    "10.1.0.1/x",
    "10.1.0.1?x",
    "user@10.1.0.1",
    "[::1]",
    "[fd00:1::1]",
    "fe80::1%eth0",
    "fd00:1::1%25lo",
    "127.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "localhost%00.example",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "\uff11\uff12\uff17.0.0.1",
    "\u0661\u0662\u0667.0.0.1",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "127.0.0.1\t",
    "127.0.0.1;10.1.0.1",
    "127.0.0.1,10.1.0.1",
    "10.1.0.1@127.0.0.1",
    "\\127.0.0.1",
    "http://127.0.0.1",
    "fd00:1::1%lo",
    "a" * 254,
]


class _Resolver(trio.abc.HostnameResolver):
    """Answers names from a table; literals are resolved by the system, as always."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names
        self.asked: list[str] = []

    async def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(host.decode() if isinstance(host, bytes) else host)
        answers = self.names.get(self.asked[-1])
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (
                socket.AF_INET6 if ":" in answer else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (answer, port, 0, 0) if ":" in answer else (answer, port),
            )
            for answer in answers
        ]

    async def getnameinfo(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("host", OUTSIDE)
async def test_no_spelling_leads_outside(host: str) -> None:
    with pytest.raises((AddressNotAllowedError, OSError)):
        await resolve(host, 4059, METERS)


@pytest.mark.parametrize("host", MALFORMED)
async def test_malformed_hosts_are_refused_unresolved(host: str) -> None:
    resolver = _Resolver({})
    trio.socket.set_custom_hostname_resolver(resolver)
    with pytest.raises(AddressNotAllowedError):
        await resolve(host, 4059, METERS)
    assert resolver.asked == []


def test_the_table_is_as_long_as_promised() -> None:
    assert len(set(OUTSIDE)) + len(set(MALFORMED)) >= 100


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("0x0a010203", "10.1.2.3"),
        ("10.66051", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fd00:1::7", "fd00:1::7"),
        ("FD00:0001:0:0::0007", "fd00:1::7"),
    ],
)
async def test_a_spelling_inside_becomes_its_literal(host: str, address: str) -> None:
    assert await resolve(host, 4059, METERS) == (Endpoint(ip_address(address), 4059),)


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_ports_out_of_range_are_refused(port: int) -> None:
    with pytest.raises(AddressNotAllowedError):
        await resolve("10.1.2.3", port, METERS)


async def test_a_name_is_resolved_once_and_every_answer_counts() -> None:
    resolver = _Resolver(
        {
            "meter.example": ["10.1.0.9", "fd00:1::9", "10.1.0.9"],
            "rebound.example": ["10.1.0.9", "127.0.0.1"],
            "mapped.example": ["::ffff:10.1.0.9"],
        }
    )
    trio.socket.set_custom_hostname_resolver(resolver)
    assert await resolve("meter.example", 4059, METERS) == (
        Endpoint(ip_address("10.1.0.9"), 4059),
        Endpoint(ip_address("fd00:1::9"), 4059),
    )
    assert resolver.asked == ["meter.example"]
    assert await resolve("mapped.example", 4059, METERS) == (
        Endpoint(ip_address("10.1.0.9"), 4059),
    )
    with pytest.raises(AddressNotAllowedError):
        await resolve("rebound.example", 4059, METERS)
    with pytest.raises(OSError, match="unknown"):
        await resolve("nobody.example", 4059, METERS)


async def test_a_name_that_leads_elsewhere_the_next_time_is_not_asked_again() -> None:
    """DNS rebinding: the first answer is a meter's, every later one the canary's."""
    [canary] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = canary.socket.getsockname()[1]
    resolver = _Resolver({"meter.example": ["127.51.9.9"]})
    trio.socket.set_custom_hostname_resolver(resolver)
    endpoints = await resolve("meter.example", port, Reach((ip_network("127.51.0.0/16"),)))
    resolver.names["meter.example"] = ["127.0.0.1"]
    with pytest.raises(OSError, match="refused"):
        await connect(endpoints)
    assert resolver.asked == ["meter.example"]
    await _sees_only_us(canary, port)


async def test_only_ports_of_meters() -> None:
    reach = attrs.evolve(METERS, ports=((4059, 4059), (40000, 40999)))
    for port in (4059, 40000, 40999):
        [endpoint] = await resolve("10.1.2.3", port, reach)
        assert endpoint.port == port
    for port in (22, 4058, 5432, 39999, 41000):
        with pytest.raises(AddressNotAllowedError, match="port"):
            await resolve("10.1.2.3", port, reach)


async def test_our_own_ports_are_nobodys_on_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = Reach((ip_network("0.0.0.0/0"),), own_ports=frozenset({4059}))
    for host in ("127.0.0.1", "127.16.0.1"):
        with pytest.raises(AddressNotAllowedError, match="own"):
            await resolve(host, 4059, everything)
    assert await resolve("127.16.0.1", 4159, everything)
    asked = []

    class Probe:
        """A machine with the address 10.1.0.1."""

        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Probe:
            return self

        def __exit__(self, *_: object) -> None: ...
        def connect(self, address: object) -> None:
            asked.append(address)

        def getsockname(self) -> tuple[str, int]:
            return "10.1.0.1", 5353

    monkeypatch.setattr(addresses.socket, "socket", Probe)
    with pytest.raises(AddressNotAllowedError, match="own"):
        await resolve("10.1.0.1", 4059, everything)
    assert await resolve("10.1.0.2", 4059, everything)
    assert asked == [("10.1.0.1", 9), ("10.1.0.2", 9)]


async def test_connects_to_the_first_that_answers() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    # Nobody listens on ::1 with this port, or the test host has no IPv6: both refuse.
    endpoints = (Endpoint(ip_address("::1"), port), Endpoint(ip_address("127.0.0.1"), port))
    async with listener:
        stream = await connect(endpoints)
        async with stream, await listener.accept() as accepted:
            await stream.send_all(b"x")
            assert await accepted.receive_some() == b"x"


async def test_nobody_answers() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(ConnectionRefusedError):
        await connect((Endpoint(ip_address("127.0.0.1"), port),))
    with pytest.raises(OSError, match="no endpoint"):
        await connect(())


async def test_a_canary_sees_no_connection() -> None:
    """Whatever way an address is written, nobody connects to what listens on the loopback."""
    [canary] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = canary.socket.getsockname()[1]
    for host in (*OUTSIDE, *MALFORMED):
        with pytest.raises((AddressNotAllowedError, OSError)):
            await connect(await resolve(host, port, METERS))
    own = Reach((ip_network("127.0.0.0/8"), ip_network("::/0")), own_ports=frozenset({port}))
    for host in ("127.0.0.1", "::1", "2130706433", "::ffff:127.0.0.1"):
        with pytest.raises((AddressNotAllowedError, OSError)):
            await connect(await resolve(host, port, own))
    await _sees_only_us(canary, port)


async def _sees_only_us(canary: trio.SocketListener, port: int) -> None:
    """The first connection that the canary sees is the one that we make now."""
    async with (
        canary,
        await trio.open_tcp_stream("127.0.0.1", port) as ours,
        await canary.accept() as seen,
    ):
        assert seen.socket.getpeername() == ours.socket.getsockname()
