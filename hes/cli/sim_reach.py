"""
The options of `hes sim run` that say how meters are reached and how they speak up.

They are for `--meters`: a scenario says it of each of its groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final, TypeVar

import click

from hes_protocol.models import Model
from hes_simulators.reach import DialIn, Greeting, Reach, Target

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS: Final[Mapping[str, str]] = {
    "tls": "--tls",
    "udp": "--udp",
    "per_address": "--per-address",
    "one_session": "--one-session",
    "dial_in": "--dial-in",
    "heartbeat": "--heartbeat",
    "push": "--push",
}
"""By the name of the parameter."""

_DECORATORS: Final = (
    click.option("--tls", is_flag=True, help="TLS by certificates of HES_DATA/sim/tls."),
    click.option("--udp", is_flag=True, help="Answer wrapper datagrams, too."),
    click.option(
        "--per-address",
        type=click.IntRange(1, 4096),
        default=1,
        show_default=True,
        help="Meters behind each address, as behind a concentrator: server SAPs from 16.",
    ),
    click.option("--one-session", is_flag=True, help="Each meter takes one connection at a time."),
    click.option(
        "--dial-in",
        type=click.Choice([one.value for one in Greeting]),
        help="Call the head-end and keep the connection; what is said first.",
    ),
    click.option(
        "--heartbeat", type=click.FloatRange(0.1), metavar="SECONDS", help="With --dial-in."
    ),
    click.option("--push", is_flag=True, help="Push to the head-end what the model pushes."),
)


def reach_options(command: Command) -> Command:
    """Add the options to a command."""
    return reduce(lambda made, option: option(made), reversed(_DECORATORS), command)


def pushes_to(options: Mapping[str, Any], model: Model, head_end: Target) -> Target | None:
    """Where meters push by their model: only if that is asked for, or all that they can do."""
    only_pushes = model.meter is not None and not model.meter.listens
    return head_end if options["push"] or only_pushes else None


def reach_of(options: Mapping[str, Any], head_end: Target) -> Reach:
    """
    How the meters are reached by these options.

    Args: head_end: whom they call and push to.
    Raises: click.UsageError: options that do not go together.
    """
    greeting, heartbeat_s = options["dial_in"], options["heartbeat"]
    if heartbeat_s is not None and greeting is None:
        raise click.UsageError("--heartbeat is for meters that call: --dial-in")
    if options["hdlc"] and options["per_address"] > 1:
        raise click.UsageError("--per-address is for the wrapper: not with --hdlc")
    dial_in = None
    if greeting is not None:
        dial_in = DialIn(
            target=head_end,
            greeting=Greeting(greeting),
            heartbeat_s=heartbeat_s,
            tls=options["tls"],
        )
    return Reach(
        listens=dial_in is None,
        tls=options["tls"],
        udp=options["udp"],
        meters_per_address=options["per_address"],
        one_session=options["one_session"],
        dial_in=dial_in,
        push_tls=options["tls"],
    )
