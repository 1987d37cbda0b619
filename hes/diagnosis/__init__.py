"""
How the servers do (`services`); later: why a meter is not read, and what to do about it.
"""

from hes.diagnosis.services import ServiceHealth, ServiceReport, ServiceState

__all__ = ["ServiceHealth", "ServiceReport", "ServiceState"]
