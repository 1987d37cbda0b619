"""Start numbers: never the same twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from hes_simulators.starts import LAST_START, StartsError, first_counter, next_start


def test_each_start_has_its_own_number_per_seed(tmp_path: Path) -> None:
    folder = tmp_path / "sim"
    assert [next_start(folder, 1) for _ in range(3)] == [1, 2, 3]
    assert next_start(folder, 2) == 1


def test_counters_of_starts_do_not_overlap() -> None:
    assert first_counter(1) == 1 << 20
    assert first_counter(2) - first_counter(1) == 1 << 20
    assert first_counter(LAST_START) + (1 << 20) - 1 == 0xFFFFFFFF


def test_exhausted_and_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "starts-1").write_text(f"{LAST_START}\n")
    with pytest.raises(StartsError, match="use another"):
        next_start(tmp_path, 1)
    (tmp_path / "starts-2").write_text("")
    with pytest.raises(StartsError, match="no number"):
        next_start(tmp_path, 2)
