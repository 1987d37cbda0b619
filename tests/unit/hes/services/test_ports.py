"""Ports of ours."""

import socket

import pytest

from hes.services import ports
from hes.services.errors import ServiceError


def test_pick_keeps_a_free_preferred_port_and_leaves_a_taken_one() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        chosen = ports.pick(port)
        assert chosen != port
        assert ports.FIRST <= chosen <= ports.LAST
    assert ports.pick(port) == port


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    with pytest.raises(ServiceError, match="no free port"):
        ports.pick(20_000)
