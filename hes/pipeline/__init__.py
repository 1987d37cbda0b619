"""Batches on their way: the bus, the writer (resolve, stage, merge) and its receipts."""

from hes.pipeline.bus import DirectBus
from hes.pipeline.window import WindowPolicy
from hes.pipeline.writer import Writer

__all__ = ["DirectBus", "WindowPolicy", "Writer"]
