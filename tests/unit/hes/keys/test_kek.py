"""Sealing binds a secret to its place; nothing of the KEK shows."""

import copy
import pickle
from uuid import UUID

import pytest

from hes.domain.errors import KeyUnavailableError
from hes.keys import Kek, KekError, SecretKind

METER = UUID("00000000-0000-4000-8000-000000000001")
OTHER = UUID("00000000-0000-4000-8000-000000000002")
OCTETS = bytes(range(32))
NONCE = bytes(12)


@pytest.fixture
def kek() -> Kek:
    return Kek(OCTETS)


def sealed(kek: Kek, secret: bytes = b"0123456789abcdef") -> bytes:
    return kek.seal(secret, NONCE, meter_id=METER, client_sap=1, kind=SecretKind.EK)


@pytest.mark.parametrize("secret", [b"", b"x", b"0" * 16, b"0" * 256])
def test_opens_what_it_sealed(kek: Kek, secret: bytes) -> None:
    octets = sealed(kek, secret)
    assert secret == b"" or secret not in octets
    assert kek.open(octets, meter_id=METER, client_sap=1, kind=SecretKind.EK) == secret


@pytest.mark.parametrize(
    ("meter_id", "client_sap", "kind"),
    [
        (OTHER, 1, SecretKind.EK),
        (METER, 2, SecretKind.EK),
        (METER, 256, SecretKind.EK),
        (METER, 1, SecretKind.AK),
        (METER, 1, SecretKind.SECRET),
    ],
)
def test_does_not_open_in_another_place(
    kek: Kek, meter_id: UUID, client_sap: int, kind: SecretKind
) -> None:
    with pytest.raises(KeyUnavailableError):
        kek.open(sealed(kek), meter_id=meter_id, client_sap=client_sap, kind=kind)


def test_does_not_open_with_another_kek(kek: Kek) -> None:
    with pytest.raises(KeyUnavailableError):
        Kek(bytes(32)).open(sealed(kek), meter_id=METER, client_sap=1, kind=SecretKind.EK)


def test_does_not_open_what_was_changed_or_cut_anywhere(kek: Kek) -> None:
    octets = sealed(kek)
    changed = [octets[:i] + bytes([octets[i] ^ 1]) + octets[i + 1 :] for i in range(len(octets))]
    cut = [octets[:i] for i in range(len(octets))]
    for broken in [*changed, *cut, octets + b"\0"]:
        with pytest.raises(KeyUnavailableError):
            kek.open(broken, meter_id=METER, client_sap=1, kind=SecretKind.EK)


def test_fingerprints_are_equal_for_equal_keys_under_one_kek_only(kek: Kek) -> None:
    assert kek.fingerprint(b"a" * 16) == Kek(OCTETS).fingerprint(b"a" * 16)
    assert kek.fingerprint(b"a" * 16) != kek.fingerprint(b"b" * 16)
    assert kek.fingerprint(b"a" * 16) != Kek(bytes(32)).fingerprint(b"a" * 16)


def test_has_a_name_that_is_its_own(kek: Kek) -> None:
    assert kek.kek_id == Kek(OCTETS).kek_id != Kek(bytes(32)).kek_id
    assert kek.kek_id not in OCTETS.hex()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_has_32_octets(length: int) -> None:
    with pytest.raises(KekError, match="32"):
        Kek(bytes(length))


def test_shows_nothing_and_does_not_leave_its_process(kek: Kek) -> None:
    for text in (repr(kek), str(kek), f"{kek}"):
        assert text == f"Kek({kek.kek_id})"
    with pytest.raises(TypeError):
        pickle.dumps(kek)
    with pytest.raises(TypeError):
        copy.deepcopy(kek)
