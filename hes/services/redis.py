"""
A Redis (Valkey) server of our own on 127.0.0.1.

It holds nothing that could not be rebuilt, but writes a snapshot when it stops, so that a restart
finds a warm cache.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
import redis

from hes.services import ports
from hes.services.embedded import Embedded, own_folder, write_private

NAME = "Redis"
_PROBE_S = 2.0
_MEMORY = "256mb"  # latest values of some 300,000 meters with eight channels each, and the feed


@attrs.frozen
class RedisProgram:
    """An installed server program."""

    path: Path
    origin: str


def answers(url: str) -> bool:
    """Tell whether a Redis answers PING at this URL within two seconds."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_PROBE_S, socket_connect_timeout=_PROBE_S, retry=None
        ) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


class Redis(Embedded):
    """One server; its port and password are kept over a restart."""

    name = NAME

    def __init__(self, folder: Path, program: RedisProgram, *, port: int | None = None) -> None:
        """Args: folder: everything of this server is below it. program: what to run."""
        super().__init__(folder, root=program.path.parent, port=port)
        self._program = program

    @property
    def origin(self) -> str:
        return self._program.origin

    @property
    def url(self) -> str:
        """`redis://` URL with the password, database 0; known once it has been started."""
        return f"redis://:{self._passwords()['default']}@{self._address()}/0"

    @property
    def _data(self) -> Path:
        return self._folder / "redis"

    @property
    def _settings(self) -> Path:
        return self._data / "redis.conf"

    def _prepare(self) -> None:
        own_folder(self._data, self._account)
        settings = {
            "bind": ports.HOST,
            "dir": f'"{self._data}"',
            "requirepass": self._passwords("default")["default"],
            "appendonly": "no",
            "save": "3600 1 300 1000",
            # A full disk must not stop it: the snapshot only warms the next start.
            "stop-writes-on-bgsave-error": "no",
            "maxmemory": _MEMORY,
            # Everything has a time to live; what would go first anyway goes first.
            "maxmemory-policy": "volatile-ttl",
            "daemonize": "no",
            "crash-memcheck-enabled": "no",
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        write_private(self._settings, text, self._account)

    def _command(self, port: int) -> Sequence[str]:
        return [str(self._program.path), str(self._settings), "--port", str(port)]

    def _answers(self) -> bool:
        return answers(self.url)
