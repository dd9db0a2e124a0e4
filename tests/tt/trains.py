"""Trains for these tests: structure from hypothesis, values from a drawn seed."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from ttref.arrays import namespace, to_numpy
from ttref.tt import TTMatrix, core_shapes

SEEDS = st.integers(0, 2**32 - 1)

# For the tests that run on every array library: d = 1, size-1 and prime modes, a rank beyond
# n m, and equal modes and ranks.
STRUCTURES = [
    ((2, 2), (2, 2), (1, 3, 1)),
    ((5,), (3,), (1, 1)),
    ((2, 3), (3, 2), (1, 7, 1)),
    ((1, 5, 2), (7, 1, 1), (1, 9, 3, 1)),
    ((2, 2, 2), (2, 2, 2), (1, 3, 3, 1)),
]


def some(cases, backend):
    """All cases, but one for JAX, which compiles every operation on every new shape (50 ms)."""
    return cases[:1] if backend.name == "jax" else cases


def values(rng, shape, kind=int):
    """Small integers as Python ints in an object array, or quotients of them."""
    numerators = rng.integers(-3, 4, shape).astype(object)
    if kind is int:
        return numerators
    return np.frompyfunc(Fraction, 2, 1)(numerators, rng.integers(1, 5, shape).astype(object))


def train(seed, in_modes, out_modes, ranks, kind=int):
    """An exact train; `seed` is an int or a generator."""
    rng = np.random.default_rng(seed)
    return TTMatrix([values(rng, s, kind) for s in core_shapes(in_modes, out_modes, ranks)])


def sizes(length, top):
    """Tuples of 1 to `top`, equal entries half of the time."""
    size = st.integers(1, top)
    return st.one_of(size.map(lambda s: (s,) * length), st.tuples(*[size] * length))


@st.composite
def matrices(draw, *pairs):
    """One exact train for each pair of letters, equal letters with equal modes: ("nm", "ml")."""
    d = draw(st.integers(1, 4))
    largest = (7, 5, 3, 2)[d - 1]
    letters = sorted(set("".join(pairs)))
    modes = {letter: draw(sizes(d, largest)) for letter in letters}
    if draw(st.booleans()):
        modes = dict.fromkeys(letters, modes[letters[0]])
    kind = draw(st.sampled_from((int, Fraction)))
    rng = np.random.default_rng(draw(SEEDS))
    ranks = [(1, *draw(sizes(d - 1, 4)), 1) for _ in pairs]
    return [train(rng, modes[n], modes[m], r, kind) for (n, m), r in zip(pairs, ranks, strict=True)]


def convert(exact, array):
    """The train with every core passed through `array`."""
    return TTMatrix([array(core) for core in exact.cores])


def assert_same(actual, expected):
    """Equal in shape, dtype and every entry, and exact numbers have stayed exact."""
    np.testing.assert_array_equal(actual, expected, strict=True)
    if expected.dtype == object:
        assert all(isinstance(v, int | Fraction) for v in actual.flat)


def assert_same_on(backend, actual, exact):
    """`actual` is an array of this library and dtype that holds the integers `exact`."""
    assert namespace(actual) is backend.xp
    assert actual.dtype == backend.dtype
    assert_same(to_numpy(actual), to_numpy(backend.array(exact)))


def assert_same_number_on(backend, actual, exact):
    """`actual` is a number of this kind, exact if it can be, and equals `exact`."""
    assert actual == exact
    if backend.exact:
        assert isinstance(actual, int | Fraction)
    else:
        assert actual.dtype == backend.dtype
