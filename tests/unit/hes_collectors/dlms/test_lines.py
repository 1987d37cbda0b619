"""How a session comes to a stream."""

from __future__ import annotations

from ipaddress import ip_network

import attrs
import pytest
import trio
from trio.testing import memory_stream_pair

from hes.domain.errors import AddressNotAllowedError
from hes_collectors.dlms import CollectorSettings
from hes_collectors.dlms.context import connect_checked
from hes_collectors.dlms.lines import Dialling
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import context, meter, wall_clock


async def test_a_meter_is_called_in_the_networks_of_its_segment_only() -> None:
    told: list[CollectorSettings] = []

    async def connect(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
        told.append(settings)
        return memory_stream_pair()[0]

    surroundings = context(FakeStorage(wall_clock), connect)  # which allows 127.0.0.0/8
    segment = ip_network("127.16.0.0/16")
    for networks, allowed in (
        ((), (ip_network("127.0.0.0/8"),)),
        ((segment, ip_network("10.0.0.0/8")), (segment,)),
        ((ip_network("10.0.0.0/8"),), ()),  # which the settings do not allow
    ):
        async with Dialling(surroundings, meter(), networks).opened():
            assert told[-1].allowed_networks == allowed
    real = attrs.evolve(surroundings, connect=connect_checked)
    with pytest.raises(AddressNotAllowedError):
        async with Dialling(real, meter(), (ip_network("127.17.0.0/16"),)).opened():
            pass
