"""`hes dlms`: the engineer's translator."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from hes.cli.encoding import TreeError, octets_of
from hes.cli.errors import FAILURE, OK, PARTIAL
from hes.cli.translation import as_json, as_tree, as_xml
from hes.models import model_push_layouts, models
from hes_protocol.errors import LocalProtocolError
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, llc
from hes_protocol.mbus import MBusFragmenter
from hes_protocol.models import PushLayout
from hes_protocol.translator import Translation, TranslatorKeys, TransportKind, translate
from hes_protocol.wrapper import WrapperFrame

# The captures' own names for transports (contracts.md).
_ALIASES: Final = {
    "raw-apdu": "apdu",
    "mbus-dlms": "mbus",
    "p1-ascii": "p1",
    "plc-llc": "llc",
}
_OUTPUTS: Final = {"json": as_json, "tree": as_tree, "xml": as_xml}


@click.group()
def dlms() -> None:
    """Decode and encode DLMS/COSEM octets."""


@dlms.command()
@click.argument("text", metavar="[HEX|-]", required=False)
@click.option(
    "--transport",
    type=click.Choice([kind.value for kind in TransportKind]),
    default=TransportKind.AUTO.value,
    show_default=True,
)
@click.option(
    "--keys-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML or JSON with `ek`, `ak` in hex; keys are never arguments.",
)
@click.option("--system-title", metavar="HEX", help="Of the sender, where no APDU names it.")
@click.option("--model", "model_name", help="Of the meter: some push without any name or mark.")
@click.option("-o", "output", type=click.Choice(list(_OUTPUTS)), default="json", show_default=True)
@click.option(
    "--jsonl",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Decode a file of records instead: one JSON line for each.",
)
def decode(
    text: str | None,
    transport: str,
    keys_file: Path | None,
    system_title: str | None,
    model_name: str | None,
    output: str,
    jsonl: Path | None,
) -> None:
    """
    Say what HEX (or - for stdin) holds: frames, APDUs, readings.

    Exit code 0 if all of it was read, 1 if something is broken, 3 if it ends early.
    """
    layouts = (*_own_layouts(model_name), *model_push_layouts())
    if jsonl is not None:
        if text is not None:
            raise click.UsageError("HEX and --jsonl exclude each other")
        with jsonl.open("rb") as lines:
            for line in _decode_records(lines, layouts):
                click.echo(line)
        return
    if text is None:
        raise click.UsageError("HEX, - or --jsonl FILE is due")
    octets = _octets(sys.stdin.read() if text == "-" else text)
    try:
        keys = _keys(_read_keys(keys_file), system_title)
    except _RecordError as error:
        raise click.UsageError(str(error)) from None
    translation = translate(octets, TransportKind(transport), keys, layouts)
    click.echo(_OUTPUTS[output](translation))
    if translation.error is not None:
        raise SystemExit(FAILURE)
    raise SystemExit(OK if translation.complete else PARTIAL)


def _own_layouts(name: str | None) -> tuple[PushLayout, ...]:
    if name is None:
        return ()
    known = {model.name: model.push for model in models()}
    if name not in known:
        raise click.UsageError(f"--model: there is no {name}, but {', '.join(sorted(known))}")
    return known[name]


@dlms.command("encode")
@click.argument("text", metavar="[JSON|-]")
@click.option(
    "--transport",
    type=click.Choice(["apdu", "wrapper", "hdlc", "llc", "mbus"]),
    default="apdu",
    show_default=True,
    help="What to put around an APDU.",
)
@click.option("--client", type=click.IntRange(0, 0xFFFF), default=16, show_default=True)
@click.option("--server", type=click.IntRange(0, 0xFFFF), default=1, show_default=True)
@click.option("--to-server", is_flag=True, help="From client to server, instead of back.")
def encode_command(text: str, transport: str, client: int, server: int, *, to_server: bool) -> None:
    """
    Print in hex what JSON (or - for stdin) says, in the words of `hes dlms decode -o json`.

    JSON is one of its `apdus` (`name` and `value`), or COSEM data such as {"unsigned": 5}.
    """
    try:
        octets = octets_of(json.loads(sys.stdin.read() if text == "-" else text))
        framed = _framed(octets, transport, client, server, to_server=to_server)
    except (TreeError, LocalProtocolError) as error:
        raise click.ClickException(str(error)) from None
    except (ValueError, RecursionError):
        raise click.UsageError("no JSON") from None
    click.echo(framed.hex())


def _framed(apdu: bytes, transport: str, client: int, server: int, *, to_server: bool) -> bytes:
    """
    An APDU in the frame that carries it alone.

    Raises: LocalProtocolError: it does not fit one, or the addresses do not.
    """
    destination, source = (server, client) if to_server else (client, server)
    match transport:
        case "wrapper":
            return WrapperFrame(source, destination, apdu).to_octets()
        case "hdlc":
            information = llc.add(apdu, response=not to_server)
            frame = HdlcFrame(
                HdlcAddress(destination),
                HdlcAddress(source),
                Control(ControlKind.UI, poll_final=True),
                information=information,
            )
            return frame.to_octets()
        case "llc":
            return llc.add(apdu, response=not to_server)
        case "mbus":
            return MBusFragmenter().to_octets(apdu)
        case _:
            return apdu


class _RecordError(ValueError):
    """What is wrong with a record or a key file, in words for a person, without its content."""


def _decode_records(lines: BinaryIO, layouts: tuple[PushLayout, ...]) -> Iterator[str]:
    """A line for each record, whatever it is: no record may keep others from theirs."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        identity: Any = number
        try:
            record = _parse(line)
            identity = record.get("id", number)
            translation = _translate_record(record, layouts)
        except _RecordError as error:
            yield json.dumps(_not_a_record(identity, str(error)))
        else:
            yield json.dumps({"id": identity, **json.loads(as_json(translation, compact=True))})


