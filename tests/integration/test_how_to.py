"""What the documents tell people to run, run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import trio

from hes_simulators import Fleet, FleetSettings, Security

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)


async def test_the_program_that_talks_to_a_meter(tmp_path: Path) -> None:
    text = (HOW_TO / "talk-to-a-meter.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "program.py"
    fleet = Fleet(
        FleetSettings(meters=1, port=0, security=Security.LLS), start_number=1, now=lambda: NOW
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        (record,) = fleet.meter_file()
        # The program names the address that `--port-base` gives; here the system chose one.
        file.write_text(program.replace("127.0.0.1", record["address"]))
        done = await trio.run_process(
            [sys.executable, str(file), str(record["port"])],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        nursery.cancel_scope.cancel()
    assert done.stdout.decode().startswith("2026-11-21T10:20:00")
