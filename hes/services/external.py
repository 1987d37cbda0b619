"""A server that somebody else runs and the operator named by its URL."""

from collections.abc import Callable
from urllib.parse import urlsplit

from hes.services.errors import ServiceStartError
from hes.services.service import Running


class External(Running):
    """Used, never started nor stopped; `start` only tells early that it does not answer."""

    def __init__(
        self, name: str, url: str, *, answers: Callable[[str], bool], setting: str
    ) -> None:
        """Args: answers: probes the URL. setting: the variable that named it, for messages."""
        self.name = name
        self.url = url
        self._answers = answers
        self._setting = setting

    @property
    def origin(self) -> str:
        host = urlsplit(self.url).hostname or "a local socket"
        return f"{self._setting} ({host})"

    def start(self) -> None:
        if not self.healthy():
            raise ServiceStartError(self.name, f"the server of {self.origin} does not answer")

    def healthy(self) -> bool:
        return self._answers(self.url)

    def stop(self) -> None:
        """Leave it alone."""
