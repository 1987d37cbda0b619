"""Ciphered APDUs unopened: their four forms, their parts, and where they break off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import EncodingError, LocalProtocolError, TruncatedError
from hes_protocol.xdlms.ciphered import (
    DED_TAGS,
    FORMS,
    GLO_TAGS,
    PLAIN_TAGS,
    Ciphered,
    CipherForm,
    decode_ciphered,
    split_ciphered,
)

TITLE = b"MTRtest1"
HEADER = bytes.fromhex("30 01020304")


@pytest.mark.parametrize("form", CipherForm)
def test_the_tag_of_each_service(form: CipherForm) -> None:
    general = 0xDC if form.dedicated else 0xDB
    for plain in (*GLO_TAGS, 0x0F, 0xD8, 0xD9, 0xDA):
        tag = form.tag(plain)
        tags = {CipherForm.GLO: GLO_TAGS, CipherForm.DED: DED_TAGS}.get(form, {})
        assert tag == tags.get(plain, general)
        assert FORMS[tag].dedicated is form.dedicated
        assert PLAIN_TAGS.get(tag, plain) == plain


def test_what_the_forms_are() -> None:
    assert [form.value for form in CipherForm if form.general] == ["general-glo", "general-ded"]
    assert [form.value for form in CipherForm if form.dedicated] == ["ded", "general-ded"]
    assert set(FORMS) == {0xDB, 0xDC, *GLO_TAGS.values(), *DED_TAGS.values()}


@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=300), st.binary(max_size=10))
def test_both_ways(tag: int, text: bytes, title: bytes) -> None:
    named = title if FORMS[tag].general else None
    ciphered = Ciphered(tag, HEADER + text, named)
    assert decode_ciphered(ciphered.encode()) == ciphered
    assert split_ciphered(ciphered.encode()) == (tag, named, HEADER + text)
    assert (ciphered.form, ciphered.invocation_counter) == (FORMS[tag], 0x01020304)
    assert ciphered.general is (named is not None)
    assert ciphered.dedicated is FORMS[tag].dedicated


@pytest.mark.parametrize(
    ("octets", "error", "code", "offset"),
    [
        ("cc", TruncatedError, "truncated", 1),
        ("cc 05 30010203", TruncatedError, "truncated", 2),
        ("cc 81", TruncatedError, "truncated", 1),
        ("cc 80 3001020304", EncodingError, "bad-length", 1),
        ("cc 05 3001020304 00", EncodingError, "trailing-octets", 7),
        ("cc 04 30010203", TruncatedError, "truncated", 4),
        ("cc 00", TruncatedError, "truncated", 0),
        ("db", TruncatedError, "truncated", 1),
        ("db 08 4d", TruncatedError, "truncated", 10),
        ("db 00", TruncatedError, "truncated", 2),
        ("db 00 06 3001020304", TruncatedError, "truncated", 3),
        ("dc 00 05 3001020304 0000", EncodingError, "trailing-octets", 8),
        ("db 84ffffffff 05 3001020304", TruncatedError, "truncated", 0x1_0000_0005),
    ],
)
def test_broken_off(octets: str, error: type[EncodingError], code: str, offset: int) -> None:
    for read in (split_ciphered, decode_ciphered):
        with pytest.raises(error) as caught:
            read(bytes.fromhex(octets))
        assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize(
    ("tag", "title"), [(0xC0, None), (0x60, None), (0xDB, None), (0xDC, None), (0xCC, TITLE)]
)
def test_values_that_have_no_encoding(tag: int, title: bytes | None) -> None:
    with pytest.raises(LocalProtocolError):
        Ciphered(tag, HEADER, title).encode()
