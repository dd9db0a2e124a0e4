"""The activations of the planned recurrence: one table, with every form that a step calls.

A step keeps y = f(x) and not x, so every slope here is a formula of y. At a kink the slope is 0,
and y is 0 or 1 there.

Two other modules hold the same functions and must keep formulas of their own, because their results
differ from these in the last bits. `ttref.ops.activation` is the reference: its sigmoids have full
relative accuracy in both tails and its slopes are formulas of x. `ttref.machine.cuda_kernels` holds
the CUDA text of that reference. The forms here take fewer calls and passes. Only tanh has one
formula in all three.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from array_api_compat import is_cupy_array, is_numpy_array

from ttref import functions as F
from ttref import ops
from ttref.arrays import holds_objects
from ttref.contracts import Array, Namespace


class Activation(NamedTuple):
    """An activation ``y = f(x)`` and its slope ``f'(x)``, in the forms that steps call."""

    forward: Callable[[Namespace, Array], Array]  # on floats of NumPy and CuPy; can be fused
    into: Callable[[Array, Array], Array]  # on NumPy's floats, from x into `out`, which may be x
    slope: Callable[[Array], Array]  # on NumPy's floats, from y, a new array
    times_slope: Callable[[Array, Array], Array]  # v f'(x) from v and y, any kind of number


def _sigmoid_into(x: Array, out: Array) -> Array:
    decay = np.exp(np.negative(x, out=out), out=out)
    return np.reciprocal(np.add(decay, 1, out=out), out=out)


def _ramp(divisor: int) -> Activation:
    """``clip(x / divisor + 1 / 2, 0, 1)``, a hard sigmoid."""

    def into(x: Array, out: Array) -> Array:
        ramp = np.add(np.divide(x, divisor, out=out), 1 / 2, out=out)
        return ramp.clip(0, 1, out=out)  # a fourth of the time of maximum and minimum

    return Activation(
        forward=lambda xp, x: xp.minimum(xp.maximum(x / divisor + 1 / 2, 0), 1),
        into=into,
        slope=lambda y: np.divide((y > 0) & (y < 1), divisor, dtype=y.dtype),
        times_slope=lambda v, y: F.divide(F.where_positive_else_zero(y * (1 - y), v), divisor),
    )


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        forward=lambda xp, x: x,
        into=lambda x, out: np.positive(x, out=out),
        slope=np.ones_like,
        times_slope=lambda v, y: v,
    ),
    "relu": Activation(
        forward=lambda xp, x: xp.maximum(x, 0),
        into=lambda x, out: np.maximum(x, 0, out=out),
        slope=lambda y: np.greater(y, 0).astype(y.dtype),
        times_slope=lambda v, y: F.where_positive_else_zero(y, v),
    ),
    "tanh": Activation(
        forward=lambda xp, x: xp.tanh(x),
        into=lambda x, out: np.tanh(x, out=out),
        slope=lambda y: (1 - y) * (1 + y),
        times_slope=lambda v, y: v * (1 - y) * (1 + y),
    ),
    "sigmoid": Activation(
        forward=lambda xp, x: 1 / (1 + xp.exp(-x)),  # exp may overflow: 1 / inf is right
        into=_sigmoid_into,
        slope=lambda y: (1 - y) * y,
        times_slope=lambda v, y: v * y * (1 - y),
    ),
    "hard_sigmoid": _ramp(5),
    "hard_sigmoid_sixth": _ramp(6),
}

ACTIVATION_NAMES = tuple(ACTIVATIONS)


def is_real_numpy(x: Array) -> bool:
    """Whether `x` is a NumPy array of real floats."""
    return is_numpy_array(x) and x.dtype.kind == "f"


def bind(function: Callable, names: tuple[str, str], like: Array) -> Callable:
    """Give an elementwise function its two activations, in the form for arrays such as `like`.

    Parameters
    ----------
    function : callable
        ``function(act, gate, *arrays)``. It may call `act` and `gate`, add and multiply.
    names : tuple of str
        The activations that `act` and `gate` stand for.
    like : array

    Returns
    -------
    callable
        ``function`` of the arrays alone. On CuPy it is one kernel.
    """
    if is_cupy_array(like):
        return _fuse(function, names)
    if is_real_numpy(like):
        return partial(function, *(partial(ACTIVATIONS[name].forward, np) for name in names))
    return partial(function, *(partial(_apply_reference, name) for name in names))


@lru_cache
def _fuse(function: Callable, names: tuple[str, str]) -> Callable:
    """`bind` for CuPy: one kernel, compiled when it is first called."""
    import cupy

    act, gate = (partial(ACTIVATIONS[name].forward, cupy) for name in names)

    @cupy.fuse(kernel_name=function.__name__)  # cupy.fuse(function, ...) would ignore the name
    def fused(*arrays: Array) -> tuple[Array, ...]:
        return function(act, gate, *arrays)

    return fused


def _apply_reference(name: str, x: Array) -> Array:
    """The activation as `ttref.ops` has it; a constant 1 becomes one of x's kind of number."""
    y = ops.activation.FORWARD[name](x, None)
    return y + x * 0 if holds_objects(x) else y
