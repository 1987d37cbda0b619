"""What `hes sim` says of a fleet that nobody can call, and of captures that nobody would push."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hes.cli.sim import _ready_line
from hes.cli.sim_replay import replay
from hes.cli.sim_show import Show
from hes_simulators import Fleet, FleetSettings
from hes_simulators.reach import Reach, Target

HEAD_END = Target("127.0.0.1", 4999)


@pytest.mark.parametrize(
    ("model", "reach", "said"),
    [
        ("hes-household", Reach(), "on 127.16.0.0/16, port 4159"),
        ("nordic-han", Reach(push_to=HEAD_END), "that listen nowhere and speak to 127.0.0.1:4999"),
        ("nordic-han", Reach(), "that listen nowhere and speak to nobody"),
    ],
)
def test_ready_says_where_meters_are_to_be_found(model: str, reach: Reach, said: str) -> None:
    fleet = Fleet(FleetSettings(meters=5, model=model, reach=reach), start_number=1)
    line = _ready_line(Show(fleet, None, (), ()))
    assert line.startswith(f"ready: 5 meters {said}, security ")


@pytest.mark.parametrize("text", ["", '{"a": 1}\n', '{"hex": "7e", "transport": "p1"}\n'])
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_nothing_to_replay_is_a_failure(
    tmp_path: Path, text: str, options: tuple[str, ...]
) -> None:
    file = tmp_path / "captures.jsonl"
    file.write_text(text)
    result = CliRunner().invoke(replay, [str(file), "--to", "127.0.0.1:9", *options])
    assert result.exit_code == 1
    assert f"hes: {file} holds no push that a meter would send over TCP" in result.output
