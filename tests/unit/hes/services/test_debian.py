"""Which packages are unpacked, and when a prefix counts as whole."""

import json
from pathlib import Path

import pytest

from hes.services import debian
from hes.services.debian import PrefixUnavailableError

_GRAPH = """\
postgresql-17-timescaledb
  Depends: postgresql-17
  Depends: libc6
postgresql-17
 |Depends: locales
  Depends: postgresql-client-17
  Depends: postgresql-common
  Depends: <debconf-2.0>
    cdebconf
  Depends: libllvm19
  Depends: libpq5
  Depends: zlib1g
postgresql-client-17
  PreDepends: libpq5
  Depends: libreadline8t64:amd64
libpq5
  Depends: libssl3t64
libssl3t64
  Depends: libc6
libc6
  Depends: libgcc-s1
libgcc-s1
  Depends: libc6
libreadline8t64
  Depends: readline-common
libjson-perl
zlib1g
libllvm19
postgresql-common
<debconf-2.0>
"""


def test_closure_follows_libraries_only() -> None:
    assert set(debian.closure(_GRAPH)) == {
        "postgresql-17", "postgresql-client-17", "postgresql-17-timescaledb", "libc6", "libgcc-s1",
        "libpq5", "libreadline8t64", "libssl3t64", "zlib1g",
    }  # fmt: skip


def test_closure_without_the_extension_says_so() -> None:
    with pytest.raises(PrefixUnavailableError, match="postgresql-17-timescaledb"):
        debian.closure("postgresql-17\npostgresql-client-17\n")


def test_prefix_is_whole_only_where_it_was_made(tmp_path: Path) -> None:
    prefix = debian.prefix_path(tmp_path)
    assert not debian.is_complete(prefix)
    prefix.mkdir()
    marker = prefix / "hes-prefix.json"
    marker.write_text("{")
    assert not debian.is_complete(prefix)
    marker.write_text(json.dumps({"path": "/elsewhere"}))
    assert not debian.is_complete(prefix)
    marker.write_text(json.dumps({"path": str(prefix)}))
    assert debian.is_complete(prefix)


def test_archive_is_whole_by_size_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    whole = debian.Archive(
        "a.deb", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert not debian._is_whole(path, whole)
    path.write_bytes(b"abc")
    assert debian._is_whole(path, whole)
    path.write_bytes(b"abd")
    assert not debian._is_whole(path, whole)


def test_uris_of_apt_are_read_and_noise_is_not() -> None:
    sha = "0" * 64
    listed = f"W: noise\n'https://m.example/l_1%3a2_amd64.deb' l_1%3a2_amd64.deb 12 SHA256:{sha}\n"
    assert list(debian._parse_uris(listed)) == [debian.Archive("l_1%3a2_amd64.deb", 12, sha)]


def test_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hes.services.debian.shutil.which", lambda _name: None)
    with pytest.raises(PrefixUnavailableError, match="no apt"):
        debian._fetch(tmp_path, print)


def test_stale_cache_is_used_when_apt_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = debian.Archive(
        "a.deb", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "a.deb").write_bytes(b"abc")
    debian._write_manifest(tmp_path / "trixie.json", (known,))
    monkeypatch.setattr(debian, "_FRESH_S", -1)
    monkeypatch.setattr("hes.services.debian.shutil.which", lambda _name: None)
    said: list[str] = []
    assert debian._archives(tmp_path, said.append) == (known,)
    assert "could not be renewed" in said[0]
