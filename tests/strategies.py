"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from hes_protocol.axdr.data import NULL, Data, DataTag


def leaves() -> st.SearchStrategy[Data]:
    """Single COSEM values, logical names and date-times among them."""
    return st.one_of(
        st.just(NULL),
        st.integers(0, 2**32 - 1).map(lambda n: Data(DataTag.DOUBLE_LONG_UNSIGNED, n)),
        st.integers(0, 2**16 - 1).map(lambda n: Data(DataTag.LONG_UNSIGNED, n)),
        st.integers(-128, 127).map(lambda n: Data(DataTag.INTEGER, n)),
        st.integers(0, 255).map(lambda n: Data(DataTag.ENUM, n)),
        st.binary(max_size=14).map(lambda octets: Data(DataTag.OCTET_STRING, octets)),
        st.binary(min_size=5, max_size=5).map(
            lambda octets: Data(DataTag.OCTET_STRING, octets + b"\xff")
        ),
        st.text("0123456789AB", max_size=16).map(
            lambda text: Data(DataTag.VISIBLE_STRING, text.encode())
        ),
    )


def trees() -> st.SearchStrategy[Data]:
    """COSEM data as a tree of arrays, structures and single values."""
    return st.recursive(
        leaves(),
        lambda children: st.builds(
            Data,
            st.sampled_from([DataTag.ARRAY, DataTag.STRUCTURE]),
            st.lists(children, max_size=6).map(tuple),
        ),
        max_leaves=40,
    )
