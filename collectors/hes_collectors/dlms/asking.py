"""
Several attributes by the fewest requests: GET with-list, ACCESS, or one after the other.

Owns which service a meter takes. Where it offers a service and yet refuses it, the questions are
put one by one, and what was learnt of it stands in `link` for the next session. An attribute that
is refused harms no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from hes.domain.meters import LinkKnowledge
from hes_collectors.dlms.exchange import Answer, Exchange
from hes_collectors.dlms.outcomes import MeterRefusedError
from hes_protocol.client import (
    Access,
    AccessCompleted,
    Get,
    GetCompleted,
    GetList,
    GetListCompleted,
    ServiceRequest,
)
from hes_protocol.cosem.objects import Attribute
from hes_protocol.xdlms import Conformance, GetDataResult
from hes_protocol.xdlms.results import DataAccessResult

_MOST_AT_ONCE: Final = 32
# Of one attribute in a request (class_id, logical_name, index, no selection, and in ACCESS a null
# for its value), and around all of them with ciphering as general-glo.
_OCTETS_EACH: Final = 11
_OCTETS_BESIDE: Final = 40
# Of a part: an attribute and a range of instants.
_OCTETS_A_PART: Final = 70
_MOST_PARTS: Final = 16
_FEWEST_PARTS: Final = 2
_MOST_EVIDENCE: Final = 65_536


class Asker:
    """
    Puts questions to one meter in one session.

    Args: exchange: with an open association. link: what is known of what the meter takes.
    """

    def __init__(self, exchange: Exchange, link: LinkKnowledge) -> None:
        self._exchange = exchange
        agreed = exchange.agreed
        self.link = attrs.evolve(
            link,
            conformance=None if agreed is None else int(agreed.conformance),
            max_pdu=None if agreed is None else agreed.max_send_pdu_size,
        )
        """What is known of it now."""
        self.evidence = b""
        """The octets of the last answers as they arrived, framed and ciphered."""

    async def read(self, attributes: Sequence[Attribute]) -> list[GetDataResult]:
        """
        Read attributes; returns what came of each, in their order.

        Raises: as `Exchange.ask`.
        """
        results: list[GetDataResult] = []
        self.evidence = b""
        while len(results) < len(attributes):
            wanted = attributes[len(results) : len(results) + self._most_at_once()]
            results += (
                await self._together(wanted) if len(wanted) > 1 else [await self._one(*wanted)]
            )
        return results

    async def read_parts(self, parts: Sequence[Get]) -> dict[Get, GetDataResult]:
        """
        Read parts of several attributes by as few lists as they fit in.

        Returns: the answers; empty where the meter takes no lists, or none of parts: a refusal
            says nothing of the parts by themselves.
        Raises: as `Exchange.ask`.
        """
        most = _MOST_PARTS if not self.link.max_pdu else self.link.max_pdu // _OCTETS_A_PART
        if not self._by_list or most < _FEWEST_PARTS:
            return {}
        answers: dict[Get, GetDataResult] = {}
        for first in range(0, len(parts), most):
            some = tuple(parts[first : first + most])
            try:
                results = await self._list(some)
            except MeterRefusedError as error:
                if error.security:
                    raise
                break
            answers |= zip(some, results, strict=True)
        refused = all(one.result is not DataAccessResult.SUCCESS for one in answers.values())
        return {} if refused else answers

    def _offers(self, service: Conformance) -> bool:
        return bool((self.link.conformance or 0) & service)

    @property
    def _by_list(self) -> bool:
        return self.link.with_list and self._offers(Conformance.MULTIPLE_REFERENCES)

    @property
    def _by_access(self) -> bool:
        return self.link.access and self._offers(Conformance.ACCESS)

    def _most_at_once(self) -> int:
        if not (self._by_list or self._by_access):
            return 1
        if not self.link.max_pdu:
            return _MOST_AT_ONCE
        return max(1, min(_MOST_AT_ONCE, (self.link.max_pdu - _OCTETS_BESIDE) // _OCTETS_EACH))

    async def _together(self, wanted: Sequence[Attribute]) -> list[GetDataResult]:
        gets = tuple(map(Get, wanted))
        try:
            results = await (self._list(gets) if self._by_list else self._access(gets))
        except MeterRefusedError as error:
            if error.security:
                raise
            self._give_up()
            return []
        first = results[0]
        if first.result is DataAccessResult.SUCCESS or any(one != first for one in results):
            return results
        # All alike: perhaps it is the list that the meter refuses.
        alone = await self._one(wanted[0])
        if alone.result is first.result:
            return results
        self._give_up()
        return [alone]

    def _give_up(self) -> None:
        """The service that was used last is offered in vain."""
        if self._by_list:
            self.link = attrs.evolve(self.link, with_list=False)
        else:
            self.link = attrs.evolve(self.link, access=False)

    async def _ask(self, request: ServiceRequest) -> Answer:
        answer = await self._exchange.ask(request)
        self.evidence = (self.evidence + self._exchange.evidence)[:_MOST_EVIDENCE]
        return answer

    async def _list(self, gets: tuple[Get, ...]) -> list[GetDataResult]:
        answer = await self._ask(GetList(gets))
        assert isinstance(answer, GetListCompleted)  # what completes a GetList
        return list(answer.results)

    async def _access(self, gets: tuple[Get, ...]) -> list[GetDataResult]:
        answer = await self._ask(Access(gets))
        assert isinstance(answer, AccessCompleted)  # what completes an Access
        return [one for one in answer.results if isinstance(one, GetDataResult)]

    async def _one(self, wanted: Attribute) -> GetDataResult:
        answer = await self._ask(Get(wanted))
        assert isinstance(answer, GetCompleted)  # what completes a Get
        return GetDataResult(answer.result, answer.octets)
