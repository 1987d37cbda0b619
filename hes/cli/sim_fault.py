"""`hes sim fault`: what simulated meters do wrong, changed while they run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio

from hes.cli.errors import FAILURE, UNREACHABLE, USAGE
from hes.cli.output import output_option, write_document, write_rows
from hes.settings import load

_RULE_COLUMNS: Final = ("name", "fault", "parameters", "meters", "every", "probability", "until")
_KIND_COLUMNS: Final = ("fault", "does", "parameter", "default", "is")
_SOCKETS: Final = "fault-*.sock"
# The command was wrong, and not the fleet.
_MISUSES: Final = ("bad-command", "unknown-command", "unknown-rule")
Command = TypeVar("Command", bound=Callable[..., Any])


def control_path(folder: Path, port: int) -> Path:
    """The socket of the fleet whose meters answer at `port`."""
    return folder / f"fault-{port}.sock"


@click.group()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Of the fleet's meters, or its port base; needed where several fleets run.",
)
@click.pass_context
def fault(context: click.Context, port: int | None) -> None:
    """Faults of a running fleet of simulated meters."""
    context.obj = port


def _choice_options(command: Command) -> Command:
    """Which meters; all of them unless said."""
    for option in (
        click.option("--meters", help="By number: 1-20,25."),
        click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Of them."),
        click.option("--population", help="Of a scenario, by name."),
        click.option("--district", help="Of a scenario, by name."),
        click.option("--feeder", help="Of a scenario, by name."),
        click.option("--dry-run", is_flag=True, help="Only say what would happen."),
    ):
        command = option(command)
    return command


@fault.command("kinds")
@output_option
def kinds_(output: str) -> None:
    """What meters can do wrong; needs no fleet."""
    from hes_simulators.faults.control import kinds

    found = kinds()
    if output == "json":
        write_document(found)
        return
    rows = [
        {"fault": one["name"], "does": one["does"], "parameter": name, **parameter}
        for one in found["faults"]
        for name, parameter in (one["parameters"] or _NO_PARAMETERS).items()
    ]
    write_rows(rows, _KIND_COLUMNS, output)


_NO_PARAMETERS: Final = {"": {"default": "", "is": ""}}


@fault.command("ls")
@output_option
@click.pass_obj
def list_(port: int | None, output: str) -> None:
    """The rules that stand."""
    rules = _ask(port, {"do": "list"})["rules"]
    shown = [one | {"parameters": json.dumps(one["parameters"])} for one in rules]
    write_rows(rules if output in ("json", "ndjson") else shown, _RULE_COLUMNS, output)


@fault.command("set")
@click.argument("kind")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--name", help="Of the rule; the fault's own unless said.")
@click.option("--every", type=click.IntRange(1), help="Only every n-th session of each meter.")
@click.option("--probability", type=click.FloatRange(0, 1, min_open=True), help="Of a session.")
@click.option("--for", "for_", metavar="SPAN", help="How long, as 90s, 10min.")
@_choice_options
@click.pass_obj
def set_(
    port: int | None, /, kind: str, parameters: tuple[str, ...], for_: str | None, **options: Any
) -> None:
    """
    Let meters do KIND wrong from now on.

    `hes sim fault kinds` lists what there is, with its parameters:

        hes sim fault set latency seconds=2 --share 0.1 --for 10min
    """
    command = {"do": "set", "fault": kind, "parameters": _values(parameters), "for": for_}
    rule = _ask(port, _said(command | options))["rule"]
    _report(
        f"set: {rule['name']} ({rule['fault']}) on {_meters(rule['meters'])}", options["dry_run"]
    )


@fault.command()
@click.argument("name", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.pass_obj
def clear(port: int | None, name: str | None, dry_run: bool) -> None:
    """End the rule NAME, or all rules."""
    cleared = _ask(port, _said({"do": "clear", "name": name, "dry_run": dry_run}))["cleared"]
    _report(f"cleared: {', '.join(cleared) or 'nothing stood'}", dry_run)


@fault.command("play")
@click.argument("action")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--over", metavar="SPAN", help="The beginnings spread over so long.")
@_choice_options
@click.pass_obj
def play(port: int | None, /, action: str, parameters: tuple[str, ...], **options: Any) -> None:
    """
    Do now what a timeline could say.

    ACTION and its keys are those of a scenario file:

        hes sim fault play limit watts=500 for=5min --population flats
    """
    _play(port, {"do": action, **_values(parameters)}, options)


@fault.command()
@click.option("--for", "for_", metavar="SPAN", help="Until the power returns; else for good.")
@click.option("--over", metavar="SPAN", help="It fails at one meter after the other.")
@_choice_options
@click.pass_obj
def outage(port: int | None, /, for_: str | None, **options: Any) -> None:
    """Let the power fail; meters that have a last gasp send it."""
    _play(port, {"do": "outage", "for": for_}, options)


@fault.command()
@click.argument("name")
@click.option("--over", metavar="SPAN", help="At one meter after the other.")
@_choice_options
@click.pass_obj
def event(port: int | None, /, name: str, **options: Any) -> None:
    """Let the event NAME happen at meters, as their models call it."""
    _play(port, {"do": "event", "event": name}, options)


# `-15min` is a span, and no option.
@fault.command(context_settings={"ignore_unknown_options": True})
@click.argument("by")
@click.option("--over", metavar="SPAN", help="At one meter after the other.")
@_choice_options
@click.pass_obj
def clock(port: int | None, /, by: str, **options: Any) -> None:
    """Let the clocks jump BY a span, as +3h or -15min."""
    _play(port, {"do": "clock-jump", "by": by}, options)


def _play(port: int | None, line: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    dry_run = options["dry_run"]
    rest = {key: value for key, value in options.items() if key != "dry_run"}
    done = _ask(port, {"do": "play", "line": _said({**line, **rest}), "dry_run": dry_run})
    _report(f"begun: {done['playing']} among {_meters(done['meters'])}", dry_run)


def _report(text: str, dry_run: bool) -> None:
    click.echo(f"would be {text}" if dry_run else text)


def _meters(count: int | None) -> str:
    return "all meters" if count is None else "1 meter" if count == 1 else f"{count} meters"


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what nobody has said."""
    return {key: value for key, value in values.items() if value is not None}


