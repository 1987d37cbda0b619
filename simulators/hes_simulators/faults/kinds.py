"""
The faults of a meter as values: what it does wrong, with the parameters of it.

Owns names, parameters and their limits, and the table `FAULTS` by name; scripts, sockets and the
reference page are made of it. Does not own doing them: `link` says wrong things, `stream` says
them at the wrong time, `admission`, `pushes` and `clocks` do the rest. When and on whom is said by
`script`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

import attrs

from hes_simulators.faults.errors import FaultError


class Where(StrEnum):
    """What of a meter a fault takes hold of."""

    ADMISSION = "admission"
    """Whether a connection is taken at all."""
    APDU = "apdu"
    """What is said, before it is framed; keys and counters, too."""
    FRAME = "frame"
    """The frames around it."""
    STREAM = "stream"
    """When and how far it goes through the connection."""
    PUSH = "push"
    """What the meter sends unasked."""
    CLOCK = "clock"
    """The time that its clock shows."""
    IMAGE = "image"
    """Firmware."""


class Distribution(StrEnum):
    """Of a latency."""

    CONSTANT = "constant"
    UNIFORM = "uniform"
    LOGNORMAL = "lognormal"


class Bomb(StrEnum):
    """What a hostile answer is made of."""

    NESTED = "nested"
    """Structures in structures, deeper than any stack."""
    OVERSIZED = "oversized"
    """An array and an octet string that promise gigabytes."""
    COMPACT_ARRAY = "compact-array"
    """A few octets that describe thousands of millions of nulls."""
    ENDLESS_BLOCKS = "endless-blocks"
    """GET blocks of which none is the last."""
    GBT_GAP = "gbt-gap"
    """General-block-transfer that leaves out a block for ever."""
    GBT_WRONG_ACK = "gbt-wrong-ack"
    """General-block-transfer that acknowledges what nobody has sent."""
    GBT_NEVER_LAST = "gbt-never-last"
    """General-block-transfer of which no block is the last."""
    GBT_OVERRUN = "gbt-overrun"
    """General-block-transfer of twice as many blocks at a time as any window takes, and no last."""


class Forgery(StrEnum):
    """Where a forged answer comes."""

    BEFORE = "before"
    INSTEAD = "instead"


class HdlcCheck(StrEnum):
    """A check sequence of an HDLC frame."""

    FCS = "fcs"
    HCS = "hcs"


class HdlcNumber(StrEnum):
    """A sequence number of an HDLC frame."""

    SEND = "send"
    RECEIVE = "receive"


class ImageOutcome(StrEnum):
    """How an activation fails."""

    FAILS = "fails"
    OLD_VERSION = "old-version"


def _limited(low: float, high: float) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], number: Any) -> None:
        whole = attribute.type in (int, "int")
        fits = type(number) is int or (not whole and type(number) is float)
        if not fits or not low <= number <= high:
            kind = "a whole number" if whole else "a number"
            raise FaultError("bad-parameter", f"{attribute.name}: {kind} from {low} to {high}")

    return check


def _whole(default: int, low: int, high: int, text: str) -> int:
    metadata = {"text": text, "low": low, "high": high}
    return attrs.field(default=default, validator=_limited(low, high), metadata=metadata)


def _number(default: float, low: float, high: float, text: str) -> float:
    metadata = {"text": text, "low": low, "high": high}
    return attrs.field(default=default, validator=_limited(low, high), metadata=metadata)


def _choices(field: attrs.Attribute[Any]) -> list[str]:
    """Of a parameter that is a member of an enumeration: all of them."""
    return list(type(field.default)) if isinstance(field.default, StrEnum) else []


def parameter_text(field: attrs.Attribute[Any]) -> str:
    """What a parameter is, for people, with what can be chosen."""
    choices = _choices(field)
    return f"{field.metadata['text']}: {', '.join(choices)}" if choices else field.metadata["text"]


@attrs.frozen(kw_only=True)
class Fault:
    """
    One thing that a meter does wrong.

    `name` is what people write, `where` what it takes hold of, `row` the rows of the fault
    catalogue that it is for.
    """

    name: ClassVar[str]
    where: ClassVar[Where]
    row: ClassVar[str] = ""

    def parameters(self) -> dict[str, Any]:
        """By name; what JSON can say."""
        return attrs.asdict(self)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """
        The fault with these parameters, the others being what they are by default.

        Raises: FaultError: "unknown-parameter", "bad-parameter".
        """
        known = {field.name: field for field in attrs.fields(cls)}
        for name, value in parameters.items():
            if name not in known:
                has = f"only {', '.join(known)}" if known else "no parameters"
                raise FaultError("unknown-parameter", f"{str(name)[:80]}: {cls.name} has {has}")
            choices = _choices(known[name])
            if choices and value not in choices:
                raise FaultError("bad-parameter", f"{name}: one of {', '.join(choices)}")
        return cls(**parameters)


# --- whether a connection is taken ------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Refuse(Fault):
    """Ends each connection at once, with a reset."""

    name = "refuse"
    where = Where.ADMISSION
    row = "40"


@attrs.frozen(kw_only=True)
class OneSession(Fault):
    """Ends a connection at once, with a reset, while the meter has another one."""

    name = "one-session"
    where = Where.ADMISSION
    row = "17"


# --- what is said -----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Hang(Fault):
    """
    Falls silent for good at one of its answers; the connection stays open.

    Answers are counted over the connection: AARE, with HLS the second proof, then each block.
    """

    name = "hang"
    where = Where.STREAM
    row = "1"
    answer: int = _whole(3, 0, 100_000, "the answer that does not come, the first being 0")


@attrs.frozen(kw_only=True)
class WrongKey(Fault):
    """Ciphers and authenticates with keys that nobody else knows."""

    name = "wrong-key"
    where = Where.APDU
    row = "19"


@attrs.frozen(kw_only=True)
class CounterRollback(Fault):
    """Its own invocation counter is lower than it was, as after a change of the board."""

    name = "counter-rollback"
    where = Where.APDU
    row = "15"
    by: int = _whole(1_000_000, 1, 0xFFFF_FFFF, "so much lower; not below 0")


@attrs.frozen(kw_only=True)
class CounterNearEnd(Fault):
    """Its own invocation counter has few numbers left; with none left it hangs up."""

    name = "counter-near-end"
    where = Where.APDU
    row = "18"
    left: int = _whole(10, 0, 0xFFFF_FFFF, "numbers below 2^32 in each session")


@attrs.frozen(kw_only=True)
class Replay(Fault):
    """Sends an earlier ciphered answer of the meter in the place of a new one."""

    name = "replay"
    where = Where.APDU
    row = "13"


@attrs.frozen(kw_only=True)
class ForgedAnswer(Fault):
    """
    From one answer on, ciphered ones come beside or as a forgery: another counter, a wrong tag.

    Whoever takes the counter before the tag is verified believes no true answer afterwards.
    """

    name = "forged-answer"
    where = Where.APDU
    row = "14"
    place: Forgery = attrs.field(
        default=Forgery.BEFORE, converter=Forgery, metadata={"text": "of the true one"}
    )
    answer: int = _whole(2, 0, 100_000, "from which one on, the first being 0")
    counter: int = _whole(0xFFFF_FFFF, 0, 0xFFFF_FFFF, "invocation counter of the forgery")


@attrs.frozen(kw_only=True)
class Plaintext(Fault):
    """Answers in clear what should be ciphered."""

    name = "plaintext"
    where = Where.APDU
    row = "21"


@attrs.frozen(kw_only=True)
class WeakerMechanism(Fault):
    """Its AARE says that a password is enough, and accepts."""

    name = "weaker-mechanism"
    where = Where.APDU
    row = "21"


@attrs.frozen(kw_only=True)
class WrongInvokeId(Fault):
    """Answers with an invoke id that nobody has used."""

    name = "wrong-invoke-id"
    where = Where.APDU
    row = "12"


@attrs.frozen(kw_only=True)
class LateAnswer(Fault):
    """Answers once with silence; what it kept comes right before the next one, or after a while."""

    name = "late-answer"
    where = Where.APDU
    row = "12"
    answer: int = _whole(2, 0, 100_000, "the one that is late, the first being 0")
    seconds: float = _number(30.0, 0.0, 3600.0, "after which it comes by itself")


@attrs.frozen(kw_only=True)
class BombFault(Fault):
    """Answers with what is to use up memory, time or stack."""

    name = "bomb"
    where = Where.APDU
    row = "10, 11"
    shape: Bomb = attrs.field(
        default=Bomb.NESTED, converter=Bomb, metadata={"text": "what it is made of"}
    )


# --- the frames around it ---------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class WrongCheck(Fault):
    """HDLC frames with a wrong check sequence."""

    name = "wrong-check"
    where = Where.FRAME
    row = "7"
    check: HdlcCheck = attrs.field(
        default=HdlcCheck.FCS, converter=HdlcCheck, metadata={"text": "which one"}
    )
    share: float = _number(1.0, 0.0, 1.0, "of the frames")


@attrs.frozen(kw_only=True)
class RepeatedFrame(Fault):
    """HDLC I frames come twice, octet by octet the same."""

    name = "repeated-frame"
    where = Where.FRAME
    row = "8"
    share: float = _number(1.0, 0.0, 1.0, "of the frames")


@attrs.frozen(kw_only=True)
class WrongSequence(Fault):
    """HDLC frames with a sequence number that is not due, their checks right."""

    name = "wrong-sequence"
    where = Where.FRAME
    row = "8"
    number: HdlcNumber = attrs.field(
        default=HdlcNumber.SEND, converter=HdlcNumber, metadata={"text": "N(S) or N(R)"}
    )
    ahead: int = _whole(1, 1, 7, "of the number that is due, modulo 8")
    share: float = _number(1.0, 0.0, 1.0, "of the frames")


@attrs.frozen(kw_only=True)
class LyingLength(Fault):
    """Frames whose length is not theirs, in the wrapper and in HDLC."""

    name = "lying-length"
    where = Where.FRAME
    row = "9"
    length: int = _whole(0xFFFF, 0, 0xFFFF, "what they claim, octets; HDLC takes eleven bits of it")


# --- when and how far it goes -----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Latency(Fault):
    """Takes its time for each answer."""

    name = "latency"
    where = Where.STREAM
    distribution: Distribution = attrs.field(
        default=Distribution.CONSTANT, converter=Distribution, metadata={"text": "of the times"}
    )
    seconds: float = _number(0.5, 0.0, 86_400.0, "the time, or its median")
    spread: float = _number(
        0.0, 0.0, 86_400.0, "uniform: seconds more or less; lognormal: sigma of the logarithm"
    )


@attrs.frozen(kw_only=True)
class Drip(Fault):
    """Sends a few octets at a time."""

    name = "drip"
    where = Where.STREAM
    row = "5"
    every_s: float = _number(9.0, 0.0, 3600.0, "seconds between them")
    octets: int = _whole(1, 1, 65_535, "at a time")


@attrs.frozen(kw_only=True)
class Reset(Fault):
    """Resets the connection (RST) once it has sent so many octets."""

    name = "reset"
    where = Where.STREAM
    row = "3"
    octet: int = _whole(100, 0, 1 << 31, "how many get through")


@attrs.frozen(kw_only=True)
class RebootInSession(Fault):
    """Resets the connection and reboots at one of its answers; then it is dark for a while."""

    name = "reboot-in-session"
    where = Where.STREAM
    row = "43"
    answer: int = _whole(2, 0, 100_000, "the answer that does not come, the first being 0")
    dark_s: float = _number(20.0, 0.0, 86_400.0, "until it takes connections again")


# --- pushes -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class DuplicatePush(Fault):
    """Sends the same push more than once, octet by octet the same."""

    name = "duplicate-push"
    where = Where.PUSH
    row = "22"
    copies: int = _whole(2, 2, 100, "how often in all")


@attrs.frozen(kw_only=True)
class ReorderPush(Fault):
    """Keeps a push back and sends it after the next ones."""

    name = "reorder-push"
    where = Where.PUSH
    row = "23"
    behind: int = _whole(1, 1, 100, "how many overtake it")


# --- clock and firmware -----------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ClockJump(Fault):
    """
    The clock jumps when the fault begins, and stays so until somebody sets it.

    Taking the fault away does not set it.
    """

    name = "clock-jump"
    where = Where.CLOCK
    row = "37, 38"
    seconds: float = _number(3600.0, -1e9, 1e9, "later, or earlier where negative")


@attrs.frozen(kw_only=True)
class ClockDrift(Fault):
    """The clock runs too fast or too slow from the moment on that the fault begins."""

    name = "clock-drift"
    where = Where.CLOCK
    row = "38"
    seconds_per_day: float = _number(30.0, -86_400.0, 86_400.0, "too fast, or slow where negative")


@attrs.frozen(kw_only=True)
class ImageActivation(Fault):
    """The activation of a new image fails, or the meter comes back with the old version."""

    name = "image-activation"
    where = Where.IMAGE
    row = "43, 44"
    outcome: ImageOutcome = attrs.field(
        default=ImageOutcome.FAILS, converter=ImageOutcome, metadata={"text": "how"}
    )
    share: float = _number(0.05, 0.0, 1.0, "of the activations")


FAULTS: Final[Mapping[str, type[Fault]]] = {
    kind.name: kind
    for kind in (
        Refuse,
        OneSession,
        Hang,
        WrongKey,
        CounterRollback,
        CounterNearEnd,
        Replay,
        ForgedAnswer,
        Plaintext,
        WeakerMechanism,
        WrongInvokeId,
        LateAnswer,
        BombFault,
        WrongCheck,
        RepeatedFrame,
        WrongSequence,
        LyingLength,
        Latency,
        Drip,
        Reset,
        RebootInSession,
        DuplicatePush,
        ReorderPush,
        ClockJump,
        ClockDrift,
        ImageActivation,
    )
}
"""All kinds, by the name that people write."""


def fault(name: object, parameters: Mapping[str, Any] | None = None) -> Fault:
    """
    The fault of this name, as scripts and sockets ask for it.

    Raises: FaultError: "unknown-fault", "unknown-parameter", "bad-parameter".
    """
    kind = FAULTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FaultError("unknown-fault", f"{str(name)[:80]}; `hes sim fault kinds` lists all")
    return kind.of(parameters or {})
