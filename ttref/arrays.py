"""Array namespaces, devices and the checks made at the public border.

Every array library is reached through `namespace`, so the same operator runs on NumPy, CuPy,
array_api_strict, torch and JAX arrays, and on NumPy object arrays of exact numbers.
"""

import importlib.util
from numbers import Number, Rational
from typing import Any

import array_api_compat.numpy
import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_cupy_array

from ttref.checks import check_choice
from ttref.contracts import Array, Namespace, Shape
from ttref.errors import DeviceError, DtypeError, ShapeError

numpy_namespace = array_api_compat.numpy
NUMPY_ONLY = {np.ndarray}


def namespace(*arrays: Array) -> Namespace:
    """The array namespace that all of `arrays` belong to.

    Raises
    ------
    DtypeError
        If they are of different libraries, or not arrays.
    """
    if {*map(type, arrays)} == NUMPY_ONLY:  # a tenth of the time that array_namespace takes
        return numpy_namespace
    try:
        return array_namespace(*arrays)
    except TypeError:
        kinds = sorted(
            {f"{type(a).__module__.partition('.')[0]} {type(a).__name__}" for a in arrays}
        )
        raise DtypeError(f"expected arrays of one library, got {', '.join(kinds)}") from None


def gpu_available() -> bool:
    """Whether CuPy can be imported and sees a CUDA device (it may be imported without one)."""
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.cuda.is_available())


def device_namespace(device: str) -> Namespace:
    """Array namespace of ``"cpu"`` (NumPy), ``"gpu"`` (CuPy) or ``"auto"`` (a GPU if there is one).

    Raises
    ------
    DeviceError
        ``"gpu"`` was asked for and CuPy, or a device for it, is missing.
    """
    check_choice("device", device, ("cpu", "gpu", "auto"))
    if device == "cpu" or (device == "auto" and not gpu_available()):
        return numpy_namespace
    if not gpu_available():
        missing = (
            "CuPy finds no CUDA device"
            if importlib.util.find_spec("cupy")
            else "CuPy is not installed (pip install 'ttref[cuda13]' or 'ttref[cuda12]')"
        )
        raise DeviceError(f"device 'gpu' was asked for, but {missing}; use device 'cpu' or 'auto'")
    import array_api_compat.cupy

    return array_api_compat.cupy


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array, copied from the device it is on where that is not the CPU."""
    return x.get() if is_cupy_array(x) else np.asarray(x)


def holds_objects(x: Array) -> bool:
    """Whether `x` is an object array: integers, rationals, dual numbers, balls."""
    return getattr(x.dtype, "kind", "") == "O"


def is_floating(x: Array) -> bool:
    """Whether `x` holds real or complex floating-point numbers."""
    return not holds_objects(x) and namespace(x).isdtype(
        x.dtype, ("real floating", "complex floating")
    )


def describe(x: Any) -> str:
    """`x` in the words of an error message: ``float32 array of shape (2, 3)``."""
    if not is_array_api_obj(x):
        return f"{type(x).__name__} {' '.join(repr(x).split()):.60}"
    return f"{x.dtype} array of shape {tuple(x.shape)}"


def check_array(name: str, x: Any) -> None:
    """Raise `DtypeError` unless `x` is an array; a list is none."""
    if not is_array_api_obj(x):
        raise DtypeError(f"{name} is a {describe(x)}, expected an array")


def check_shape(name: str, x: Any, expected: Shape) -> None:
    """Raise `ShapeError` unless `x` is an array of shape `expected`; None stands for any size."""
    shape = getattr(x, "shape", None)
    if shape is None:
        raise ShapeError(
            f"{name} is a {describe(x)}, expected an array of shape {_sizes(expected)}"
        )
    fits = len(shape) == len(expected)
    for got, wanted in zip(shape, expected, strict=False):
        fits = fits and (wanted is None or got == wanted)
    if not fits:
        raise ShapeError(f"{name} has shape {tuple(shape)}, expected {_sizes(expected)}")


def _sizes(expected: Shape) -> str:
    return str(tuple(expected)).replace("None", "any")


def check_numeric(name: str, x: Any) -> Array:
    """`x` as an array; raise `DtypeError` unless it holds numbers only, in rectangular lists."""
    if not is_array_api_obj(x):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise DtypeError(f"{name} is not a rectangular array of numbers: {error}") from None
    if holds_objects(x):
        for index, value in np.ndenumerate(x):
            if not is_number(value):
                raise DtypeError(f"{name} holds {value!r} at {index}, expected numbers only")
    elif getattr(x.dtype, "kind", "f") not in "iufcb":
        raise DtypeError(f"{name} has dtype {x.dtype}, expected numbers")
    return x


def is_number(value: Any) -> bool:
    """Whether `value` is a number, or adds and multiplies like one (flint.fmpq, dual numbers)."""
    if isinstance(value, Number):
        return True
    return not isinstance(value, str | bytes | list | tuple) and hasattr(value, "__rmul__")


def plain(value: Any) -> Any:
    """A NumPy scalar as the Python number, which takes on the dtype of the array that it meets."""
    return value.item() if isinstance(value, np.generic) else value


def number_for(x: Array, value: Any) -> Any:
    """A number that is to meet the entries of `x`: a fraction is one only for exact entries.

    Examples
    --------
    >>> from fractions import Fraction
    >>> number_for(np.ones(2), Fraction(1, 4))
    0.25
    >>> number_for(np.array([Fraction(1, 3)], object), Fraction(1, 4))
    Fraction(1, 4)
    """
    if isinstance(value, int | float) or not isinstance(value, Rational) or holds_objects(x):
        return value
    return float(value)
