"""Whether two trains are the same matrix, exactly: an identity of polynomials modulo a prime.

``u^T (V - W) v`` for vectors u and v that are Kronecker products is a polynomial in their entries,
of degree 2 d, and it is zero only if V = W. It is computed at random points modulo a prime, in
O(d n m r^2) operations. Different matrices are found equal with probability
``(2 d / (2^61 - 1)) ** 2`` at most (Schwartz 1980, Zippel 1979).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref.arrays import holds_objects, to_numpy
from ttref.contracts import Cores
from ttref.errors import ConventionError
from ttref.rng import generator

PRIME = 2**61 - 1  # so that 2 ** 61 is 1, and -1 is no square: complex numbers form a field
TRIALS = 2


def are_equal(cores: Cores, others: Cores) -> bool:
    """Whether two trains of the same modes are the same matrix; NaN and infinity equal nothing.

    Raises
    ------
    ConventionError
        If numbers have no exact value: balls, dual numbers.
    """
    trains = [[_residues(core) for core in train] for train in (cores, others)]
    if any(part is None for train in trains for part in train):
        return False
    rng = generator(0)
    for _ in range(TRIALS):
        points = [[_draw(rng, core.shape[axis]) for axis in (1, 2)] for core in cores]
        first, second = [_evaluate(train, points) for train in trains]
        if first != second:
            return False
    return True


def _draw(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.integers(0, PRIME, size).astype(object)


def _evaluate(train: Sequence[Any], points: Sequence[Sequence[np.ndarray]]) -> tuple[int, int]:
    """The real and the imaginary residue of the train between two vectors."""
    real = np.array([[1]], dtype=object)
    imaginary = np.array([[0]], dtype=object)
    for core, point in zip(train, points, strict=True):
        u, v = point
        # The small matrices of this core, (r_{k-1}, r_k)
        a, b = [np.tensordot(np.tensordot(part, v, (2, 0)), u, (1, 0)) % PRIME for part in core]
        state = real.dot(a) - imaginary.dot(b), real.dot(b) + imaginary.dot(a)
        real, imaginary = [part % PRIME for part in state]
    return real[0, 0], imaginary[0, 0]


def _residues(core: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Real and imaginary parts modulo `PRIME`, as Python integers; None if not all are finite."""
    core = to_numpy(core)
    if holds_objects(core):
        values = np.frompyfunc(_of_object, 1, 1)(core)
        return values, np.zeros_like(values)
    if core.dtype.kind in "iub":
        values = core.astype(object) % PRIME
        return values, np.zeros_like(values)
    if not np.all(np.isfinite(core)):
        return None
    return _of_floats(core.real), _of_floats(core.imag)


def _of_floats(x: np.ndarray) -> np.ndarray:
    """Residues of ``m 2^e``: 2 has the order 61."""
    mantissas, exponents = np.frexp(x.astype(np.float64))
    digits = np.ldexp(mantissas, 53).astype(np.int64).astype(object)
    powers = (1 << ((exponents.astype(np.int64) - 53) % 61)).astype(object)
    return digits * powers % PRIME


def _of_object(value: Any) -> int:
    """The residue of an exact number: numerator over denominator."""
    if isinstance(value, float) and math.isfinite(value):
        value = value.as_integer_ratio()
        return value[0] * pow(value[1], -1, PRIME) % PRIME
    top: Any = getattr(value, "numerator", getattr(value, "p", None))
    bottom: Any = getattr(value, "denominator", getattr(value, "q", None))
    if top is None or bottom is None:
        raise ConventionError(
            f"== compares trains of exact numbers, got {type(value).__name__}; compare the cores"
        )
    return int(top) * pow(int(bottom), -1, PRIME) % PRIME
