"""
The faults of one connection, put where they take hold: around the parts, and around the stream.

What the fleet does with each connection:

    with meter.kind.faults.session(meter.identity) as misdeeds:     # one more session
        if misdeeds.refuses:
            await reset(stream)
        else:
            await serve_stream(stream, meter, summary, idle_timeout_s, misdeeds)
"""

from __future__ import annotations

from random import Random

import attrs
import trio

from hes_simulators.faults.kinds import Fault, OneSession, Refuse
from hes_simulators.faults.parts import ServerParts


@attrs.frozen
class SessionFaults:
    """
    What the meter does wrong on one connection; nothing where `faults` is empty.

    `random` is the session's own; `others` how many connections the meter has beside.
    """

    faults: tuple[Fault, ...] = ()
    random: Random = attrs.field(factory=Random, repr=False)

    others: int = 0

    @property
    def refuses(self) -> bool:
        """Whether the connection is to be reset at once, and not served."""
        return any(
            isinstance(fault, Refuse) or (isinstance(fault, OneSession) and self.others > 0)
            for fault in self.faults
        )

    def alter(self, parts: ServerParts) -> ServerParts:
        """The parts of the meter's server, with the faults of what it says."""
        return parts

    def stream(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """The stream to serve, with the faults of when and how far it goes."""
        return stream


WELL_BEHAVED = SessionFaults()
