"""
PostgreSQL with TimescaleDB from Debian 13's packages, in a private prefix.

Needs neither root nor a change of the system: apt runs on a directory of its own with the mirror
and keyring of the machine's own sources, `dpkg-deb` unpacks into the prefix, and `patchelf` points
the programs at the prefix's own loader and libraries, so that they run on Debian 12 as well.

Packages are kept in the user's package cache and used again for a week without asking anybody.
Their hashes come from apt's signed index.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from hes.services import processes
from hes.services.apt_sources import Mirror, find_mirror
from hes.services.errors import ServiceError

SUITE = "trixie"
MAJOR = 17
_ROOTS = ("postgresql-17", "postgresql-client-17", "postgresql-17-timescaledb")
# Followed are the libraries that the server loads; not the JIT compiler (100 MB) nor Perl.
_LIBRARY = re.compile(r"^(lib(?!llvm|perl|.*-perl$).*|zlib1g)$")
_MARKER = "hes-prefix.json"
_FRESH_S = 7 * 86_400
_URI_LINE = re.compile(r"^'[^']+' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$")
_APT_LINE = re.compile(r"^Acquire::(?!IndexTargets|Languages)")

Report = Callable[[str], None]


class PrefixUnavailableError(ServiceError):
    """The packages cannot be had on this machine; the text says why."""


@attrs.frozen
class Archive:
    """One package file, as apt's signed index describes it."""

    file: str
    size: int
    sha256: str


def prefix_path(servers: Path) -> Path:
    """Where the prefix stands below the folder of servers."""
    return servers.resolve() / f"pgsql-{MAJOR}"


def is_complete(prefix: Path) -> bool:
    """Tell whether the prefix is whole and was made for this very path."""
    try:
        marker = json.loads((prefix / _MARKER).read_text())
    except (OSError, ValueError):
        return False
    return bool(marker.get("path") == str(prefix.resolve()))


def bin_folder(prefix: Path) -> Path:
    return prefix / "usr/lib/postgresql" / str(MAJOR) / "bin"


def ensure_prefix(servers: Path, *, cache: Path, report: Report) -> Path:
    """
    Make the prefix if it is not there yet.

    A second caller waits for the first; an interrupted run leaves nothing that looks whole.

    Args: servers: folder of all prefixes. cache: folder for downloaded packages. report: progress.
    Returns: the prefix.
    Raises: PrefixUnavailableError: no apt, not Debian, no mirror, not reachable.
    """
    prefix = prefix_path(servers)
    if is_complete(prefix):
        return prefix
    servers.mkdir(parents=True, exist_ok=True)
    with _locked(servers / f"{prefix.name}.lock"):
        if is_complete(prefix):
            return prefix
        patchelf = _patchelf()
        started = time.monotonic()
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            archives = _archives(cache, report)
            fresh = prefix.with_name(f"{prefix.name}.{os.getpid()}.new")
            for leftover in servers.glob(f"{prefix.name}.*.new"):
                shutil.rmtree(leftover)
            _unpack(cache / "archives", archives, fresh)
        _prune(fresh)
        _point_at_prefix(fresh, prefix.resolve(), patchelf)
        marker = {"path": str(prefix.resolve()), "packages": [archive.file for archive in archives]}
        (fresh / _MARKER).write_text(json.dumps(marker, indent=1))
        shutil.rmtree(prefix, ignore_errors=True)
        fresh.rename(prefix)
        report(f"TimescaleDB prefix ready in {time.monotonic() - started:.0f} s: {prefix}")
    return prefix


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _patchelf() -> str:
    beside = Path(sys.executable).parent / "patchelf"
    found = str(beside) if beside.exists() else shutil.which("patchelf")
    if found is None:
        raise PrefixUnavailableError("patchelf is not installed (it is in the extra `embedded`)")
    return found


