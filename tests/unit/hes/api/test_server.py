"""Where the API may listen, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from hes.api import BindRefusedError, create_app
from hes.api.server import require_loopback
from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api, served


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_this_machine_may_be_listened_on(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "", "::", "[::]", "192.168.1.5", "10.0.0.1", "example.org", "localhost."]
)
def test_nothing_beyond_this_machine_may_be(host: str) -> None:
    with pytest.raises(BindRefusedError, match=r"nobody can log in yet.*127\.0\.0\.1"):
        require_loopback(host)


def test_a_port_that_is_taken_is_named(fleet: FakeFleet) -> None:
    app = create_app(fleet.services(), console=None)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        program = (
            "import sys\n"
            "from hes.api import create_app, serve\n"
            "from tests.unit.hes.api.fakes import FakeFleet\n"
            "from tests.unit.hes.api.conftest import NOW\n"
            f"serve(create_app(FakeFleet(NOW).services(), console=None), '127.0.0.1', {port})\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
    assert ended.returncode != 0
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert app is not None


_PROGRAM = """
import time
from hes.api import create_app, serve
from tests.unit.hes.api.conftest import NOW
from tests.unit.hes.api.fakes import FakeFleet

class Slow(FakeFleet):
    def check(self):
        print("asked", flush=True)
        time.sleep(0.5)

serve(
    create_app(Slow(NOW).services(), console=None),
    "127.0.0.1",
    0,
    on_ready=lambda url: print(url, flush=True),
)
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_and_finishes_what_it_was_asked(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        url = next(line.strip() for line in lines if line.startswith("http"))
        answers: list[int] = []
        path = f"/v1/meters/{meter_id(0)}"
        asker = threading.Thread(target=lambda: answers.append(Api(url).ask(path).status))
        asker.start()
        assert next(line.strip() for line in lines if line.startswith("asked")) == "asked"
        process.send_signal(number)
        asker.join(30)
        rest = [line.strip() for line in lines]
        assert process.wait(30) == 0
    assert answers == [200]
    assert rest[-1] == "ended"


def test_many_requests_at_a_time_are_answered(fleet: FakeFleet) -> None:
    with served(create_app(fleet.services(), console=None, threads=4)) as api:
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(api.ask("/v1/meters?limit=5").status))
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 40
