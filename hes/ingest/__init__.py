"""
Pure: COSEM or MQTT payload -> ReadingBatch; local time -> UTC; validation rules. No I/O.

Time (`time`), meaning of channels (`channels`), profiles (`profile`), pushes (`push`).
"""

from hes.ingest.profile import profile_batch
from hes.ingest.push import push_batch, unnamed
from hes.ingest.time import to_utc

__all__ = ["profile_batch", "push_batch", "to_utc", "unnamed"]
