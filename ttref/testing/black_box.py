"""Rungs for a pair ``(f, vjp)`` of which nothing is known: J v from values of f alone.

lattice              On integers, values of f on a line ``x + t v`` at t = -4 ... 4, read exactly.
                     Where they are integers whose differences of order 7 and 8 are zero, they are
                     those of one polynomial, and its derivative at 0 follows exactly.
complex step         at the given arguments, where f takes complex arrays and the result agrees with
                     differences (which it does not where f takes a modulus, a norm, a real part)
central differences  extrapolated, at the given arguments

The last two compare floats of code whose roundings nobody can bound. What they allow is `MARGIN`
times what is measured: how far each side moves when everything that goes in is moved by a unit of
roundoff u, plus u times the magnitudes of the terms that it is the sum of.
"""

import warnings
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import product
from math import comb, fsum
from typing import NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import unit_roundoff
from ttref.contracts import Array
from ttref.errors import UndecidableError
from ttref.testing import exact
from ttref.testing.cases.case import Case
from ttref.testing.differences import IMAGINARY_STEP, RICHARDSON_WEIGHTS, extrapolated
from ttref.testing.report import Failure, Finding

# Lattice
REACH = 4  # the points of a line are -4 ... 4
MOST_DEGREE = 6  # which leaves differences of order 7 and 8 to tell polynomials from others
SIZE = 3  # largest integer of inputs, directions and cotangents
LARGEST = 2.0**40  # value of f, for 64 bits to hold the sum of a million of them
TRIALS = 10  # lines on which f is looked at before it is judged on such
# f'(0) = sum_k w_k (f(k) - f(-k)), exact to degree 8 (Fornberg 1988)
CENTRAL_WEIGHTS = {k: Fraction(*w) for k, w in enumerate([(4, 5), (-1, 5), (4, 105), (-1, 280)], 1)}

# Floats
MARGIN = 64  # right engines were measured within 11 u, normwise (an LSTM of torch in float32)
PERTURBATIONS = 4
CONFIRMATIONS = 3  # directions in which complex step and differences must agree
STEPS = (2.0**-4, 2.0**-10, 2.0**-16)
KINK_STEP = 2.0**-24


def per_argument(
    ask: Callable[[Case, str, np.random.Generator], Failure | None],
) -> Callable[[Case, np.random.Generator], list[Finding]]:
    """The rung that asks ``ask(case, leaf, rng)``, a failure or None, for each argument."""

    def find(case: Case, leaf: str, rng: np.random.Generator) -> Finding:
        try:
            return Finding(leaf, ask(case, leaf, rng))
        except UndecidableError:
            return Finding(leaf, undecided=True)

    def rung(case: Case, rng: np.random.Generator) -> list[Finding]:
        return [find(case, leaf, rng) for leaf in case.inputs]

    return rung


@per_argument
def lattice(case: Case, leaf: str, rng: np.random.Generator) -> Failure | None:
    """``<dy, J v> == <J^T dy, v>`` on integers."""
    line = lattice_line(case, leaf, rng)
    pushed = integer_slope(line.values, leaf)
    terms = _gradient(line.case, leaf).astype(float) * line.v  # by 1 or 2: nothing is rounded
    if not np.isfinite(terms).all():
        return Failure(f"the cotangent of {leaf} is not finite", case=case)
    # fsum rounds the exact sum, so it is zero only if that is
    if fsum([*terms.flat, -pushed]):
        return exact.unequal_products(leaf, pushed, fsum(terms.flat), case)
    return None


def require_lattice(case: Case, rng: np.random.Generator) -> None:
    """Raise `UndecidableError`, with the reason, unless `lattice` can judge every argument."""
    for leaf, _ in product(case.inputs, range(TRIALS)):
        integer_slope(lattice_line(case, leaf, rng).values, leaf)


class LatticeLine(NamedTuple):
    """A problem of integers, a direction in one argument, and ``<dy, f>`` from -4 v to 4 v."""

    case: Case
    v: Array
    values: list[int]


def lattice_line(case: Case, leaf: str, rng: np.random.Generator) -> LatticeLine:
    """A random one; `UndecidableError` if f is not an integer, or no exact one, on it."""

    def draw(x: Array, low: int = 0) -> Array:
        return rng.choice([-1.0, 1.0], x.shape) * rng.integers(low, SIZE + 1, x.shape)

    case = case._replace(inputs=tree.map(draw, case.inputs), dy=draw(case.dy, low=1))
    v = np.clip(draw(case.inputs[leaf], low=1), -2, 2)
    values = [_at_integers(case, leaf, t * v) for t in range(-REACH, REACH + 1)]
    return LatticeLine(case, v, values)


