"""`check_vjp`: anybody's ``(f, vjp)`` on NumPy arrays, without a definition of what f should be.

It asks the strongest rung of `ttref.testing.black_box` that applies, and those of conduct.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ttref.arrays import check_shape, describe
from ttref.checks import check_count
from ttref.contracts import Array, Cache
from ttref.errors import ConventionError, DtypeError, ShapeError, UndecidableError
from ttref.rng import generator
from ttref.testing import black_box, conduct
from ttref.testing.cases.case import Case
from ttref.testing.ladder import Rung, add_power, attempt
from ttref.testing.report import Check, Report


class Derivative(NamedTuple):
    """A way to the derivative of a function of which nothing is known."""

    rung: Rung
    require: Callable[[Case, np.random.Generator], None]  # raises if it does not apply


# strongest first
DERIVATIVES = {
    Check("lattice"): Derivative(Rung(black_box.lattice, True), black_box.require_lattice),
    Check("complex step"): Derivative(
        Rung(black_box.complex_step, True), black_box.require_complex_step
    ),
    Check("differences"): Derivative(
        Rung(black_box.central_differences, True), black_box.require_differences
    ),
}


def check_vjp(
    f: Callable[..., Array],
    vjp: Callable[..., Sequence[Array]],
    args: Sequence[Array],
    *,
    names: Sequence[str] | None = None,
    examples: int = 20,
    seed: int = 0,
) -> Report:
    """Check that ``vjp`` pulls cotangents back through ``f``, argument by argument.

    Parameters
    ----------
    f : callable
        ``f(*args) -> y``, an array or a number.
    vjp : callable
        ``vjp(dy, *args) -> (d_arg, ...)``: one array per argument, of its shape.
    args : sequence of arrays of floats
        Bind other arguments (labels, options) beforehand, with `functools.partial` say.
    names : sequence of str, optional
        Of the arguments, for the report.
    examples : int
        Number of random cotangents, and of directions in each argument.
    seed : int

    Returns
    -------
    Report
        Per check and argument. `skipped` tells why a stronger way did not apply, and the column
        ``detects`` the smallest relative error of a whole cotangent that this run would have seen.

    Raises
    ------
    ConventionError, DtypeError, ShapeError
        If `args` is not a sequence of arrays of floats, y is not one array, or `vjp` returns
        another number of arrays, or of other shapes, than there are arguments.
    UndecidableError
        If the arguments are on a kink of f, or f is not finite beside them.

    Notes
    -----
    Nothing can be said of errors that f and vjp share: what f should be is not known here.

    Examples
    --------
    >>> report = check_vjp(
    ...     lambda x, w: x @ w,
    ...     lambda dy, x, w: (dy @ w.T, x.T @ dy),
    ...     (np.ones((2, 3)), np.ones((3, 4))),
    ...     names=("x", "w"),
    ... )
    >>> report.ok
    True
    """
    check_count("examples", examples)
    rng = generator(seed)
    report = Report(getattr(f, "__name__", type(f).__name__))
    case = _draw_dy(pair_as_case(f, vjp, args, names), rng)
    rungs = {
        **_strongest(case, rng, report),
        Check("determinism"): Rung(conduct.determinism, True, False),
        Check("purity"): Rung(conduct.purity, True, False),
    }
    for _ in range(examples):
        case = _draw_dy(case, rng)
        for check, rung in rungs.items():
            for finding in attempt(rung, case, rng):
                report.add(check, finding)
            if report.ok and rung.magnitudes:
                add_power(report, check, rung, case)
    return report


def pair_as_case(
    f: Callable[..., Array],
    vjp: Callable[..., Sequence[Array]],
    args: Sequence[Array],
    names: Sequence[str] | None,
) -> Case:
    """The `Case` of a user's pair: floats for inputs, and f for its own definition."""
    inputs = _named(args, names)

    def value(inputs: dict[str, Array]) -> Array:
        y = f(*inputs.values())
        if isinstance(y, tuple | list) or np.asarray(y).dtype.kind not in "fc":
            raise DtypeError(f"f returns {describe(y)}, expected one array of floats")
        return np.asarray(y)

    def forward(inputs: dict[str, Array]) -> tuple[Array, Cache]:
        return value(inputs), tuple(inputs.values())

    def backward(dy: Array, kept: Cache) -> dict[str, Array]:
        gradients = vjp(dy, *kept)
        if not isinstance(gradients, tuple | list) or len(gradients) != len(inputs):
            got = len(gradients) if isinstance(gradients, tuple | list) else describe(gradients)
            raise ShapeError(f"vjp returns {got}, expected a tuple of {len(inputs)} arrays")
        for name, gradient in zip(inputs, gradients, strict=True):
            check_shape(f"the cotangent of {name}", np.asarray(gradient), inputs[name].shape)
        return dict(zip(inputs, map(np.asarray, gradients), strict=True))

    y, kept = forward({name: x.copy() for name, x in inputs.items()})
    backward(np.ones_like(y), kept)
    return Case(inputs, np.ones_like(y), forward, backward, definition=value)


def _named(args: Sequence[Array], names: Sequence[str] | None) -> dict[str, Array]:
    """``{name: argument}``, checked."""
    if not isinstance(args, tuple | list) or not args:
        raise ConventionError(f"args is {describe(args)}, expected a tuple of arrays")
    names = tuple(names or (f"argument {k}" for k in range(len(args))))
    if len(names) != len(args) or len(set(names)) != len(names) or "." in "".join(names):
        raise ConventionError(
            f"names are {names}, expected {len(args)} different ones without a dot"
        )
    for name, x in zip(names, args, strict=True):
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            raise DtypeError(f"{name} is {describe(x)}, expected a NumPy array of floats")
    return dict(zip(names, args, strict=True))


def _draw_dy(case: Case, rng: np.random.Generator) -> Case:
    return case._replace(dy=np.asarray(rng.standard_normal(case.dy.shape), case.dy.dtype))


def _strongest(case: Case, rng: np.random.Generator, report: Report) -> dict[Check, Rung]:
    """The strongest way to a derivative that applies, and in the report why others do not."""
    *others, last = DERIVATIVES
    for check in others:
        rung, require = DERIVATIVES[check]
        try:
            require(case, rng)
            return {check: rung}
        except UndecidableError as reason:
            report.skipped[check] = str(reason)
    rung, require = DERIVATIVES[last]
    require(case, rng)
    return {last: rung}
