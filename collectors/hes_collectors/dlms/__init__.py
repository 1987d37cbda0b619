"""
The DLMS/COSEM collector on trio: outbound sessions, inbound pushes.

`run(make_context(settings, ports, metrics))` is the process `hes collect dlms`. Knows storage only
through the ports of `hes.domain`.
"""

from hes_collectors.dlms.clock_steps import ClockRules
from hes_collectors.dlms.context import Context, Ports, WorkerThreads
from hes_collectors.dlms.gate import StorageGate
from hes_collectors.dlms.metrics import CollectorMetrics
from hes_collectors.dlms.replay import FrameReplays
from hes_collectors.dlms.run import make_context, run
from hes_collectors.dlms.settings import Backoff, CollectorSettings, Deadlines, InboundLimits
from hes_collectors.dlms.tls import TlsFiles, TlsFilesError

__all__ = [
    "Backoff",
    "ClockRules",
    "CollectorMetrics",
    "CollectorSettings",
    "Context",
    "Deadlines",
    "FrameReplays",
    "InboundLimits",
    "Ports",
    "StorageGate",
    "TlsFiles",
    "TlsFilesError",
    "WorkerThreads",
    "make_context",
    "run",
]
