"""`hes sim proxy`: harm to connections and datagrams on their way, both directions apart."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio

from hes.cli.errors import FAILURE, UNREACHABLE
from hes.cli.output import write_document

_DIRECTIONS: Final = ("both", "up", "down")
_PROBABILITY: Final = click.FloatRange(0, 1)
_SECONDS: Final = click.FloatRange(0, 3600)
_OCTETS: Final = click.IntRange(0)
# Option, setting, type, help. A name with two words is one setting of `proxy.Toxics`.
_SETTINGS: Final = (
    ("--latency", "latency_s", _SECONDS, "Seconds that everything takes."),
    ("--jitter", "jitter_s", _SECONDS, "Up to so many seconds more, at random."),
    ("--bandwidth", "bandwidth", _OCTETS, "Octets per second; 0: no limit."),
    ("--slice", "slice", _OCTETS, "Octets in one piece at most; 0: as they come."),
    ("--slice-pause", "slice_pause_s", _SECONDS, "Seconds between two pieces."),
    ("--reset-after", "reset_after", _OCTETS, "Octets after which the connection is reset."),
    ("--corrupt", "corrupt", _PROBABILITY, "Probability that a bit of a piece is another."),
    ("--duplicate", "duplicate", _PROBABILITY, "Probability that a piece goes twice."),
    ("--reorder", "reorder", _PROBABILITY, "Probability that a piece is overtaken."),
    ("--drop", "drop", _PROBABILITY, "Probability that a piece or datagram is lost."),
    ("--blackhole-after", "blackhole_after", _OCTETS, "Octets after which nothing arrives."),
    ("--slow-close", "slow_close_s", _SECONDS, "Seconds that the end is kept back."),
)
Command = TypeVar("Command", bound=Callable[..., Any])


def _endpoint(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter("HOST:PORT, as 127.0.0.1:4159")
    return host, int(port)


def _setting_options(command: Command) -> Command:
    for option, name, kind, text in reversed(_SETTINGS):
        command = click.option(option, name, type=kind, help=text)(command)
    return command


@click.command()
@click.option("--listen", callback=_endpoint, help="HOST:PORT on loopback; port 0: any.")
@click.option("--to", "server", callback=_endpoint, help="HOST:PORT of the server, anywhere.")
@click.option("--udp", is_flag=True, help="Datagrams instead of connections.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--control",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Socket by which another `hes sim proxy` changes this one.",
)
@click.option(
    "--direction",
    type=click.Choice(_DIRECTIONS),
    default="both",
    show_default=True,
    help="For which the settings are: up to the server, down from it.",
)
@click.option("--cut", is_flag=True, help="Of a running proxy: reset every connection.")
@click.option("--dry-run", is_flag=True, help="Of a running proxy: only say what would change.")
@_setting_options
def proxy(
    listen: tuple[str, int] | None,
    server: tuple[str, int] | None,
    udp: bool,
    seed: int,
    control: Path | None,
    direction: str,
    cut: bool,
    dry_run: bool,
    **settings: Any,
) -> None:
    """
    Run a fault proxy with --listen and --to until Ctrl-C.

    With --control alone: change the one that runs, and print how it stands.
    """
    said = {name: value for name, value in settings.items() if value is not None}
    if listen is None and server is None:
        if control is None:
            raise click.UsageError("--listen and --to run a proxy; --control changes one")
        write_document(_change(control, direction, said, cut=cut, dry_run=dry_run))
        return
    if listen is None or server is None or cut or dry_run:
        raise click.UsageError(
            "a proxy that is to run has --listen and --to, and neither --cut nor --dry-run"
        )
    _serve(listen, server, control, direction, said, udp=udp, seed=seed)


def _change(
    control: Path, direction: str, said: dict[str, Any], *, cut: bool, dry_run: bool
) -> dict[str, Any]:
    from hes_simulators import proxy as proxies
    from hes_simulators.faults.lines import ControlError, RefusedError, ask

    command = {"do": "set", "direction": direction, "settings": said}
    try:
        proxies.CLEAN.changed(said)
    except proxies.ProxyError as error:
        raise click.UsageError(str(error)) from None
    try:
        if dry_run:
            trio.run(ask, control, {"do": "state"})
            return {"would": {"cut": cut, "direction": direction, "set": said}}
        if cut:
            trio.run(ask, control, {"do": "cut"})
        return trio.run(ask, control, command if said else {"do": "state"})
    except RefusedError as error:
        click.echo(f"hes: {error}", err=True)
        raise SystemExit(FAILURE) from None
    except ControlError as error:
        click.echo(f"hes: {error}", err=True)
        raise SystemExit(UNREACHABLE) from None


def _serve(
    listen: tuple[str, int],
    server: tuple[str, int],
    control: Path | None,
    direction: str,
    said: dict[str, Any],
    *,
    udp: bool,
    seed: int,
) -> None:
    from hes_simulators import proxy as proxies
    from hes_simulators.faults.lines import ControlError, serve_lines
    from hes_simulators.proxy.control import commands

    try:
        toxics = proxies.CLEAN.changed(said)
    except proxies.ProxyError as error:
        raise click.UsageError(str(error)) from None
    up = toxics if direction in ("both", "up") else proxies.CLEAN
    down = toxics if direction in ("both", "down") else proxies.CLEAN

    async def run() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with (
                proxies.serve(
                    server, host=listen[0], port=listen[1], up=up, down=down, seed=seed, udp=udp
                ) as between,
                trio.open_nursery() as nursery,
            ):
                if control is not None:
                    await nursery.start(serve_lines, control, commands(between))
                where = f"{listen[0]}:{between.port} to {server[0]}:{server[1]}"
                click.echo(f"ready: {'udp' if udp else 'tcp'} {where}", err=True)
                async for _ in signals:
                    nursery.cancel_scope.cancel()

    # Each connection takes two sockets.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        trio.run(run)
    except* (proxies.ProxyError, ControlError, OSError) as group:
        failure: BaseException = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise click.ClickException(str(failure)) from None
