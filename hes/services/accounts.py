"""
As whom a server runs when root starts it, and how that user reaches our folders.

PostgreSQL refuses to run as root. The clone may lie below a folder of mode 0700 that the server's
user cannot enter; it then gets one capability, the right to search and read (CAP_DAC_READ_SEARCH),
and nothing else. Only files are at stake: the role that `url` gives is no superuser, so no query
of ours can read a file by it.
"""

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

import attrs

from hes.services.errors import ServiceError

_PREFERRED = ("postgres", "nobody")
# Bit numbers from linux/capability.h. Docker's default set lacks the first and has the second.
_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


@attrs.frozen
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def service_account(owned: Path) -> Account | None:
    """
    Choose the user for a server.

    Args: owned: its data directory; if it exists its owner keeps it.
    Returns: None when we are not root: the server runs as we do.
    Raises: ServiceError: root's machine has neither `postgres` nor `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if owned.exists() and (uid := owned.stat().st_uid) != 0:
        entry = pwd.getpwuid(uid)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in _PREFERRED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ServiceError("root must run servers as another user: add the user `postgres` or `nobody`")


def needs_capability(account: Account, paths: Iterable[Path]) -> bool:
    """Tell whether some folder above these paths is closed to the account."""
    folders = {folder for path in paths for folder in path.resolve().parents}
    return any(not _may_search(account, folder) for folder in folders)


def _may_search(account: Account, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def capability() -> str:
    """
    Name the capability that we hold and that lets another user search our folders.

    Raises: ServiceError: we hold none (a container that dropped them).
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            held = int(line.split()[1], 16)
            for name, bit in _CAPABILITIES.items():
                if held >> bit & 1:
                    return name
    raise ServiceError(
        "a folder above the data is closed to the server's user and this container gives no right"
        " to pass it: set HES_DATA to a folder that every user can reach"
    )


def setpriv_arguments(account: Account, paths: Iterable[Path]) -> list[str]:
    """Build setpriv's options that make the account out of root."""
    arguments = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    if needs_capability(account, paths):
        held = capability()
        return [
            *arguments,
            f"--inh-caps=-all,+{held}",
            f"--ambient-caps=+{held}",
            # else access(2), which asks for the real user, forgets the capability
            "--securebits=+no_setuid_fixup",
        ]
    return [*arguments, "--inh-caps=-all"]
