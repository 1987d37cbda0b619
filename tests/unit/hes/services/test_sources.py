"""The order in which servers are looked for."""

from pathlib import Path

import pytest

from hes.services import (
    External,
    ServerMissingError,
    database_service,
    debian,
    mqtt_service,
    redis_service,
    sources,
)
from hes.services.debian import PrefixUnavailableError
from hes.services.postgres import PostgresPrograms

_WHEEL = PostgresPrograms(Path("/w/bin"), 18, False, "the wheel", Path("/w"))


def _no_prefix(*_args: object, **_kwargs: object) -> Path:
    raise PrefixUnavailableError("this machine has no apt")


def test_url_of_the_operator_wins(tmp_path: Path) -> None:
    services = (
        database_service(tmp_path, url="postgresql://u:secret@db.example/x"),
        redis_service(tmp_path, url="redis://:secret@r.example"),
        mqtt_service(tmp_path, url="mqtt://u:secret@m.example"),
    )
    for service in services:
        assert isinstance(service, External)
        assert "secret" not in service.origin
        assert ".example" in service.origin
    assert list(tmp_path.iterdir()) == []


def test_debian_prefix_comes_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "ensure_prefix", lambda *_a, **_k: tmp_path)
    monkeypatch.setattr(sources, "_wheel_postgres", lambda: _WHEEL)
    found = sources.find_postgres(tmp_path, data_major=None, report=print)
    assert found.timescaledb
    assert found.major == 17


def test_wheel_is_used_and_said_when_there_is_no_apt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "ensure_prefix", _no_prefix)
    monkeypatch.setattr(sources, "_wheel_postgres", lambda: _WHEEL)
    said: list[str] = []
    assert sources.find_postgres(tmp_path, data_major=None, report=said.append) is _WHEEL
    assert said == [
        "Debian packages: this machine has no apt; using plain PostgreSQL 18 without TimescaleDB"
    ]


def test_data_stay_with_the_version_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "ensure_prefix", _no_prefix)
    monkeypatch.setattr(sources, "_wheel_postgres", lambda: _WHEEL)
    assert sources.find_postgres(tmp_path, data_major=18, report=print) is _WHEEL
    with pytest.raises(ServerMissingError, match="the data were made by PostgreSQL 17"):
        sources.find_postgres(tmp_path, data_major=17, report=print)


def test_nothing_found_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "ensure_prefix", _no_prefix)
    monkeypatch.setattr("hes.services.sources.importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("hes.services.sources.shutil.which", lambda _name, **_k: None)
    with pytest.raises(ServerMissingError, match=r"no apt.*hes\[embedded\].*HES_DATABASE_URL"):
        sources.find_postgres(tmp_path, data_major=None, report=print)
    with pytest.raises(ServerMissingError, match="apt-get install redis-server"):
        redis_service(tmp_path)
    with pytest.raises(ServerMissingError, match="apt-get install mosquitto"):
        mqtt_service(tmp_path)
