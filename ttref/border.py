"""The border of operators and layers: which arguments they take, said in one sentence.

All arrays of a call are of one library and of one dtype, so that a gradient has the dtype of what
it is the gradient of. Exact numbers (object arrays) meet any numbers. Integers that only select,
such as labels, have a dtype of their own. Whatever else goes wrong inside is explained from the
arguments, if they are the cause; otherwise it is raised as it is.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar

import numpy as np

from ttref import tree
from ttref.arrays import (
    check_array,
    check_numeric,
    check_shape,
    describe,
    holds_objects,
    is_number,
    namespace,
)
from ttref.contracts import Array
from ttref.errors import ConventionError, DtypeError, ShapeError, TTRefError

F = TypeVar("F", bound=Callable[..., Any])
SCALARS = ("dloss", "dpenalty")  # cotangents of one number
TUPLES = ("cotangents", "dstate")  # of arrays
MISTAKES = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError)
NUMBERS = "biufc"  # kinds of NumPy's dtypes; object arrays are looked at one by one
_takes_steps = ContextVar("takes_steps", default=False)
SELECT = ("class_mask",)  # arguments that only select, whatever their dtype
COMPUTE = ("params", "state", "x")  # arguments whose integers must be those of x, too


def explained(*names: str) -> Callable[[F], F]:
    """Decorator of a function, or method, that explains these arguments if it fails."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except TTRefError:
                raise
            except MISTAKES as error:
                explain(function, names, args, options, error)
                raise

        return typing.cast(F, guarded)

    return decorate


def forward(*names: str, main: str = "x", is_complex: bool = True) -> Callable[[F], F]:
    """Decorator of a forward pass whose first arguments have these names.

    Parameters
    ----------
    names : str
    main : str
        The one whose library and dtype all others must have, those that follow included.
    is_complex : bool
        Whether complex numbers are taken.
    """

    def decorate(function: F) -> F:
        label = _label(function)
        every = tuple(inspect.signature(function).parameters)

        @functools.wraps(function)
        def checked(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)  # first, for it knows the shapes
            others = dict(zip(every, args, strict=False)) | options
            x = others.pop(main)
            if not is_complex:
                check_real(main, x, label)
            check_alike(x, main, others)
            return result

        return explained(*names)(typing.cast(F, checked))

    return decorate


def backward(function: F) -> F:
    """Decorator of a backward pass ``(dy, cache, ...)``, or of such a method.

    The cache must be of the class that it is annotated with.
    """
    every = tuple(inspect.signature(function).parameters)
    first = 1 if every[0] == "self" else 0
    names = every[first : first + 2]
    if len(names) < 2:  # it takes any arguments, and checks them itself
        return function
    expected: list[tuple[type, ...]] = []  # found at the first call, when all classes are there

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        if len(args) >= first + 2:
            dy, cache = args[first : first + 2]
        else:
            given = dict(zip(every, args, strict=False)) | options
            if not given.keys() >= set(names):
                return function(*args, **options)  # which raises
            dy, cache = [given[name] for name in names]
        if not expected:
            expected.append(_classes(function, names[1]))
        if names[0] in SCALARS and hasattr(dy, "shape"):
            check_shape(names[0], dy, ())
        if expected[0] and not isinstance(cache, expected[0]):
            _refuse_cache(function, cache)
        result = function(*args, **options)
        if hasattr(dy, "dtype") and isinstance(cache, tuple):
            _check_cotangent(dy, names[0], cache)
        return result

    return explained(names[0])(typing.cast(F, checked))


def layer(function: F) -> F:
    """Decorator of the method ``forward(self, params, x, ...)`` of a layer."""

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        x = args[2] if len(args) > 2 else options["x"]
        if type(x) is not np.ndarray or x.dtype.kind not in NUMBERS:
            check_plain("x", x)
        return result

    return explained("params", "x")(typing.cast(F, checked))


def check_alike(x: Array, name: str, others: Mapping[str, Any]) -> None:
    """Raise `DtypeError` unless the floating-point arrays in `others` are of the kind of `x`."""
    kind = type(x)
    dtype = x.dtype
    if kind is not np.ndarray or dtype.kind not in NUMBERS:
        check_plain(name, x)
    for other, value in others.items():
        if other in SELECT:
            continue
        for part in value.values() if type(value) is dict else (value,):
            for leaf in part if type(part) is tuple else (part,):
                if type(leaf) is kind and leaf.dtype is dtype:  # NumPy has each dtype once
                    continue
                _compare_leaves(name, x, other, value, leaf)


def _compare_leaves(name: str, x: Array, other: str, value: Any, branch: Any) -> None:
    for leaf in tree.leaves(branch):
        if hasattr(leaf, "dtype") and not isinstance(leaf, str):  # NumPy's texts have a dtype
            _compare(name, x, other, value, leaf)


def _check_cotangent(dy: Array, name: str, cache: tuple[Any, ...]) -> None:
    """Raise `DtypeError` unless `dy` is of the kind of the arrays that the forward pass saved."""
    kind = type(dy)
    dtype = dy.dtype
    if kind is not np.ndarray or dtype.kind not in NUMBERS:
        check_plain(name, dy)
    for value in cache:
        saved = value[0] if type(value) is tuple and value else value  # cores are of one kind
        if type(saved) is kind and saved.dtype == dtype:
            continue
        if hasattr(saved, "dtype"):
            _compare(name, dy, "cache", saved, saved)


