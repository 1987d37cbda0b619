"""Suite 0 against an implementation that shares nothing with ours but AES itself."""

import time

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import LocalProtocolError, SecurityError, TruncatedError
from hes_protocol.security import (
    Protection,
    SecurityControl,
    SuiteKeys,
    decipher_unverified,
    open_content,
    protect,
    read_header,
    unprotect,
)

EK, AK, TITLE = bytes(range(16)), bytes(range(0x80, 0x90)), b"MTRtest1"
KEYS = SuiteKeys(EK, AK)
PROTECTED = tuple(Protection)[1:]


def by_the_book(protection: Protection, counter: int, apdu: bytes) -> bytes:
    """The content as the standard's table says, with the library's GCM of shorter tags."""
    control = bytes((protection,))
    iv = TITLE + counter.to_bytes(4, "big")
    gcm = Cipher(algorithms.AES(EK), modes.GCM(iv, None, 12)).encryptor()
    header = control + iv[8:]
    if protection is Protection.AUTHENTICATED:
        gcm.authenticate_additional_data(control + AK + apdu)
        gcm.finalize()
        return header + apdu + gcm.tag[:12]
    if protection is Protection.AUTHENTICATED_ENCRYPTED:
        gcm.authenticate_additional_data(control + AK)
        return header + gcm.update(apdu) + gcm.finalize() + gcm.tag[:12]
    return header + gcm.update(apdu) + gcm.finalize()


@pytest.mark.parametrize("protection", PROTECTED)
@given(counter=st.integers(0, 2**32 - 1), apdu=st.binary(max_size=300))
def test_as_the_book_says_both_ways(protection: Protection, counter: int, apdu: bytes) -> None:
    content = protect(KEYS, TITLE, protection, counter, apdu)
    assert content == by_the_book(protection, counter, apdu)
    opened = unprotect(KEYS, TITLE, content)
    assert (opened.plaintext, opened.invocation_counter) == (apdu, counter)
    assert opened.control == SecurityControl(protection)
    assert opened.authenticated is protection.authenticated


def test_the_book_agrees_with_itself() -> None:
    content = by_the_book(Protection.AUTHENTICATED_ENCRYPTED, 7, b"apdu")
    decryptor = Cipher(
        algorithms.AES(EK), modes.GCM(TITLE + content[1:5], content[-12:], 12)
    ).decryptor()
    decryptor.authenticate_additional_data(content[:1] + AK)
    # `finalize` raises InvalidTag if the oracle is wrong.
    assert decryptor.update(content[5:-12]) + decryptor.finalize() == b"apdu"


@pytest.mark.parametrize("protection", [p for p in PROTECTED if p.authenticated])
def test_every_bit_counts(protection: Protection) -> None:
    content = protect(KEYS, TITLE, protection, 0x01020304, b"some apdu")
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        # The protection bits ask for another way of checking, which must not let it through.
        if SecurityControl.from_octet(flipped[0]).protection.authenticated:
            with pytest.raises(SecurityError):
                unprotect(KEYS, TITLE, bytes(flipped))
        else:
            try:
                assert not unprotect(KEYS, TITLE, bytes(flipped)).authenticated
            except SecurityError:
                continue


@pytest.mark.parametrize(
    ("keys", "title"),
    [
        (SuiteKeys(AK, AK), TITLE),
        (SuiteKeys(EK, EK), TITLE),
        (KEYS, b"MTRtest2"),
    ],
)
def test_wrong_key_or_title(keys: SuiteKeys, title: bytes) -> None:
    for protection in (Protection.AUTHENTICATED, Protection.AUTHENTICATED_ENCRYPTED):
        content = protect(KEYS, TITLE, protection, 1, b"some apdu")
        with pytest.raises(SecurityError) as caught:
            unprotect(keys, title, content)
        assert caught.value.code == "tag-mismatch"


@pytest.mark.parametrize("protection", PROTECTED)
def test_every_prefix(protection: Protection) -> None:
    content = protect(KEYS, TITLE, protection, 1, b"some apdu")
    for end in range(len(content)):
        if not protection.authenticated and end >= 5:
            continue
        with pytest.raises((TruncatedError, SecurityError)):
            unprotect(KEYS, TITLE, content[:end])


def test_without_an_authentication_key() -> None:
    keys = SuiteKeys(EK)
    assert not keys.can_authenticate
    assert KEYS.can_authenticate is True
    content = protect(KEYS, TITLE, Protection.AUTHENTICATED_ENCRYPTED, 1, b"some apdu")
    with pytest.raises(SecurityError) as caught:
        unprotect(keys, TITLE, content)
    assert caught.value.code == "key-missing"
    opened = decipher_unverified(keys, TITLE, content)
    assert (opened.plaintext, opened.authenticated) == (b"some apdu", False)