def _values(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE`: numbers and true or false are what they look like, all else is text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{pair} is no KEY=VALUE")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        found[key] = value if isinstance(value, int | float | bool) else text
    return found


def _ask(port: int | None, command: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the fleet; its refusal, or its absence, ends the command with a line and a code."""
    from hes_simulators.faults.lines import ControlError, RefusedError, ask

    try:
        return trio.run(ask, _socket(port), command)
    except RefusedError as error:
        # What is wrong with a command has a code of its own, or says where it is.
        bad = error.code == "bad-command" and error.detail
        click.echo(f"hes: {error.detail if bad else error}", err=True)
        raise SystemExit(USAGE if error.code in _MISUSES else FAILURE) from None
    except ControlError as error:
        click.echo(f"hes: {error}", err=True)
        raise SystemExit(UNREACHABLE) from None


def _sockets(folder: Path) -> list[Path]:
    """
    In order of their names.

    Raises: PermissionError: nobody but another user may look; `Path.glob` would find nothing.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / one.name for one in entries if fnmatch(one.name, _SOCKETS))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _socket(port: int | None) -> Path:
    folder = load().settings.data_path / "sim"
    if port is not None:
        return control_path(folder, port)
    found = _sockets(folder)
    if len(found) > 1:
        from hes_simulators.faults.lines import somebody_serves

        # One that was killed leaves its socket.
        found = [path for path in found if somebody_serves(path)] or found[:1]
    if len(found) > 1:
        ports = ", ".join(path.stem.removeprefix("fault-") for path in found)
        raise click.UsageError(f"several fleets run: say --port, one of {ports}")
    if not found:
        click.echo(
            f"hes: no fleet runs with the data in {folder.parent}: start one (hes up, hes sim run),"
            " or say by HES_DATA where it has its data",
            err=True,
        )
        raise SystemExit(UNREACHABLE)
    return found[0]
