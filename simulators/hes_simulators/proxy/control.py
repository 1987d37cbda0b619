"""
What the proxy's socket takes: `state`, `set`, `cut`; one JSON object a line.

Owns the commands; the socket is `faults.lines`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from hes_simulators.faults.errors import FaultError
from hes_simulators.faults.lines import Answer
from hes_simulators.proxy.serving import Proxy
from hes_simulators.proxy.settings import Direction, ProxyError


def commands(proxy: Proxy) -> Answer:
    """
    The answers of a proxy:

    {"do": "state"}; {"do": "set", "direction": "up" | "down" | "both", "settings": {…}};
    {"do": "cut"} resets every connection.
    """

    async def answer(command: Mapping[str, Any]) -> Mapping[str, Any]:
        await trio.lowlevel.checkpoint()
        match command.get("do"):
            case "state":
                return proxy.state()
            case "set":
                _set(proxy, command)
                return proxy.state()
            case "cut":
                return {"cut": await proxy.cut_all()}
        raise FaultError("unknown-command", str(command.get("do"))[:80])

    return answer


def _set(proxy: Proxy, command: Mapping[str, Any]) -> None:
    direction, settings = command.get("direction", "both"), command.get("settings")
    if not isinstance(settings, dict):
        raise FaultError("bad-command", "settings: an object")
    try:
        wanted = tuple(Direction) if direction == "both" else (Direction(direction),)
        proxy.change(settings, *wanted)
    except (ProxyError, ValueError) as error:
        raise FaultError("bad-command", str(error)[:200]) from None
