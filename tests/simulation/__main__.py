"""
Look at seeds: `python -m tests.simulation SEED [MORE …]` tells what happened and what is wrong.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from tests.simulation.checker import violations
from tests.simulation.world import simulate
from tests.unit.hes_collectors.support import START

_LONG = frozenset({"sent", "carried-out"})

for seed in map(int, sys.argv[1:]):
    outcome = simulate(seed)
    for event in outcome.history.events:
        if event.what not in _LONG:
            at = START + timedelta(seconds=event.at_s)
            facts = {name: fact for name, fact in event.facts.items() if name != "rows"}
            print(f"{event.at_s:9.2f} {at:%H:%M:%S} {event.actor:12} {event.what:14} {facts}")
    print(f"seed {seed}, history {outcome.history.digest()}")
    for violation in violations(outcome):
        print(violation)
