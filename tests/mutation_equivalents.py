"""
Mutants that no test can notice, and why.

By (module, function, what stood there, what stands there now), as `python -m tests.mutation` says.
"""

from __future__ import annotations

from typing import Final

EQUIVALENT: Final[dict[tuple[str, str, str, str], str]] = {}
