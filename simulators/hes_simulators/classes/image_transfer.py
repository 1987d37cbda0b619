"""
Class 18, image transfer: firmware in blocks, verified, activated by a restart.

Owns what has arrived and how far the meter is; what an image is belongs to `images`. Blocks come in
any order, again, and after a power failure: what arrived stays, and attributes 3 and 4 say what is
missing. Verifying and activating take time where the model says so (`verify_s`, `reboot_s`): a
method then answers temporary_failure, as the standard has it, and image_transfer_status tells how
it went.

What the standard leaves to the meter: an image that is not whole is not verified, and nothing
changes, so that the client may send the rest; after a failed verification the transfer must be
initiated anew; the identifier given at the beginning must be the image's version.

Source: IEC 62056-6-2, class_id 18, and "Image transfer", with its steps and results.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from hes_protocol.axdr import BitString, Data, DataTag, array, structure
from hes_protocol.errors import EncodingError
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    READ_WRITE_DENIED,
    TEMPORARY_FAILURE,
    TYPE_UNMATCHED,
    Refused,
    double_long_unsigned,
    enum,
    invoking,
    members,
    nothing,
    number,
    octet_string,
    octets,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import moment
from hes_simulators.faults.kinds import ImageOutcome
from hes_simulators.images import Image, read_image

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_BLOCK_OCTETS: Final = 128
_MOST_OCTETS: Final = 4 * 1024 * 1024
_MOST_IDENTIFIER: Final = 64
_REBOOT_S: Final = 60
_S: Final = 1_000_000
# The answer to image_activate is still sent.
_BEFORE_REBOOT_S: Final = 2


class Status(IntEnum):
    """image_transfer_status."""

    NOT_INITIATED = 0
    INITIATED = 1
    VERIFICATION_INITIATED = 2
    VERIFICATION_SUCCESSFUL = 3
    VERIFICATION_FAILED = 4
    ACTIVATION_INITIATED = 5
    ACTIVATION_SUCCESSFUL = 6
    ACTIVATION_FAILED = 7


class ImageTransfer(Plain):
    """Class_id 18; a `LivingClass`, since verifying and restarting end by themselves."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | None:
        """Attributes 2 to 7."""
        kept = meter.state.objects.get(one.obis, {})
        match index:
            case 2:
                return double_long_unsigned(_block_octets(one))
            case 3:
                return Data(DataTag.BIT_STRING, _blocks_status(one, kept))
            case 4:
                return double_long_unsigned(_first_missing(kept))
            case 5:
                return Data(DataTag.BOOLEAN, _is_enabled(kept))
            case 6:
                return enum(_status(kept))
            case 7:
                return _to_activate(kept)
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """Only image_transfer_enabled is written."""
        if index != 5:
            raise Refused(READ_WRITE_DENIED)
        if data.tag is not DataTag.BOOLEAN:
            raise Refused(TYPE_UNMATCHED)
        meter.state.of(one.obis)["enabled"] = int(data.value)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """1 image_transfer_initiate, 2 image_block_transfer, 3 image_verify, 4 image_activate."""
        if not 1 <= method_index <= 4:
            raise Refused(OBJECT_UNDEFINED)
        if not _is_enabled(meter.state.objects.get(one.obis, {})):
            raise Refused
        match method_index:
            case 1:
                _initiate(meter, one, data)
            case 2:
                _take_block(meter, one, data)
            case 3:
                nothing(data)
                _begin_verification(meter, one)
            case 4:
                nothing(data)
                _begin_activation(meter, one)
        return None

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """When verification or restart ends."""
        ends_us: int | None = meter.state.peek(one.obis, "ends_us")
        return ends_us if ends_us is not None and after_us < ends_us <= until_us else None

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """It has ended."""
        kept = meter.state.of(one.obis)
        del kept["ends_us"]
        if _status(kept) is Status.VERIFICATION_INITIATED:
            _end_verification(meter, one, at_us)
        else:
            _end_activation(meter, one, at_us)


# --- what is kept ---------------------------------------------------------------------------------


def _status(kept: Mapping[str, Any]) -> Status:
    return Status(kept.get("status", 0))


def _is_enabled(kept: Mapping[str, Any]) -> bool:
    return bool(kept.get("enabled", 1))


def _block_octets(one: ModelObject) -> int:
    return int(one.options.get("block_octets", _BLOCK_OCTETS))


