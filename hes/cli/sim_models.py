"""`hes sim models`: what there is to simulate, and from which public source it is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from hes.cli.output import Row, output_option, write_rows
from hes.models import models
from hes_protocol.cosem import ScalerUnit
from hes_protocol.models import Model
from hes_protocol.models.classes import CLASSES

_COLUMNS: Final = (
    "name", "maker", "about", "kind", "phases", "transport", "listens", "clients", "objects",
    "profiles", "event_logs", "pushes", "inherits", "source",
)  # fmt: skip
# What fits on a screen; the other forms have all of it.
_SHOWN_COLUMNS: Final = ("name", "kind", "phases", "transport", "pushes", "about")
_KNOWN_COLUMNS: Final = ("name", "maker", "inherits", "push_layouts", "source")
_OBJECT_COLUMNS: Final = ("class_id", "class_name", "version", "logical_name", "value", "unit")


@click.command("models")
@click.argument("name", required=False)
@click.option("--known", is_flag=True, help="Models that are only read, not simulated.")
@output_option
def sim_models(name: str | None, known: bool, output: str) -> None:
    """
    List the simulated meter models, or the objects of the one NAME.

    `-o json` and `-o csv` say more: clients, numbers of objects, the public source of each model.
    """
    if name is not None:
        write_rows(_objects(_named(name)), _OBJECT_COLUMNS, output)
    elif known:
        write_rows(map(_known, _those(simulated=False)), _KNOWN_COLUMNS, output)
    else:
        columns = _SHOWN_COLUMNS if output == "table" else _COLUMNS
        write_rows(map(_simulated, _those(simulated=True)), columns, output)


def _those(*, simulated: bool) -> Iterator[Model]:
    found = (model for model in models() if model.simulated is simulated)
    yield from sorted(found, key=lambda model: model.name)


def _named(name: str) -> Model:
    for model in models():
        if model.name == name:
            return model
    raise click.UsageError(f"{name} is none of {', '.join(sorted(m.name for m in models()))}")


def _simulated(model: Model) -> Row:
    meter = model.meter
    assert meter is not None  # it is simulated
    clients = (
        f"{one.name} {one.sap} {one.mechanism.name.lower().replace('_', '-')}"
        for one in model.clients.values()
    )
    return {
        "name": model.name,
        "maker": model.maker,
        "about": model.about,
        "kind": " + ".join((meter.kind, *(channel.kind for channel in meter.channels))),
        "phases": meter.phases,
        "transport": meter.transport,
        "listens": meter.listens,
        "clients": ", ".join(clients),
        "objects": len(model.objects),
        "profiles": len(model.profiles) - len(model.events.logs),
        "event_logs": len(model.events.logs),
        "pushes": len(model.pushes),
        "inherits": model.inherits,
        "source": model.source,
    }


def _known(model: Model) -> Row:
    return {
        "name": model.name,
        "maker": model.maker,
        "inherits": model.inherits,
        "push_layouts": len(model.push),
        "source": model.source,
    }


def _objects(model: Model) -> Iterator[Row]:
    for one in model.objects.values():
        value = one.attributes.get(2)
        scaler_unit = model.scaler_units.get(one.key)
        yield {
            "class_id": one.class_id,
            "class_name": CLASSES[one.class_id].name,
            "version": one.version,
            "logical_name": str(one.obis),
            "value": "" if value is None else value.shown,
            "unit": "" if scaler_unit is None else _unit(scaler_unit),
        }


def _unit(scaler_unit: ScalerUnit) -> str:
    scaler, unit = scaler_unit.scaler, str(scaler_unit.unit)
    return f"10^{scaler} {unit}".rstrip() if scaler else unit
