"""`hes sim replay`: captured pushes, sent again as meters would."""

from __future__ import annotations

from pathlib import Path

import click
import trio

from hes.cli.errors import FAILURE, PARTIAL, UNREACHABLE


def _endpoint(_: click.Context, __: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise click.BadParameter("HOST:PORT, as 127.0.0.1:4059")
    return host.strip("[]"), int(port)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to",
    "endpoint",
    callback=_endpoint,
    default="127.0.0.1:4059",
    show_default=True,
    help="Where the head-end listens for pushes.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
def replay(file: Path, endpoint: tuple[str, int], dry_run: bool) -> None:
    """Send the HDLC and wrapper pushes of FILE (JSON lines), each over its own connection."""
    from hes_simulators.replay import Replay, captures, send_all

    done = Replay()
    with file.open("rb") as lines:
        found = list(captures(lines, done))
    for reason, count in sorted(done.skipped.items()):
        click.echo(f"left out: {count} ({reason})", err=True)
    if not found:
        click.echo(f"hes: {file} holds no push that a meter would send over TCP", err=True)
        raise SystemExit(FAILURE)
    if dry_run:
        click.echo(f"would send {len(found)} pushes to {endpoint[0]}:{endpoint[1]}")
        return
    try:
        trio.run(send_all, found, *endpoint, done)
    except OSError as error:
        click.echo(f"hes: {error}", err=True)
        raise SystemExit(UNREACHABLE) from None
    click.echo(f"sent {done.sent} pushes")
    if done.failed:
        click.echo(f"not sent: {', '.join(done.failed)}", err=True)
        raise SystemExit(PARTIAL)