def _archives(cache: Path, report: Report) -> tuple[Archive, ...]:
    """Find the packages in the cache or have apt fetch them."""
    manifest = cache / f"{SUITE}.json"
    known = _read_manifest(manifest)
    whole = bool(known) and all(_is_whole(cache / "archives" / item.file, item) for item in known)
    if whole and time.time() - manifest.stat().st_mtime < _FRESH_S:
        return known
    try:
        archives = _fetch(cache, report)
    except PrefixUnavailableError as error:
        if not whole:
            raise
        report(f"packages could not be renewed, those in the cache are used: {error}")
        return known
    _write_manifest(manifest, archives)
    for file in (cache / "archives").glob("*.deb"):
        if file.name not in {archive.file for archive in archives}:
            file.unlink()
    return archives


def _read_manifest(manifest: Path) -> tuple[Archive, ...]:
    try:
        return tuple(Archive(**item) for item in json.loads(manifest.read_text()))
    except (OSError, ValueError, TypeError):
        return ()


def _write_manifest(manifest: Path, archives: tuple[Archive, ...]) -> None:
    fresh = manifest.with_suffix(".new")
    fresh.write_text(json.dumps([attrs.asdict(archive) for archive in archives], indent=1))
    fresh.replace(manifest)


def _is_whole(path: Path, archive: Archive) -> bool:
    if not path.exists() or path.stat().st_size != archive.size:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == archive.sha256


def _fetch(cache: Path, report: Report) -> tuple[Archive, ...]:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PrefixUnavailableError("this machine has no apt")
    for leftover in cache.glob("download-*"):
        shutil.rmtree(leftover)
    configuration = _write_configuration(cache, _machine_mirrors())
    environment = {"APT_CONFIG": str(configuration)}
    archives_folder = cache / "archives"
    report("fetching PostgreSQL and TimescaleDB from Debian's packages ...")
    try:
        # An index that cannot be had is a warning here; what matters is whether the packages can.
        with contextlib.suppress(subprocess.CalledProcessError):
            processes.run(["apt-get", "-qq", "update"], environment=environment)
        graph = processes.run(
            ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests",
             "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", *_ROOTS],
            environment=environment,
        ).stdout  # fmt: skip
        names = closure(graph)
        listed = processes.run(
            ["apt-get", "--print-uris", "-qq", "download", *names], environment=environment
        ).stdout
        archives = tuple(_parse_uris(listed))
        missing = [
            name
            for name, archive in zip(names, archives, strict=True)
            if not _is_whole(archives_folder / archive.file, archive)
        ]
        if missing:
            with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as arriving:
                processes.run(
                    ["apt-get", "-qq", "download", *missing],
                    environment=environment,
                    cwd=Path(arriving),
                )
                for path in Path(arriving).glob("*.deb"):
                    path.replace(archives_folder / path.name)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        raise PrefixUnavailableError(
            f"{' '.join(error.cmd[:2])} failed: {said[-1] if said else error.returncode}"
        ) from error
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise PrefixUnavailableError(f"apt: {error}") from error
    for archive in archives:
        if not _is_whole(archives_folder / archive.file, archive):
            raise PrefixUnavailableError(f"apt did not bring {archive.file} as its index has it")
    shutil.rmtree(configuration.parent)  # apt's index is 100 MB and old by the next time
    return archives


def closure(graph: str) -> list[str]:
    """
    Choose the packages to unpack: the roots and every library below them.

    Args: graph: output of `apt-cache depends --recurse`.
    """
    below: dict[str, list[str]] = {}
    package = ""
    for line in graph.splitlines():
        if not line.startswith((" ", "<")):
            package = line.strip()
            below[package] = []
        elif (match := re.match(r"^ {2}(?:Pre)?Depends: ([a-z0-9][^\s<>]*)$", line)) and package:
            below[package].append(match[1].split(":")[0])
    chosen: list[str] = []
    waiting = list(_ROOTS)
    while waiting:
        name = waiting.pop(0)
        if name in chosen or name not in below:
            continue
        chosen.append(name)
        waiting += [dependency for dependency in below[name] if _LIBRARY.match(dependency)]
    if missing := set(_ROOTS) - set(chosen):
        raise PrefixUnavailableError(f"the mirror does not have {', '.join(sorted(missing))}")
    return chosen


def _parse_uris(listed: str) -> Iterator[Archive]:
    for line in listed.splitlines():
        if match := _URI_LINE.match(line.strip()):
            yield Archive(match["file"], int(match["size"]), match["sha256"])


