"""The reference says what the code does."""

from __future__ import annotations

from hes_simulators.faults import FAULTS
from tests.simulated_faults_page import PAGE, page


def test_the_reference_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.simulated_faults_page"


def test_it_names_every_fault_once() -> None:
    text = page()
    for name in FAULTS:
        assert text.count(f"| `{name}` | ") >= 1
