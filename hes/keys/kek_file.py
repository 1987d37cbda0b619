"""Where the KEK lies: a file of 32 random octets that only its owner can read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from hes.keys.kek import KEK_LENGTH_OCTETS, Kek, KekError


class KekFile:
    """
    A KEK in a file, mode 0600.

    Whoever has the file and a copy of the database has every meter's keys; whoever loses it has
    lost them. It belongs into the backup, and not beside the database's.
    """

    @staticmethod
    def load_or_create(path: Path, *, needed: str | None = None) -> Kek:
        """
        The KEK in a file; the file is made if it is not there.

        Args:
            path: the file; its folder is made too.
            needed: the name of the KEK without which what is stored cannot be opened
                (`KekRegister.needed`); with one, no new file is ever made.

        Raises:
            KekError: the file can be read by others, cannot be read by us, has another size, or
                holds another KEK than the needed one.
        """
        kek = _load(path)
        if kek is None:
            if needed is not None:
                raise KekError(
                    f"{path}: no such file, but keys in the database are wrapped by the KEK"
                    f" {needed}; put its file there (a new one could not open them)"
                )
            _create(path)
            kek = _load(path)
            if kek is None:
                raise KekError(f"{path}: vanished while it was being made")
        if needed is not None and kek.kek_id != needed:
            raise KekError(
                f"{path}: holds the KEK {kek.kek_id}, but keys in the database are wrapped by"
                f" {needed}; put that one's file there"
            )
        return kek


def _load(path: Path) -> Kek | None:
    try:
        # Not blocking: a FIFO in the file's place must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise KekError(f"{path}: {exc.strerror}") from exc
    try:
        # Of the opened file, so that nobody exchanges it between the look and the read.
        status = os.fstat(descriptor)
        _check(path, status)
        octets = os.read(descriptor, KEK_LENGTH_OCTETS + 1)
    except OSError as exc:
        raise KekError(f"{path}: {exc.strerror}") from exc
    finally:
        os.close(descriptor)
    if len(octets) != KEK_LENGTH_OCTETS:
        raise KekError(f"{path}: not a KEK: {status.st_size} octets where 32 are due")
    return Kek(octets)


def _check(path: Path, status: os.stat_result) -> None:
    """Raises: KekError: it is no file, or somebody else than its owner has a way to it."""
    if not stat.S_ISREG(status.st_mode):
        raise KekError(f"{path}: not a file")
    if status.st_mode & 0o077:
        raise KekError(
            f"{path}: can be read by others (mode {stat.S_IMODE(status.st_mode):04o});"
            f" chmod 600 {path}"
        )
    if status.st_uid not in (0, os.geteuid()):
        raise KekError(f"{path}: belongs to user {status.st_uid}, not to us")


def _create(path: Path) -> None:
    """
    Make the file, whole or not at all; if somebody else is faster, theirs stays.

    It is written under a name of its own and linked into place, which fails if the place is taken.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(secrets.token_bytes(KEK_LENGTH_OCTETS))
                file.flush()
                os.fsync(descriptor)
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                return
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except OSError as exc:
        raise KekError(f"{path}: {exc.strerror}") from exc


def _sync_folder(folder: Path) -> None:
    """Make the new name durable before anything is wrapped by the key."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
