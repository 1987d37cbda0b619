"""
Row `dial-in-storm`: ten thousand meters call at once, after an outage, and all keep their lines.

HLS-GMAC; each says who it is by a ciphered push. They are let in at a pace, verified, and some of
them, whose turn it is then, are read. `hes collect dlms` and `hes sim run` are processes as an
operator starts them. Fault rows 39 and 40. `HES_BENCH_DIAL_IN` says how many, `HES_BENCH_TLS=1` by
TLS.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from hes.keys import KeyService
from hes.meters import Inventory
from hes.services import Postgres
from hes.storage.database import Database
from hes.storage.due_items import put_in_service
from hes_simulators.tls import CertificateFolder
from tests.batches import open_database

METERS = int(os.environ.get("HES_BENCH_DIAL_IN", "10000"))
DUE = min(500, METERS)
TLS = os.environ.get("HES_BENCH_TLS") == "1"
WITHIN_S = 300.0  # the catalogue's: all in within five minutes
READ = (
    "SELECT count(DISTINCT meter_id) FROM session"
    " WHERE inbound AND octets_out > 0 AND cause IS NULL"
)


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[Database]:
    with open_database(postgres_server.url, hypertables=True) as opened:
        yield opened


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def hes(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    command = str(Path(sys.executable).with_name("hes"))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HES_")}
    with Path(environ["HES_DATA"], f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [command, *arguments], env=plain | environ, stdout=log, stderr=log,
            preexec_fn=_all_files,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _all_files() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def metric(port: int, name: str) -> float:
    """The sum of a metric over its labels, 0 as long as nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def listening(pid: int) -> int | None:
    """The port on which a process shows its metrics."""
    links = (str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink())
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        port = int(fields[1].rpartition(":")[2], 16)
        if fields[3] == "0A" and fields[9] in inodes and 9464 <= port < 9564:
            return port
    return None


def memory(pid: int, field: str) -> float:
    """MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


def wait(until: Any, within_s: float) -> float:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < within_s
        time.sleep(0.2)
    return time.monotonic() - began


def test_dial_in_storm(
    database: Database, postgres_server: Postgres, tmp_path: Path, capsys: Any
) -> None:
    keys = KeyService.open(database, tmp_path / "kek")
    port, listen = free_port(), free_port()
    folder = CertificateFolder(tmp_path / "sim" / "tls")
    environ = {
        "HES_DATA": str(tmp_path),
        "HES_DATABASE_URL": postgres_server.url,
        "HES_COLLECTOR_LISTEN_PORT": str(listen),
        "HES_COLLECTOR_MAX_INBOUND": str(METERS + 1000),
        "HES_LOG_LEVEL": "error",
    }
    if TLS:
        environ["HES_COLLECTOR_TLS_CERTIFICATE"] = str(
            folder.issue("head-end", (IPv4Address("127.0.0.1"),))
        )
        environ["HES_COLLECTOR_TLS_KEY"] = str(folder.folder / "meter.key")
    keys_out = tmp_path / "meters.jsonl"
    with hes(
        "sim", "run", "--meters", str(METERS), "--security", "gmac", "--profile-days", "1",
        "--network", "127.66.0.0/16", "--port", str(port), "--dial-in", "identity",
        "--head-end", f"127.0.0.1:{listen}", "--keys-out", str(keys_out),
        *(["--tls"] if TLS else []), **environ,
    ):  # fmt: skip
        wait(lambda: keys_out.exists() and keys_out.stat().st_size > 0, 120)
        time.sleep(1)
        told = {"commissioned_at": "2026-01-01T00:00:00Z"}
        lines = [json.dumps({**json.loads(x), **told}) for x in keys_out.read_text().splitlines()]
        report = Inventory(database, keys).import_file(lines)
        assert report.created == METERS, report
        with database.connection() as connection:
            connection.execute("DELETE FROM due_item")
            connection.execute("UPDATE due_work SET due_at = NULL")
        with hes("collect", "dlms", **environ) as collector:
            began = time.monotonic()
            wait(lambda: listening(collector.pid) is not None, 60)
            metrics_port = listening(collector.pid) or 0
            wait(lambda: metric(metrics_port, "hes_dlms_inbound_connections_open") > 0, 60)
            idle = memory(collector.pid, "VmRSS")
            first = time.monotonic()
            wait(lambda: metric(metrics_port, "hes_dlms_dialled_lines") >= METERS * 0.999, WITHIN_S)
            all_in = time.monotonic() - first
            held = memory(collector.pid, "VmRSS")
            due = time.monotonic()
            with database.connection() as connection:
                found = connection.execute("SELECT meter_id FROM meter LIMIT %s", (DUE,)).fetchall()
                put_in_service(connection, [row[0] for row in found])
            wait(lambda: _count(database, READ) >= DUE, WITHIN_S)
            read = time.monotonic() - due
            peak = memory(collector.pid, "VmHWM")
            refused = metric(metrics_port, 'hes_dlms_inbound_connections_total{result="refused"}')
    with capsys.disabled():
        print(
            f"\n{METERS} meters{' by TLS' if TLS else ''}: all have lines {all_in:.1f} s after the"
            f" first; {DUE} of them learnt and read in {read:.1f} s more; refused {refused:.0f};"
            f" collector {idle:.0f} MiB at first, {held:.0f} with all lines, {peak:.0f} at most:"
            f" {(held - idle) * 1024 / METERS:.1f} kB a line (started {first - began:.1f} s)"
        )
    assert _count(database, "SELECT count(*) FROM security_event") == 0


def _count(database: Database, query: str) -> int:
    with database.connection() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