def test_unverified_deciphering_leaves_plaintext_as_it_is() -> None:
    content = protect(KEYS, TITLE, Protection.AUTHENTICATED, 1, b"some apdu")
    assert decipher_unverified(KEYS, TITLE, content).plaintext == b"some apdu"


def test_suite_1_ciphers_alike_and_other_suites_are_refused() -> None:
    content = protect(KEYS, TITLE, Protection.ENCRYPTED, 1, b"some apdu", suite=1)
    opened = unprotect(KEYS, TITLE, content)
    assert (opened.plaintext, opened.control.suite) == (b"some apdu", 1)
    for octet in (0x32, 0x3F, 0xB0):
        for open_ in (unprotect, decipher_unverified):
            with pytest.raises(SecurityError) as caught:
                open_(KEYS, TITLE, bytes((octet,)) + content[1:] + bytes(12))
            assert caught.value.code == "suite-unsupported"


@pytest.mark.parametrize("octet", range(256))
def test_the_control_octet_both_ways(octet: int) -> None:
    assert SecurityControl.from_octet(octet).to_octet() == octet


def test_what_covers_what() -> None:
    plain, authenticated, encrypted, both = Protection
    assert [p for p in Protection if p.covers(plain)] == list(Protection)
    assert [p for p in Protection if p.covers(authenticated)] == [authenticated, both]
    assert [p for p in Protection if p.covers(encrypted)] == [encrypted, both]
    assert [p for p in Protection if p.covers(both)] == [both]


@pytest.mark.parametrize(
    ("title", "protection", "counter"),
    [
        (TITLE, Protection.PLAIN, 1),
        (b"short", Protection.ENCRYPTED, 1),
        (TITLE, Protection.ENCRYPTED, 2**32),
        (TITLE, Protection.ENCRYPTED, -1),
    ],
)
def test_our_own_mistakes(title: bytes, protection: Protection, counter: int) -> None:
    with pytest.raises(LocalProtocolError):
        protect(KEYS, title, protection, counter, b"")


def test_keys_have_sixteen_octets_and_do_not_print() -> None:
    for keys in ((b"short", None), (EK, b"short")):
        with pytest.raises(LocalProtocolError):
            SuiteKeys(*keys)
    assert repr(KEYS) == "SuiteKeys(…)"


def test_a_title_from_the_wire_is_not_trusted_to_have_eight_octets() -> None:
    content = protect(KEYS, TITLE, Protection.ENCRYPTED, 1, b"")
    for open_ in (unprotect, decipher_unverified):
        with pytest.raises(SecurityError) as caught:
            open_(KEYS, TITLE[:7], content)
        assert caught.value.code == "system-title-mismatch"


def test_the_header_is_read_unverified() -> None:
    assert read_header(bytes.fromhex("30 01020304")) == (
        SecurityControl(Protection.AUTHENTICATED_ENCRYPTED),
        0x01020304,
    )


def test_unprotecting_200_octets_takes_microseconds() -> None:
    content = protect(KEYS, TITLE, Protection.AUTHENTICATED_ENCRYPTED, 1, bytes(200))
    best = min(_microseconds(content) for _ in range(5))
    assert best < 40


def _microseconds(content: bytes) -> float:
    start = time.process_time()
    for _ in range(1000):
        unprotect(KEYS, TITLE, content)
    return (time.process_time() - start) * 1e3


# The Green Book's example: a get-request for the clock, with the keys that all its examples have.
BOOK_KEYS = SuiteKeys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
BOOK_TITLE = bytes.fromhex("4D4D4D0000BC614E")
BOOK_APDU = bytes.fromhex("C0010000080000010000FF0200")
BOOK_COUNTER = 0x01234567


