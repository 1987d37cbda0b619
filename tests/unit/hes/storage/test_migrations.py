from pathlib import Path

import pytest

from hes.storage.migrations import MigrationError, read, shipped


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("0010_b.sql", "0002_a.sql", "README.md"):
        (tmp_path / name).write_text(f"SELECT '{name}'")
    assert [migration.file_name for migration in read(tmp_path)] == ["0002_a.sql", "0010_b.sql"]


def test_a_digest_changes_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    before = read(tmp_path)[0].sha256
    (tmp_path / "0001_a.sql").write_text("SELECT 2")
    assert read(tmp_path)[0].sha256 != before


@pytest.mark.parametrize("name", ["1_a.sql", "0001-a.sql", "0001_A.sql", "notes.sql"])
def test_a_file_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(MigrationError, match=r"NNNN_what\.sql"):
        read(tmp_path)


def test_a_number_comes_once(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").touch()
    (tmp_path / "0001_b.sql").touch()
    with pytest.raises(MigrationError, match="same number"):
        read(tmp_path)


def test_every_shipped_file_says_what_it_is_for() -> None:
    assert shipped()
    for migration in shipped():
        assert migration.sql.startswith(b"-- "), migration.file_name
