"""What may be said of a plan."""

from decimal import Decimal

import attrs
import pytest

from hes.domain.plans import Selection
from hes.domain.work import Attribute, Priority, Read, ReadKind
from hes.plans.plan import MAX_NAMES, check
from hes_protocol.cosem import Obis
from tests.unit.hes.plans.test_expansion import a_plan

PROFILE = Obis.parse("1.0.99.1.0.255")
ENERGY = Attribute(3, Obis.parse("1.0.1.8.0.255"), 2)


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"selection": Selection(groups=("north",), tags=("pv",), models=("sim-household",))},
        {"zone": "America/Argentina/Buenos_Aires"},
        {"zone": "Etc/GMT+5", "target": Decimal(100)},
        {"reads": (Read(ReadKind.REGISTERS, attributes=(ENERGY,)), Read(ReadKind.BILLING))},
        {"reads": (Read(ReadKind.PROFILE, PROFILE),)},
    ],
)
def test_what_can_be(terms: dict[str, object]) -> None:
    assert check(attrs.evolve(a_plan(), **terms)) == []


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "  "}),
        ("name", {"name": "n" * 65}),
        ("name", {"name": "two\nlines"}),
        ("priority", {"priority": Priority.URGENT}),
        ("reads", {"reads": ()}),
        ("reads", {"reads": (Read(ReadKind.PROFILE), Read(ReadKind.PROFILE))}),
        ("reads", {"reads": (Read(ReadKind.EVENTS, attributes=(ENERGY,)),)}),
        ("reads", {"reads": (Read(ReadKind.REGISTERS, PROFILE),)}),
        ("reads", {"reads": (Read(ReadKind.REGISTERS, attributes=(ENERGY,) * 257),)}),
        ("selection", {"selection": Selection()}),
        ("selection", {"selection": Selection(all_meters=True, tags=("pv",))}),
        ("selection", {"selection": Selection(tags=("",))}),
        ("selection", {"selection": Selection(groups=[str(n) for n in range(MAX_NAMES + 1)])}),
        ("zone", {"zone": "../../etc/passwd"}),
        ("zone", {"zone": ""}),
        ("window_s", {"window_s": 32 * 86_400}),
        ("deadline_s", {"deadline_s": 901}),
        ("deadline_s", {"deadline_s": 0, "spread_s": 0}),
        ("spread_s", {"spread_s": 900}),
        ("spread_s", {"spread_s": -1}),
        ("target", {"target": Decimal(0)}),
        ("target", {"target": Decimal("98.05")}),
        ("target", {"target": Decimal("NaN")}),
    ],
)
def test_what_cannot_be_names_its_field(field: str, terms: dict[str, object]) -> None:
    assert field in {fault.field for fault in check(attrs.evolve(a_plan(), **terms))}
