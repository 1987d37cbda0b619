"""Real servers, started and stopped as `hes up` does."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import psycopg
import pytest
import redis

from hes.cli import doctor
from hes.cli.doctor import State
from hes.services import (
    Mosquitto,
    Postgres,
    Redis,
    Service,
    database_service,
    mosquitto,
    redis_service,
)
from hes.services.errors import ServiceStartError

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / ".hes" / "servers"


def test_database_is_fresh_and_speaks_timescaledb(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()
        assert tables == (0,)
        found = connection.execute(
            "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert found == (False, True)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        assert connection.execute("SHOW max_locks_per_transaction").fetchone() == ("512",)
        collation = connection.execute(
            "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding)"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        assert collation == ("b", "C.UTF-8", "UTF8")


def test_database_makes_a_hypertable_without_superuser(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        if not connection.execute(
            "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"
        ).fetchone():
            pytest.skip("plain PostgreSQL")
        connection.execute("CREATE TABLE r (t timestamptz NOT NULL, v int8)")
        connection.execute("SELECT create_hypertable('r', by_range('t', INTERVAL '7 days'))")
        connection.execute("INSERT INTO r VALUES (now(), 1)")
        assert connection.execute("SELECT count(*) FROM r").fetchone() == (1,)
        assert connection.execute("SHOW timescaledb.telemetry_level").fetchone() == ("off",)


def test_committed_rows_survive_kill_and_stop(postgres_server: Postgres) -> None:
    url = postgres_server.url
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("INSERT INTO t VALUES (1)")
    postgres_server.kill()
    assert not postgres_server.healthy()
    postgres_server.start()
    assert postgres_server.url == url
    postgres_server.stop()
    postgres_server.stop()
    postgres_server.start()
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_second_server_on_the_same_data_is_refused(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hes.services.postgres._PREDECESSOR_S", 0.2)
    second = database_service(tmp_path / "server-0", servers=SERVERS)
    with pytest.raises(ServiceStartError, match="already serves"):
        second.start()
    assert postgres_server.healthy()


def test_stale_pid_of_another_process_is_no_obstacle(
    postgres_factory: Callable[[], Postgres], tmp_path: Path
) -> None:
    server = postgres_factory()
    server.start()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        lock = tmp_path / "server-0" / "postgres" / "pgdata" / "postmaster.pid"
        lock.write_text(f"{other.pid}\n{lock.parent}\n")
        server.start()
        assert server.healthy()
        other.kill()


def test_server_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from hes.services import database_service\n"
        f"data, servers = Path({str(tmp_path)!r}), Path({str(SERVERS)!r})\n"
        "s = database_service(data, servers=servers, durable=False)\n"
        "t = threading.Thread(target=s.start); t.start(); t.join()\n"
        "assert s.healthy()\n"
        "print(s.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        deadline = time.monotonic() + 10
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_missing_external_server_is_told_at_start(tmp_path: Path) -> None:
    service: Service = database_service(tmp_path, url="postgresql://nobody:secret@127.0.0.1:1/none")
    assert "secret" not in service.origin
    with pytest.raises(ServiceStartError, match="HES_DATABASE_URL"):
        service.start()


def test_redis_keeps_its_data_and_asks_for_the_password(tmp_path: Path) -> None:
    with redis_service(tmp_path) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("k", "v")
        bare = url.replace(url[len("redis://") : url.index("@") + 1], "")
        with redis.Redis.from_url(bare) as client, pytest.raises(redis.AuthenticationError):
            client.get("k")
    assert not server.healthy()
    with redis_service(tmp_path) as again:
        assert again.url == url
        with redis.Redis.from_url(again.url) as client:
            assert client.get("k") == b"v"


def test_redis_comes_back_after_kill(tmp_path: Path) -> None:
    server = redis_service(tmp_path)
    assert isinstance(server, Redis)
    with server:
        server.kill()
        assert not server.healthy()
        server.start()
        assert server.healthy()


def test_mqtt_broker_accepts_its_password_only(mqtt_server: Service) -> None:
    assert mqtt_server.healthy()
    assert mosquitto.answers(mqtt_server.url)
    if isinstance(mqtt_server, Mosquitto):
        assert not mosquitto.answers(mqtt_server.url.replace("@", "x@"))


def test_doctor_sees_the_servers(database_url: str, redis_url: str) -> None:
    found = {check.name: check for check in doctor.check_database(database_url)}
    assert found["database"].state is State.OK
    assert found["schema"].state is State.FAIL  # an empty database
    assert "clocks" not in found
    found = {check.name: check for check in doctor.check_redis(redis_url)}
    assert found["redis"].state is State.OK
    assert "256 MiB at most" in found["redis"].detail or "HES_REDIS_URL" in os.environ
    assert found["cache"].state is State.WARN  # nobody has settled it
    assert "from the database" in found["cache"].detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives servers to another user")
def test_root_runs_a_server_below_a_closed_folder(
    postgres_factory: Callable[[], Postgres], tmp_path: Path
) -> None:
    """Data and programs both stand where the server's user may not go."""
    programs = postgres_factory()._programs
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(programs.root, closed / "programs", symlinks=True)
    moved = attrs.evolve(
        programs,
        root=closed / "programs",
        bin_folder=closed / "programs" / programs.bin_folder.relative_to(programs.root),
    )
    with Postgres(closed / "data", moved, durable=False) as server:
        assert server.healthy()
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        with psycopg.connect(server.url) as connection, pytest.raises(psycopg.Error):
            connection.execute("SELECT pg_read_file('/etc/shadow')")
