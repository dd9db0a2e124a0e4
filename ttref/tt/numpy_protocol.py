"""What NumPy's functions do with a TT-matrix: what the train can answer, or a refusal."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ttref.errors import ConventionError

UFUNCS = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "truediv",
    np.negative: "neg",
    np.matmul: "matmul",
}


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: Any) -> Any:
    """``ufunc(*inputs)`` of which at least one is a TT-matrix, by its operators."""
    if method != "__call__" or options or ufunc not in UFUNCS:
        refuse(f"np.{ufunc.__name__}")
    # The method itself is called: the operator would ask the array, which would ask here again.
    name = UFUNCS[ufunc]
    first, *others = inputs
    if hasattr(first, "cores"):
        answer = getattr(first, f"__{name}__", _has_none)(*others)
    else:
        answer = getattr(others[0], f"__r{name}__", _has_none)(first)
    if answer is NotImplemented:
        refuse(f"np.{ufunc.__name__} with an array")
    return answer


def _has_none(*operands: Any) -> Any:
    return NotImplemented


def dot(a: Any, b: Any) -> Any:
    """``np.dot``: a product, or the scaling by a number."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return a @ b


def norm(x: Any) -> Any:
    """``np.linalg.norm`` of the whole matrix."""
    return x.norm()


def array_equal(a: Any, b: Any) -> bool:
    """``np.array_equal`` of two TT-matrices."""
    if type(a) is not type(b):
        refuse("np.array_equal with an array")
    return a.shape == b.shape and a == b


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.dot: dot,
    np.linalg.norm: norm,
    np.array_equal: array_equal,
    np.transpose: lambda x: x.T,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: 2,
}


def call_function(function: Any, args: tuple[Any, ...], options: Any) -> Any:
    """``function(*args, **options)`` of NumPy, by what the train can answer."""
    name = f"{function.__module__.replace('numpy', 'np')}.{function.__name__}"
    if function not in FUNCTIONS or options:
        refuse(name)
    try:
        return FUNCTIONS[function](*args)
    except TypeError:
        refuse(name)


def refuse(what: str) -> NoReturn:
    """Raise `ConventionError` that says what to call instead."""
    raise ConventionError(
        f"{what} of a TTMatrix is not defined in this form; call it on W.full(), the dense matrix, "
        "or on W.cores"
    )
