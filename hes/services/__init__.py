"""
Servers that `hes up` and the tests start, health-check and stop.

Owns where a server comes from (a URL given by the operator, Debian's packages in a private prefix,
the wheels), its process and its data directory. Does not know what is kept in it: no schema, no
topics. Everything here is synchronous and may be called from any thread.
"""

from hes.services.errors import ServerMissingError, ServiceError, ServiceStartError
from hes.services.external import External
from hes.services.mosquitto import Mosquitto
from hes.services.postgres import Postgres
from hes.services.redis import Redis
from hes.services.service import Service
from hes.services.sources import database_service, mqtt_service, redis_service

__all__ = [
    "External",
    "Mosquitto",
    "Postgres",
    "Redis",
    "ServerMissingError",
    "Service",
    "ServiceError",
    "ServiceStartError",
    "database_service",
    "mqtt_service",
    "redis_service",
]
