"""The collector's counters; registered where they are told to, never globally by import."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from hes.domain.readings import Receipt


class CollectorMetrics:
    """
    What Prometheus sees of a DLMS collector.

    Args: registry: the process's own, or a fresh one in a test.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sessions = Counter(
            "hes_dlms_sessions_total",
            "Finished outbound sessions by outcome and the phase in which they ended.",
            ("outcome", "phase"),
            registry=registry,
        )
        self.sessions_running = Gauge(
            "hes_dlms_sessions_running", "Outbound sessions now.", registry=registry
        )
        self.items = Counter(
            "hes_dlms_due_items_total",
            "Due items that sessions had something to say of, by how they ended; again: not yet.",
            ("state",),
            registry=registry,
        )
        self.put_off = Counter(
            "hes_dlms_leases_put_off_total",
            "Meters that were due and are asked later, by what held them back.",
            ("reason",),
            registry=registry,
        )
        self.breakers_open = Gauge(
            "hes_dlms_breakers_open",
            "Segments that are left alone because hardly anybody answers there.",
            registry=registry,
        )
        self.frames_discarded = Counter(
            "hes_dlms_frames_discarded_total",
            "HDLC frames of sessions that were broken, out of place or for somebody else.",
            registry=registry,
        )
        self.readings = Counter(
            "hes_dlms_readings_total",
            "Readings by what their receipt said.",
            ("source", "result"),
            registry=registry,
        )
        self.inbound_connections = Counter(
            "hes_dlms_inbound_connections_total",
            "Inbound connections by how they were admitted.",
            ("result",),
            registry=registry,
        )
        self.inbound_connections_open = Gauge(
            "hes_dlms_inbound_connections_open", "Inbound connections now.", registry=registry
        )
        self.inbound_datagrams = Counter(
            "hes_dlms_inbound_datagrams_total",
            "Datagrams by whether they were held until they are stored, or dropped.",
            ("result",),
            registry=registry,
        )
        self.dialled_lines = Gauge(
            "hes_dlms_dialled_lines",
            "Meters with a connection that they have dialled.",
            registry=registry,
        )
        self.inbound_frames = Counter(
            "hes_dlms_inbound_frames_total",
            "Inbound messages by what became of them.",
            ("result",),
            registry=registry,
        )
        self.quarantine_refused = Counter(
            "hes_dlms_quarantine_refused_total",
            "Frames refused because the quarantine is full.",
            registry=registry,
        )
        self.security_events = Counter(
            "hes_dlms_security_events_total",
            "Security events by code.",
            ("code",),
            registry=registry,
        )
        self.storage_pauses = Counter(
            "hes_dlms_storage_pauses_total",
            "Times that collection paused because storage was away.",
            registry=registry,
        )

    def count_receipt(self, source: str, receipt: Receipt) -> None:
        """Add what a receipt says to `readings`."""
        for result, rows in (
            ("stored", receipt.stored),
            ("duplicate", receipt.duplicates),
            ("revised", receipt.revised),
            ("quarantined", receipt.quarantined),
        ):
            if rows:
                self.readings.labels(source, result).inc(rows)