def _compare(name: str, x: Array, other: str, value: Any, leaf: Array) -> None:
    """Raise `DtypeError` unless two arrays may meet in one call."""
    what = _name_of(other, value, leaf)
    check_plain(what, leaf)
    try:
        xp = namespace(x, leaf)
    except DtypeError as error:
        raise DtypeError(f"{name} and {what} are of different array libraries: {error}") from None
    if x.dtype == leaf.dtype or holds_objects(x) or holds_objects(leaf) or _takes_steps.get():
        return
    floats = ("real floating", "complex floating")
    if other in COMPUTE:
        is_checked = not xp.isdtype(leaf.dtype, "bool")
    else:  # labels, indices and masks may be integers beside floats
        is_checked = xp.isdtype(leaf.dtype, floats) and xp.isdtype(x.dtype, floats)
    if is_checked:
        raise DtypeError(
            f"{name} has dtype {x.dtype}, but {what} has {leaf.dtype}; give all arrays of a call "
            "one dtype"
        )


def _name_of(name: str, value: Any, leaf: Any) -> str:
    """The name of a leaf of an argument."""
    if name == "cache":
        return "what the forward pass was given"
    below = next(key for key, one in tree.flatten(value).items() if one is leaf)
    if name == "params":
        return below
    return f"{name}.{below}" if below else name


def check_plain(name: str, x: Any) -> None:
    """Raise `DtypeError` if `x` is no array, or one that computes in a way of its own."""
    check_array(name, x)
    if isinstance(x, np.matrix | np.ma.MaskedArray):
        raise DtypeError(
            f"{name} is a {type(x).__name__} of NumPy, whose products and sums mean something "
            "else; expected a plain array, as np.asarray(...) gives it"
        )
    if getattr(x.dtype, "kind", "f") not in NUMBERS + "O":
        raise DtypeError(f"{name} has dtype {x.dtype}, expected numbers")


@contextmanager
def complex_steps() -> Iterator[None]:
    """Let functions of real numbers take complex ones, whose imaginary parts are small steps."""
    token = _takes_steps.set(True)
    try:
        yield
    finally:
        _takes_steps.reset(token)


def check_real(name: str, x: Array, what: str) -> None:
    """Raise `DtypeError` if `x` is complex; `what` is defined on real numbers."""
    if _takes_steps.get():
        return
    kind = getattr(x.dtype, "kind", None)
    if kind == "c" or (kind is None and namespace(x).isdtype(x.dtype, "complex floating")):
        raise DtypeError(f"{name} has dtype {x.dtype}, but {what} is a function of real numbers")


def _refuse_cache(function: Callable[..., Any], cache: Any) -> NoReturn:
    found = f"{type(cache).__module__}.{type(cache).__name__}"
    raise ConventionError(
        f"cache is a {found.removeprefix('builtins.')}, expected the one that the forward pass of "
        f"{_label(function).rpartition('.')[0]} returned"
    )


def _classes(function: Callable[..., Any], name: str) -> tuple[type, ...]:
    """The classes that an argument is annotated with; none if it may be anything."""
    hint = typing.get_type_hints(function).get(name, Any)
    options = typing.get_args(hint) or (hint,)
    is_known = all(isinstance(option, type) and option is not Any for option in options)
    return options if is_known else ()


def _label(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}".removeprefix("ttref.")


def explain(
    function: Callable[..., Any],
    names: tuple[str, ...],
    args: tuple[Any, ...],
    options: Mapping[str, Any],
    error: Exception,
) -> None:
    """Raise an error of ttref's if the arguments are the cause of `error`."""
    try:
        given = inspect.signature(function).bind(*args, **options).arguments
    except TypeError as mismatch:
        raise ConventionError(f"{_label(function)}: {mismatch}") from None
    for name in names:
        value = given.get(name)
        if name == "params":
            _check_params(value, error)
        elif name in SCALARS:
            _check_number(name, value)
        elif name in TUPLES:
            _check_tuple(name, value)
        elif name in given:
            check_plain(name, value)
            check_numeric(name, value)
    if names[-1] in given and len(names) > 1:
        others = {name: given[name] for name in names[:-1] if name in given}
        check_alike(given[names[-1]], names[-1], others)
    is_ours = function.__module__.startswith("ttref.")  # somebody's own layer has own words
    if is_ours and isinstance(error, IndexError | ValueError):  # NumPy's words on shapes
        shapes = {name: tuple(v.shape) for name, v in given.items() if hasattr(v, "shape")}
        found = ", ".join(f"{name} of shape {shape}" for name, shape in shapes.items())
        reason = " ".join(str(error).split())
        raise ShapeError(
            f"{_label(function)} does not take {found or 'these'}: {reason}"
        ) from error


def _check_tuple(name: str, value: Any) -> None:
    if not isinstance(value, tuple | list):
        raise ShapeError(f"{name} is a {describe(value)}, expected a tuple of arrays")


def _check_number(name: str, value: Any) -> None:
    if not is_number(value) or np.ndim(value):
        raise DtypeError(f"{name} is a {describe(value)}, expected a number")


def _check_params(params: Any, error: Exception) -> None:
    """Raise unless `params` are a tree of arrays; tell of the one whose name is missing."""
    if not isinstance(params, dict | tuple):
        raise ConventionError(f"params is a {describe(params)}, expected a dict of arrays")
    for name, leaf in tree.flatten(params).items():
        check_plain(name, leaf)
        check_numeric(name, leaf)
    if isinstance(params, dict) and "cores" in params:
        _check_tuple("cores", params["cores"])
    if isinstance(error, KeyError) and isinstance(params, dict):
        raise ConventionError(f"params have no {error}, they have {sorted(params)}") from None