def _block_count(one: ModelObject, kept: Mapping[str, Any]) -> int:
    return -(-int(kept.get("size", 0)) // _block_octets(one))


def _blocks_status(one: ModelObject, kept: Mapping[str, Any]) -> BitString:
    """One bit for each block, the first one first."""
    count = _block_count(one, kept)
    flags = bytearray(-(-count // 8))
    for block in kept.get("blocks", {}):
        flags[block >> 3] |= 0x80 >> (block & 7)
    return BitString(count, bytes(flags))


def _first_missing(kept: Mapping[str, Any]) -> int:
    """Number of the first block that has not come; the number of blocks where all have."""
    blocks, first = kept.get("blocks", {}), int(kept.get("first", 0))
    while first in blocks:
        first += 1
    return first


def _to_activate(kept: Mapping[str, Any]) -> Data:
    if "ready" not in kept:
        return array()
    identifier, signature = kept["ready"]
    return array(
        structure(double_long_unsigned(kept["size"]), octets(identifier), octets(signature))
    )


@lru_cache(maxsize=16_384)
def _shared(block: bytes) -> bytes:
    """The same octets once for all meters: a campaign sends one image to thousands."""
    return block


# --- steps ----------------------------------------------------------------------------------------


def _initiate(meter: Meter, one: ModelObject, data: Data | None) -> None:
    """Whatever was under way begins anew, but not while an image is being activated."""
    identifier, size = members(data, 2)
    name = octet_string(identifier, 1, _MOST_IDENTIFIER)
    octets_in_all = number(size, DataTag.DOUBLE_LONG_UNSIGNED, 1, _MOST_OCTETS)
    kept = meter.state.of(one.obis)
    if _status(kept) is Status.ACTIVATION_INITIATED:
        raise Refused(TEMPORARY_FAILURE)
    for stale in ("ready", "ends_us"):
        kept.pop(stale, None)
    kept |= {
        "status": int(Status.INITIATED),
        "identifier": name,
        "size": octets_in_all,
        "blocks": {},
        "first": 0,
    }


def _take_block(meter: Meter, one: ModelObject, data: Data | None) -> None:
    """A block that has come before is taken again, and the later one counts."""
    block_number, value = members(data, 2)
    block = number(block_number, DataTag.DOUBLE_LONG_UNSIGNED)
    content = octet_string(value)
    kept = meter.state.objects.get(one.obis, {})
    if _status(kept) is not Status.INITIATED:
        raise Refused
    count, size = _block_count(one, kept), _block_octets(one)
    due = size if block < count - 1 else kept["size"] - (count - 1) * size
    if block >= count or len(content) != due:
        raise Refused
    kept["blocks"][block] = _shared(content)
    kept["first"] = _first_missing(kept)


def _begin_verification(meter: Meter, one: ModelObject) -> None:
    """Raises: Refused: it does not verify, or that will be known only later."""
    kept = meter.state.objects.get(one.obis, {})
    status = _status(kept)
    if status is Status.VERIFICATION_INITIATED:
        raise Refused(TEMPORARY_FAILURE)
    if status is Status.VERIFICATION_SUCCESSFUL:
        return
    if status is not Status.INITIATED or kept["first"] != _block_count(one, kept):
        raise Refused
    kept["status"] = int(Status.VERIFICATION_INITIATED)
    takes_us = int(one.options.get("verify_s", 0) * _S)
    if takes_us:
        kept["ends_us"] = meter.now_us + takes_us
        raise Refused(TEMPORARY_FAILURE)
    _end_verification(meter, one, meter.now_us)
    if _status(kept) is Status.VERIFICATION_FAILED:
        raise Refused


def _end_verification(meter: Meter, one: ModelObject, at_us: int) -> None:
    kept = meter.state.of(one.obis)
    image = _verified(meter, kept)
    if image is None:
        kept["status"] = int(Status.VERIFICATION_FAILED)
        meter.raise_event("firmware_failed", moment(at_us))
        return
    kept["status"] = int(Status.VERIFICATION_SUCCESSFUL)
    kept["ready"] = [kept["identifier"], image.signature]
    meter.raise_event("firmware_ready", moment(at_us))


def _verified(meter: Meter, kept: Mapping[str, Any]) -> Image | None:
    blocks = kept["blocks"]
    try:
        image = read_image(b"".join(blocks[block] for block in sorted(blocks)))
    except EncodingError:
        return None
    fits = not image.model or image.model == meter.kind.model.name
    return image if fits and image.version.encode() == kept["identifier"] else None


def _begin_activation(meter: Meter, one: ModelObject) -> None:
    """An image that was not verified is verified first, which must succeed at once."""
    kept = meter.state.objects.get(one.obis, {})
    if _status(kept) is Status.ACTIVATION_INITIATED:
        raise Refused(TEMPORARY_FAILURE)
    if _status(kept) is not Status.VERIFICATION_SUCCESSFUL:
        _begin_verification(meter, one)
    kept["status"] = int(Status.ACTIVATION_INITIATED)
    kept["activations"] = kept.get("activations", 0) + 1
    from_us = meter.now_us + _BEFORE_REBOOT_S * _S
    until_us = from_us + int(one.options.get("reboot_s", _REBOOT_S) * _S)
    kept["ends_us"] = until_us
    meter.reboot(moment(from_us), until=moment(until_us))


def _end_activation(meter: Meter, one: ModelObject, at_us: int) -> None:
    """The meter is back: with the new version, or, where a fault says so, with the old one."""
    kept = meter.state.of(one.obis)
    identifier, _ = kept.pop("ready")
    kept["blocks"] = {}
    outcome = meter.kind.faults.image_outcome(meter.identity, kept["activations"])
    if outcome is not None:
        failed = outcome is ImageOutcome.FAILS
        kept["status"] = int(Status.ACTIVATION_FAILED if failed else Status.NOT_INITIATED)
        meter.raise_event("firmware_failed", moment(at_us))
        return
    kept["status"] = int(Status.ACTIVATION_SUCCESSFUL)
    meter.state.firmware = identifier.decode()
    meter.raise_event("firmware_activated", moment(at_us))
