"""
Faults on request: what a meter does wrong, on whom and when, changed while the fleet runs.

Owns the kinds of faults (`kinds`), rules by script or seed (`script`), doing them (`session` and
what it is made of) and the socket that `hes sim fault` talks to (`control`). Faults of the network
are `hes_simulators.proxy`.
"""

from hes_simulators.faults.errors import FaultError
from hes_simulators.faults.kinds import FAULTS, Fault, Where, fault
from hes_simulators.faults.parts import Alter, ServerParts, unaltered
from hes_simulators.faults.script import ALL, FaultPlan, Meters, Rule
from hes_simulators.faults.session import WELL_BEHAVED, SessionFaults
from hes_simulators.faults.stream import reset

__all__ = [
    "ALL",
    "FAULTS",
    "WELL_BEHAVED",
    "Alter",
    "Fault",
    "FaultError",
    "FaultPlan",
    "Meters",
    "Rule",
    "ServerParts",
    "SessionFaults",
    "Where",
    "fault",
    "reset",
    "unaltered",
]
