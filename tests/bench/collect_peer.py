"""
What one would write with dlms-cosem: a thread per meter in a pool, a session each, COPY per meter.

It knows what our engine finds out: the profile's columns, that the meters' counters have not been
used, which meters are there. It keeps no due work, leases, counters, marks or completeness, and its
table has one index. Meters are its own: what it counts up would make ours ask for the counter.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
from dlms_cosem import cosem, enumerations
from dlms_cosem.client import DlmsClient
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.io import BlockingTcpIO, TcpTransport
from dlms_cosem.parsers import ProfileGenericBufferParser
from dlms_cosem.security import HighLevelSecurityGmacAuthentication

from hes.domain.meters import ProfileKnowledge

AT_ONCE = 50
_COPY = "COPY collected (serial, captured_at, obis, value) FROM STDIN"
_CREATE = """
CREATE TABLE collected (
    serial text, captured_at timestamptz, obis text, value int8, UNIQUE (serial, obis, captured_at)
)
"""


class Peer:
    """
    A fleet's reader.

    Args: url: where to. meters: records of a meter file. profile: what they capture.
    """

    def __init__(
        self, url: str, meters: Sequence[Mapping[str, Any]], profile: ProfileKnowledge
    ) -> None:
        self._url = url
        self._meters = meters
        self._profile = cosem.CosemAttribute(
            enumerations.CosemInterface.PROFILE_GENERIC,
            cosem.Obis.from_bytes(profile.obis.octets),
            2,
        )
        self._columns = [
            cosem.CosemAttribute(
                enumerations.CosemInterface(column.class_id),
                cosem.Obis.from_bytes(column.obis.octets),
                column.attribute_index,
            )
            for column in profile.columns
        ]
        self._period_min = profile.capture_period_s // 60
        self._counters = dict.fromkeys((meter["serial"] for meter in meters), 1)
        self._connections = threading.local()
        with psycopg.connect(url) as connection:
            connection.execute(_CREATE)

    def day(self, start: datetime, end: datetime) -> float:
        """Read what was captured in [`start`, `end`) of every meter; returns seconds."""
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            values = sum(pool.map(lambda meter: self._read(meter, start, end), self._meters))
        assert values >= len(self._meters) * 4 * 96, values
        return time.perf_counter() - began

    def _read(self, meter: Mapping[str, Any], start: datetime, end: datetime) -> int:
        client = DlmsClient(
            TcpTransport(
                meter["client_sap"], meter["server_sap"],
                BlockingTcpIO(meter["address"], meter["port"]),
            ),
            HighLevelSecurityGmacAuthentication(challenge_length=16),
            encryption_key=bytes.fromhex(meter["ek"]),
            authentication_key=bytes.fromhex(meter["ak"]),
            client_system_title=os.urandom(8),
            client_initial_invocation_counter=self._counters[meter["serial"]],
        )  # fmt: skip
        wanted = RangeDescriptor(
            CaptureObject(cosem_attribute=self._columns[0], data_index=0),
            start,
            end - timedelta(seconds=1),
        )
        with client.session():
            octets = client.get(self._profile, wanted)
        self._counters[meter["serial"]] = client.client_invocation_counter
        parser = ProfileGenericBufferParser(
            capture_objects=self._columns, capture_period=self._period_min
        )
        rows = [
            (meter["serial"], row[0].value, value.attribute.instance.to_string(), value.value)
            for row in parser.parse_bytes(octets)
            for value in row[1:]
        ]
        connection = self._connection()
        with connection.cursor().copy(_COPY) as copy:
            for one in rows:
                copy.write_row(one)
        connection.commit()
        return len(rows)

    def _connection(self) -> psycopg.Connection:
        kept = self._connections
        if not hasattr(kept, "connection"):
            kept.connection = psycopg.connect(self._url)
        found: psycopg.Connection = kept.connection
        return found
