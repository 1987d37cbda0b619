"""How populations are reached: SAPs behind a concentrator, numbering of meters and addresses."""

from __future__ import annotations

from ipaddress import IPv4Network
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_simulators import Fleet, FleetError, FleetSettings, MeterNetwork, NetworkError, Security
from hes_simulators.reach import DialIn, Reach, Target
from hes_simulators.roster import Roster
from hes_simulators.scenario.population import District, Group, Population

NETWORK = MeterNetwork(IPv4Network("127.50.0.0/16"))


def town(*groups: Group) -> Population:
    return Population(list(groups), [District(name="Town")], 1)


def roster(*groups: Group, **changes: object) -> Roster:
    settings = FleetSettings(population=town(*groups), network=NETWORK, **changes)  # type: ignore[arg-type]
    fleet = Fleet(settings, start_number=1)
    return Roster(settings, fleet._kind)


@given(places=st.integers(2, 4096))
def test_every_place_behind_a_concentrator_has_a_sap_of_its_own(places: int) -> None:
    reach = Reach(meters_per_address=places)
    saps = [reach.server_sap(place) for place in range(places)]
    assert len(set(saps)) == places
    assert min(saps) == 0x10  # below that, SAPs are reserved
    assert 0x7F not in saps  # the all-station address
    assert [reach.place(sap) for sap in saps] == list(range(places))
    assert reach.place(0x7F) is None
    assert reach.place(1) is None
    assert reach.place(max(saps) + 1) is None


def test_a_meter_alone_has_its_own_sap() -> None:
    assert Reach().server_sap(0) == 1
    assert Reach().place(1) == 0
    assert Reach().place(16) is None


@pytest.mark.parametrize("host", ["", "localhost", "::1", "127.0.0.256"])
def test_a_target_is_an_address(host: str) -> None:
    with pytest.raises(ValueError):
        Target(host)


@pytest.mark.parametrize("wrong", [0, 65536])
def test_a_target_has_a_port(wrong: int) -> None:
    with pytest.raises(ValueError, match=str(wrong)):
        Target("127.0.0.1", wrong)


def test_groups_are_numbered_one_after_the_other() -> None:
    found = roster(
        Group(name="a", model="hes-household", count=3, security="lls"),
        Group(name="b", model="hes-household", count=5, reach=Reach(meters_per_address=4)),
        Group(name="c", model="hes-household", count=2, reach=Reach(listens=False)),
        Group(name="d", model="hes-household", count=1),
    )
    assert len(found) == 11
    records = list(found.records())
    assert [record["serial"] for record in records] == [f"HES{n:08d}" for n in range(1, 12)]
    assert [record["group"] for record in records] == list("aaabbbbbccd")
    # Four meters share the fourth address, and the last of their group has the fifth.
    assert [record["address"] for record in records] == [
        "127.50.0.1",
        "127.50.0.2",
        "127.50.0.3",
        *["127.50.0.4"] * 4,
        "127.50.0.5",
        None,
        None,
        "127.50.0.8",
    ]
    assert [record["port"] is None for record in records][8:] == [True, True, False]
    assert [record["server_sap"] for record in records][3:8] == [16, 17, 18, 19, 16]
    assert found.meter(1).kind.security is Security.LLS
    assert found.meter(4).kind.security is Security.GMAC


def test_an_address_leads_to_its_meter_and_back() -> None:
    found = roster(
        Group(name="a", model="hes-household", count=300),
        Group(name="b", model="hes-household", count=5, reach=Reach(meters_per_address=4)),
        Group(name="c", model="hes-household", count=4, reach=Reach(listens=False)),
        Group(name="d", model="hes-household", count=300),
    )
    for index in (0, 253, 254, 299, 300, 304, 309, 608):
        called = found.called(found.host(index), 4159)
        assert called is not None
        place = called.band.reach.place(found.server_sap(index))
        assert place is not None
        assert called.band.index_at(called.address, place) == index
    assert found.called(found.host(306), 4159) is None  # it only pushes
    assert found.called("127.50.200.1", 4159) is None
    assert found.called("127.0.0.1", 4159) is None
    last = found.called(found.host(304), 4159)
    assert last is not None
    assert last.band.index_at(last.address, 1) is None  # the last concentrator is not full
    for wrong in (-1, 609):
        with pytest.raises(IndexError):
            found.meter(wrong)
    assert found.made == 0


def test_concentrators_need_few_addresses() -> None:
    tight = MeterNetwork(IPv4Network("127.50.0.0/24"))
    reach = Reach(meters_per_address=100)
    assert FleetSettings(meters=25_400, network=tight, reach=reach).addresses == 254
    with pytest.raises(NetworkError):
        FleetSettings(meters=25_401, network=tight, reach=reach)


@pytest.mark.parametrize(
    "reach",
    [
        Reach(tls=True),
        Reach(push_to=Target("127.0.0.1"), push_tls=True),
        Reach(dial_in=DialIn(target=Target("127.0.0.1"), tls=True)),
    ],
)
def test_tls_needs_a_folder(reach: Reach) -> None:
    with pytest.raises(FleetError, match="folder"):
        FleetSettings(reach=reach)


@pytest.mark.parametrize(
    ("zone", "stands"), [(None, "Europe/Oslo"), (ZoneInfo("Europe/Lisbon"), "Europe/Lisbon")]
)
def test_meters_stand_where_their_model_says_unless_the_fleet_does(
    zone: ZoneInfo | None, stands: str
) -> None:
    fleet = Fleet(FleetSettings(model="nordic-han", zone=zone), start_number=1)
    assert fleet.meter(0).kind.zone.key == stands
