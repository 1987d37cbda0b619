"""The KEK's file: made once, whole, for its owner only; never exchanged silently."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hes.keys import KekError, KekFile


def test_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "kek"
    made = KekFile.load_or_create(path)
    status = path.stat()
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (32, 0o600)
    assert KekFile.load_or_create(path).kek_id == made.kek_id
    assert [entry.name for entry in path.parent.iterdir()] == ["kek"]


def test_has_mode_0600_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        KekFile.load_or_create(tmp_path / "kek")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "kek").stat().st_mode) == 0o600


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(KekFile.load_or_create, [tmp_path / "kek"] * 32))
    assert len({kek.kek_id for kek in made}) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["kek"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_is_refused_if_others_can_read_or_write_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    KekFile.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KekError, match="chmod 600"):
        KekFile.load_or_create(path)


@pytest.mark.parametrize("octets", [b"", b"x" * 31, b"x" * 33, b"x" * 64])
def test_is_refused_with_another_size(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "kek"
    path.touch(mode=0o600)
    path.write_bytes(octets)
    with pytest.raises(KekError, match="32"):
        KekFile.load_or_create(path)
    assert path.read_bytes() == octets


def test_is_refused_if_it_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("fifo", "folder"):
        with pytest.raises(KekError, match=name):
            KekFile.load_or_create(tmp_path / name)


def test_is_not_made_anew_while_another_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    with pytest.raises(KekError, match="0123456789abcdef"):
        KekFile.load_or_create(path, needed="0123456789abcdef")
    assert not path.exists()


def test_is_refused_if_another_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    kek = KekFile.load_or_create(path)
    assert KekFile.load_or_create(path, needed=kek.kek_id).kek_id == kek.kek_id
    with pytest.raises(KekError, match="0123456789abcdef"):
        KekFile.load_or_create(path, needed="0123456789abcdef")


def test_says_what_is_wrong_if_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KekError, match="file"):
        KekFile.load_or_create(tmp_path / "file" / "kek")
