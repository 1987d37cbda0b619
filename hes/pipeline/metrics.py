"""What Prometheus sees of the pipeline, looked at when it asks; costs nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from hes.pipeline.backlog import Priority
from hes.pipeline.bus import DirectBus
from hes.pipeline.rollup import Roller
from hes.pipeline.writer import utc_now


class PipelineMetrics(Collector):
    """
    The lanes' backlogs and how far the roll-ups are behind; to be registered.

    Args: clock: our clock, aware UTC.
    """

    def __init__(
        self, bus: DirectBus, roller: Roller, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._bus = bus
        self._roller = roller
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """As they are now."""
        batches = GaugeMetricFamily(
            "hes_writer_waiting_batches", "Batches that wait to be written.", labels=("lane",)
        )
        rows = GaugeMetricFamily(
            "hes_writer_waiting_rows", "Rows that wait to be written.", labels=("lane",)
        )
        shed = CounterMetricFamily(
            "hes_writer_shed_batches",
            "Batches that were not taken for want of room, by priority.",
            labels=("priority",),
        )
        backlogs = self._bus.backlogs
        for number, backlog in enumerate(backlogs):
            batches.add_metric((str(number),), len(backlog))
            rows.add_metric((str(number),), backlog.rows)
        for priority in Priority:
            count = sum(backlog.shed.get(priority, 0) for backlog in backlogs)
            shed.add_metric((priority.name.lower(),), count)
        oldest = self._roller.oldest
        lag_s = 0.0 if oldest is None else (self._clock() - oldest).total_seconds()
        yield from (batches, rows, shed)
        yield GaugeMetricFamily(
            "hes_rollup_lag_seconds",
            "For how long the rows have waited that the roll-ups take in now.",
            value=max(0.0, lag_s),
        )