def _at_integers(case: Case, leaf: str, step: Array) -> int:
    """``<dy, f>`` as a Python integer."""
    with np.errstate(all="ignore"):
        try:
            y, _ = case.forward(_moved(case, leaf, step))
            y = y.astype(float)
        except Exception as error:
            raise UndecidableError(f"f raises on integers: {error}") from None
        others = y[~((np.abs(y) < LARGEST) & (y == np.rint(y)))]
    if others.size:
        raise UndecidableError(f"on integers f has the value {others[0]}")
    return int(np.sum(case.dy.astype(np.int64) * y.astype(np.int64)))


def integer_slope(values: list[int], leaf: str) -> Fraction:
    """The derivative at the middle of the polynomial that has these `values` on a line in `leaf`.

    Raises
    ------
    UndecidableError
        If there is none of low degree, or the derivative is no integer, or none that is a float:
        then vjp may have to round.
    """
    for order in range(MOST_DEGREE + 1, len(values)):
        weights = [(-1) ** k * comb(order, k) for k in range(order + 1)]
        for start in range(len(values) - order):
            if sum(w * f for w, f in zip(weights, values[start:], strict=False)):
                raise UndecidableError(
                    f"on a line of integers in {leaf} f is not a polynomial of degree "
                    f"{MOST_DEGREE} or less"
                )
    terms = (w * (values[REACH + k] - values[REACH - k]) for k, w in CENTRAL_WEIGHTS.items())
    slope = sum(terms, start=Fraction(0))
    if slope.denominator > 1 or abs(slope) >= 2**53:
        raise UndecidableError(f"on a line of integers in {leaf} the derivative of f is {slope}")
    return slope


@per_argument
def complex_step(case: Case, leaf: str, rng: np.random.Generator) -> Failure | None:
    """``Im <dy, f(x + i h v)> / h`` is ``<J^T dy, v>``, up to roundings."""
    v = direction(case.inputs[leaf], rng)
    return _unlike(case, leaf, v, rng, complex_derivative(case, leaf, v, rng))


@per_argument
def central_differences(case: Case, leaf: str, rng: np.random.Generator) -> Failure | None:
    """The extrapolated central difference is ``<J^T dy, v>``, up to its error."""
    v = direction(case.inputs[leaf], rng)
    return _unlike(case, leaf, v, rng, extrapolated_derivative(case, leaf, v, rng))


def require_complex_step(case: Case, rng: np.random.Generator) -> None:
    """Raise `UndecidableError`, with the reason, unless it applies and agrees with differences."""
    require_smooth(case, rng)
    for leaf, _ in product(case.inputs, range(CONFIRMATIONS)):
        v = direction(case.inputs[leaf], rng)
        found = complex_derivative(case, leaf, v, rng)
        expected = extrapolated_derivative(case, leaf, v, rng)
        if not abs(found.value - expected.value) <= found.error + expected.error:
            raise UndecidableError(
                f"it gives {found.value:.6g} where differences give {expected.value:.6g}, "
                "as functions do that are not analytic (a modulus, a norm, a real part)"
            )


class Measured(NamedTuple):
    """A number, and a bound on its error."""

    value: float
    error: float


def direction(x: Array, rng: np.random.Generator) -> Array:
    """A random direction of the scale of x, entry by entry."""
    x = np.abs(x.astype(float))
    scale = np.where(x > 0, x, np.max(x, initial=0) or 1)
    return scale * rng.choice([-1, 1], x.shape) * rng.uniform(0.5, 1, x.shape)


def complex_derivative(case: Case, leaf: str, v: Array, rng: np.random.Generator) -> Measured:
    """``<dy, J v>``, and a bound on its roundings; right where f is analytic."""

    def terms(case: Case) -> Array:
        inputs = tree.map(lambda x: x.astype(complex), _moved(case, leaf, 1j * IMAGINARY_STEP * v))
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            try:
                y, _ = case.forward(inputs)
            except Exception as error:
                raise UndecidableError(f"f takes no complex arrays: {error}") from None
        if y.dtype.kind != "c":
            raise UndecidableError("f of complex arrays is real")
        return case.dy * y.imag / IMAGINARY_STEP

    return measure(terms, _in_double(case), rng)


