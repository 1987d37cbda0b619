"""Keys on their way: the vector of RFC 3394, and the parameter of global_key_transfer."""

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, array, decode_all, encode, structure
from hes_protocol.errors import EncodingError, LocalProtocolError, SecurityError
from hes_protocol.security.key_wrap import (
    KeyId,
    KeyTransfer,
    key_transfer_data,
    read_key_transfer_data,
    unwrap_key,
    wrap_key,
)

KEK = bytes(range(16))
KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
# RFC 3394, 4.1: 128 bits of key data with a 128-bit KEK.
WRAPPED = bytes.fromhex("1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5")


@pytest.mark.conformance("key-wrap", "client", "server", "vector")
def test_the_vector_of_the_rfc() -> None:
    assert wrap_key(KEK, KEY) == WRAPPED
    assert unwrap_key(KEK, WRAPPED) == KEY


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_both_ways(master_key: bytes, key: bytes) -> None:
    assert unwrap_key(master_key, wrap_key(master_key, key)) == key


def test_every_bit_counts_and_the_error_holds_no_key() -> None:
    for bit in range(len(WRAPPED) * 8):
        flipped = bytearray(WRAPPED)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        with pytest.raises(SecurityError) as caught:
            unwrap_key(KEK, bytes(flipped))
        assert caught.value.code == "key-unwrap"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("octets", [0, 16, 23, 25, 32])
def test_a_wrapped_key_of_another_length(octets: int) -> None:
    with pytest.raises(SecurityError) as caught:
        unwrap_key(KEK, bytes(octets))
    assert caught.value.code == "key-unwrap"


def test_a_longer_key_wrapped_by_the_right_master_key_is_none_of_suite_0() -> None:
    with pytest.raises(SecurityError) as caught:
        unwrap_key(bytes(16), aes_key_wrap(bytes(16), bytes(32)))
    assert caught.value.code == "key-unwrap"


@pytest.mark.parametrize("octets", [0, 15, 17, 24, 32])
def test_keys_that_are_not_of_suite_0_are_our_mistake(octets: int) -> None:
    for call in (
        lambda: wrap_key(bytes(octets), KEY),
        lambda: wrap_key(KEK, bytes(octets)),
        lambda: unwrap_key(bytes(octets), WRAPPED),
    ):
        with pytest.raises(LocalProtocolError):
            call()


def test_the_key_ids_of_the_class() -> None:
    assert [(key_id.value, key_id.name) for key_id in KeyId] == [
        (0, "GLOBAL_UNICAST_ENCRYPTION"),
        (1, "GLOBAL_BROADCAST_ENCRYPTION"),
        (2, "AUTHENTICATION"),
        (3, "MASTER"),
    ]


@pytest.mark.conformance("key-wrap", "client", "server")
def test_the_parameter_by_hand_and_back() -> None:
    transfers = (KeyTransfer(KeyId.AUTHENTICATION, WRAPPED), KeyTransfer(KeyId.MASTER, bytes(24)))
    parameter = key_transfer_data(transfers)
    assert encode(parameter) == (
        bytes.fromhex("0102 0202 1602 0918") + WRAPPED + bytes.fromhex("0202 1603 0918") + bytes(24)
    )
    assert read_key_transfer_data(decode_all(encode(parameter))) == transfers
    assert repr(WRAPPED)[2:-1] not in repr(transfers)


@pytest.mark.parametrize(
    "transfers",
    [
        (),
        (KeyTransfer(KeyId.MASTER, WRAPPED), KeyTransfer(KeyId.MASTER, bytes(24))),
        (KeyTransfer(KeyId.MASTER, KEY),),
    ],
)
def test_transfers_that_are_our_mistake(transfers: tuple[KeyTransfer, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        key_transfer_data(transfers)


def transfer(
    key_id: int = 2, wrapped: bytes = WRAPPED, id_tag: DataTag = DataTag.ENUM,
    key_tag: DataTag = DataTag.OCTET_STRING,
) -> Data:  # fmt: skip
    return structure(Data(id_tag, key_id), Data(key_tag, wrapped))


@pytest.mark.parametrize(
    "parameter",
    [
        None,
        array(),
        structure(transfer()),
        transfer(),
        Data(DataTag.OCTET_STRING, WRAPPED),
        array(Data(DataTag.OCTET_STRING, WRAPPED)),
        array(structure(Data(DataTag.ENUM, 2))),
        array(structure(*transfer().value, Data(DataTag.ENUM, 2))),
        array(array(Data(DataTag.ENUM, 2), Data(DataTag.ENUM, 2))),
        array(transfer(4)),
        array(transfer(255)),
        array(transfer(wrapped=KEY)),
        array(transfer(wrapped=bytes(25))),
        array(transfer(id_tag=DataTag.UNSIGNED)),
        array(transfer(key_tag=DataTag.UTF8_STRING, wrapped=b"x" * 24)),
        array(transfer(), transfer()),
    ],
)  # fmt: skip
def test_parameters_of_another_shape(parameter: Data | None) -> None:
    with pytest.raises(EncodingError) as caught:
        read_key_transfer_data(parameter)
    assert caught.value.code == "bad-structure"
