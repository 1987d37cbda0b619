"""Counter-based randomness."""

from __future__ import annotations

import numpy as np

from hes_simulators.randomness import normal, one_uniform, stream_key, uniform, uniforms


def test_reference_values_of_splitmix64() -> None:
    """The first outputs of SplitMix64 seeded with 1234567, as published (Rosetta Code)."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert uniform(1234567, np.arange(5)).tolist() == [(n >> 11) * 2.0**-53 for n in published]


def test_numbers_do_not_depend_on_how_they_are_asked_for() -> None:
    key = stream_key(1, "a")
    counters = np.array([7, 3, 10**9, 0])
    at_once = uniform(key, counters)
    one_by_one = [uniform(key, counters[i : i + 1])[0] for i in range(4)]
    assert at_once.tolist() == one_by_one
    assert [one_uniform(key, counter) for counter in counters.tolist()] == one_by_one
    keys = [key, 0, 2**64 - 1]
    days = counters.reshape(2, 2)
    assert uniforms(keys, days).tolist() == [uniform(one, days).tolist() for one in keys]


def test_streams_differ() -> None:
    assert stream_key(1, 2) != stream_key(12)
    counters = np.arange(1000)
    a, b = uniform(stream_key(1, "a"), counters), uniform(stream_key(1, "b"), counters)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_distributions() -> None:
    counters = np.arange(100_000)
    u = uniform(stream_key("u"), counters)
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01
    g = normal(stream_key("g"), counters)
    assert abs(g.mean()) < 0.02
    assert abs(g.std() - 1) < 0.02