def extrapolated_derivative(case: Case, leaf: str, v: Array, rng: np.random.Generator) -> Measured:
    """``<dy, J v>``, and a bound on its error, with the step that gives the smallest bound."""
    phi, noise = _on_line(_in_double(case), leaf, v, rng)

    def attempt(step: float) -> Measured:
        pushed, estimate, nodes = extrapolated(phi, step)
        error = estimate + RICHARDSON_WEIGHTS * noise / np.min(np.abs(nodes))
        return Measured(pushed, error if np.isfinite(pushed + error) else np.inf)

    with np.errstate(all="ignore"):
        found = min(map(attempt, STEPS), key=lambda found: found.error)
    if found.error == np.inf:
        raise UndecidableError(f"f is not finite beside the given {leaf}")
    return found


def require_differences(case: Case, rng: np.random.Generator) -> None:
    """Raise `UndecidableError`, with the reason, if there is no derivative to be had."""
    require_smooth(case, rng)
    for leaf, x in case.inputs.items():
        extrapolated_derivative(case, leaf, direction(x, rng), rng)


def require_smooth(case: Case, rng: np.random.Generator) -> None:
    """Raise `UndecidableError` if an argument is on a kink: slopes to both sides differ.

    Their difference is the limit, as h -> 0, of ``j(h) = (phi(h) - 2 phi(0) + phi(-h)) / h``, which
    ``a(h) = 2 j(h / 2) - j(h)`` approaches with h^3. On a kink ``a(h / 2)`` is about ``a(h)``, and
    where f is smooth an eighth of it, unless both are roundings: in ``a(h / 2)`` are 40 times those
    of phi, divided by h.
    """
    for leaf, _ in product(case.inputs, range(TRIALS)):
        dy = rng.standard_normal(case.dy.shape)
        v = direction(case.inputs[leaf], rng)
        phi, noise = _on_line(_in_double(case._replace(dy=dy)), leaf, v, rng)
        with np.errstate(all="ignore"):
            j = [
                (phi(t) - 2 * phi(0) + phi(-t)) / t
                for t in (KINK_STEP, KINK_STEP / 2, KINK_STEP / 4)
            ]
        at_h = 2 * j[1] - j[0]
        at_half = 2 * j[2] - j[1]
        if not (abs(at_half) <= abs(at_h) / 2 or abs(at_half) <= 40 * noise / KINK_STEP):
            raise UndecidableError(
                f"the given {leaf} is on a kink of f, where it has no derivative, or f is not "
                "finite beside it; give other arguments"
            )


def _on_line(
    case: Case, leaf: str, v: Array, rng: np.random.Generator
) -> tuple[Callable[[float], float], float]:
    """``t -> <dy, f(x + t v)>``, and how far roundings may take it."""

    def terms(case: Case) -> Array:
        y, _ = case.forward(case.inputs)
        return case.dy * y

    def phi(t: float) -> float:
        return float(np.sum(terms(case._replace(inputs=_moved(case, leaf, t * v)))))

    return phi, measure(terms, case, rng).error


def measure(terms: Callable[[Case], Array], case: Case, rng: np.random.Generator) -> Measured:
    """The sum of ``terms(case)``, and how far roundings may have taken it."""
    at = terms(case)
    unit = max(unit_roundoff(x.dtype) for x in (*case.inputs.values(), case.dy))

    def perturb(x: Array) -> Array:
        return (x * (1 + 2 * unit * rng.choice([-1, 1], x.shape))).astype(x.dtype)

    moves = [
        abs(np.sum(terms(case._replace(inputs=tree.map(perturb, case.inputs)))) - np.sum(at))
        for _ in range(PERTURBATIONS)
    ]
    error = MARGIN * float(max(moves) + unit * np.sum(np.abs(at)))
    return Measured(float(np.sum(at)), error)


def _unlike(
    case: Case, leaf: str, v: Array, rng: np.random.Generator, pushed: Measured
) -> Failure | None:
    """The failure, if ``<J^T dy, v>`` is farther from ``<dy, J v>`` than both may err."""
    pulled = measure(lambda case: _gradient(case, leaf) * v, case, rng)
    error = abs(pushed.value - pulled.value)
    allowed = pushed.error + pulled.error
    if error <= allowed:
        return None
    return exact.unequal_products(leaf, pushed.value, pulled.value, case, error, allowed)


def _gradient(case: Case, leaf: str) -> Array:
    assert case.backward is not None
    _, cache = case.forward(case.inputs)
    return case.backward(case.dy, cache)[leaf]


def _moved(case: Case, leaf: str, step: Array) -> dict[str, Array]:
    return case.inputs | {leaf: case.inputs[leaf] + step}


def _in_double(case: Case) -> Case:
    """The case with arguments and dy as float64."""
    convert = partial(np.asarray, dtype=float)
    return case._replace(inputs=tree.map(convert, case.inputs), dy=convert(case.dy))
