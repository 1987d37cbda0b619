"""
The `hes` command: nouns, then verbs; data on stdout, chatter on stderr.

Commands are imported when they are called, so that `hes --help` answers at once. Exit codes:
0 ok, 1 failure, 2 usage, 3 partial or incomplete, 4 not allowed, 5 unreachable.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "api": ("hes.cli.processes:api", "Serve API and console."),
    "cache": ("hes.cli.cache:cache", "What Redis holds."),
    "backup": ("hes.cli.backup:backup", "Base backups of the database."),
    "board": ("hes.cli.board:board", "What came in time, late, never; and why."),
    "clock": ("hes.cli.clock:clock", "Meters' clocks."),
    "collect": ("hes.cli.processes:collect", "Talk to meters."),
    "config": ("hes.cli.config:config", "Show the effective settings."),
    "dlms": ("hes.cli.dlms:dlms", "Decode DLMS/COSEM octets."),
    "doctor": ("hes.cli.doctor:doctor", "Check health, with a fix for each failure."),
    "erase": ("hes.cli.erase:erase", "A person's data, when the occupancy has ended."),
    "meter": ("hes.cli.meter:meter", "One meter or a file of them."),
    "migrate": ("hes.cli.migrate:migrate", "Bring the database to the present schema."),
    "restore": ("hes.cli.restore:restore", "After the database was restored."),
    "retention": ("hes.cli.retention:retention", "How long what is kept."),
    "plan": ("hes.cli.plan:plan", "What is read regularly."),
    "quarantine": ("hes.cli.quarantine:quarantine", "What became no reading."),
    "schedule": ("hes.cli.processes:schedule", "Plan what collectors do."),
    "segment": ("hes.cli.segment:segment", "Parts of the network and their limits."),
    "sim": ("hes.cli.sim:sim", "Simulated meters."),
    "up": ("hes.cli.up:up", "Everything on one machine, with embedded servers."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        target, summary = _COMMANDS[cmd_name]
        if ctx.resilient_parsing or ctx.info_name is None:
            return click.Command(cmd_name, short_help=summary)
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hes")
def cli() -> None:
    """The head-end system for smart meters."""


def main() -> None:
    """Run the command line; errors of ours become one line and an exit code, never a trace."""
    from hes.cli.errors import FAILURE, NOT_ALLOWED, UNREACHABLE, exit_code, lacks_schema

    try:
        # Without standalone mode click returns the exit code of `ctx.exit` instead of leaving.
        code = cli.main(standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except PermissionError as error:
        click.echo(f"hes: {error.filename or 'the system'}: {error.strerror}", err=True)
        sys.exit(NOT_ALLOWED)
    except Exception as error:
        if lacks_schema(error):
            click.echo("hes: the database has no schema yet: run `hes migrate`", err=True)
            sys.exit(FAILURE)
        failure = exit_code(error)
        if failure is None:
            raise
        # Drivers tell in several lines that nobody answers, and never what to do.
        text = " ".join(str(error).split()) if failure == UNREACHABLE else str(error)
        way_out = "; `hes doctor` says what to do" if failure == UNREACHABLE else ""
        click.echo(f"hes: {text}{way_out}", err=True)
        sys.exit(failure)
    sys.exit(code if isinstance(code, int) else 0)
