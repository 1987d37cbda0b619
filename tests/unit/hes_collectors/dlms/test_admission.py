"""Who is let in, and how fast."""

from __future__ import annotations

from ipaddress import ip_address

import trio
from trio.testing import MockClock

from hes_collectors.dlms import InboundLimits
from hes_collectors.dlms.admission import Admission, SourceRates, source_of

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")


async def test_a_storm_is_let_in_at_a_pace(autojump_clock: MockClock) -> None:
    """Row 40: thousands at once, nobody is refused, nobody is let in faster than it may."""
    admission = Admission(InboundLimits(connections_per_s=300, max_connections=20_000))
    let_in: list[float] = []

    async def listener() -> None:
        while len(let_in) < 3_000:
            await admission.pace()
            source = source_of(ip_address(0x0A000000 + len(let_in)))
            assert admission.refusal(source) is None
            admission.enter(source)
            let_in.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener)
        nursery.start_soon(listener)  # an IPv4 and an IPv6 socket share one pace
    assert 9 < let_in[-1] < 10
    for first, later in zip(let_in, let_in[450:], strict=False):
        assert later - first >= 0.99


async def test_a_source_that_comes_too_often_costs_nobody_else_a_turn(
    autojump_clock: MockClock,
) -> None:
    limits = InboundLimits(max_connections_per_source=5, connections_per_s_per_source=2)
    admission = Admission(limits)
    hostile = source_of(A)
    verdicts = [admission.refusal(hostile) for _ in range(30)]
    assert verdicts == [None] * 10 + ["source-rate"] * 20
    assert admission.refusal(source_of(B)) is None
    await trio.sleep(1)
    assert [admission.refusal(hostile) for _ in range(3)] == [None, None, "source-rate"]


async def test_places_are_given_back() -> None:
    admission = Admission(InboundLimits(max_connections=2, max_connections_per_source=1))
    admission.enter(source_of(A))
    assert admission.refusal(source_of(A)) == "source-full"
    admission.enter(source_of(B))
    assert admission.refusal(source_of(ip_address("192.0.2.3"))) == "full"
    admission.leave(source_of(A))
    assert admission.refusal(source_of(A)) is None


async def test_what_is_remembered_of_sources_is_bounded() -> None:
    rates = SourceRates(0.001, 1.0)
    for number in range(20_001):
        assert rates.has_turn(source_of(ip_address(number)))
    assert not rates.has_turn(source_of(ip_address(20_000)))
    assert rates.has_turn(source_of(ip_address(0)))  # forgotten: it begins anew
    assert len(rates._buckets) == 20_000
