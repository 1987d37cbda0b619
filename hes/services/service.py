"""What every server looks like from outside, whoever runs it."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self


class Service(Protocol):
    """A server with an address: ours to start and stop, or somebody else's to use."""

    @property
    def name(self) -> str:
        """What the server is, for a person: `PostgreSQL`, `Redis`, `MQTT broker`."""

    @property
    def url(self) -> str:
        """Where clients connect, credentials included: never log it."""

    @property
    def origin(self) -> str:
        """Where the server comes from, in a few words without secrets."""

    def start(self) -> None:
        """Bring the server up and return when it answers; nothing to do if it already does."""

    def healthy(self) -> bool:
        """Tell whether it answers now."""

    def stop(self) -> None:
        """Bring it down if it is ours; calling it twice does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Running(ABC):
    """The context manager that all services share: start on entry, stop on exit."""

    @abstractmethod
    def start(self) -> None:
        """See `Service`."""

    @abstractmethod
    def stop(self) -> None:
        """See `Service`."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
