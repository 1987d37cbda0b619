"""
What the other side may not say though it has every key: out of turn, twice, to nobody's question.

The association stands and what is under way stays so, since a meter that stutters must not cost a
session, nor one that answers another question be believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hes_protocol.security import Protection
from hes_protocol.xdlms import (
    ActionRequestWithPblock,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    DataAccessResult,
    DataBlock,
    GeneralBlockTransfer,
    GetDataResult,
    GetRequestNext,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    SetRequestWithDatablock,
    SetResponseDatablock,
    SetResponseNormal,
)
from tests.negative.scene import Attack, Scene

PROTECTIONS: Final = (
    Protection.PLAIN,
    Protection.AUTHENTICATED,
    Protection.AUTHENTICATED_ENCRYPTED,
)


def _invoke(scene: Scene) -> int:
    return scene.pair.client.pending_invoke_id or 0


def _others(scene: Scene) -> list[int]:
    return [0xC0 | invoke for invoke in range(16) if invoke != _invoke(scene)]


def other_invoke_ids(scene: Scene) -> Iterable[bytes]:
    for invoke in _others(scene):
        for apdu in (
            GetResponseNormal(GetDataResult(octets=b"\0"), invoke_id_and_priority=invoke),
            SetResponseNormal(DataAccessResult.SUCCESS, invoke_id_and_priority=invoke),
            ActionResponseNormal(
                ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=invoke
            ),
        ):
            yield apdu.encode()


def blocks_of_others(scene: Scene) -> Iterable[bytes]:
    for invoke in _others(scene):
        yield GetResponseWithDatablock(False, 1, b"\0", invoke_id_and_priority=invoke).encode()
        yield SetResponseDatablock(1, invoke_id_and_priority=invoke).encode()


def wrong_blocks(scene: Scene) -> Iterable[bytes]:
    """Blocks that are not due: before the first, after the next, the last of all."""
    for number in (0, 2, 3, 0x7FFF_FFFF, 0xFFFF_FFFF):
        for last in (False, True):
            yield GetResponseWithDatablock(
                last, number, b"\x09\x01", invoke_id_and_priority=0xC0 | _invoke(scene)
            ).encode()


def answers_of_other_services(scene: Scene) -> Iterable[bytes]:
    invoke = 0xC0 | _invoke(scene)
    for apdu in (
        SetResponseNormal(DataAccessResult.SUCCESS, invoke_id_and_priority=invoke),
        SetResponseDatablock(1, invoke_id_and_priority=invoke),
        ActionResponseNormal(ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=invoke),
    ):
        yield apdu.encode()


def lists_that_nobody_asked_for(scene: Scene) -> Iterable[bytes]:
    invoke = 0xC0 | _invoke(scene)
    for size in (0, 1, 3):
        results = (GetDataResult(octets=b"\0"),) * size
        yield GetResponseWithList(results, invoke_id_and_priority=invoke).encode()


def general_blocks(scene: Scene) -> Iterable[bytes]:
    """General blocks of an answer, none of them the one that is due."""
    for number in (0, 2, 63, 0xFFFF):
        for streaming in (False, True):
            yield GeneralBlockTransfer(False, streaming, 1, number, 0, b"\xc4\x01\xc1\0").encode()


def requests(_: Scene) -> Iterable[bytes]:
    yield bytes.fromhex("c001c1000800000100 00ff0200")
    yield bytes.fromhex("c303c1 00")


AT_CLIENT: Final[dict[str, tuple[Attack, tuple[str, ...]]]] = {
    "other-invoke-ids": (other_invoke_ids, ("get", "set", "action")),
    "blocks-of-others": (blocks_of_others, ("get", "set", "action")),
    "wrong-blocks": (wrong_blocks, ("get", "block")),
    "answers-of-other-services": (answers_of_other_services, ("get", "block")),
    "lists": (lists_that_nobody_asked_for, ("get", "set", "action")),
    "general-blocks": (general_blocks, ("get", "set", "action")),
    "requests": (requests, ("get", "action")),
}


def no_long_get(_: Scene) -> Iterable[bytes]:
    for number in (0, 1, 2, 0xFFFF_FFFF):
        yield GetRequestNext(number, invoke_id_and_priority=0xC1).encode()


def no_long_set(_: Scene) -> Iterable[bytes]:
    for number in (0, 2, 3, 0xFFFF_FFFF):
        for last in (False, True):
            block = DataBlock(last, number, b"\x09\x01")
            yield SetRequestWithDatablock(block, invoke_id_and_priority=0xC1).encode()


def no_long_action(_: Scene) -> Iterable[bytes]:
    for number in (0, 2, 3, 0xFFFF_FFFF):
        for last in (False, True):
            block = DataBlock(last, number, b"\x09\x01")
            yield ActionRequestWithPblock(block, invoke_id_and_priority=0xC1).encode()


def no_general_blocks(_: Scene) -> Iterable[bytes]:
    for number in (0, 2, 63, 0xFFFF):
        for last in (False, True):
            yield GeneralBlockTransfer(last, False, 1, number, 0, b"\xc0\x01\xc1\0").encode()


def answers(_: Scene) -> Iterable[bytes]:
    yield from (
        bytes.fromhex("c401c1001105"),
        bytes.fromhex("c501c100"),
        bytes.fromhex("c701c10000"),
    )


def short_names(_: Scene) -> Iterable[bytes]:
    """Services of short-name referencing, which we do not speak."""
    yield from (bytes.fromhex("050102 0100"), bytes.fromhex("060102 0100 01 11 05"))


AT_SERVER: Final[dict[str, tuple[Attack, tuple[str, ...]]]] = {
    "no-long-get": (no_long_get, ("get", "set")),
    "no-long-set": (no_long_set, ("get", "set")),
    "no-long-action": (no_long_action, ("get", "action")),
    "no-general-blocks": (no_general_blocks, ("get", "action")),
    "answers": (answers, ("get",)),
    "short-names": (short_names, ("get",)),
}