def _machine_mirrors() -> list[str]:
    """Stanzas for our suite, and for its security updates if the machine has such a source."""
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    if release.get("ID", "").strip('"') != "debian" or not codename:
        raise PrefixUnavailableError("this machine is not Debian")
    etc = Path("/etc/apt")
    parts = sorted((etc / "sources.list.d").glob("*")) if (etc / "sources.list.d").is_dir() else []
    deb822 = {path.name: path.read_text() for path in parts if path.suffix == ".sources"}
    one_line = {
        path.name: path.read_text()
        for path in [etc / "sources.list", *parts]
        if path.suffix == ".list" and path.exists()
    }
    mirror: Mirror | None = find_mirror(deb822, one_line, codename)
    if mirror is None:
        raise PrefixUnavailableError(f"the machine's apt sources do not name {codename} main")
    stanzas = [mirror.stanza(SUITE)]
    if security := find_mirror(deb822, one_line, f"{codename}-security"):
        stanzas.append(security.stanza(f"{SUITE}-security"))
    return stanzas


def _write_configuration(cache: Path, stanzas: list[str]) -> Path:
    """
    Write apt's private world.

    Of the machine's own settings only how to reach a mirror (`Acquire`: proxy, CA, time-outs) is
    carried over; its hooks and its cache settings are not.
    """
    for folder in ("archives", "apt/state/lists/partial", "apt/cache/archives/partial"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    apt = cache / "apt"
    (apt / "state/status").touch()
    (apt / "hes.sources").write_text("\n".join(stanzas))
    dumped = processes.run(["apt-config", "dump"]).stdout.splitlines()
    settings: Mapping[str, str] = {
        "Dir::State": f"{apt}/state",
        "Dir::State::status": f"{apt}/state/status",
        "Dir::Cache": f"{apt}/cache",
        "Dir::Etc::Main": "/dev/null",
        "Dir::Etc::Parts": "/dev/null",
        "Dir::Etc::SourceList": f"{apt}/hes.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
    }
    lines = [line for line in dumped if _APT_LINE.match(line)]
    lines += [f'{name} "{value}";' for name, value in settings.items()]
    configuration = apt / "apt.conf"
    configuration.write_text("\n".join(lines) + "\n")
    return configuration


def _unpack(folder: Path, archives: tuple[Archive, ...], target: Path) -> None:
    target.mkdir(parents=True)

    def unpack(archive: Archive) -> None:
        processes.run(["dpkg-deb", "-x", str(folder / archive.file), str(target)])

    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(unpack, archives))
    except subprocess.CalledProcessError as error:
        raise PrefixUnavailableError(f"dpkg-deb: {error.stderr.strip()}") from error


def _prune(prefix: Path) -> None:
    """Leave out what the server never opens: documentation, translations, the JIT compiler."""
    postgresql = prefix / "usr/lib/postgresql" / str(MAJOR)
    for unused in (
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/lintian",
        "etc",
        "var",
    ):
        shutil.rmtree(prefix / unused, ignore_errors=True)
    shutil.rmtree(postgresql / "lib/bitcode", ignore_errors=True)
    (postgresql / "lib/llvmjit.so").unlink(missing_ok=True)


def _point_at_prefix(fresh: Path, final: Path, patchelf: str) -> None:
    """Set interpreter and rpath (inherited by all that the program loads) to the final place."""
    loaders = sorted(fresh.glob("usr/lib/**/ld-linux*.so.*")) or sorted(
        fresh.glob("**/ld-linux*.so.*")
    )
    libraries = sorted({path.parent for path in fresh.glob("usr/lib/**/libc.so.6")})
    if not loaders or not libraries:
        raise PrefixUnavailableError("the packages hold no C library")
    loader = final / loaders[0].relative_to(fresh)
    rpath = ":".join(str(final / path.relative_to(fresh)) for path in libraries)
    programs = [
        str(path)
        for path in sorted(bin_folder(fresh).iterdir())
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"
    ]
    processes.run(
        [
            patchelf,
            "--set-interpreter",
            str(loader),
            "--force-rpath",
            "--set-rpath",
            rpath,
            *programs,
        ]
    )
