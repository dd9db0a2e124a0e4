"""Linear algebra on canonical cores ``(r_{k-1}, n_k, m_k, r_k)`` (Oseledets 2011, section 4).

Functions take and return tuples of cores and trust them; `TTMatrix` checks them. Nothing
here forms the full matrix, and everything is exact on exact numbers: integers of fixed width that
would wrap around become wider (`integers`). Floating-point numbers overflow or underflow only if
the result does (`scaling`).
"""

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from ttref.arrays import holds_objects, namespace, plain
from ttref.contracts import Array, Cores, Dtype
from ttref.tt.integers import are_fixed, bound_of_train, largest, widened
from ttref.tt.scaling import level, normalized, restrained, shift, spread


def add(cores: Cores, others: Cores) -> tuple[Array, ...]:
    """A + B: block-diagonal cores, so ranks add."""
    if are_fixed(*cores, *others):
        sizes = [largest(core) for core in (*cores, *others)]
        cores, others = _widened(sum(sizes) if len(cores) == 1 else max(sizes), cores, others)
    if len(cores) == 1:
        return (cores[0] + others[0],)
    xp = namespace(*cores, *others)
    first = xp.concat([cores[0], others[0]], axis=3)
    last = xp.concat([cores[-1], others[-1]], axis=0)
    middle = (_block_diagonal(a, b) for a, b in zip(cores[1:-1], others[1:-1], strict=True))
    return (first, *middle, last)


def _block_diagonal(a: Array, b: Array) -> Array:
    """Core [[a, 0], [0, b]] over the two bonds."""
    xp = namespace(a, b)
    al, n, m, ar = a.shape
    bl, _, _, br = b.shape
    top = xp.concat([a, xp.zeros((al, n, m, br), dtype=a.dtype)], axis=3)
    bottom = xp.concat([xp.zeros((bl, n, m, ar), dtype=a.dtype), b], axis=3)
    return xp.concat([top, bottom], axis=0)


def scale(cores: Cores, factor: Any) -> tuple[Array, ...]:
    """Factor * A: the first core takes it; the others take its dtype, if that is a wider one."""
    first = _scaled(cores[0], factor)
    return (first, *_converted(cores[1:], first.dtype))


def _converted(cores: Cores, dtype: Dtype) -> list[Array]:
    """The cores, in another dtype if they are not in it."""
    return [c if c.dtype == dtype else namespace(c).astype(c, dtype) for c in cores]


def divide(cores: Cores, divisor: Any) -> tuple[Array, ...]:
    """A / divisor; a quotient of Python's integers is a fraction."""
    first = cores[0]
    if holds_objects(first):
        quotient = np.frompyfunc(lambda v: _quotient(v, plain(divisor)), 1, 1)(first)
    else:
        quotient = first / divisor
    return (quotient, *_converted(cores[1:], quotient.dtype))


def _quotient(value: Any, divisor: Any) -> Any:
    is_whole = isinstance(value, int) and isinstance(divisor, int)
    return Fraction(value, divisor) if is_whole else value / divisor


def _scaled(core: Array, factor: Any) -> Array:
    """``core * factor``, where integers do not wrap around."""
    value = plain(factor)
    if not isinstance(value, int) or not are_fixed(core):
        return core * factor
    (core,) = widened(max(largest(core), 1) * abs(value), core, has_sign=value < 0)
    return core * (value if holds_objects(core) else factor)


def transpose(cores: Cores) -> tuple[Array, ...]:
    """A^T: input and output modes change places."""
    return tuple(namespace(c).permute_dims(c, (0, 2, 1, 3)) for c in cores)


def product(cores: Cores, others: Cores) -> tuple[Array, ...]:
    """A B as a train: ranks multiply."""
    if are_fixed(*cores, *others):
        pairs = zip(cores, others, strict=True)
        bound = max([largest(a) * largest(b) * a.shape[2] for a, b in pairs])
        cores, others = _widened(bound, cores, others)
    cores, exponent = level(cores)
    others, other_exponent = level(others)
    pairs = zip(cores, others, strict=True)
    return spread([_core_product(a, b) for a, b in pairs], exponent + other_exponent)


def _core_product(a: Array, b: Array) -> Array:
    xp = namespace(a, b)
    al, n, _, ar = a.shape
    bl, _, m, br = b.shape
    joint = xp.tensordot(a, b, axes=((2,), (1,)))  # cjkd,ekif->cjdeif
    return xp.reshape(xp.permute_dims(joint, (0, 3, 1, 4, 2, 5)), (al * bl, n, m, ar * br))


def apply(cores: Cores, x: Array) -> Array:
    """X W for a dense `x` of shape (B, N), by one sweep; W is never formed."""
    if are_fixed(x, *cores):
        bound = largest(x) * bound_of_train(cores) * x.shape[1]
        x, *cores = widened(bound, x, *cores)
    xp = namespace(x, *cores)
    cores, exponent = level(cores)
    state, moved = normalized(x)
    done, pending = x.shape  # sizes of p and q before the next core
    for core in cores:  # pajq,ajib->pibq
        a, j, i, b = core.shape
        pending //= j
        state = xp.reshape(state, (done, a * j, pending))
        state = xp.matmul(xp.permute_dims(xp.reshape(core, (a * j, i * b)), (1, 0)), state)
        state, more = restrained(state)
        moved += more
        done *= i
    state = xp.reshape(state, (x.shape[0], prod(core.shape[2] for core in cores)))
    return shift(state, exponent + moved)


def inner(cores: Cores, others: Cores) -> Any:
    """Frobenius inner product ``sum conj(A) * B``, in O(d n m r^3)."""
    if are_fixed(*cores, *others):
        entries = prod([core.shape[1] * core.shape[2] for core in cores])
        bound = bound_of_train(cores) * bound_of_train(others) * entries
        cores, others = _widened(bound, cores, others)
    xp = namespace(*cores, *others)
    cores, exponent = level(cores)
    others, other_exponent = level(others)
    exponent += other_exponent
    state = xp.ones((1, 1), dtype=cores[0].dtype)  # (bond of A, bond of B)
    for a, b in zip(cores, others, strict=True):
        right = xp.tensordot(state, b, axes=1)  # ce,ejif->cjif
        state = xp.tensordot(_conjugate(a), right, axes=((0, 1, 2), (0, 1, 2)))  # cjid,cjif->df
        state, moved = restrained(state)
        exponent += moved
    return shift(state, exponent)[0, 0]


def _widened(bound: int, cores: Cores, others: Cores) -> tuple[tuple[Array, ...], ...]:
    """`widened` for two trains of one length."""
    wide = widened(bound, *cores, *others)
    return wide[: len(cores)], wide[len(cores) :]


def _conjugate(x: Array) -> Array:
    xp = namespace(x)
    if holds_objects(x):  # of which rationals and duals know no conjugate
        return np.frompyfunc(lambda v: v.conjugate() if hasattr(v, "conjugate") else v, 1, 1)(x)
    return xp.conj(x) if xp.isdtype(x.dtype, "complex floating") else x
