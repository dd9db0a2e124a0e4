"""Exact derivatives along a direction: ``J v`` and ``H v`` by dual numbers.

A forward pass on dual numbers ``x + v eps`` yields ``y + (J v) eps``, and a backward pass on them
yields ``g + (H v) eps``, where ``g = J^T dy`` is the gradient and H its derivative (Pearlmutter
1994 calls this the R operator). No step size is chosen and nothing is truncated. The numbers are
exact too: floats are lifted to rationals, or, where a function has no rational values, to balls.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from array_api_compat import device, is_array_api_obj

from ttref import tree
from ttref.arithmetic import ball, rational
from ttref.arithmetic.dual import Dual
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import primal as primal_of
from ttref.arithmetic.dual import tangent as tangent_of
from ttref.arithmetic.formats import FORMATS, round_to
from ttref.arrays import describe, holds_objects, is_floating, namespace, to_numpy
from ttref.checks import check_choice
from ttref.contracts import Array, Tree
from ttref.errors import (
    ConventionError,
    DataError,
    DtypeError,
    InexactError,
    ShapeError,
)

try:
    from flint.utils.flint_exceptions import FlintError
except ImportError:
    FlintError = InexactError  # type: ignore[assignment, misc]  # nothing else raises it

INEXACT = (InexactError, FlintError, TypeError)
"""Errors after which balls may succeed: FLINT has no root of 2, and no sum of 1 and infinity."""

Differentiable: TypeAlias = Any
"""An operator, a layer, a cell or a loss, which has `forward` and `backward`; or a function."""

Lift: TypeAlias = Callable[[Array], Array]
"""From an array to the object array of exact numbers with which is computed."""

NUMBERS = ("auto", "rationals", "balls")


class Pushforward(NamedTuple):
    """What `jvp` returns: two trees of one structure."""

    y: Tree
    tangent: Tree  # J v


class HessianProduct(NamedTuple):
    """What `hvp` returns: two trees of one structure."""

    gradient: Tree
    product: Tree  # H v


class Setting(NamedTuple):
    """The arguments of `jvp` or `hvp`, checked."""

    function: Differentiable
    primals: tuple
    tangents: tuple  # of the structure of `primals`, with None for a constant
    options: Mapping[str, Any]
    like: Array | None  # an array of the dtype, library and device of the results; None if exact
    numbers: str

    @property
    def is_operator(self) -> bool:
        """Whether the subject has `forward` and `backward`."""
        return hasattr(self.function, "forward")

    def forward(self, arguments: Sequence[Tree], lift: Lift) -> Any:
        """``(y, cache)`` of an operator, y of a function; arrays among the options are lifted."""

        def lift_option(value: Any) -> Any:
            is_generator = isinstance(value, np.random.Generator)
            return copy.deepcopy(value) if is_generator else _lift_leaf(lift, value, None)

        options = tree.map(lift_option, dict(self.options))
        call = self.function.forward if self.is_operator else self.function
        return call(*arguments, **options)


def jvp(
    f: Differentiable,
    primals: Sequence[Tree],
    tangents: Sequence[Tree],
    *,
    options: Mapping[str, Any] | None = None,
    numbers: str = "auto",
) -> Pushforward:
    """Push a tangent forward: y and ``J v``, where J is the derivative of y at `primals`.

    Parameters
    ----------
    f : operator, layer, cell, loss or function
        Anything with ``forward``, whose result is ``(y, cache)``; or a function of arrays, whose
        result is a tree of arrays. A function must accept NumPy object arrays: it may use
        arithmetic, comparisons, NumPy's elementwise functions and `ttref.functions`.
    primals : tuple of trees
        The positional arguments, ``(params, x)`` for an operator or a layer.
    tangents : tuple of trees
        The direction v, of the structure and shapes of `primals`. None, in the place of a leaf or
        of a whole argument, stands for zero: use it for labels, masks and other constants.
    options : dict, optional
        Keyword arguments, for example ``{"strides": 2}``. Arrays among them are constants, and a
        generator is copied, so the caller's stays as it is.
    numbers : str
        What floats are lifted to: ``"rationals"``, ``"balls"``, or ``"auto"``, which takes balls
        where a function has no rational values. Choose balls for long chains of products, whose
        rationals become long.

    Returns
    -------
    y, tangent : trees
        With floats among the primals, arrays of their library, device and common dtype.
        Otherwise object arrays of exact numbers.

    Raises
    ------
    ConventionError, ShapeError, DtypeError, DataError
        If the arguments do not fit each other, are not real and finite, or `f` cannot compute
        with object arrays.
    InexactError
        If exact numbers were given, or rationals asked for, and a function has no exact values.
    UndecidableError
        If a comparison of balls in `ttref.functions` has no answer.
    MissingExtraError
        If balls are needed and python-flint is not installed.

    Notes
    -----
    Each entry is that of the exact derivative of the formula. From rationals it is rounded once,
    correctly. From balls its error is at most ``1/2 + 2^-10`` ulp, or, where the ball contains 0,
    ``2^-10`` ulp of the largest entry of its array. At a kink the derivative is that of the branch
    which `f` takes. Functions of `ttref.functions` refuse comparisons of balls that overlap, whose
    numbers agree to about 35 digits. Python's and NumPy's own comparisons of such balls are False.
    The cost is that of arithmetic on Python objects, so it serves small problems.

    Examples
    --------
    The tangent map of a dense layer, in a direction of its kernel alone:

    >>> import numpy as np
    >>> from ttref import ops
    >>> params = {"kernel": np.asarray([[0.1], [0.2]])}
    >>> x = np.asarray([[3.0, 5.0]])
    >>> y, tangent = jvp(ops.linear, (params, x), ({"kernel": np.asarray([[1.0], [0.0]])}, None))
    >>> y, tangent
    (array([[1.3]]), array([[3.]]))

    A function:

    >>> jvp(np.square, (np.asarray([1.0, 3.0]),), (np.ones(2),)).tangent
    array([2., 6.])
    """
    setting = _check_arguments(f, primals, tangents, options, numbers)

    def push(lift: Lift) -> Pushforward:
        y = setting.forward(_lift_arguments(setting, lift), lift)
        return Pushforward(*_split(y[0] if setting.is_operator else y))

    return Pushforward(*_compute(setting, push))


def hvp(
    f: Differentiable,
    primals: Sequence[Tree],
    tangents: Sequence[Tree],
    cotangent: Tree = None,
    *,
    vjp: Callable[..., Tree] | None = None,
    options: Mapping[str, Any] | None = None,
    numbers: str = "auto",
) -> HessianProduct:
    """Multiply the Hessian of ``<cotangent, f>`` by a tangent: the gradient g and ``H v``.

    Parameters
    ----------
    f : operator, layer, cell, loss or function
        As for `jvp`. With ``forward`` and ``backward``, the product is the derivative of what
        ``backward`` returns. For a function it is the derivative of `vjp`. Without `vjp`, the
        gradient is computed as well, by one call of `f` per entry of the arguments that have a
        tangent.
    primals, tangents : tuples of trees
        As for `jvp`.
    cotangent : tree, optional
        Of the structure and shapes of y; 1 by default, for a y of shape ().
    vjp : callable, optional
        Gradient of a function: ``vjp(dy, *primals)``, as for `check_vjp`.
    options, numbers
        As for `jvp`.

    Returns
    -------
    gradient, product : trees
        Of the structure that ``backward`` or `vjp` returns, for example ``(dparams, dx)``; without
        them, that of `primals` with None for constants. Arrays as from `jvp`, equally accurate.

    Raises
    ------
    ConventionError
        Also if y is not of shape () and there is no cotangent.
    ShapeError, DtypeError, DataError, InexactError, UndecidableError, MissingExtraError
        As from `jvp`.

    Notes
    -----
    ``product`` is H v of the gradient as it is coded. If it is not that of `f`, H is not symmetric
    in general, which `check_op` tests.

    Examples
    --------
    The Hessian of a loss, in the direction of its first entry:

    >>> import numpy as np
    >>> from ttref import TTDense, ops
    >>> prediction, target = np.asarray([[1.0, 2.0]]), np.asarray([[0.0, 0.0]])
    >>> hvp(ops.mean_squared_error, (prediction, target), (np.asarray([[1.0, 0.0]]), None)).product
    array([[1., 0.]])

    A layer, with the cotangent of its output:

    >>> layer = TTDense([2, 2], [2, 1], 2, activation="relu")
    >>> params, x = layer.init(0), np.ones((3, 4), "float32")
    >>> direction = ({**params, "bias": None}, None)
    >>> product = hvp(layer, (params, x), direction, np.ones((3, 2), "float32")).product
    >>> product[0]["cores"][0].shape, product[0]["cores"][0].dtype, product[1].shape
    ((1, 2, 2, 2), dtype('float32'), (3, 4))

    A function whose gradient nobody has written: ``f(x) = sum(x ** 3)``, ``H v = 6 x v``.

    >>> hvp(lambda x: (x**3).sum(), (np.asarray([1.0, 2.0]),), (np.asarray([1.0, 10.0]),))
    HessianProduct(gradient=(array([ 3., 12.]),), product=(array([  6., 120.]),))
    """
    setting = _check_arguments(f, primals, tangents, options, numbers)
    if vjp is not None and setting.is_operator:
        raise ConventionError("vjp goes with a function; an operator has its backward")

    def multiply(lift: Lift) -> HessianProduct:
        if not setting.is_operator and vjp is None:
            return _differentiate_twice(setting, cotangent, lift)
        arguments = _lift_arguments(setting, lift)
        found = setting.forward(arguments, lift)
        y = found[0] if setting.is_operator else found
        dy = _lift_cotangent(cotangent, y, lift)
        if setting.is_operator:
            gradient = setting.function.backward(dy, found[1])
        else:
            gradient = vjp(dy, *arguments)  # type: ignore[misc]  # it is not None here
        return HessianProduct(*_split(gradient))

    return HessianProduct(*_compute(setting, multiply))


def _check_arguments(
    f: Differentiable,
    primals: Sequence[Tree],
    tangents: Sequence[Tree],
    options: Mapping[str, Any] | None,
    numbers: str,
) -> Setting:
    """Check what both functions are given."""
    check_choice("numbers", numbers, NUMBERS)
    if not (hasattr(f, "forward") and hasattr(f, "backward")) and not callable(f):
        raise ConventionError(
            f"f is a {type(f).__name__}, expected an operator or a layer, with forward and "
            "backward, or a function"
        )
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise ConventionError(f"{name} is a {describe(value)}, expected a tuple of arguments")
    if len(primals) != len(tangents):
        raise ShapeError(f"there are {len(primals)} primals, but {len(tangents)} tangents")
    pairs = enumerate(zip(primals, tangents, strict=True))
    matched = tuple([_match_tangent(f"argument {k}", *pair) for k, pair in pairs])
    arguments = tree.map(_check_leaf, tuple(primals), matched)
    return Setting(f, arguments, matched, options or {}, _find_like(arguments), numbers)


def _check_leaf(x: Any, v: Any) -> Any:
    """A leaf that has a tangent as an array of real numbers; the others as they are."""
    if v is None:
        return x
    x = x if is_array_api_obj(x) else np.asarray(x)
    if not (is_floating(x) or getattr(x.dtype, "kind", "") in "biuO"):
        raise DtypeError(f"an argument with a tangent is a {describe(x)}, expected real numbers")
    return x


def _match_tangent(name: str, x: Tree, v: Tree) -> Tree:
    """The tangent of `x` as a tree of the structure of `x`, with None for its constants."""
    if isinstance(x, dict):
        if v is None:
            v = dict.fromkeys(x)
        if not isinstance(v, dict) or v.keys() != x.keys():
            raise ShapeError(f"the tangent of {name} is not a dict of {', '.join(map(repr, x))}")
        return {key: _match_tangent(f"{name}.{key}", x[key], v[key]) for key in x}
    if isinstance(x, tuple | list):
        if v is None:
            v = (None,) * len(x)
        if not isinstance(v, tuple | list) or len(v) != len(x):
            raise ShapeError(f"the tangent of {name} is not a tuple of {len(x)} branches")
        pairs = enumerate(zip(x, v, strict=True))
        return tuple([_match_tangent(f"{name}.{k}", *pair) for k, pair in pairs])
    if v is not None and np.shape(x) != np.shape(v):
        raise ShapeError(
            f"the tangent of {name} has shape {np.shape(v)}, expected {np.shape(x)}; None stands "
            "for zero"
        )
    return v


def _find_like(primals: Sequence[Tree]) -> Array | None:
    """An empty array of the dtype, library and device of the results; None without floats."""
    floats = [leaf for leaf in tree.leaves(tuple(primals)) if _is_float_array(leaf)]
    if not floats:
        return None
    xp = namespace(*floats)
    dtype = xp.result_type(*floats) if len(floats) > 1 else floats[0].dtype
    if _dtype_name(dtype) not in FORMATS:
        raise DtypeError(f"the arguments have dtype {dtype}, expected one of {', '.join(FORMATS)}")
    return xp.zeros((0,), dtype=dtype, device=device(floats[0]))


def _is_float_array(leaf: Any) -> bool:
    return is_array_api_obj(leaf) and is_floating(leaf)


def _dtype_name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]  # "torch.float32"


def _lift_arguments(setting: Setting, lift: Lift) -> tuple:
    """The arguments on dual numbers; labels, masks and what is no array as they are."""
    return tree.map(partial(_lift_leaf, lift), setting.primals, setting.tangents)


def _lift_leaf(lift: Lift, x: Any, v: Any) -> Any:
    """A leaf and its tangent as dual numbers; without a tangent, only floats are lifted."""
    if v is not None:
        return dual(lift(_plain(x)), lift(_plain(v)))
    if _is_float_array(x):
        return dual(lift(_plain(x)), 0)
    return lift(x) if is_array_api_obj(x) and holds_objects(x) else x


def _plain(x: Any) -> Array:
    """A NumPy array of floats, or an object array of exact numbers."""
    if is_array_api_obj(x) and _dtype_name(x.dtype) == "bfloat16":  # which NumPy lacks
        x = namespace(x).astype(x, namespace(x).float32)
    x = to_numpy(x)
    return np.asarray(x, object) if x.dtype.kind in "biu" else x


def _lift_cotangent(cotangent: Tree, y: Tree, lift: Lift) -> Tree:
    """`cotangent` on exact numbers, or 1 if there is none."""
    if cotangent is None:
        if isinstance(y, tree.BRANCH) or np.shape(y) != ():
            found = type(y).__name__ if isinstance(y, tree.BRANCH) else f"shape {np.shape(y)}"
            raise ConventionError(f"y is not a number ({found}), so hvp needs a cotangent of it")
        return lift(np.asarray(1, object))
    return tree.map(lambda c: None if c is None else lift(_plain(c)), cotangent)


def _split(values: Tree) -> tuple[Tree, Tree]:
    """The primals and the tangents of a tree of dual numbers; None stays None."""

    def part(function: Callable[[Array], Array]) -> Tree:
        return tree.map(lambda x: None if x is None else function(x), values)

    return part(primal_of), part(tangent_of)


def _differentiate_twice(setting: Setting, cotangent: Tree, lift: Lift) -> HessianProduct:
    """The gradient and H v by duals of duals, ``x + v eps + e_k delta``, for each entry k.

    ``<cotangent, f>`` is then ``... + g_k delta + (H v)_k eps delta``.
    """
    arguments = _lift_arguments(setting, lift)

    def differentiate(path: int, index: tuple[int, ...]) -> tuple[Any, Any]:
        """``(g, H v)`` at one entry of the leaf of that number."""
        places = iter(range(len(tree.leaves(arguments))))

        def lift_again(x: Any, v: Any) -> Any:
            place = next(places)
            if v is None and not _holds_duals(x):
                return x
            unit = np.zeros(np.shape(x), object)
            if place == path:
                unit[index] = 1
            return dual(x, unit)

        y = setting.forward(tree.map(lift_again, arguments, setting.tangents), lift)
        dy = _lift_cotangent(cotangent, y, lift)
        pairs = zip(tree.leaves(dy), tree.leaves(y), strict=True)
        slope = sum(np.sum(tangent_of(a * b)) for a, b in pairs if a is not None)
        return primal_of(slope)[()], tangent_of(slope)[()]

    gradients = []
    products = []
    for path, v in enumerate(tree.leaves(setting.tangents)):
        shape = np.shape(v)
        gradient = None if v is None else np.empty(shape, object)
        product = None if v is None else np.empty(shape, object)
        if gradient is not None and product is not None:
            for index in np.ndindex(shape):
                gradient[index], product[index] = differentiate(path, index)
        gradients.append(gradient)
        products.append(product)
    return HessianProduct(_restore(gradients, setting.primals), _restore(products, setting.primals))


def _holds_duals(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.size > 0 and isinstance(x.flat[0], Dual)


def _restore(leaves: Sequence[Any], like: Tree) -> Tree:
    """The tree, of the structure of `like`, that has these leaves."""
    remaining = iter(leaves)
    return tree.map(lambda _: next(remaining), like)


def _compute(setting: Setting, function: Callable[[Lift], tuple[Tree, Tree]]) -> Tree:
    """Both trees of `function`, on exact numbers, rounded to the dtype of the arguments."""
    like = setting.like
    name = getattr(setting.function, "__name__", type(setting.function).__name__)
    try:
        if like is None:
            return tuple(function(_lift_floats))
        if setting.numbers != "balls":
            try:
                return _round(tuple(function(rational.lift)), like, rational.as_fraction)
            except INEXACT as error:
                if setting.numbers == "rationals":
                    raise InexactError(f"{name} has no value on rationals: {error}") from error
                if isinstance(error, TypeError) and not ball.available():
                    raise
        return _round(_enclose(function, _dtype_name(like.dtype)), like, _midpoint)
    except TypeError as error:
        raise DtypeError(
            f"{name} cannot compute with NumPy object arrays of dual numbers: {error}"
        ) from error
    except ZeroDivisionError as error:
        raise DataError(f"{name} divides by zero at these arguments") from error


def _lift_floats(x: Array) -> Array:
    """Exact numbers as they are, and floats among them as Fractions."""

    def lift_number(value: Any) -> Any:
        is_float = isinstance(value, float | np.floating)
        return rational.as_fraction(rational.lift(value)[()]) if is_float else value

    return np.asarray(np.frompyfunc(lift_number, 1, 1)(x), object)


def _enclose(function: Callable[[Lift], tuple[Tree, Tree]], dtype: str) -> Tree:
    """Both trees of `function` on balls that are narrow enough for `dtype`."""
    structure: Tree = ()

    def compute() -> list[Array]:
        nonlocal structure
        structure = tuple(function(ball.lift))
        return [leaf for leaf in tree.leaves(structure) if leaf is not None]

    balls = iter(ball.enclose(compute, dtype))
    return tree.map(lambda leaf: None if leaf is None else next(balls), structure)


def _midpoint(value: Any) -> Fraction:
    """The midpoint of a ball."""
    mantissa, exponent = value.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _round(values: Tree, like: Array, exact: Callable[[Any], Fraction]) -> Tree:
    """Exact numbers as floats like those of `like`."""
    dtype = _dtype_name(like.dtype)
    xp = namespace(like)

    def round_number(value: Any) -> float:
        return round_to(exact(value), dtype)

    def round_leaf(x: Any) -> Any:
        if x is None:
            return None
        rounded = np.asarray(np.frompyfunc(round_number, 1, 1)(np.asarray(x, object)), float)
        return xp.asarray(rounded, dtype=like.dtype, device=device(like))

    return tree.map(round_leaf, values)
