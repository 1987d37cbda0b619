"""Findings and fixes of `hes doctor`, without servers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli import doctor
from hes.cli.doctor import State, Targets
from hes.storage.rollups import Backlog


def test_disk_by_free_room(tmp_path: Path) -> None:
    def state(free: int) -> State:
        return doctor.check_disk(tmp_path / "not" / "yet", lambda _path: free).state

    assert [state(10**8), state(2 * 10**9), state(10**11)] == [State.FAIL, State.WARN, State.OK]


def test_clock() -> None:
    past, now = datetime(1970, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    assert doctor.check_clock(past, True).state is State.FAIL
    assert doctor.check_clock(now, False).state is State.WARN
    assert doctor.check_clock(now, True).state is State.OK


@pytest.mark.parametrize(
    "url", [None, "postgresql://u:secret@127.0.0.1:1/d", "postgresql://[secret"]
)
def test_database_away_has_a_fix_and_no_password(url: str | None) -> None:
    (found,) = doctor.check_database(url)
    assert found.state is State.FAIL
    assert "hes up" in found.fix
    assert "secret" not in str(found)


@pytest.mark.parametrize("url", [None, "redis://:secret@127.0.0.1:1/0", "secret://x"])
def test_redis_away_has_a_fix_and_no_password(url: str | None) -> None:
    (found,) = doctor.check_redis(url)
    assert found.state is State.FAIL
    assert "HES_REDIS_URL" in found.fix
    assert "secret" not in str(found)


def test_roll_ups_that_lag() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    behind = [None, now - timedelta(minutes=14), now - timedelta(minutes=16)]
    found = [doctor.check_rollups(Backlog(7, oldest), now) for oldest in behind]
    assert [one.state for one in found] == [State.OK, State.OK, State.WARN]
    assert found[2].detail == "960 s behind, 7 series and days to take in"


def test_plans_without_anybody_who_makes_runs() -> None:
    found = [doctor.check_plans(*case) for case in ((2, True), (2, False), (0, True))]
    assert [check.state for check in found] == [State.OK, State.WARN, State.WARN]
    assert "hes schedule" in found[1].fix


def test_missing_broker_is_no_failure_but_a_silent_one_is() -> None:
    assert doctor.check_mqtt(None).state is State.WARN
    assert doctor.check_mqtt("mqtt://127.0.0.1:1").state is State.FAIL


def test_console_built_or_not(tmp_path: Path) -> None:
    assert doctor.check_console(tmp_path).state is State.WARN
    (tmp_path / "index.html").touch()
    assert doctor.check_console(tmp_path).state is State.OK


def test_command_speaks_json_and_fails_when_something_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Targets(data=tmp_path, console=tmp_path)
    monkeypatch.setattr(doctor, "targets", lambda _settings: of)
    result = CliRunner().invoke(doctor.doctor, ["-o", "json"])
    assert result.exit_code == 1
    assert {check["name"] for check in json.loads(result.output)} >= {"database", "redis", "disk"}
    fine = [doctor.Check("x", State.OK, "y"), doctor.Check("z", State.WARN, "w", "do it")]
    monkeypatch.setattr(doctor, "checks", lambda _of: fine)
    table = CliRunner().invoke(doctor.doctor, [])
    assert table.exit_code == 0
    assert table.output.splitlines() == ["ok    x  y", "warn  z  w", "         -> do it"]


def test_addresses_are_those_of_a_running_head_end(tmp_path: Path) -> None:
    from hes.settings import Settings

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "redis_url").write_text("redis://:secret@127.0.0.1:1/0\n")
    settings = attrs.evolve(Settings(), data=str(tmp_path))
    found = doctor.targets(wiring.beside_running(settings))
    assert found.redis_url == "redis://:secret@127.0.0.1:1/0"
    assert found.database_url is None
    assert "secret" not in repr(found)
