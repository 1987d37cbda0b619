"""
Compares what `hes dlms decode --jsonl` says of the captures with what is expected of them.

    python -m tests.vectors.compare [--scope first-light|core|all] [captures.jsonl]

A record is right if every value that it expects stands among the raw or scaled values of our
answer: numbers as decimals, by OBIS where one is given; counts as counts; times as instants in
the meter's own words. A record without expectations is right if it holds values where the
reference found values; where the reference found none either, it is not counted. What an
expectation says in thousands (kWh, kW) is compared in thousands; zeros of the decoder that notes
call "not in list" are no expectations. Prose
is taken word by word: all its words and numbers stand in the name and the members of one APDU. A
record that is broken on purpose (negative, partial, edge) and expects nothing is right if it gives
a typed error, is told to be incomplete, or holds values. Prints n and every expectation that does
not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import attrs

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?")
# Expectations that count or measure instead of naming a value.
_COUNTS = ("rows", "items", "count", "len", "objects", "points", "blocks")
_BROKEN = ("negative", "partial", "edge")
_SYNONYMS = {"attr": "attribute", "bytes": "octets"}
_OBIS = re.compile(r"\d+\.\d+\.\d+\.\d+\.\d+\.\d+")


@attrs.frozen
class Verdict:
    """One record: right, wrong with the expectations that do not hold, or not counted."""

    id: str
    counted: bool
    missing: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return self.counted and not self.missing


def first_light(record: dict[str, Any]) -> bool:
    """Pushes and APDUs that are plain or have keys and are neither M-Bus nor GBT."""
    plain = record["security"].startswith("none")
    return (
        record["kind"] in ("push", "apdu")
        and (plain or "keys" in record)
        and record["transport"] != "mbus-dlms"
        and "GBT" not in record["security"]
    )


def core(record: dict[str, Any]) -> bool:
    """Everything but P1 telegrams and values of cryptography that no APDU carries."""
    return record["transport"] != "p1-ascii" and record["kind"] not in (
        "p1",
        "p1-encrypted",
        "vector-crypto",
    )


SCOPES = {"first-light": first_light, "core": core, "all": lambda _: True}


def judge(record: dict[str, Any], answer: dict[str, Any]) -> Verdict:
    """Compare one record with our answer to it."""
    expected = record.get("expected")
    if not expected:
        leaves = (record.get("decoded_by_reference") or {}).get("leaves")
        if not leaves:
            return Verdict(record["id"], counted=False)
        broken = answer["error"] is not None or not answer["complete"]
        held = bool(answer["readings"]) or (broken and record["kind"] in _BROKEN)
        return Verdict(record["id"], True, () if held else ("any value at all",))
    zeros_mean_nothing = "zeros mean not in list" in record.get("note", "")
    missing = tuple(
        f"{entry.get('obis') or entry.get('fact')} = {entry['value']}"
        for entry in expected
        if not (zeros_mean_nothing and _decimal(entry["value"]) == 0) and not _holds(entry, answer)
    )
    return Verdict(record["id"], True, missing)


def _holds(entry: dict[str, Any], answer: dict[str, Any]) -> bool:
    value = entry["value"]
    if isinstance(value, bool):
        return value is (answer["error"] is None and answer["complete"])
    name = str(entry.get("obis") or entry.get("fact") or "")
    thousand = 1000 if "k" in str(entry.get("unit") or re.findall(r"\((k\w+)\)", name)) else 1
    number = _decimal(value)
    # "0.0.44.0.0.255 attr7 image size" is a member of what that object holds, and no reading.
    obis = _OBIS.fullmatch(str(entry.get("obis") or ""))
    readings = [r for r in answer["readings"] if obis is None or r["obis"] == obis[0]]
    if number is not None:
        told = {_decimal(r[key]) for r in readings for key in ("raw", "value")} - {None}
        if number in told or number * thousand in told:
            return True
        # What is no reading stands in the tree: a request's class, a block's number, a bare value.
        if obis is not None:
            return False
        values = [apdu["value"] for apdu in answer["apdus"]]
        if number in set(_numbers(values)):
            return True
        if name == "objects" and number == len({r["obis"] for r in readings if r["obis"]}):
            return True
        # Counts and lengths are those of the tree.
        return any(word in name for word in _COUNTS) and number in set(_lengths(answer["apdus"]))
    text = str(value)
    if _TIME.match(text):
        stamp = _TIME.match(text.replace(" ", "T"))
        assert stamp is not None
        times = [str(r["captured_at"]) for r in answer["readings"]]
        times += [str(r["value"]) for r in readings] + list(_texts(answer["apdus"]))
        if any(time.replace(" ", "T").startswith(stamp[0]) for time in times + _in_utc(times)):
            return True
    words = {str(r[key]).lower() for r in readings for key in ("raw", "value")}
    words |= {word.lower() for word in _texts(answer["apdus"])}
    words |= {word.replace("-", "") for word in words}
    if text.lower() in words or any(text.lower() in word for word in words if len(text) > 3):
        return True
    if name == "apdus":
        return _lists_apdus(text, answer["apdus"])
    return any(_says(text, apdu) for apdu in answer["apdus"])


def _says(prose: str, apdu: dict[str, Any]) -> bool:
    """Whether an APDU holds every word and every number of a description."""
    words = {word.lower().replace("_", "-") for word in _texts(apdu)}
    numbers = {*_numbers(apdu), *_lengths([apdu])}
    tokens = [token.strip("().,;:").lower() for token in prose.split()]
    return all(_stands(_SYNONYMS.get(token, token), words, numbers) for token in tokens if token)


def _stands(token: str, words: set[str], numbers: set[Decimal]) -> bool:
    number = Decimal(int(token, 16)) if re.fullmatch(r"0x[0-9a-f]+", token) else _decimal(token)
    return number in numbers or any(token in word for word in words)


def _lists_apdus(prose: str, apdus: list[dict[str, Any]]) -> bool:
    """Whether APDUs of these names follow each other, whatever stands between them."""
    names = iter(apdu["name"] for apdu in apdus)
    for item in prose.split(","):
        wanted = re.findall(r"[a-z0-9-]+", item.lower())
        if not any(word in name for name in names for word in wanted):
            return False
    return True


def _in_utc(times: Iterable[str]) -> list[str]:
    found = []
    for time in times:
        try:
            moment = datetime.fromisoformat(time)
        except ValueError:
            continue
        if moment.tzinfo is not None:
            found.append(moment.astimezone(UTC).isoformat())
    return found


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _numbers(tree: Any) -> Iterator[Decimal]:
    """Every number of a JSON tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
        elif (number := _decimal(node)) is not None and number.is_finite():
            yield number


