"""
Rules of who talks to whom: leases, octets that leave, what meters carry out, counters on the wire.

They read the history alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.simulation.history import History
from tests.simulation.world import Outcome

TAKEN: Final = ("leases.take", "leases.take_dialled")
_ENDED: Final = ("leases.finish", "leases.release")


def leases_are_exclusive(outcome: Outcome) -> Iterator[str]:
    """No meter is leased while it is leased."""
    until: dict[int, tuple[int, float]] = {}
    for event in outcome.history.events:
        if event.what in TAKEN:
            meter, token = event.facts["meter"], event.facts["token"]
            held, end_s = until.get(meter, (0, 0.0))
            if event.at_s < end_s:
                yield f"meter {meter} is leased by {token} while {held} holds it"
            if token <= held:
                yield f"meter {meter}: token {token} after {held}"
            until[meter] = token, event.at_s + event.facts["lease_s"]
        elif event.what in _ENDED and event.facts["said"] in ("ok", "unknown"):
            meter = event.facts["meter"]
            if until.get(meter, (0, 0.0))[0] == event.facts["token"]:
                until[meter] = event.facts["token"], 0.0


def nothing_leaves_without_a_lease(outcome: Outcome) -> Iterator[str]:
    """
    Octets leave only under a lease that holds, but for what a stopped process had in hand.

    Who has dialled in is asked who he is before, without a key.
    """
    until: dict[int, float] = {}
    inbound: set[int] = set()
    for event in outcome.history.events:
        if event.what == "connected" and event.facts["inbound"]:
            inbound.add(event.facts["connection"])
        elif event.what in TAKEN:
            until[event.facts["token"]] = event.at_s + event.facts["lease_s"]
        elif event.what in _ENDED and event.facts["said"] in ("ok", "unknown"):
            until[event.facts["token"]] = 0.0
        elif (
            event.what == "sent"
            and not event.facts["held"]
            and (event.facts["counters"] or event.facts["connection"] not in inbound)
            and event.at_s > until.get(event.facts["token"], 0.0)
        ):
            yield f"{event.actor} sends to meter {event.facts['meter']} at {event.at_s:.1f} s"


def one_conversation_at_a_time(outcome: Outcome) -> Iterator[str]:
    """
    A meter is dialled once at a time, and carries nothing out for a lease after a later one's.
    """
    open_: dict[int, tuple[str, int]] = {}
    stopped: set[str] = set()
    tokens: dict[int, int] = {}
    last: dict[int, int] = {}
    for event in outcome.history.events:
        facts = event.facts
        match event.what:
            case "connected":
                other = open_.get(facts["meter"])
                if facts["inbound"]:
                    continue
                if other is not None and other[0] not in stopped:
                    yield f"meter {facts['meter']}: {event.actor} connects beside {other[0]}"
                open_[facts["meter"]] = event.actor, facts["connection"]
            case "sent":
                tokens[facts["connection"]] = facts["token"]
            case "closed":
                if open_.get(facts["meter"]) == (event.actor, facts["connection"]):
                    del open_[facts["meter"]]
            case "killed":
                open_ = {m: held for m, held in open_.items() if held[0] != event.actor}
            case "stopped":
                stopped.add(event.actor)
            case "goes-on":
                stopped.discard(event.actor)
            case "carried-out":
                token = tokens[facts["connection"]]
                if token < last.get(facts["meter"], 0):
                    yield f"meter {facts['meter']} works for {token} after {last[facts['meter']]}"
                last[facts["meter"]] = token


def no_counter_twice(outcome: Outcome) -> Iterator[str]:
    """Each of our counters goes over the wire once per key."""
    return repeated_counters(outcome.history)


def repeated_counters(history: History) -> Iterator[str]:
    """What was sent under a counter that was sent before; each meter has a key of its own."""
    seen: dict[tuple[int, int], float] = {}
    for event in history.of("sent"):
        for counter in event.facts["counters"]:
            key = event.facts["meter"], counter
            if key in seen:
                yield f"counter {counter} of meter {key[0]} at {seen[key]:.1f} and {event.at_s:.1f}"
            seen[key] = event.at_s
