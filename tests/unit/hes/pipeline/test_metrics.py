import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from hes.domain.errors import OverloadedError
from hes.pipeline.backlog import Limits, Priority, Terms
from hes.pipeline.bus import DirectBus
from hes.pipeline.metrics import PipelineMetrics
from hes.pipeline.rollup import Roller
from hes.pipeline.writer import Writer
from hes.storage.database import Database
from tests.batches import DAY, NOW, batch, channel, later, meter_id, series


def test_what_waits_and_what_was_shed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, gate = threading.Event(), threading.Event()

    def write(self: Writer, batches: list[object]) -> list[object]:
        busy.set()
        assert gate.wait(10)
        return [None for _ in batches]

    monkeypatch.setattr(Writer, "write", write)
    database = Database("postgresql://nowhere.invalid")
    roller = Roller(database)
    terms = {priority: Terms(1.0, 0.0) for priority in Priority}
    rows = [(series(channel(meter_id(1))), later(DAY, number), 1) for number in range(3)]
    registry = CollectorRegistry()

    def told(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    with (
        ThreadPoolExecutor(2) as threads,
        DirectBus(database, lanes=1, limits=Limits(rows=4, terms=terms)) as bus,
    ):
        registry.register(PipelineMetrics(bus, roller, clock=lambda: NOW))
        assert told("hes_writer_shed_batches_total", priority="push") == 0
        assert told("hes_rollup_lag_seconds") == 0
        threads.submit(bus.publish, batch(rows))
        assert busy.wait(10)
        threads.submit(bus.publish, batch(rows))
        while told("hes_writer_waiting_batches", lane="0") != 1:
            pass
        with pytest.raises(OverloadedError):
            bus.publish(batch(rows))
        roller._oldest = NOW - timedelta(minutes=2)
        assert told("hes_writer_waiting_rows", lane="0") == 3
        assert told("hes_writer_shed_batches_total", priority="profile") == 0
        shed = [
            told("hes_writer_shed_batches_total", priority=one.name.lower()) for one in Priority
        ]
        assert sum(one or 0 for one in shed) == 1
        assert told("hes_rollup_lag_seconds") == 120
        gate.set()
