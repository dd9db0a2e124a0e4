"""Rungs that take forward and backward on floats as black boxes: ``<dy, J v>`` by differences.

complex step   Im f(x + i h v) / h is J v to the last bit: at h = 2^-200 nothing is left of the
               remainder, and nothing cancels (Squire and Trapp 1998)
Richardson     central differences extrapolated to h = 0, with scipy's estimate of their error
Taylor         |phi(h) - phi(0) - h <J^T dy, v>| stays below h^2 max |phi''| / 2

where ``phi(h) = <dy, f(x + h v)>`` and v moves one input at a time. Inputs are multiples of 2^-20
and steps are powers of two, so ``x + h v`` is never rounded. Before a step is taken, the same
forward runs on balls as wide as the step, which proves that no branch of it, at whatever depth,
changes on the way; where even the shortest step leaves doubt the case is undecided. Every tolerance
is the bound of a running error analysis of what is compared, `ttref.arithmetic.running`, beside the
bound or estimate of the remainder that is named above.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ttref import border, storage, tree
from ttref.arithmetic import ball, running
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import tangent
from ttref.contracts import Array, Tree
from ttref.errors import MissingExtraError, UndecidableError
from ttref.testing import accuracy, exact
from ttref.testing.cases.case import Case
from ttref.testing.report import Failure, Finding, Inapplicable

DTYPE = "float64"
GRID = 2.0**-20
IMAGINARY_STEP = 2.0**-200  # its square is below half an ulp of anything, its cube no underflow
WIDEST = 4  # steps are 2^-4, or as much shorter as kinks demand,
NARROWEST = 16  # down to 2^-16
BITS = 64  # of the balls; the width of a step hides their roundings

# On numbers whose imaginary parts are of size h, complex operations are those of dual numbers, up
# to a relative h^2; but numpy's division (Smith 1962) rounds five times where that of duals rounds
# three times, and a function of the library may err in both of the factors of its imaginary part.
COMPLEX_FACTOR = 2

# Extrapolation by halves weighs its central differences by numbers whose magnitudes sum to
# prod (4^k + 1) / (4^k - 1) < 2.
RICHARDSON_WEIGHTS = 2
ORDER = 8
ITERATIONS = 4
TAYLOR_STEPS = 4.0 ** -np.arange(13)  # times the widest: down to where roundings take over


class Line(NamedTuple):
    """Inputs on a line, ``x + t v`` in one leaf, and what backward says of the derivative there."""

    case: Case  # inputs and dy are float64
    leaf: str
    v: Array  # float64 of small odd integers
    slope: float  # <J^T dy, v>
    slope_error: float  # bound on its error

    def at(self, t: Any, lift: Callable[[Array], Array] = np.asarray) -> Tree:
        """The inputs at `t`, lifted."""
        names = iter(tree.flatten(self.case.inputs))

        def place(x: Array) -> Array:
            return lift(x) + t * self.v if next(names) == self.leaf else lift(x)

        return tree.map(place, self.case.inputs)

    def value(self, t: float) -> float:
        """``phi(t)``, from forward on floats."""
        y, _ = self.case.forward(self.at(t))
        return exact.inner(self.case.dy, y)

    def value_error(self, t: float) -> float:
        """Bound on the error of ``value(t)``."""
        y, _ = self.case.forward(tree.map(_running, self.at(t)))
        return _bound(exact.inner(_running(self.case.dy), y))


class Remainder(NamedTuple):
    """A Taylor remainder at some steps, and what is allowed there."""

    steps: Array
    sizes: Array
    allowed: Array


def along_each_leaf(
    ask: Callable[[Line], Failure | None],
) -> Callable[[Case, np.random.Generator], list[Finding]]:
    """The rung that asks ``ask(line)``, a failure or None, for a random line in each input."""

    def find(line: Line) -> Finding:
        try:
            return Finding(line.leaf, ask(line))
        except UndecidableError as error:
            return Finding(line.leaf, undecided=True, reason=str(error))

    def rung(case: Case, rng: np.random.Generator) -> list[Finding]:
        return [find(line) for line in lines(case, rng)]

    return rung


def lines(case: Case, rng: np.random.Generator) -> Iterator[Line]:
    """A random `Line` in each input of the case, at random floats; none without a backward."""
    if case.backward is None:
        return
    case = accuracy.draw_floats(case, rng, DTYPE)
    case = case._replace(inputs=tree.map(lambda x: np.round(x / GRID) * GRID, case.inputs))
    found = accuracy.results(case)
    bounds = accuracy.results(case, _running)
    for leaf, x in tree.flatten(case.inputs).items():
        v = np.asarray(2.0 * rng.integers(-3, 3, x.shape) + 1)
        if found[leaf].shape != v.shape:
            raise ValueError(f"gradient of {leaf} has shape {found[leaf].shape}")
        slope_error = _bound(exact.inner(bounds[leaf], v))
        yield Line(case, leaf, v, exact.inner(found[leaf], v), slope_error)


@along_each_leaf
def complex_step(line: Line) -> Failure | None:
    """``Im <dy, f(x + i h v)> / h`` is ``<J^T dy, v>``, up to roundings."""
    certain(line, _stays_on_branch)
    y = _complex_forward(line)
    pushed = exact.inner(line.case.dy, y.imag) / IMAGINARY_STEP
    bound = _bound(exact.inner(_running(line.case.dy), _tangent_in_running_numbers(line)))
    return unlike(line, pushed, COMPLEX_FACTOR * bound)


@along_each_leaf
def richardson(line: Line) -> Failure | None:
    """The central difference that scipy extrapolates is ``<J^T dy, v>``, up to its error."""
    step, _ = certain(line, _stays_on_branch)
    pushed, estimate, nodes = extrapolated(line.value, step)
    # most often the roundings at one node explain the difference; the largest decides
    largest = 0.0
    for node in sorted(nodes, key=abs):
        largest = max(largest, line.value_error(node) / min(np.abs(nodes)))
        failure = unlike(line, pushed, estimate + RICHARDSON_WEIGHTS * largest)
        if failure is None:
            return None
    return failure


@along_each_leaf
def taylor(line: Line) -> Failure | None:
    """The remainder stays below the parabola of the largest second derivative."""
    steps, sizes, allowed = remainder(line, only_beyond=True)
    beyond = sizes > allowed
    if not beyond.any():
        return None
    k = np.argmax(sizes / allowed)
    what = f"{line.leaf}: the Taylor remainder at step {steps[k]:.3g}"
    if sum(beyond) > 1:
        slope = np.polyfit(np.log(steps[beyond]), np.log(sizes[beyond]), 1)[0]
        what += f", which falls with slope {slope:.2f} and not 2,"
    return Failure(what, sizes[k], 0, error=sizes[k], allowed=allowed[k], case=line.case)


def remainder(line: Line, only_beyond: bool = False) -> Remainder:
    """The `Remainder` of a line, from its widest certain step down.

    With `only_beyond`, the roundings of ``phi(h)``, which take the longest to bound, are left out
    of what is allowed at the steps where the rest allows enough.
    """
    widest, curvature = certain(line, _largest_curvature)
    steps = np.asarray(widest * TAYLOR_STEPS)
    start = line.value(0)
    sizes = np.asarray([abs(line.value(h) - start - h * line.slope) for h in steps])
    allowed = curvature / 2 * steps**2 + steps * line.slope_error
    allowed += line.value_error(0)
    needed = sizes > allowed if only_beyond else np.full(len(steps), True)
    allowed[needed] += [line.value_error(h) for h in steps[needed]]
    return Remainder(steps, sizes, allowed)


def draw_taylor(path: str | Path, remainders: Mapping[str, Remainder]) -> None:
    """Save a picture of Taylor remainders against the step, one colour per tensor.

    Parameters
    ----------
    path : str or Path
    remainders : dict from str to Remainder
        By the name of the tensor; ``{line.leaf: remainder(line) for line in lines(case, rng)}``.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the picture needs matplotlib: pip install 'ttref[plot]'") from None
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for k, name in enumerate(remainders):
        steps, sizes, allowed = remainders[name]
        shown = np.where(sizes > 0, sizes, np.nan)  # a logarithm has no zero
        panel.loglog(steps, shown, f"C{k}o-", ms=4, label=name)
        panel.loglog(steps, allowed, f"C{k}:", lw=1)
    panel.plot([], [], "k:", lw=1, label="allowed")
    panel.set(xlabel="step h", ylabel="|phi(h) - phi(0) - h <J^T dy, v>|")
    panel.set_title("Taylor remainder: slope 2 if the gradient is right, 1 if not")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    with storage.atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def extrapolated(
    function: Callable[[float], float], step: float
) -> tuple[float, float, list[float]]:
    """``(derivative at 0, scipy's estimate of its error, the points it took)``."""
    from scipy.differentiate import derivative

    nodes: list[float] = []

    def values(t: Array) -> Array:
        nodes.extend(np.ravel(t))
        return np.vectorize(function, otypes=[float])(t)

    found = derivative(
        values,
        0.0,
        initial_step=step,
        order=ORDER,
        maxiter=ITERATIONS,
        tolerances={"atol": 0, "rtol": 0},
    )
    return float(found.df), float(found.error), [t for t in nodes if t]