@pytest.mark.parametrize(
    ("protection", "text"),
    [
        (0x10, "C0010000080000010000FF0200 06725D910F9221D263877516"),
        (0x20, "411312FF935A47566827C467BC"),
        (0x30, "411312FF935A47566827C467BC 7D825C3BE4A77C3FCC056B6B"),
    ],
)
@pytest.mark.conformance("authenticated", "vector")
@pytest.mark.conformance("encrypted", "vector")
@pytest.mark.conformance("authenticated-encrypted", "vector")
def test_the_example_of_the_green_book(protection: int, text: str) -> None:
    content = bytes((protection,)) + BOOK_COUNTER.to_bytes(4, "big") + bytes.fromhex(text)
    made = protect(BOOK_KEYS, BOOK_TITLE, Protection(protection), BOOK_COUNTER, BOOK_APDU)
    assert made == content
    assert unprotect(BOOK_KEYS, BOOK_TITLE, content).plaintext == BOOK_APDU
    assert open_content(BOOK_KEYS, BOOK_TITLE, content) == BOOK_APDU
    assert decipher_unverified(BOOK_KEYS, BOOK_TITLE, content).plaintext == BOOK_APDU


@pytest.mark.parametrize("protection", Protection)
@pytest.mark.parametrize("length", [0, 1, 11, 12, 13])
def test_the_shortest_contents(protection: Protection, length: int) -> None:
    content = bytes((protection, 0, 0, 0, 1)) + bytes(length)
    if protection.authenticated:
        expected: type[Exception] = SecurityError if length >= 12 else TruncatedError
        with pytest.raises(expected):
            open_content(KEYS, TITLE, content)
    else:
        assert len(open_content(KEYS, TITLE, content)) == length


def test_an_octet_that_says_neither_leaves_the_text_as_it_is() -> None:
    opened = unprotect(KEYS, TITLE, bytes(5) + b"text")
    assert (opened.plaintext, opened.authenticated, opened.invocation_counter) == (
        b"text",
        False,
        0,
    )


@pytest.mark.parametrize("end", range(5))
def test_no_whole_header(end: int) -> None:
    for open_ in (unprotect, open_content, decipher_unverified):
        with pytest.raises(TruncatedError) as caught:
            open_(KEYS, TITLE, bytes(end))
        assert (caught.value.code, caught.value.offset) == ("truncated", end)
    with pytest.raises(TruncatedError):
        read_header(bytes(end))


def test_the_broadcast_octet_is_authenticated_too() -> None:
    ciphertext = KEYS.tag(TITLE + bytes(4), 0x70, b"", b"apdu")
    content = b"\x70" + bytes(4) + ciphertext
    opened = unprotect(KEYS, TITLE, content)
    assert (opened.plaintext, opened.control.broadcast) == (b"apdu", True)
    with pytest.raises(SecurityError):
        unprotect(KEYS, TITLE, b"\x30" + content[1:])


def test_another_encryption_key_with_the_same_authentication_key() -> None:
    other = KEYS.with_encryption_key(AK)
    content = protect(other, TITLE, Protection.AUTHENTICATED_ENCRYPTED, 1, b"apdu")
    assert unprotect(SuiteKeys(AK, AK), TITLE, content).plaintext == b"apdu"
    assert not SuiteKeys(EK).with_encryption_key(AK).can_authenticate
    with pytest.raises(LocalProtocolError):
        KEYS.with_encryption_key(b"short")


def test_what_is_opened_does_not_print() -> None:
    content = protect(KEYS, TITLE, Protection.AUTHENTICATED, 1, b"some apdu")
    assert "some apdu" not in repr(unprotect(KEYS, TITLE, content))


@pytest.mark.parametrize("protection", [p for p in PROTECTED if p.authenticated])
def test_protecting_without_an_authentication_key(protection: Protection) -> None:
    with pytest.raises(SecurityError) as caught:
        protect(SuiteKeys(EK), TITLE, protection, 1, b"apdu")
    assert caught.value.code == "key-missing"
    assert protect(SuiteKeys(EK), TITLE, Protection.ENCRYPTED, 1, b"apdu")[0] == 0x20


@pytest.mark.parametrize("title", [b"", b"short", b"too long1"])
@pytest.mark.parametrize("protection", [one for one in Protection if one])
def test_a_title_of_another_length_is_named(title: bytes, protection: Protection) -> None:
    content = protect(KEYS, TITLE, protection, 1, b"\xc4\x01\xc1\x00\x00" * 4)
    for open_ in (unprotect, open_content, decipher_unverified):
        with pytest.raises(SecurityError) as caught:
            open_(KEYS, title, content)
        assert caught.value.code == "system-title-mismatch"


@pytest.mark.parametrize("protection", [one for one in Protection if one])
def test_nothing_at_all_may_be_protected(protection: Protection) -> None:
    content = protect(KEYS, TITLE, protection, 1, b"")
    assert open_content(KEYS, TITLE, content) == b""
    assert unprotect(KEYS, TITLE, content).plaintext == b""
    assert decipher_unverified(KEYS, TITLE, content).plaintext == b""
