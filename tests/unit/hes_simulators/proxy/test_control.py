"""What the proxy's socket takes and refuses, and what its command does with wrong options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from hes.cli.sim_proxy import proxy as command
from hes_simulators import proxy
from hes_simulators.faults.lines import RefusedError, ask, serve_lines
from hes_simulators.proxy import CLEAN, Toxics
from hes_simulators.proxy.control import commands


async def test_settings_change_by_direction_and_wrong_ones_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    async with proxy.serve(("127.0.0.1", 1)) as between, trio.open_nursery() as nursery:
        await nursery.start(serve_lines, path, commands(between))
        state = await ask(
            path, {"do": "set", "direction": "up", "settings": {"latency_s": 0.5, "slice": 3}}
        )
        assert (state["up"]["latency_s"], state["down"]["latency_s"]) == (0.5, 0.0)
        await ask(path, {"do": "set", "settings": {"reset_after": 7}})
        expected = Toxics(latency_s=0.5, slice=3, reset_after=7), Toxics(reset_after=7)
        assert (between.up, between.down) == expected
        wrong: list[dict[str, Any]] = [
            {},
            {"do": "fly"},
            {"do": "set"},
            {"do": "set", "settings": []},
            {"do": "set", "settings": {"latency_s": "1"}},
            {"do": "set", "settings": {"nothing": 1}},
            {"do": "set", "settings": {"slice": -1}},
            {"do": "set", "settings": {}, "direction": "sideways"},
            {"do": "set", "settings": {}, "direction": ["up"]},
        ]
        for one in wrong:
            with pytest.raises(RefusedError):
                await ask(path, one)
        assert (between.up, between.down) == expected
        assert await ask(path, {"do": "cut"}) == {"cut": 0}
        await ask(path, {"do": "set", "settings": {"reset_after": None}})
        assert between.down == CLEAN
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--listen", "127.0.0.1:0"], 2),
        (["--listen", "nowhere", "--to", "127.0.0.1:1"], 2),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--cut"], 2),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--slice", "99999999"], 2),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--corrupt", "2"], 2),
        (["--listen", "192.0.2.1:0", "--to", "127.0.0.1:1"], 1),
        (["--control", "/nowhere/at/all"], 5),
    ],
    ids=str,
)
def test_wrong_options_end_with_a_line_and_a_code(arguments: list[str], code: int) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
