"""
Mutants that no test can notice, and why.

By (module, function, what stood there, what stands there now), as `python -m tests.mutation` says.
"""

from __future__ import annotations

from typing import Final

_ONE_BIT = "a member of Protection has none of the other bits"
_FIPS = "usedforsecurity matters only to a library that forbids old hashes"

EQUIVALENT: Final[dict[tuple[str, str, str, str], str]] = {
    ("control", "", "16", "17"): _ONE_BIT,
    ("control", "", "32", "33"): _ONE_BIT,
    (
        "suite0",
        "open_content",
        "len(content) < _SHORTEST",
        "len(content) <= _SHORTEST",
    ): "whatever is sent to the careful check passes it if it is right",
    ("mechanisms", "_md5", "False", "True"): _FIPS,
    ("mechanisms", "_sha1", "False", "True"): _FIPS,
}
