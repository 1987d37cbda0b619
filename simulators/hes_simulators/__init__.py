"""
Simulated meters: hes_protocol in the server role over trio, load curves, fleets.

Owns what a meter is and does; knows nothing of the head-end. `Fleet` serves many meters,
`serve_stream` one connection to one `Meter` (also in memory), `truth.rows` says what a meter
really captured.
"""

from hes_simulators.addresses import MeterNetwork, NetworkError
from hes_simulators.fleet import Fleet, FleetError, FleetSettings
from hes_simulators.identity import Identity
from hes_simulators.meter import Meter, MeterKind, Security
from hes_simulators.session import SessionSummary, serve_stream
from hes_simulators.starts import StartsError, next_start
from hes_simulators.truth.rows import TruthLog, TruthRow, rows

__all__ = [
    "Fleet",
    "FleetError",
    "FleetSettings",
    "Identity",
    "Meter",
    "MeterKind",
    "MeterNetwork",
    "NetworkError",
    "Security",
    "SessionSummary",
    "StartsError",
    "TruthLog",
    "TruthRow",
    "next_start",
    "rows",
    "serve_stream",
]
