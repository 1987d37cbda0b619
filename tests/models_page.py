"""
Writes `docs/reference/models.md` from the files in `config/models`.

`python -m tests.models_page`; `tests/unit/hes_simulators/test_models_page.py` sees that what is
kept is fresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from hes.models import models
from hes_protocol.cosem import CaptureObject
from hes_protocol.models import EVENTS, METER_SOURCES, CaptureOn, Model, ModelProfile, ModelPush
from hes_protocol.models.classes import CLASSES
from hes_protocol.quirks import STANDARD

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "models.md"


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page as it should be."""
    known = sorted(models(), key=lambda model: model.name)
    simulated = [model for model in known if model.simulated]
    read = [model for model in known if not model.simulated]
    parts = [_HEAD, *_overview(simulated), "", "## Models that are only read", "", *_read(read)]
    for model in simulated:
        parts += ["", *_model(model)]
    parts += ["", *_vocabulary()]
    return "\n".join(parts) + "\n"


def _overview(simulated: Iterable[Model]) -> Iterator[str]:
    yield "| model | what it is | inherits |"
    yield "|---|---|---|"
    for model in simulated:
        yield f"| [{model.name}](#{model.name}) | {model.about} | {model.inherits or '–'} |"


def _read(known: Iterable[Model]) -> Iterator[str]:
    """What is known of meters that nobody simulates."""
    yield "| model | maker | what is known | source |"
    yield "|---|---|---|---|"
    for model in known:
        kinds = [f"push layouts: {len(model.push)}"] if model.push else []
        kinds += ["quirks"] if model.quirks != STANDARD else []
        kinds += [f"objects: {len(model.objects)}"] if model.objects else []
        yield f"| {model.name} | {model.maker} | {', '.join(kinds)} | {model.source} |"


def _model(model: Model) -> Iterator[str]:
    meter = model.meter
    assert meter is not None  # it is simulated
    yield f"## {model.name}"
    yield f"{model.maker}: {model.about}."
    yield ""
    yield f"Source: {model.source}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| meters | {' and '.join((meter.kind, *(c.kind for c in meter.channels)))} |"
    yield f"| phases, rates | {meter.phases}, {meter.rates} |"
    yield f"| installation behind it | {meter.load} |"
    yield f"| transport | {meter.transport}{'' if meter.listens else ', pushes only'} |"
    yield f"| max_receive_pdu_size | {meter.max_receive_pdu_size} |"
    yield f"| time zone, billing | {meter.zone}, {meter.billing or 'none'} |"
    yield f"| objects | {_classes(model)} |"
    yield ""
    yield "| client | SAP | mechanism | least protection | locked out |"
    yield "|---|---|---|---|---|"
    for client in model.clients.values():
        lock = client.lock_out
        after = f"{lock.seconds} s after {lock.attempts}" if lock else "–"
        mechanism, protection = _word(client.mechanism.name), _word(client.protection.name)
        yield f"| {client.name} | {client.sap} | {mechanism} | {protection} | {after} |"
    yield from _profiles(model)
    yield from _events(model)
    yield from _pushes(model)


def _profiles(model: Model) -> Iterator[str]:
    logs = {log.obis for log in model.events.logs.values()}
    shown = [one for one in model.profiles.values() if one.obis not in logs]
    if shown:
        yield ""
        yield "| profile | captured | rows | columns |"
        yield "|---|---|---|---|"
    for one in shown:
        columns = _columns(one.capture_objects)
        yield f"| {one.obis} | {_when(one)} | {one.entries} | {columns} |"


def _events(model: Model) -> Iterator[str]:
    if model.events.logs:
        yield ""
        yield "| event log | object | rows | codes |"
        yield "|---|---|---|---|"
    for log in model.events.logs.values():
        entries = model.profiles[log.obis].entries
        yield f"| {log.name} | {log.obis} | {entries} | {_numbers(log.codes)} |"
    if model.events.alarms:
        yield ""
        yield "| alarm register | bits |"
        yield "|---|---|"
    for alarm in model.events.alarms:
        yield f"| {alarm.obis} | {_numbers(alarm.bits)} |"


def _pushes(model: Model) -> Iterator[str]:
    if model.pushes:
        yield ""
        yield "| push | setup | when | how | values |"
        yield "|---|---|---|---|---|"
    for push in model.pushes:
        how = f"{push.form}, {_word(push.protection.name)}, {push.transport}"
        when, values = _pushed(push), _columns(push.objects)
        yield f"| {push.name} | {push.obis} | {when} | {how} | {values} |"


def _vocabulary() -> Iterator[str]:
    yield "## Sources that are the meter's own"
    yield ""
    yield "All others are quantities of the installation, `hes_simulators.energy.QUANTITIES`."
    yield ""
    yield from _list(METER_SOURCES)
    yield ""
    yield "## Events"
    yield ""
    yield from _list(EVENTS)


def _list(words: Mapping[str, str]) -> Iterator[str]:
    yield "| name | meaning |"
    yield "|---|---|"
    for name, meaning in words.items():
        yield f"| `{name}` | {meaning} |"


def _classes(model: Model) -> str:
    counted = Counter(one.class_id for one in model.objects.values())
    return ", ".join(f"{count} {CLASSES[key].name}" for key, count in sorted(counted.items()))


def _columns(columns: Iterable[CaptureObject]) -> str:
    return ", ".join(_column(one) for one in columns)


def _column(one: CaptureObject) -> str:
    if one.class_id == 8:
        return "clock"
    return str(one.obis) if one.attribute_index == 2 else f"{one.obis}/{one.attribute_index}"


def _when(one: ModelProfile) -> str:
    if one.on is not CaptureOn.PERIOD:
        return {"billing": "at billing", "event": "on event", "read": "when read"}[one.on]
    return f"every {one.capture_period_s} s"


def _pushed(push: ModelPush) -> str:
    every = [f"every {push.every_s:g} s"] if push.every_s else []
    on = [f"on {', '.join(push.on)}"] if push.on else []
    return "; ".join(every + on)


def _numbers(words: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {name}" for name, code in sorted(words.items(), key=lambda w: w[1]))


def _word(name: str) -> str:
    return name.lower().replace("_", "-")


_HEAD: Final = """\
# Meter models

Written by `python -m tests.models_page` from `config/models`; do not edit. `hes sim models` prints
the list, `hes sim models NAME` the objects of one. How to write a file:
[add-a-meter-model.md](../how-to/add-a-meter-model.md).

Simulated models imitate what their source says of a family of meters, in structure: names of
objects, contents of profiles, codes. None imitates the firmware of a real product.

What a simulated meter does not go by, it does not take: its object list shows no such right, and
who tries gets `read-write-denied`. So for times of the model's own schedules, scripts, the rule
of daylight saving, what a limiter or register monitor watches, resets of energy, and the
configuration of charges and accounts. A push destination is taken if it is one that the fleet
allows (`--push-destination`), communication windows if they are of every day, a calendar if its
seasons begin at midnight and its rates at quarter-hours.
"""

if __name__ == "__main__":
    write()