def certain(line: Line, compute: Callable[[Line, Any], Any]) -> tuple[float, Any]:
    """The widest step, and ``compute(line, t)`` for t the ball of that radius, which must decide.

    Raises
    ------
    UndecidableError
        If `compute` is undecidable down to the shortest step.
    """
    for exponent in range(WIDEST, NARROWEST + 1):
        try:
            with ball.precision(BITS):
                from flint import arb

                return 2.0**-exponent, compute(line, arb(0, 2.0**-exponent))
        except UndecidableError as error:
            reason = str(error)
    raise UndecidableError(f"{reason}, within 2^-{NARROWEST}")


def unlike(line: Line, pushed: float, error: float) -> Failure | None:
    """The failure, if ``<dy, J v>``, known up to `error`, is not ``<J^T dy, v>``."""
    allowed = error + line.slope_error
    error = abs(pushed - line.slope)
    if error <= allowed:
        return None
    return exact.unequal_products(line.leaf, pushed, line.slope, line.case, error, allowed)


def _stays_on_branch(line: Line, t: Any) -> None:
    """Raise `UndecidableError` if a comparison in forward depends on `t`."""
    line.case.forward(line.at(t, ball.lift))


def _largest_curvature(line: Line, t: Any) -> float:
    """Bound on ``|phi''|`` over the ball `t`, by dual numbers of dual numbers of balls."""
    v = line.v.astype(int).astype(object)
    names = iter(tree.flatten(line.case.inputs))

    def twice_dual(x: Array) -> Array:
        d = v if next(names) == line.leaf else 0
        return dual(dual(x, d), dual(d, 0))

    y, _ = line.case.forward(tree.map(twice_dual, line.at(t, ball.lift)))
    bound = float(ball.lift(exact.inner(line.case.dy, tangent(tangent(y))))[()].abs_upper())
    if not np.isfinite(bound):
        raise UndecidableError("the second derivative has no bound")
    return bound


def _complex_forward(line: Line) -> Array:
    """``f(x + i h v)``, all inputs complex."""
    try:
        with border.complex_steps():
            y, _ = line.case.forward(line.at(1j * IMAGINARY_STEP, lambda x: x.astype(complex)))
    except TypeError as error:
        raise Inapplicable(f"forward takes no complex arrays: {error}") from None
    return np.asarray(y)


def _tangent_in_running_numbers(line: Line) -> Array:
    inputs = tree.map(_running, line.case.inputs)
    return exact.tangent_map(line.case, inputs, line.leaf, line.v.astype(object))


def _running(x: Array) -> Array:
    return running.lift(x, DTYPE)


def _bound(x: Any) -> float:
    """The bound on the error of one running number."""
    return float(running.tolerance(x, DTYPE))
