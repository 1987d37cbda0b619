"""Proofs of passes 3 and 4."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security import SuiteKeys, gmac_token, verify_gmac_token

EK, AK, TITLE = bytes(range(16)), bytes(range(0x80, 0x90)), b"MTRtest1"
KEYS = SuiteKeys(EK, AK)
CHALLENGE = b"challenge"


@pytest.mark.conformance("hls-gmac", "client", "server", "vector")
def test_as_the_book_says() -> None:
    gcm = Cipher(algorithms.AES(EK), modes.GCM(TITLE + bytes((0, 0, 1, 2)), None, 12)).encryptor()
    gcm.authenticate_additional_data(b"\x10" + AK + CHALLENGE)
    gcm.finalize()
    token = gmac_token(KEYS, TITLE, 0x102, CHALLENGE)
    assert token == b"\x10\x00\x00\x01\x02" + gcm.tag[:12]
    assert verify_gmac_token(KEYS, TITLE, token, CHALLENGE) == 0x102


def test_every_bit_counts() -> None:
    token = gmac_token(KEYS, TITLE, 0x102, CHALLENGE)
    for bit in range(len(token) * 8):
        flipped = bytearray(token)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        with pytest.raises(SecurityError):
            verify_gmac_token(KEYS, TITLE, bytes(flipped), CHALLENGE)


@pytest.mark.parametrize("end", range(17))
def test_every_prefix(end: int) -> None:
    token = gmac_token(KEYS, TITLE, 0x102, CHALLENGE)
    with pytest.raises(SecurityError) as caught:
        verify_gmac_token(KEYS, TITLE, token[:end], CHALLENGE)
    assert caught.value.code == "authentication-failed"


@pytest.mark.conformance("hls-gmac", "client", "server")
@pytest.mark.parametrize(
    ("keys", "title", "challenge", "code"),
    [
        (SuiteKeys(EK, EK), TITLE, CHALLENGE, "authentication-failed"),
        (SuiteKeys(AK, AK), TITLE, CHALLENGE, "authentication-failed"),
        (KEYS, b"MTRtest2", CHALLENGE, "authentication-failed"),
        (KEYS, TITLE, b"another challenge", "authentication-failed"),
        (KEYS, b"short", CHALLENGE, "system-title-mismatch"),
        (SuiteKeys(EK), TITLE, CHALLENGE, "key-missing"),
    ],
)
def test_a_proof_of_something_else(
    keys: SuiteKeys, title: bytes, challenge: bytes, code: str
) -> None:
    token = gmac_token(KEYS, TITLE, 1, CHALLENGE)
    with pytest.raises(SecurityError) as caught:
        verify_gmac_token(keys, title, token, challenge)
    assert caught.value.code == code


@pytest.mark.parametrize("challenge", [b"", b"1234567", bytes(65)])
def test_a_challenge_of_a_wrong_length_is_our_mistake(challenge: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        gmac_token(KEYS, TITLE, 1, challenge)


@pytest.mark.conformance("hls-gmac", "vector")
def test_the_example_of_the_green_book() -> None:
    keys = SuiteKeys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
    client, server = bytes.fromhex("4D4D4D0000000001"), bytes.fromhex("4D4D4D0000BC614E")
    ctos, stoc = b"K56iVagY", b"P6wRJ21F"
    third = bytes.fromhex("10 00000001 1A52FE7DD3E72748973C1E28")
    fourth = bytes.fromhex("10 01234567 FE1466AFB3DBCD4F9389E2B7")
    assert gmac_token(keys, client, 1, stoc) == third
    assert gmac_token(keys, server, 0x01234567, ctos) == fourth
    assert verify_gmac_token(keys, client, third, stoc) == 1
    assert verify_gmac_token(keys, server, fourth, ctos) == 0x01234567
