"""Who runs a command that is recorded."""

from __future__ import annotations

import getpass
import os


def user() -> str:
    """The name of who runs the command, or the number where it has none, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