def _parse(line: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise _RecordError("no JSON") from None
    if not isinstance(record, dict):
        raise _RecordError("no JSON object")
    return record


def _translate_record(record: Mapping[str, Any], layouts: tuple[PushLayout, ...]) -> Translation:
    named = record.get("transport", "auto")
    try:
        transport = TransportKind(_ALIASES.get(named, named))
    except (ValueError, TypeError):
        raise _RecordError("transport is none of ours") from None
    octets: bytes | list[bytes] = _hex(record, "hex")
    frames = record.get("frames")
    # Transports that do not delimit their APDUs come with the frames one by one.
    if frames and transport in (TransportKind.LLC, TransportKind.APDU):
        if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
            raise _RecordError("frames is no list of objects")
        octets = [_hex(frame, "hex") for frame in frames]
    keys = record.get("keys") or {}
    if not isinstance(keys, dict):
        raise _RecordError("keys is no object")
    return translate(octets, transport, _keys(keys, None), layouts)


def _not_a_record(identity: Any, detail: str) -> dict[str, Any]:
    return {
        "id": identity,
        "transport": None,
        "frames": 0,
        "complete": False,
        "apdus": [],
        "readings": [],
        "error": {"code": "not-a-record", "offset": None, "detail": detail},
    }


def _hex(record: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(record[name])
    except KeyError:
        raise _RecordError(f"{name} is missing") from None
    except (TypeError, ValueError):
        raise _RecordError(f"{name} is no hex") from None


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex("".join(text.split()).removeprefix("0x"))
    except ValueError as error:
        raise click.UsageError(f"no hex: {error}") from None


def _read_keys(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        content = path.read_text(encoding="utf-8")
        document = (
            json.loads(content) if content.lstrip().startswith("{") else tomllib.loads(content)
        )
    except (OSError, ValueError, RecursionError):
        # The parser's own words may quote the key.
        raise _RecordError("the key file is neither TOML nor JSON") from None
    if not isinstance(document, dict):
        raise _RecordError("the key file is no table")
    return document


def _keys(keys: Mapping[str, Any], system_title: str | None) -> TranslatorKeys:
    def key(name: str) -> bytes | None:
        return _hex(keys, name) if keys.get(name) else None

    # In the captures' words `st` is the sender's title; a person may give it by itself.
    sender = _octets(system_title) if system_title else key("st")
    return TranslatorKeys(
        encryption_key=key("ek"),
        authentication_key=key("ak"),
        client_system_title=key("client_st") or sender,
        server_system_title=key("server_st") or sender,
    )
