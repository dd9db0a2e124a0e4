"""How many multiplications and additions an operator, a layer or a network takes.

The operator runs once, on arrays of a small array library that counts: each function of it is
NumPy's, and adds to a `Tally` what it computes. Products of matrices are counted from their shapes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ttref import tree
from ttref.arrays import numpy_namespace
from ttref.contracts import Array, Namespace
from ttref.errors import ConventionError, ShapeError


class Operations(NamedTuple):
    """Scalar operations of one kind each; comparisons, copies and changes of sign are free."""

    multiplications: int = 0
    additions: int = 0  # and subtractions
    divisions: int = 0
    functions: int = 0  # values of exp, tanh, sqrt and so on

    @property
    def flops(self) -> int:
        """Multiplications, additions and divisions together."""
        return self.multiplications + self.additions + self.divisions


class FlopCount(NamedTuple):
    """The operations of a forward and of a backward pass."""

    forward: Operations
    backward: Operations


def count_flops(
    op: Any,
    shapes: Sequence[Any],
    *,
    options: Mapping[str, Any] | None = None,
    input_gradient: bool = True,
) -> FlopCount:
    """Count the operations of one forward and one backward pass.

    Parameters
    ----------
    op : operator, layer, network, cell or loss
        Anything with ``forward``, whose result is ``(y, cache)``, and ``backward``.
    shapes : tuple
        For a layer, the shape of x with its batch, ``(B, N)`` for a dense one: its parameters are
        those of ``op.init``. For anything else, a tuple with the shapes of the positional arguments
        of ``forward``: ``({"kernel": (N, M)}, (B, N))``. An array stands for itself (labels,
        masks), and so does all that is no shape.
    options : dict, optional
        Keyword arguments of ``forward``.
    input_gradient : bool
        Without it, the cotangent of x is not computed, as in the first layer of a network.

    Returns
    -------
    FlopCount

    Raises
    ------
    ConventionError
        If `op` has no forward and backward.
    ShapeError
        If the shapes do not fit the operator, or are none.

    Notes
    -----
    The count is that of the code as it runs on libraries other than NumPy and CuPy: that of
    `ttref.ops`, but for TT layers, which `ttref.fast.tt_linear` computes in the order of a plan.
    A sum of n numbers takes n - 1 additions, and so does an inner product of n terms.

    Examples
    --------
    >>> from ttref import Dense, ops
    >>> count = count_flops(ops.linear, ({"kernel": (20, 30)}, (5, 20)))
    >>> count.forward
    Operations(multiplications=3000, additions=2850, divisions=0, functions=0)
    >>> count.backward.multiplications
    6000
    >>> count_flops(Dense(20, 30, activation="tanh"), (5, 20)).forward.functions
    150
    """
    if not (hasattr(op, "forward") and hasattr(op, "backward")):
        raise ConventionError(
            f"op is a {type(op).__name__}, expected an operator or a layer, with forward and "
            "backward"
        )
    arguments = _make_arguments(op, shapes)
    with _tally() as forward:
        y, cache = op.forward(*arguments, **(options or {}))
    dy = tree.map(lambda a: None if a is None else Counting(np.ones(a.shape)), y)
    with _tally() as backward:
        op.backward(dy, cache) if input_gradient else op.backward(dy, cache, False)
    return FlopCount(Operations(**forward), Operations(**backward))


def _make_arguments(op: Any, shapes: Sequence[Any]) -> tuple:
    """Counting arrays of ones, of these shapes."""
    if hasattr(op, "init"):
        if not _is_shape(shapes):
            raise ShapeError(f"shapes is {shapes!r}, expected the shape of x: a layer has its own")
        params = op.init(0, "float64")
        return tree.map(Counting, params), Counting(np.ones(tuple(shapes)))
    if not isinstance(shapes, tuple | list) or _is_shape(shapes):
        raise ShapeError(
            f"shapes is {shapes!r}, expected a tuple with the shapes of each argument of forward"
        )
    return tuple([_make_argument(shape) for shape in shapes])


def _make_argument(shape: Any) -> Any:
    """One argument: of a shape, a tree of shapes, or what stands for itself."""
    if isinstance(shape, dict):
        return {name: _make_argument(part) for name, part in shape.items()}
    if _is_shape(shape):
        return Counting(np.ones(tuple(shape)))
    if isinstance(shape, tuple | list):
        return tuple([_make_argument(part) for part in shape])
    return Counting(shape) if isinstance(shape, np.ndarray) else shape


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(size, int) for size in value)


# The array library that counts

_current: ContextVar[dict[str, int] | None] = ContextVar("tally", default=None)


@contextmanager
def _tally() -> Iterator[dict[str, int]]:
    """Counts by the names of `Operations`, of what counting arrays compute inside the block."""
    counts = dict.fromkeys(Operations._fields, 0)
    token = _current.set(counts)
    try:
        yield counts
    finally:
        _current.reset(token)


def _add(name: str, count: int) -> None:
    counts = _current.get()
    if counts is not None:
        counts[name] += max(count, 0)


ELEMENTWISE = {
    **dict.fromkeys(("multiply", "square"), "multiplications"),
    **dict.fromkeys(("add", "subtract"), "additions"),
    **dict.fromkeys(("divide", "reciprocal"), "divisions"),
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "pow"), "functions"),
    **dict.fromkeys(("sin", "cos", "tan", "sinh", "cosh", "tanh"), "functions"),
    **dict.fromkeys(("asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh"), "functions"),
}
"""Functions whose every entry of the result is one operation."""

REDUCTIONS = {
    **dict.fromkeys(("sum", "mean", "cumulative_sum"), "additions"),
    "prod": "multiplications",
}
"""Functions that join all entries which become one entry of the result."""

UNKNOWN = ("einsum", "linalg", "fft", "var", "std", "vecdot", "dot", "inner", "convolve")
"""Functions that compute, and that are not counted."""


class CountingNamespace:
    """NumPy's functions, on counting arrays."""

    def __getattr__(self, name: str) -> Any:
        if name in UNKNOWN:
            raise ConventionError(f"count_flops cannot count xp.{name}")
        attribute = getattr(numpy_namespace, name)
        if not callable(attribute) or isinstance(attribute, type):
            return attribute
        return _count_calls(name, attribute)


