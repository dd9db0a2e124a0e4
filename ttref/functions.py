"""Elementwise functions for every kind of number, and the only place where values are compared.

Floats        accurate in both tails: no overflow, no cancellation.
Complex       the same lines; every branch is taken on the real part, so the complex step works.
Exact numbers the polynomial ones and the piecewise linear ones are exact on int and Fraction. The
              others call the number's own method (``x.tanh()`` of a ball) and raise `InexactError`
              where there is none.

At a kink the value of the left branch is taken, relu'(0) = 0, but the hard sigmoids are flat at
both ends: hard_sigmoid'(+-5/2) = 0. A function is at a kink where the numbers that it compares are
equal: `watch_kinks` collects them.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array, is_jax_array, is_numpy_array, is_torch_array

from ttref.arrays import holds_objects, namespace, to_numpy
from ttref.contracts import Array
from ttref.errors import InexactError, UndecidableError

_kinks: ContextVar[list[Any] | None] = ContextVar("kinks", default=None)


@contextmanager
def watch_kinks() -> Iterator[list[Any]]:
    """A list of the exact numbers whose comparison, inside the block, is decided at equality.

    There a derivative may jump. Comparisons of floats are not watched.

    >>> with watch_kinks() as kinks:
    ...     y = relu(np.asarray([-1, 0, 1], dtype=object))
    >>> kinks
    [0]
    """
    kinks: list[Any] = []
    token = _kinks.set(kinks)
    try:
        yield kinks
    finally:
        _kinks.reset(token)


def divide(x: Array, divisor: Any) -> Array:
    """``x / divisor``, exact on integers: an integer divided by an integer is a Fraction."""
    if hasattr(x, "dtype") and not holds_objects(x):  # a sum of an object array is a bare number
        return x / divisor
    return _each(lambda v, w: Fraction(v, w) if _are_ints(v, w) else v / w, x, divisor)


def where_positive(x: Array, positive: Any, otherwise: Any, *, smooth: bool = False) -> Array:
    """`positive` where ``x > 0``, `otherwise` where ``x <= 0``; a NaN goes with `positive`.

    With `smooth`, both have the same derivatives at 0, which then is no kink.

    Raises
    ------
    UndecidableError
        If a number is neither: a ball that contains 0.
    """
    if holds_objects(x):
        is_positive = np.asarray(_each(_is_positive, x), bool)
        if not smooth:
            _note_kinks(_is_zero, x)
        return namespace(x).where(is_positive, positive, otherwise)
    return namespace(x).where(_real(x) <= 0, otherwise, positive)


def greater(x: Array, y: Array) -> Array:
    """Whether ``x > y``, as booleans; a NaN in `x` is greater than anything.

    Raises
    ------
    UndecidableError
        If a number is neither greater nor not: balls that overlap, unless they are one object.
    """
    if holds_objects(x):
        is_greater = np.asarray(_each(_is_greater, x, y), bool)
        _note_kinks(_are_equal, x, y)
        return is_greater
    return (_real(x) > _real(y)) | (x != x)


def where_positive_else_zero(x: Array, y: Array) -> Array:
    """`y` where ``x > 0``, else 0: on real floats a product, ten times as fast as a choice."""
    if not _is_real(x):
        return where_positive(x, y, y * 0)
    return y * namespace(y).astype(x > 0, y.dtype)


def relu(x: Array) -> Array:
    """``max(x, 0)``."""
    return namespace(x).maximum(x, 0) if _is_real(x) else where_positive(x, x, x * 0)


def negative_part(x: Array) -> Array:
    """``min(x, 0)``, its derivative at 0 being 1."""
    return namespace(x).minimum(x, 0) if _is_real(x) else where_positive(x, x * 0, x)


def absolute(x: Array) -> Array:
    """``x`` or ``-x``, whichever has the non-negative real part: analytic on each side."""
    return where_positive(x, x, -x)


def hard_sigmoid(x: Array) -> Array:
    """``clip(x / 5 + 1 / 2, 0, 1)`` (Keras 1 and 2; TT_RNN's gate)."""
    return where_positive(5 - 2 * x, relu(divide(2 * x + 5, 10)), 1)


def hard_sigmoid_sixth(x: Array) -> Array:
    """``clip(x / 6 + 1 / 2, 0, 1)`` (Keras 3; torch's Hardsigmoid)."""
    return where_positive(3 - x, relu(divide(x + 3, 6)), 1)


def sqrt(x: Array) -> Array:
    """Square root."""
    return _transcendental("sqrt", x)


def exp(x: Array) -> Array:
    """``e ** x``."""
    return _transcendental("exp", x)


def log1p(x: Array) -> Array:
    """``log(1 + x)``."""
    return _transcendental("log1p", x)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return _transcendental("tanh", x)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, with full relative accuracy in both tails."""
    decay = exp(-where_positive(x, x, -x, smooth=True))
    return where_positive(x, 1, decay, smooth=True) / (1 + decay)


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``."""
    positive_part = (
        namespace(x).maximum(x, 0) if _is_real(x) else where_positive(x, x, x * 0, smooth=True)
    )
    return positive_part + log1p(exp(-where_positive(x, x, -x, smooth=True)))


def expm1(x: Array) -> Array:
    """``exp(x) - 1``."""
    return _transcendental("expm1", x)


def erfc(x: Array) -> Array:
    """``1 - erf(x)``; the Array API standard lacks it, so each library's own is called."""
    if holds_objects(x):
        return _transcendental("erfc", x)
    if is_torch_array(x):
        return namespace(x).special.erfc(x)
    if is_cupy_array(x):
        from cupyx.scipy.special import erfc
    elif is_jax_array(x):
        from jax.scipy.special import erfc
    elif is_numpy_array(x):
        from scipy.special import erfc
    else:
        from scipy.special import erfc as on_numpy

        return namespace(x).asarray(on_numpy(to_numpy(x)))
    return erfc(x)


def normal_cdf(x: Array) -> Array:
    """Distribution function of the standard normal, accurate in the lower tail."""
    root = _each(lambda v: method_of(v * 0 + 2, "sqrt")(), x) if holds_objects(x) else math.sqrt(2)
    return erfc(-x / root) / 2


def normal_pdf(x: Array) -> Array:
    """Density of the standard normal."""
    if holds_objects(x):
        return exp(-x * x / 2) / _each(lambda v: method_of(2 * method_of(v, "pi")(), "sqrt")(), x)
    return exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _is_positive(value: Any) -> bool:
    if value > 0:
        return True
    if value <= 0:
        return False
    raise UndecidableError(f"whether {value} is positive cannot be told")


def _is_greater(value: Any, other: Any) -> bool:
    if value is other or value <= other:
        return False
    if value > other:
        return True
    raise UndecidableError(f"whether {value} is greater than {other} cannot be told")


def _is_zero(value: Any) -> bool:
    return bool(value <= 0) and not value < 0


def _are_equal(value: Any, other: Any) -> bool:
    """Whether two numbers are equal; not if they are one, which moves as one."""
    return value is not other and bool(value <= other) and not value < other


def _note_kinks(is_kink: Callable[..., bool], x: Array, *others: Array) -> None:
    """Tell `watch_kinks` of the entries of `x` that are on a kink."""
    kinks = _kinks.get()
    if kinks is not None:
        found = np.asarray(_each(is_kink, x, *others), bool)
        kinks.extend(np.broadcast_to(x, found.shape)[found])


def _is_real(x: Array) -> bool:
    kind = getattr(x.dtype, "kind", "")  # of NumPy's and CuPy's dtypes
    return kind == "f" or (kind != "O" and namespace(x).isdtype(x.dtype, "real floating"))


def _real(x: Array) -> Array:
    return x if _is_real(x) else namespace(x).real(x)


def _transcendental(name: str, x: Array) -> Array:
    if not holds_objects(x):
        return getattr(namespace(x), name)(x)
    return _each(lambda v: method_of(v, name)(), x)


def method_of(value: Any, name: str) -> Callable[..., Any]:
    """The function `name` of a number that has a value for it, as its method."""
    try:
        return getattr(value, name)
    except AttributeError:
        raise InexactError(
            f"{name} of {type(value).__name__} {value} has no exact value; use float arrays, or an "
            "exact function (identity, relu, leaky_relu, hard_sigmoid, hard_sigmoid_sixth)"
        ) from None


def _each(function: Callable[..., Any], *operands: Any) -> np.ndarray:
    """Elementwise on object arrays; unlike `numpy.frompyfunc` alone, 0-d results stay arrays."""
    return np.asarray(np.frompyfunc(function, len(operands), 1)(*operands), dtype=object)


def _are_ints(*values: Any) -> bool:
    return all(isinstance(v, int | np.integer) for v in values)
