"""
What the DLMS collector is told when it is built; frozen, in seconds and octets.

Owns no defaults of the operator's: `hes.settings` reads what people may set and wiring makes
these objects of it. What stands here alone (chunk sizes, budgets) nobody needs to turn.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final

import attrs

from hes.domain.reach import PortRange, Reach
from hes_collectors.dlms.breaker import BreakerRules
from hes_collectors.dlms.budget import BudgetRules
from hes_collectors.dlms.clock_steps import ClockRules
from hes_collectors.dlms.throttle import ThrottleRules
from hes_collectors.dlms.tls import TlsFiles

SYSTEM_TITLE_OCTETS: Final = 8
DLMS_PORT: Final = 4059  # IANA dlms/cosem


def _eight_octets(_: object, attribute: attrs.Attribute[bytes], value: bytes) -> None:
    if len(value) != SYSTEM_TITLE_OCTETS:
        raise ValueError(f"{attribute.name}: a system title has eight octets, not {len(value)}")


@attrs.frozen
class Deadlines:
    """
    How long each phase of an outbound session may take, on the monotonic clock.

    `request_s` holds for one APDU and its answer, however slowly the answer drips in; `session_s`
    for everything from connect to the last request; `release_s` comes on top of it, and over HDLC
    at most two seconds for DISC.
    """

    connect_s: float = 5.0
    associate_s: float = 10.0
    request_s: float = 15.0
    session_s: float = 120.0
    release_s: float = 3.0


@attrs.frozen
class Backoff:
    """
    When what has failed is tried again, see `retries`.

    Full jitter below `first_s`, twice as much with each failure, at most `most_s`. An item that its
    meter refuses is tried `item_tries` times. What storage failed at is tried again within
    `storage_s`. `hopeless_s` is how long a meter rests with which no session can go well; somebody
    must change something.
    """

    first_s: float = 15.0
    most_s: float = 900.0
    item_tries: int = 3
    storage_s: float = 5.0
    hopeless_s: float = 86_400.0


@attrs.frozen
class InboundLimits:
    """
    What a connection from outside may cost us.

    `frame_s` is for a whole message (all its segments) and for the first one to begin, `idle_s`
    for the time between messages. A source is an IPv4 address or a /64 of IPv6. So many
    connections are taken each second in all, others wait; of one source those that come faster
    than `connections_per_s_per_source` for long are closed. `max_handshakes` of TLS go side by
    side, `handshake_s` is for each.

    A connection on which nothing was said for `greeting_s` is asked who it is. A meter that was
    identified on its own connection may be silent for `line_idle_s`; that it has gone without a
    word is for the keep-alive of TCP to find out, within some two minutes.
    After `bad_frames` refused frames in a row a connection is closed, which leaves room for noise
    on a line behind a gateway; on the wrapper it is 1, which cannot find the next frame after a
    bad one.
    """

    max_connections: int = 5000
    max_connections_per_source: int = 100
    idle_s: float = 900.0
    frame_s: float = 30.0
    max_apdu_octets: int = 65535
    max_frame_octets: int = 2047
    bad_frames: int = 3
    connections_per_s: float = 300.0
    connections_per_s_per_source: float = 20.0
    datagrams_per_s_per_source: float = 20.0
    max_handshakes: int = 500
    handshake_s: float = 10.0
    greeting_s: float = 5.0
    line_idle_s: float = 21_600.0


@attrs.frozen
class CollectorSettings:
    """
    One collector process.

    `holder` names it in leases. `first_read_days` is how far back a profile is read of which
    nothing is committed yet; `rows_per_request` cuts long ranges, so that each piece is committed
    before the next is asked for; `max_result_octets` is the most that one answer may hold.
    `counter_block_size` invocation counters are reserved at a time; `max_counter_jump` is how far
    above ours the counter may lie that a meter says it expects. `allowed_networks`,
    `allowed_ports` and `own_ports`: see `hes.domain.reach`.
    """

    holder: str
    system_title: bytes = attrs.field(validator=_eight_octets)
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    allowed_ports: tuple[PortRange, ...] = ((1, 65535),)
    own_ports: frozenset[int] = frozenset()
    listen_host: str = "127.0.0.1"
    listen_port: int = DLMS_PORT
    listen_udp: bool = True
    tls: TlsFiles | None = None
    max_sessions: int = 200
    worker_threads: int = 8
    lease_s: float = 180.0
    poll_interval_s: float = 1.0
    deadlines: Deadlines = Deadlines()
    backoff: Backoff = Backoff()
    retries: BudgetRules = attrs.field(factory=BudgetRules)
    breaker: BreakerRules = attrs.field(factory=BreakerRules)
    connections_per_s: float | None = None
    sessions_per_segment: int | None = None
    urgent_share: float = 0.1
    inbound: InboundLimits = InboundLimits()
    clock: ClockRules = attrs.field(factory=ClockRules)
    max_receive_pdu_size: int = 65535
    max_result_octets: int = 2 * 1024 * 1024
    first_read_days: float = 14.0
    rows_per_request: int = 96
    counter_block_size: int = 64
    max_counter_jump: int = 1_000_000
    storage_retry_s: float = 5.0
    shutdown_s: float = 5.0

    @property
    def reach(self) -> Reach:
        """Where meters are."""
        return Reach(self.allowed_networks, self.allowed_ports, self.own_ports)

    @property
    def throttle(self) -> ThrottleRules:
        """How many sessions at once, and how fast they begin."""
        return ThrottleRules(
            self.max_sessions, self.connections_per_s, self.sessions_per_segment, self.urgent_share
        )

    def __attrs_post_init__(self) -> None:
        # A lease that ends before its session can would let a second collector in.
        longest_s = self.deadlines.session_s + self.deadlines.release_s
        if self.lease_s <= longest_s:
            raise ValueError(f"lease_s: {self.lease_s} s does not outlast a session ({longest_s})")
        if self.deadlines.session_s <= self.deadlines.request_s:
            raise ValueError("session_s: shorter than the one request that it is for")
