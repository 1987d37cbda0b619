"""
The power of ten thousand meters fails within ten seconds: each sends its last gasp by UDP.

`hes sim run`, and `hes sim fault outage --over 10s` after a while in which nobody looks at them. A
socket counts from how many meters a datagram came; prints when the last did.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

METERS = 10_000
MODEL = os.environ.get("HES_SOAK_MODEL", "idis-single-phase")
IDLE_S = 15.0
# From the order to the last datagram: the ten seconds, and as long where others use the cores.
WITHIN_S = 20.0


def test_last_gasps(tmp_path: Path) -> None:
    environment = os.environ | {"HES_DATA": str(tmp_path)}
    hes = (str(Path(sys.executable).with_name("hes")), "sim")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as counting:
        counting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        counting.bind(("127.0.0.1", 0))
        counting.settimeout(1.0)
        head_end = f"127.0.0.1:{counting.getsockname()[1]}"
        fleet = subprocess.Popen(
            [*hes, "run", "--meters", str(METERS), "--model", MODEL, "--port", "14259",
             "--network", "127.41.0.0/16", "--push", "--head-end", head_end],
            env=environment,
        )  # fmt: skip
        try:
            time.sleep(IDLE_S)
            asked = time.monotonic()
            subprocess.run(
                [*hes, "fault", "--port", "14259", "outage", "--over", "10s",
                 "--meters", f"1-{METERS}"],
                env=environment, check=True,
            )  # fmt: skip
            came: set[str] = set()
            while len(came) < METERS and time.monotonic() < asked + WITHIN_S:
                try:
                    came.add(counting.recvfrom(4096)[1][0])
                except TimeoutError:
                    continue
            print(f"{len(came)} of {METERS} within {time.monotonic() - asked:.1f} s")
        finally:
            fleet.send_signal(signal.SIGINT)
            fleet.wait(60)
    # The kernel may drop datagrams for which the counter has no room.
    assert len(came) >= 0.99 * METERS