def _count_calls(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy that takes and returns counting arrays, and counts."""

    def call(*arguments: Any, **options: Any) -> Any:
        options.pop("device", None)
        plain = [_unwrap(a) for a in arguments]
        result = function(*plain, **{key: _unwrap(value) for key, value in options.items()})
        _count(name, plain, result)
        return _wrap(result)

    return call


def _count(name: str, arguments: Sequence[Any], result: Any) -> None:
    """Add what a call computed to the current tally."""
    size = int(np.size(result))
    if name in ELEMENTWISE:
        _add(ELEMENTWISE[name], size)
    elif name in REDUCTIONS:
        _add(REDUCTIONS[name], np.size(arguments[0]) - _sums(name, arguments[0], result))
        if name == "mean":
            _add("divisions", size)
    elif name in ("matmul", "tensordot"):
        # each entry of the result is an inner product of so many terms
        length = _length_of_products(name, arguments, size)
        _add("multiplications", size * length)
        _add("additions", size * (length - 1))


def _sums(name: str, x: Any, result: Any) -> int:
    """How many sums a reduction makes."""
    return prod(np.shape(x)[:-1]) if name == "cumulative_sum" else int(np.size(result))


def _length_of_products(name: str, arguments: Sequence[Any], size: int) -> int:
    """Terms of the inner products of matmul, and of tensordot, whose free axes are the result's."""
    a = arguments[0]
    b = arguments[1]
    if name == "matmul":
        return int(a.shape[-1])
    return round((a.size * b.size / size) ** 0.5) if size else 0


def _unwrap(value: Any) -> Any:
    if isinstance(value, Counting):
        return value.values
    if isinstance(value, tuple | list):
        return type(value)([_unwrap(part) for part in value])
    return value


def _wrap(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return Counting(np.asarray(value))
    if isinstance(value, tuple | list):
        return tuple([_wrap(part) for part in value])
    return value


NAMESPACE: Namespace = CountingNamespace()


def _make_method(name: str, reflected: bool = False) -> Callable[..., Array]:
    """The method of an operator, by the name of NumPy's function for it."""
    function = _count_calls(name, getattr(np, name))

    def method(self: "Counting", other: Any) -> Array:
        return function(other, self) if reflected else function(self, other)

    return method


class Counting:
    """An array of the library that counts."""

    __array_priority__ = 1000
    __array_ufunc__ = None  # NumPy arrays leave operations to this class

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.asarray(values)

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return NAMESPACE

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Leave the library, as `ttref.functions.erfc` does for a function that it lacks."""
        _add("functions", self.size)
        return np.asarray(self.values, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.values.ndim

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.values.size

    @property
    def dtype(self) -> np.dtype:
        """The dtype of NumPy."""
        return self.values.dtype

    @property
    def device(self) -> str:
        """Where it is."""
        return "cpu"

    @property
    def T(self) -> "Counting":
        """The transpose."""
        return Counting(self.values.T)

    def __len__(self) -> int:
        return len(self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __index__(self) -> int:
        return self.values.__index__()

    def __getitem__(self, index: Any) -> "Counting":
        return Counting(np.asarray(self.values[_unwrap(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.values[_unwrap(index)] = _unwrap(value)

    def __neg__(self) -> "Counting":
        return Counting(-self.values)

    def __invert__(self) -> "Counting":
        return Counting(~self.values)

    def __abs__(self) -> "Counting":
        return Counting(np.abs(self.values))

    def __pow__(self, exponent: Any) -> "Counting":
        if isinstance(exponent, int) and exponent > 0:
            _add("multiplications", (exponent - 1) * self.size)
        else:
            _add("functions", self.size)
        return Counting(self.values ** _unwrap(exponent))

    __add__ = _make_method("add")
    __radd__ = _make_method("add", reflected=True)
    __sub__ = _make_method("subtract")
    __rsub__ = _make_method("subtract", reflected=True)
    __mul__ = _make_method("multiply")
    __rmul__ = _make_method("multiply", reflected=True)
    __truediv__ = _make_method("divide")
    __rtruediv__ = _make_method("divide", reflected=True)
    __floordiv__ = _make_method("floor_divide")
    __mod__ = _make_method("remainder")
    __matmul__ = _make_method("matmul")
    __rmatmul__ = _make_method("matmul", reflected=True)
    __and__ = _make_method("bitwise_and")
    __or__ = _make_method("bitwise_or")
    __lt__ = _make_method("less")
    __le__ = _make_method("less_equal")
    __gt__ = _make_method("greater")
    __ge__ = _make_method("greater_equal")
    __eq__ = _make_method("equal")
    __ne__ = _make_method("not_equal")
    __hash__ = None  # type: ignore[assignment]
