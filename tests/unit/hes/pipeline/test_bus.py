from concurrent.futures import ThreadPoolExecutor

import pytest

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt
from hes.pipeline.bus import DirectBus
from hes.storage.database import Database
from tests.batches import DAY, batch, channel, later, meter_id, series


class NotingLane:
    """Stands for a lane: notes what it gets."""

    def __init__(self) -> None:
        self.got: list[ReadingBatch] = []

    def publish(self, batch: ReadingBatch) -> Receipt:
        self.got.append(batch)
        return Receipt(0, len(batch), 0, 0, 0)


def of_meter(meter: int, number: int = 0) -> ReadingBatch:
    return batch([(series(channel(meter_id(meter))), later(DAY, number), number)])


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[NotingLane]:
    return [NotingLane() for _ in range(4)]


@pytest.fixture
def bus(lanes: list[NotingLane]) -> DirectBus:
    made = DirectBus(Database("postgresql://nowhere.invalid"), lanes=4)
    made._lanes = lanes  # type: ignore[assignment]
    return made


def test_a_meter_has_one_lane_and_the_meters_share_them(
    bus: DirectBus, lanes: list[NotingLane]
) -> None:
    for meter in range(200):
        for number in range(2):
            bus.publish(of_meter(meter, number))
    meters = [[one.series[0].channel.meter_id for one in lane.got] for lane in lanes]
    assert [len(set(of_lane)) * 2 for of_lane in meters] == [len(of_lane) for of_lane in meters]
    assert all(60 <= len(of_lane) <= 140 for of_lane in meters)


def test_a_batch_that_its_maker_got_wrong_reaches_no_lane(
    bus: DirectBus, lanes: list[NotingLane]
) -> None:
    good = of_meter(0)
    with pytest.raises(ValueError, match="points to no series"):
        bus.publish(ReadingBatch(good.batch_key, (), good.integers, (), good.provenance))
    assert not any(lane.got for lane in lanes)


def test_a_bus_that_is_closed_takes_nothing() -> None:
    with DirectBus(Database("postgresql://nowhere.invalid")) as bus:
        pass
    with ThreadPoolExecutor(1) as threads, pytest.raises(StorageUnavailableError, match="closed"):
        threads.submit(bus.publish, of_meter(0)).result(10)
    bus.close()
