"""What can go wrong with a server of ours, and what the reader may do about it."""

from pathlib import Path


class ServiceError(Exception):
    """Root of this package's errors."""


class ServerMissingError(ServiceError):
    """
    No source has this server.

    Carries facts: the server's name, each source tried with its reason, and what to install.
    """

    def __init__(self, server: str, tried: dict[str, str], install: str) -> None:
        reasons = "; ".join(f"{source}: {reason}" for source, reason in tried.items())
        super().__init__(f"no {server} to start ({reasons}). {install}")
        self.server = server
        self.tried = tried
        self.install = install


class ServiceStartError(ServiceError):
    """The server is there but did not come up; `log` is what it wrote last."""

    def __init__(
        self, server: str, reason: str, log: str = "", log_file: Path | None = None
    ) -> None:
        where = f" (whole log: {log_file})" if log_file is not None else ""
        super().__init__(f"{server} did not start: {reason}{where}" + (f"\n{log}" if log else ""))
        self.server = server
        self.reason = reason
        self.log = log
        self.log_file = log_file
