"""
What hostile APDUs and streams cost: 1 ms + 1 µs an octet, and under 16 MB, for every decoder.

As `axdr/test_budget.py`: the worst that a search has found, twice the budget allowed.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from hes_protocol.acse import Aare, Aarq, Rlrq
from hes_protocol.axdr import write_length
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, HdlcServerLink
from hes_protocol.hdlc.receiver import HdlcReceiver
from hes_protocol.mbus import MBusReceiver
from hes_protocol.translator import TranslatorKeys, TransportKind, translate
from hes_protocol.wrapper import WrapperReceiver
from hes_protocol.xdlms import decode_apdu
from tests.cost import assert_within_budget

SIZE = 65_000
LONG = 500_000
ATTRIBUTE = "0001000001000000ff0200"
METHOD = "0001000001000000ff02"

# Of lists: what stands before the count, and the element.
LISTS = {
    "get-response": ("c403c1", ("0000", "000100", "000200", "0004 0180", "00130000")),
    "get-response of compact arrays": ("c403c1", ("0013110101", "00" + "0201" * 14 + "00")),
    "get-request": ("c003c1", (ATTRIBUTE, ATTRIBUTE[:-2] + "010100")),
    "set-request": ("c104c1", (ATTRIBUTE,)),
    "set-response": ("c503c1", ("00",)),
    "action-request": ("c303c1", (METHOD,)),
    "action-response": ("c703c1", ("0000", "000100")),
    "access-request": ("d9000000000000", ("010001000001000000ff02",)),
    "access-response": ("da000000000000", ("00",)),
    "data-notification": ("0f000000010001", ("0200", "00")),
}
STREAMS = {
    "hdlc": (
        *("7e", "7ea0", "7ea0070321", "7ea00703211f", "00", "a0", "7ea00a0203020313a1b2"),
        "7ea7ff0321",
    ),
    # Starts everywhere, with a STOP at no end, at every second or at both, and frames of no use.
    "mbus": (
        *("68", "16", "68646468", "68ffff6853ff", "680101680000", "6803036853ff005216"),
        *("68" * starts + "16" * stops for starts, stops in ((56, 53), (74, 60), (92, 109))),
        "68ffff6816161616",
    ),
    "wrapper": ("000100010001000100",),
}
# What a server's link answers: SNRM with and without parameters, DISC, RR and I, in the shortest
# frames that there are, one flag between them.
COMMANDS = {
    "SNRM": (Control(ControlKind.SNRM),),
    "SNRM and RR": (Control(ControlKind.SNRM), Control(ControlKind.RR)),
    "SNRM and DISC": (Control(ControlKind.SNRM), Control(ControlKind.DISC)),
    "SNRM and I": (Control(ControlKind.SNRM), Control(ControlKind.I)),
    "RR": (Control(ControlKind.RR),),
    "UI": (Control(ControlKind.UI),),
}


def _hdlc(octets: bytes) -> None:
    receiver = HdlcReceiver()
    receiver.receive_data(octets)
    while True:
        with suppress(RemoteProtocolError):
            if receiver.next_frame() is None:
                return


def _mbus(octets: bytes) -> None:
    receiver = MBusReceiver()
    receiver.receive_data(octets)
    receiver.receive_end()
    while True:
        with suppress(RemoteProtocolError):
            if receiver.next_frame() is None:
                return


def _wrapper(octets: bytes) -> None:
    receiver = WrapperReceiver()
    receiver.receive_data(octets)
    while receiver.next_frame() is not None:
        pass


RECEIVERS: dict[str, Callable[[bytes], object]] = {
    "hdlc": _hdlc,
    "mbus": _mbus,
    "wrapper": _wrapper,
}


def _short(unit: bytes) -> str:
    """A unit as a test's name has it."""
    return unit.hex() if len(unit) < 20 else f"{unit.hex()[:8]}... of {len(unit)}"


def _server_link(octets: bytes) -> None:
    link = HdlcServerLink(HdlcAddress(1))
    link.receive_data(octets)
    link.data_to_send()


def _commands(controls: tuple[Control, ...], size: int, clients: int) -> bytes:
    frames = [
        HdlcFrame(HdlcAddress(1), HdlcAddress(client), control).to_octets()[1:]
        for client in range(clients)
        for control in controls
    ]
    return b"\x7e" + b"".join(frames) * (size // sum(map(len, frames)))


def _lists(size: int) -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    cases: dict[str, tuple[Callable[[bytes], object], bytes]] = {}
    for name, (head, units) in LISTS.items():
        for unit in map(bytes.fromhex, units):
            count = size // len(unit)
            octets = bytes.fromhex(head) + write_length(count) + unit * count
            cases[f"{name} {unit.hex()} {size}"] = (decode_apdu, octets)
    return cases


def _others(size: int) -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    cases: dict[str, tuple[Callable[[bytes], object], bytes]] = {}
    for apdu in (Aarq, Aare, Rlrq):
        for unit in map(bytes.fromhex, ("0000", "9f8f8f0000", "bf8f7f00", "9e00")):
            body = unit * (size // len(unit))
            octets = bytes((apdu.TAG,)) + write_length(len(body)) + body
            cases[f"{apdu.__name__} {unit.hex()} {size}"] = (apdu.decode, octets)
    for kind, texts in STREAMS.items():
        for unit in map(bytes.fromhex, texts):
            octets = unit * (size // len(unit))
            cases[f"{kind} {_short(unit)} {size}"] = (RECEIVERS[kind], octets)
            through = partial(
                translate,
                transport=TransportKind(kind),
                keys=TranslatorKeys(),
            )
            cases[f"translated {kind} {_short(unit)} {size}"] = (through, octets)
    for name, controls in COMMANDS.items():
        for clients in (1, 100):
            octets = _commands(controls, size, clients)
            cases[f"link {name} of {clients} {size}"] = (_server_link, octets)
    return cases


MANY = _lists(LONG)
CASES = _lists(SIZE) | MANY | _others(SIZE)


@pytest.mark.parametrize("name", CASES)
def test_time(name: str) -> None:
    decoder, octets = CASES[name]
    assert_within_budget(partial(decoder, octets), len(octets))


@pytest.mark.parametrize("name", MANY)
def test_memory(name: str) -> None:
    decoder, octets = CASES[name]
    tracemalloc.start()
    try:
        with suppress(RemoteProtocolError):
            decoder(octets)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000
