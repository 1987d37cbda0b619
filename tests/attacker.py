"""
Somebody who talks to a simulated meter, in memory, without minding any rule.

He knows the secrets and keys of the client that he plays, so that what he sends gets behind the
first check; whether he uses them is up to the test. Shared by tests of hostile clients and fuzzing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import count
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    Client,
    ClientSettings,
    ContinueNeeded,
)
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.models.objects import ModelClient
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.security.key_wrap import KeyId
from hes_protocol.security.mechanisms import NEED_TITLES
from hes_protocol.wrapper import HEADER_OCTETS, WrapperFrame, WrapperLink
from hes_protocol.xdlms import Ciphered
from hes_protocol.xdlms.ciphered import GENERAL_GLO, GLO_TAGS
from hes_simulators.conversation import Conversation, SessionSummary
from hes_simulators.keys import Keyring, is_ciphering
from hes_simulators.known_models import models
from hes_simulators.meter import Meter, MeterKind

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
TITLE = b"ATK00001"
CHALLENGE = b"a hostile challenge"
MODELS = tuple(sorted(name for name, model in models().items() if model.simulated))
FAMILIES = (
    "hes-household",
    "dsmr-smr5",
    "idis-single-phase",
    "is-15959-single-phase",
    "nordic-han",
    "prepayment",
)
"""Of those that differ but in numbers, one each."""
_SERVER_CHALLENGE = b"challenge of the meter"


@cache
def kind_of(name: str) -> MeterKind:
    """The kind of all meters of a model, at `NOW` for ever."""
    return MeterKind(
        seed=1,
        zone=ZoneInfo("Europe/Berlin"),
        now=lambda: NOW,
        next_challenge=lambda: _SERVER_CHALLENGE,
        first_counter=1,
        model=models()[name],
        max_receive_pdu_size=512,
        profile_days=1,
    )


def meter_of(name: str) -> Meter:
    """A fresh meter of a model."""
    return Meter.of(kind_of(name), 0)


def clients_of(name: str) -> tuple[ModelClient, ...]:
    """A model's clients that open their associations by AARQ."""
    return tuple(
        client for client in kind_of(name).clients.values() if client.name != "pre-established"
    )


@attrs.define
class Attacker:
    """One connection to `meter`, as `client`; `counters` are those of its key."""

    meter: Meter
    client: ModelClient
    counters: Iterator[int] = attrs.field(factory=lambda: count(1))
    conversation: Conversation = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.conversation = Conversation(self.meter, SessionSummary())

    @property
    def is_ciphering(self) -> bool:
        """Whether what the client sends is to be ciphered."""
        return bool(self.client.protection)

    def settings(self, **changes: object) -> ClientSettings:
        """As the client's settings should be."""
        keyring = Keyring.of(self.meter)
        ciphers = is_ciphering(self.client)
        titled = ciphers or self.client.mechanism in NEED_TITLES
        settings = ClientSettings(
            client_sap=self.client.sap,
            server_sap=self.meter.server_sap,
            mechanism=self.client.mechanism,
            secret=keyring.secret(self.client),
            encryption_key=keyring.key(self.client, KeyId.GLOBAL_UNICAST_ENCRYPTION)
            if ciphers
            else None,
            authentication_key=keyring.key(self.client, KeyId.AUTHENTICATION) if ciphers else None,
            system_title=TITLE if titled else None,
            protection=self.client.protection,
            challenge=CHALLENGE,
            server_system_title=self.meter.identity.system_title,
            empty_system_title=True,
            hls_object=self.meter.associations[self.client.sap].hls_object,
        )
        return attrs.evolve(settings, **changes)

    def associate(self, **changes: object) -> bool:
        """Open the association as the client would; whether it is open."""
        settings = self.settings(**changes)
        link = WrapperLink(settings.client_sap, settings.server_sap)
        client = Client(settings, link, lambda: next(self.counters))
        octets, events = client.send(Associate()), []
        while octets:
            for answer in self.frame(octets):
                client.receive_data(answer)
            octets = b""
            while (event := client.next_event()) is not None:
                events.append(event)
                if isinstance(event, ContinueNeeded):
                    octets += client.send(event.reply)
        return bool(events) and isinstance(events[-1], AssociationAccepted)

    def frame(self, octets: bytes) -> list[bytes]:
        """
        Octets as they go over the line, and the frames of the answer.

        Raises: RemoteProtocolError: the meter closes the connection, or says nothing to that.
        """
        return [answer for answer in self.conversation.receive(octets) if answer]

    def say(self, apdu: bytes, *, protected: bool | None = None) -> bytes:
        """
        An APDU, protected as the client's are unless said otherwise; the octets of the answer.

        Raises: RemoteProtocolError: as `frame`.
        """
        if self.is_ciphering if protected is None else protected:
            apdu = self.ciphered(apdu)
        octets = WrapperFrame(self.client.sap, self.meter.server_sap, apdu).to_octets()
        return b"".join(answer[HEADER_OCTETS:] for answer in self.frame(octets))

    def ciphered(self, apdu: bytes) -> bytes:
        """The APDU by the right keys and a fresh counter; as it is where there are no keys."""
        if not is_ciphering(self.client) or not apdu:
            return apdu
        keyring = Keyring.of(self.meter)
        protection = self.client.protection or Protection.AUTHENTICATED_ENCRYPTED
        suite = SuiteKeys(
            keyring.key(self.client, KeyId.GLOBAL_UNICAST_ENCRYPTION),
            keyring.key(self.client, KeyId.AUTHENTICATION),
        )
        content = protect(suite, TITLE, protection, next(self.counters), apdu)
        tag = GLO_TAGS.get(apdu[0], GENERAL_GLO)
        return Ciphered(tag, content, TITLE if tag == GENERAL_GLO else None).encode()

    def tries(self, apdu: bytes, *, protected: bool | None = None) -> bytes | None:
        """As `say`; None where the meter has closed the connection or ignored it."""
        try:
            return self.say(apdu, protected=protected)
        except RemoteProtocolError:
            return None
