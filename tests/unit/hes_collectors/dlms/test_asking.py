"""How several attributes are asked for: with-list, ACCESS or one by one, by what a meter takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from hes.domain.meters import LinkKnowledge
from hes_collectors.dlms.asking import Asker
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.outcomes import MeterRefusedError
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.client import (
    Access,
    AccessCompleted,
    AssociationAccepted,
    Get,
    GetCompleted,
    GetList,
    GetListCompleted,
)
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, EntrySelection
from hes_protocol.security import Protection
from hes_protocol.xdlms import Conformance, GetDataResult
from hes_protocol.xdlms.results import DataAccessResult

LIST, ACCESS = Conformance.MULTIPLE_REFERENCES, Conformance.ACCESS
WANTED = [Attribute(3, Obis(bytes((1, 0, number, 8, 0, 255))), 2) for number in range(1, 41)]
DENIED = DataAccessResult.READ_WRITE_DENIED
OTHER = DataAccessResult.OTHER_REASON
UNKNOWN = LinkKnowledge()


class Talkative:
    """
    A meter that has every register but the denied ones; its value is value group C.

    Args: offers: its conformance. refuses: the requests that it refuses though it offers them, with
        a result for each element; `raises`: with an exception-response.
    """

    evidence = b"as it came"

    def __init__(
        self,
        offers: Conformance,
        *,
        pdu: int = 0,
        refuses: tuple[type, ...] = (),
        raises: tuple[type, ...] = (),
        denied: Sequence[Attribute] = (),
    ) -> None:
        self.agreed = AssociationAccepted(offers, pdu, None, Protection.PLAIN)
        self.asked: list[Any] = []
        self._refuses, self._raises, self._denied = refuses, raises, denied

    async def ask(self, request: Get | GetList | Access) -> object:
        self.asked.append(request)
        if isinstance(request, self._raises):
            raise MeterRefusedError("exception-service-unsupported")
        if isinstance(request, Get):
            one = self._answer(request)
            return GetCompleted(0, one.result, one.octets)
        gets = request.gets if isinstance(request, GetList) else request.specifications
        refused = isinstance(request, self._refuses)
        answers = tuple(GetDataResult(OTHER) if refused else self._answer(get) for get in gets)
        return (GetListCompleted if isinstance(request, GetList) else AccessCompleted)(0, answers)

    def _answer(self, get: Any) -> GetDataResult:
        if get.attribute in self._denied:
            return GetDataResult(DENIED)
        number = get.attribute.obis.octets[2]
        return GetDataResult(octets=encode(Data(DataTag.UNSIGNED, number)))


async def read(
    meter: Talkative, link: LinkKnowledge = UNKNOWN
) -> tuple[list[int | DataAccessResult], LinkKnowledge]:
    asker = Asker(cast("Exchange", meter), link)
    answers = await asker.read(WANTED)
    return [one.data().value if one.octets else one.result for one in answers], asker.link


ALL = [attribute.obis.octets[2] for attribute in WANTED]


@pytest.mark.parametrize(
    ("meter", "requests"),
    [
        (Talkative(LIST | ACCESS), [GetList] * 2),
        (Talkative(ACCESS), [Access] * 2),
        (Talkative(Conformance.GET), [Get] * 40),
        (Talkative(LIST, pdu=128), [GetList] * 5),
        (Talkative(LIST, pdu=64), [GetList] * 20),
        (Talkative(LIST, pdu=50), [Get] * 40),
    ],
    ids=["list", "access", "single", "small pdu", "smaller", "smallest"],
)
async def test_the_fewest_requests_that_a_meter_takes(
    meter: Talkative, requests: list[type]
) -> None:
    values, link = await read(meter)
    assert values == ALL
    assert [type(one) for one in meter.asked] == requests
    assert (link.conformance, link.max_pdu) == (
        int(meter.agreed.conformance),
        meter.agreed.max_send_pdu_size,
    )


async def test_what_is_refused_harms_no_other() -> None:
    values, _ = await read(Talkative(LIST, denied=WANTED[3:5]))
    assert values == [*ALL[:3], DENIED, DENIED, *ALL[5:]]


@pytest.mark.parametrize("how", ["refuses", "raises"])
async def test_a_service_that_is_offered_in_vain_is_tried_once(how: str) -> None:
    broken = {how: (GetList,)}
    meter = Talkative(LIST | ACCESS, **broken)
    values, link = await read(meter)
    assert values == ALL
    assert (link.with_list, link.access) == (False, True)
    assert [type(one) for one in meter.asked].count(GetList) == 1
    again = Talkative(LIST | ACCESS, **broken)
    assert (await read(again, link))[0] == ALL
    assert [type(one) for one in again.asked] == [Access] * 2
    both = Talkative(LIST | ACCESS, **{how: (GetList, Access)})
    values, link = await read(both)
    assert values == ALL
    assert (link.with_list, link.access) == (False, False)


async def test_a_list_all_of_whose_elements_are_denied_is_no_reason_against_lists() -> None:
    meter = Talkative(LIST, denied=WANTED)
    values, link = await read(meter)
    assert values == [DENIED] * 40
    assert link.with_list


async def test_what_is_about_keys_ends_the_session() -> None:
    class Distrusted(Talkative):
        async def ask(self, request: object) -> object:
            raise MeterRefusedError("exception-deciphering-error", security=True)

    with pytest.raises(MeterRefusedError):
        await read(Distrusted(LIST))


PARTS = tuple(
    Get(Attribute(7, Obis(bytes((0, 0, 99, 98, number, 255))), 2), EntrySelection(1, 9))
    for number in range(5)
)


@pytest.mark.parametrize(
    ("meter", "requests"),
    [
        (Talkative(LIST), 1),
        (Talkative(LIST, pdu=256), 2),
        (Talkative(LIST, pdu=128), 0),
        (Talkative(ACCESS), 0),
    ],
    ids=["at once", "two and three", "too small", "no lists"],
)
async def test_parts_come_by_lists_or_not_at_all(meter: Talkative, requests: int) -> None:
    found = await Asker(cast("Exchange", meter), UNKNOWN).read_parts(PARTS)
    assert list(found) == (list(PARTS) if requests else [])
    assert len(meter.asked) == requests


@pytest.mark.parametrize("how", ["refuses", "raises"])
async def test_a_list_of_parts_that_is_refused_says_nothing_of_lists(how: str) -> None:
    asker = Asker(cast("Exchange", Talkative(LIST, **{how: (GetList,)})), UNKNOWN)
    assert await asker.read_parts(PARTS) == {}
    assert asker.link.with_list
