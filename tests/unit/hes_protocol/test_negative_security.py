"""
Every way to break in, by table: refused, nothing changed, and the honest exchange still works.

A case is one attack on one side of one kind of association; all single-bit flips of a frame are one
case, so are all its truncations. The tables are in `tests/negative`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from hes_protocol.acse import Mechanism
from hes_protocol.security import Protection
from tests.negative import abuse, at_client, at_server, handshakes
from tests.negative.scene import (
    MECHANISMS,
    Scene,
    answered,
    asked,
    harmless_to_client,
    harmless_to_server,
    refused_by_client,
    refused_by_server,
    still_works,
)

LEAST_CASES = 300
EVERY_SERVICE = (Mechanism.LLS, Mechanism.HLS_GMAC)


@attrs.frozen
class Case:
    """`make` gives the scene, `attack` the APDUs, `judge` feeds them and says that nothing came."""

    id: str
    make: Callable[[], Scene]
    attack: Callable[[Scene], Any]
    judge: Callable[[Scene, Any], int]


def _in_associations() -> Iterator[Case]:
    for who, table, make, judge in (
        ("client", at_client.ATTACKS, answered, refused_by_client),
        ("server", at_server.ATTACKS, asked, refused_by_server),
    ):
        for name, (attack, protections, services) in table.items():
            for mechanism in MECHANISMS:
                for protection in protections:
                    # Once it is open, it no longer matters by which mechanism.
                    for service in services if mechanism in EVERY_SERVICE else services[:1]:
                        parts = (who, name, mechanism.name, protection.name, service)
                        yield Case(
                            "-".join(parts).lower(),
                            _bound(make, mechanism, protection, service),
                            attack,
                            judge,
                        )


def _in_handshakes() -> Iterator[Case]:
    for who, table, make, judge in (
        ("client-aare", handshakes.AARE, handshakes.before_aare, refused_by_client),
        ("client-pass-4", handshakes.PASS_4, handshakes.before_pass_4, refused_by_client),
        ("server-aarq", handshakes.AARQ, handshakes.before_aarq, refused_by_server),
        ("server-pass-3", handshakes.PASS_3, handshakes.before_pass_3, refused_by_server),
    ):
        for name, (attack, mechanisms, protections) in table.items():
            for mechanism in mechanisms:
                for protection in protections:
                    parts = (who, name, mechanism.name, protection.name)
                    yield Case(
                        "-".join(parts).lower(), _bound(make, mechanism, protection), attack, judge
                    )


def _in_turns() -> Iterator[Case]:
    for who, table, make, judge in (
        ("client-abuse", abuse.AT_CLIENT, answered, harmless_to_client),
        ("server-abuse", abuse.AT_SERVER, asked, harmless_to_server),
    ):
        for name, (attack, services) in table.items():
            for mechanism in EVERY_SERVICE:
                for protection in abuse.PROTECTIONS:
                    for service in services:
                        parts = (who, name, mechanism.name, protection.name, service)
                        yield Case(
                            "-".join(parts).lower(),
                            _bound(make, mechanism, protection, service),
                            attack,
                            judge,
                        )


def _bound(make: Callable[..., Scene], *arguments: Any) -> Callable[[], Scene]:
    return lambda: make(*arguments)


CASES = (*_in_associations(), *_in_handshakes(), *_in_turns())


def test_there_are_enough_of_them_and_no_two_are_the_same() -> None:
    distinct = {case.id for case in CASES}
    attacks = {(case.judge, case.attack) for case in CASES}
    print(f"{len(distinct)} negative security cases, {len(attacks)} attacks")
    assert len(distinct) == len(CASES)
    assert len(distinct) >= LEAST_CASES
    assert {mechanism for mechanism in Mechanism if mechanism is not Mechanism.HLS_ECDSA} == set(
        MECHANISMS
    )


@pytest.mark.conformance("hls-manufacturer", "client", "server")
@pytest.mark.conformance("hls-md5", "client", "server")
@pytest.mark.conformance("hls-sha1", "client", "server")
@pytest.mark.conformance("hls-gmac", "client", "server")
@pytest.mark.conformance("hls-sha256", "client", "server")
@pytest.mark.parametrize("protection", Protection)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_who_is_honest_is_let_in(mechanism: Mechanism, protection: Protection) -> None:
    scene = answered(mechanism, protection, "get")
    assert scene.pair.server.is_associated(1)
    still_works(scene)


@pytest.mark.conformance("policy", "client", "server")
@pytest.mark.conformance("replay", "client", "server")
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_refused_and_nothing_changed(case: Case) -> None:
    scene = case.make()
    assert case.judge(scene, case.attack(scene)) > 0
    still_works(scene)
