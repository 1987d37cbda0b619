"""The logs of a process: what may not be in them."""

from __future__ import annotations

from typing import Literal

import pytest
import structlog

from hes.logs import configure
from hes.settings import LogSettings


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_does_not_show_what_variables_held(
    form: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a session fails, a key is at hand: rich tracebacks would print it."""
    configure(LogSettings(format=form), "test")

    def session(secret: str) -> None:
        assert secret
        raise ValueError("of no kind")

    try:
        session("".join(map(str, range(10))))
    except ValueError:
        structlog.get_logger().exception("session_failed")
    logged = capsys.readouterr().err
    assert "session_failed" in logged
    assert "of no kind" in logged
    assert "0123456789" not in logged
