"""Problems for the affine operators: structure from hypothesis, values from a drawn seed."""

from math import prod
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st


class Problem(NamedTuple):
    """Parameters, input and cotangent as NumPy arrays of small integers."""

    params: dict
    x: np.ndarray
    dy: np.ndarray


@st.composite
def dense_problems(draw):
    B, N, M = draw(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)))
    return _problem(draw, lambda rng: {"kernel": _integers(rng, (N, M))}, B, N, M)


@st.composite
def tt_problems(draw, max_cores=4):
    """Trains with size-1 and prime modes, ranks beyond n m, and often squares and equal ranks."""
    d = draw(st.integers(1, max_cores))
    largest = 3 if d < 4 else 2
    n, m = (tuple(draw(st.lists(st.integers(1, largest), min_size=d, max_size=d))) for _ in "nm")
    r = (1, *draw(st.lists(st.integers(1, 5), min_size=d - 1, max_size=d - 1)), 1)
    shapes = list(zip(r[:-1], n, m, r[1:], strict=True))
    cores = lambda rng: {"cores": tuple(_integers(rng, s) for s in shapes)}  # noqa: E731
    return _problem(draw, cores, draw(st.integers(0, 3)), prod(n), prod(m))


def _problem(draw, params_from, B, N, M):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = params_from(rng)
    if draw(st.booleans()):
        params["bias"] = _integers(rng, (M,))
    return Problem(params, _integers(rng, (B, N)), _integers(rng, (B, M)))


def _integers(rng, shape):
    return rng.integers(-3, 4, shape)