def _lengths(apdus: list[dict[str, Any]]) -> Iterator[Decimal]:
    """Octets of APDUs, elements of arrays, octets of octet strings."""
    stack: list[Any] = [*apdus]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if "octets" in node and isinstance(node["octets"], int):
                yield Decimal(node["octets"])
            stack.extend(node.values())
        elif isinstance(node, list):
            yield Decimal(len(node))
            stack.extend(node)
        elif isinstance(node, str) and re.fullmatch(r"(?:[0-9a-f]{2})+", node):
            yield Decimal(len(node) // 2)


def _texts(tree: Any) -> Iterator[str]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.values())
            stack.extend(node)
        elif isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, str):
            yield node


def decode(file: Path) -> list[dict[str, Any]]:
    """Our answers to a file of captures, by the command that people use."""
    command = [sys.executable, "-m", "hes", "dlms", "decode", "--jsonl", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(records: Iterable[dict[str, Any]], answers: Iterable[dict[str, Any]]) -> list[Verdict]:
    """Judge all; both in the same order."""
    verdicts = []
    for record, answer in zip(records, answers, strict=True):
        assert record["id"] == answer["id"]
        verdicts.append(judge(record, answer))
    return verdicts


def main() -> None:
    """Print the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scope", choices=SCOPES, default="first-light")
    folder = os.environ.get("HES_VECTORS", "../shared/vectors")
    parser.add_argument("file", nargs="?", type=Path, default=Path(folder) / "captures.jsonl")
    arguments = parser.parse_args()
    records = [json.loads(line) for line in arguments.file.read_text(encoding="utf-8").splitlines()]
    answers = decode(arguments.file)
    chosen = [
        (record, answer)
        for record, answer in zip(records, answers, strict=True)
        if SCOPES[arguments.scope](record)
    ]
    verdicts = report(*zip(*chosen, strict=True))
    for verdict in verdicts:
        for expectation in verdict.missing:
            print(f"{verdict.id}: {expectation}")
    counted = [verdict for verdict in verdicts if verdict.counted]
    right = sum(verdict.right for verdict in counted)
    share = right / len(counted)
    print(f"n = {len(counted)} counted of {len(verdicts)} in scope; {right} right ({share:.1%})")


if __name__ == "__main__":
    main()
