"""
Fuzz from the command line: `python -m tests.fuzz.run [TARGET ...] --executions 1000000`.

One line of JSON per target; a finding is printed in hex and makes the exit status 1. The same
`--seed` gives the same inputs. With `--atheris` libFuzzer drives instead, led by coverage, one
target at a time (dependency group `fuzz`); its own options follow `--`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from argparse import ArgumentParser

_MOST_MEMORY = 4 << 30


def main() -> int:
    """Parse and run."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--executions", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--skip", action="append", default=[])
    ours, _, libfuzzer = " ".join(sys.argv[1:]).partition(" -- ")
    given = parser.parse_args(ours.split())
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    if given.atheris:
        return _atheris(given.targets[0], libfuzzer.split())
    return _mutations(given.targets, given.skip, given.executions, given.seconds, given.seed)


def _mutations(
    names: list[str], skipped: list[str], executions: int, seconds: float, seed: int
) -> int:
    from tests.fuzz.engine import fuzz
    from tests.fuzz.targets import TARGETS

    found = 0
    for name in names or [name for name in TARGETS if name not in skipped]:
        begin, cpu = time.monotonic(), time.process_time()
        outcome = fuzz(name, TARGETS[name], seed=seed, executions=executions, seconds=seconds)
        line = {
            "target": name,
            "seed": seed,
            "executions": outcome.executions,
            "kinds": outcome.kinds,
            "findings": len(outcome.findings),
            "seconds": round(time.monotonic() - begin, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
        }
        print(json.dumps(line), flush=True)
        for what in {finding.what: finding for finding in outcome.findings}.values():
            print(what, flush=True)
        found += len(outcome.findings)
    return 1 if found else 0


def _atheris(name: str, options: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["hes_protocol"]):
        from tests.fuzz.targets import TARGETS

    from hes_protocol.errors import RemoteProtocolError

    run = TARGETS[name].run

    def once(octets: bytes) -> None:
        try:
            run(octets)
        except RemoteProtocolError as error:
            assert error.code

    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=3000", *options], once)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
