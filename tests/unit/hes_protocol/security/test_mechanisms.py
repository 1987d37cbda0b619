"""What each mechanism needs, and the proofs of those that only hash, by hand from the table."""

from hashlib import new

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.acse import Mechanism
from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security.mechanisms import (
    HLS,
    IMPLEMENTED,
    NEED_SECRET,
    NEED_TITLES,
    HlsExchange,
    check_challenge,
    hls_function,
    verify_hash,
    verify_secret,
)

SECRET, STOC, CTOS = b"a secret", b"challenge of S", b"challenge of C"
CLIENT, SERVER = b"CLIENT01", b"SERVER01"
PASS_3 = HlsExchange(
    challenge=STOC, own_challenge=CTOS, secret=SECRET, title=CLIENT, peer_title=SERVER
)
PASS_4 = HlsExchange(
    challenge=CTOS, own_challenge=STOC, secret=SECRET, title=SERVER, peer_title=CLIENT
)
HASHED = {
    Mechanism.HLS_MD5: ("md5", STOC + SECRET, CTOS + SECRET),
    Mechanism.HLS_SHA1: ("sha1", STOC + SECRET, CTOS + SECRET),
    Mechanism.HLS_SHA256: (
        "sha256",
        SECRET + CLIENT + SERVER + STOC + CTOS,
        SECRET + SERVER + CLIENT + CTOS + STOC,
    ),
}


@pytest.mark.parametrize("mechanism", HASHED)
def test_both_passes_are_as_the_table_says(mechanism: Mechanism) -> None:
    name, third, fourth = HASHED[mechanism]
    function = hls_function(mechanism)
    assert function(PASS_3) == new(name, third).digest()
    assert function(PASS_4) == new(name, fourth).digest()


def test_md5_and_sha1_by_constants() -> None:
    # printf 'abcdefghsecret' | md5sum; sha1sum
    exchange = HlsExchange(challenge=b"abcdefgh", own_challenge=b"", secret=b"secret")
    assert hls_function(Mechanism.HLS_MD5)(exchange).hex() == "e235c2acc44241490044ae62cb34b79f"
    assert (
        hls_function(Mechanism.HLS_SHA1)(exchange).hex()
        == "61bff3a00177e2c11fa0b284afc956a1342794e6"
    )


@pytest.mark.parametrize("mechanism", HASHED)
@pytest.mark.parametrize("bit", [0, 7, 64, 127])
def test_a_proof_with_one_bit_wrong(mechanism: Mechanism, bit: int) -> None:
    function = hls_function(mechanism)
    proof = bytearray(function(PASS_3))
    verify_hash(function, PASS_3, bytes(proof))
    proof[bit // 8] ^= 0x80 >> bit % 8
    with pytest.raises(SecurityError) as caught:
        verify_hash(function, PASS_3, bytes(proof))
    assert caught.value.code == "authentication-failed"


@pytest.mark.parametrize("mechanism", HASHED)
def test_a_proof_of_other_things(mechanism: Mechanism) -> None:
    function = hls_function(mechanism)
    for wrong in (b"", function(PASS_3)[:-1], function(PASS_3) + b"\0", function(PASS_4)):
        with pytest.raises(SecurityError):
            verify_hash(function, PASS_3, wrong)


@given(st.binary(min_size=1), st.binary(min_size=1))
def test_the_manufacturers_function_is_given_everything(secret: bytes, answer: bytes) -> None:
    seen: list[HlsExchange] = []

    def own(exchange: HlsExchange) -> bytes:
        seen.append(exchange)
        return answer

    exchange = HlsExchange(challenge=STOC, own_challenge=CTOS, secret=secret, title=CLIENT)
    verify_hash(hls_function(Mechanism.HLS, own), exchange, answer)
    assert seen == [exchange]


def test_the_manufacturers_function_is_for_mechanism_2_only() -> None:
    def own(exchange: HlsExchange) -> bytes:
        return exchange.secret

    assert hls_function(Mechanism.HLS, own) is own
    assert hls_function(Mechanism.HLS_MD5, own) is not own


@pytest.mark.parametrize(
    "mechanism", [Mechanism.NONE, Mechanism.LLS, Mechanism.HLS, Mechanism.HLS_GMAC, Mechanism(7)]
)
def test_mechanisms_without_a_function(mechanism: Mechanism) -> None:
    with pytest.raises(LocalProtocolError, match=mechanism.name):
        hls_function(mechanism)


@pytest.mark.parametrize(("title", "peer_title"), [(None, SERVER), (CLIENT, None), (b"", SERVER)])
def test_sha256_needs_both_titles(title: bytes | None, peer_title: bytes | None) -> None:
    exchange = HlsExchange(challenge=STOC, own_challenge=CTOS, title=title, peer_title=peer_title)
    with pytest.raises(LocalProtocolError, match="titles"):
        hls_function(Mechanism.HLS_SHA256)(exchange)


def test_the_tables_of_needs() -> None:
    assert {mechanism.value for mechanism in IMPLEMENTED} == {0, 1, 2, 3, 4, 5, 6}
    assert {mechanism.value for mechanism in HLS} == {2, 3, 4, 5, 6, 7}
    assert {mechanism.value for mechanism in NEED_SECRET} == {1, 3, 4, 6}
    assert {mechanism.value for mechanism in NEED_TITLES} == {5, 6}


@pytest.mark.parametrize(
    ("octets", "allowed"), [(0, False), (7, False), (8, True), (64, True), (65, False)]
)
def test_lengths_of_a_challenge(octets: int, allowed: bool) -> None:
    assert check_challenge(bytes(octets)) is allowed


@pytest.mark.parametrize(
    ("expected", "given_", "right"),
    [
        (b"secret", b"secret", True),
        (b"secret", b"secreT", False),
        (b"secret", b"", False),
        (b"secret", None, False),
        (b"", b"", True),
        (None, b"", False),
        (None, None, False),
    ],
)
def test_the_secret_of_lls(expected: bytes | None, given_: bytes | None, right: bool) -> None:
    assert verify_secret(expected, given_) is right


def test_nothing_of_an_exchange_prints() -> None:
    shown = repr(PASS_3)
    for part in (SECRET, STOC, CTOS):
        assert part.decode() not in shown
    assert CLIENT.decode() in shown


def test_without_a_secret_the_challenge_alone_is_hashed() -> None:
    exchange = HlsExchange(challenge=b"abcdefgh", own_challenge=b"")
    assert hls_function(Mechanism.HLS_MD5)(exchange) == new("md5", b"abcdefgh").digest()
