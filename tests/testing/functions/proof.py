"""Proofs, in numbers of 400 bits, that a right vjp is right and that a wrong one can be told.

`prove` compares the vjp with differences of f, both run in 400 bits. The step is so small that only
constants of the code, such as 1/6, which are rounded to floats, can make them differ.

`evidence` asks how far a wrong vjp sticks out: the change of ``<dy, f>`` that its error predicts
along some step, in units of what the roundings of f and its curvature explain.
"""

import inspect
from functools import partial
from typing import NamedTuple

import numpy as np

from tests.testing.functions.precise import lift, precision
from ttref import tree
from ttref.rng import stream

CONSTANTS = 2.0**-40  # relative: constants are rounded to 2^-53, and cancel at times
STEP = 2.0**-110  # relative to the entry
ENTRIES = 24  # of each array are moved alone, drawn if there are more
LONG = 100
LIMIT = 1e-60  # tolerance of iterations in 400 bits
STEPS = sorted(10.0 ** np.arange(-12.0, 5.0), key=lambda h: abs(np.log10(h) + 6))


class Proof(NamedTuple):
    disagreement: float  # of the vjp and differences, in units of the tolerance
    rounding: float  # relative error of the vjp in floats, of each gradient's largest entry


class Setting(NamedTuple):
    """A function at arguments, with a cotangent."""

    function: object
    args: tuple
    dy: object

    def options(self, call, precise):
        takes = "tolerance" in inspect.signature(call).parameters
        return {"tolerance": LIMIT} if takes and precise else {}

    def lifted(self):
        """The arguments with the differentiable ones in 400 bits."""
        argnums = self.function.argnums
        return [tree.map(lift, a) if i in argnums else a for i, a in enumerate(self.args)]

    def value(self, args, precise):
        """``<dy, f>``, summed in 400 bits."""
        y = self.function.f(*args, **self.options(self.function.f, precise))
        return dot(self.dy, y)

    def gradient(self):
        """The right gradients in 400 bits."""
        vjp = self.function.vjp
        return vjp(tree.map(lift, self.dy), *self.lifted(), **self.options(vjp, True))


def dot(a, b):
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    return sum(np.sum(lift(x) * lift(y)) for x, y in pairs)


def real(x):
    """A precise number, rounded to a float."""
    return float(x.view(np.ndarray)[()])


def floats(x):
    return np.asarray(np.frompyfunc(float, 1, 1)(x.view(np.ndarray)), dtype=float)


def shrink(x):
    """The first entries of a long vector: 400 bits of all would take minutes."""
    is_long = isinstance(x, np.ndarray) and x.ndim == 1 and x.size > LONG
    return x[:LONG] if is_long else x


def setting(function, seed=0):
    args = tuple(tree.map(shrink, a) for a in function.draw_args(seed))
    rng = stream(seed, f"dy of {function.name}")
    dy = tree.map(lambda y: rng.standard_normal(np.shape(y))[()], function.f(*args))
    return Setting(function, args, dy)


def flat(arrays):
    """The leaves of some arguments, without those that have no gradient."""
    return [leaf for a in arrays if a is not None for leaf in tree.leaves(a)]


def move(args, argnums, direction, h):
    """The arguments, moved by h times a direction: one array per leaf."""
    parts = iter(direction)

    def moved(x):
        end = x + h * next(parts)
        is_narrow = getattr(x, "dtype", None) == np.float32 and np.isrealobj(end)
        return end.astype(np.float32) if is_narrow else end

    return [tree.map(moved, a) if i in argnums else a for i, a in enumerate(args)]


def directions(leaves, rng):
    """Single entries, relative to their own size, and one direction in all entries."""
    for k, leaf in enumerate(leaves):
        shape = np.shape(leaf)
        size = int(np.prod(shape))
        chosen = range(size) if size <= ENTRIES else rng.choice(size, ENTRIES, replace=False)
        for entry in chosen:
            yield single(leaves, k, entry)
    yield [scales(x) * rng.choice([-1.0, 1.0], np.shape(x)) for x in leaves]


def single(leaves, k, entry):
    direction = [np.zeros(np.shape(x)) for x in leaves]
    direction[k].reshape(-1)[entry] = scales(leaves[k]).reshape(-1)[entry]
    return direction


def scales(x):
    """The size of each entry; for a zero, that of the largest one, or 1."""
    sizes = np.abs(np.asarray(x, dtype=float))
    return np.where(sizes > 0, sizes, np.max(sizes, initial=0) or 1.0)


def values(function, seed=0):
    """The leaves of f in floats, and in 400 bits rounded to floats."""
    at = setting(function, seed)
    with precision():
        y = function.f(*at.lifted(), **at.options(function.f, True))
        precise = [floats(lift(leaf)) for leaf in tree.leaves(y)]
    return tree.leaves(function.f(*at.args)), precise


def prove(function, seed=0):
    """How far the right vjp is from differences of f in 400 bits, and from itself in floats."""
    at = setting(function, seed)
    rng = stream(seed, f"directions of {function.name}")
    with precision():
        gradient = flat(at.gradient())
        leaves = flat(a if i in function.argnums else None for i, a in enumerate(at.args))
        found = [disagreement(at, gradient, v) for v in directions(leaves, rng)]
        if any(is_on_kink for _, is_on_kink in found):
            found.pop()  # kinks of opposite signs add up to anything along the last direction
        in_floats = flat(function.vjp(at.dy, *at.args))
        errors = [relative(a, b) for a, b in zip(in_floats, gradient, strict=True)]
    return Proof(max(gap for gap, _ in found), max(errors))


def disagreement(at, gradient, v):
    """How far ``<gradient, v>`` is from the slopes of both sides, and whether these differ."""
    left, right, error = slopes(at, v, STEP)
    found = dot(gradient, v)
    size = sum(np.sum(abs(lift(g) * lift(d))) for g, d in zip(gradient, v, strict=True))
    bound = real(error + CONSTANTS * size)
    is_on_kink = real(abs(right - left)) > CONSTANTS * real(abs(left) + abs(right))
    below = min(real(left - found), real(right - found))
    above = max(real(left - found), real(right - found))
    gap = max(below, -above, 0.0) if is_on_kink else abs(real((left + right) / 2 - found))
    exactly = np.inf if gap else 0.0
    return gap / bound if bound else exactly, is_on_kink


def relative(found, exact):
    size = np.max(np.abs(floats(exact)), initial=0.0)
    error = np.max(np.abs(floats(lift(found) - exact)), initial=0.0)
    return float(error / size) if size else float(error)


def slopes(at, v, h):
    """Slopes of ``<dy, f>`` along v to the left and right, and the error of their mean."""

    def value(h):
        return at.value(move(at.lifted(), at.function.argnums, map(lift, v), lift(h)), True)

    here = value(0.0)
    left = (here - value(-h)) / lift(h)
    right = (value(h) - here) / lift(h)
    halved = (value(h / 2) - value(-h / 2)) / lift(h)
    return left, right, abs(halved - (left + right) / 2)


def evidence(function, seed=0, enough=1e3):
    """For each wrong vjp, how far it sticks out at the best step."""
    at = setting(function, seed)
    with precision():
        gradient = flat(at.gradient())
        leaves = flat(a if i in function.argnums else None for i, a in enumerate(at.args))
        in_floats = flat(function.vjp(at.dy, *at.args))
        found = {}
        for name, wrong in function.wrong.items():
            spoiled = flat(wrong.vjp(at.dy, *at.args))
            errors = [floats(lift(s) - g) for s, g in zip(spoiled, gradient, strict=True)]
            # an entry that is spoiled differs from the right vjp, not only from the exact gradient
            planted = [e * (s != r) for e, s, r in zip(errors, spoiled, in_floats, strict=True)]
            found[name] = best(at, leaves, gradient, errors, planted, enough)
    return found


def best(at, leaves, gradient, errors, planted, enough):
    """The largest of what `stand_out` finds over steps, in the directions of the error."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for v in suspects(leaves, planted):
            error = sum(np.sum(e * d) for e, d in zip(errors, v, strict=True))
            slope = dot(gradient, v)
            for way in WAYS:
                try:
                    ratio = way(at, v, slope, error)
                except (TypeError, ValueError, ArithmeticError, RuntimeWarning):
                    continue
                if np.isfinite(ratio):
                    largest = max(largest, ratio)
                if largest > enough:
                    return largest
    return largest


def suspects(leaves, errors):
    """Directions in which the errors are large, and the one in which all entries grow."""
    yield [np.sign(e) * scales(x) for x, e in zip(leaves, errors, strict=True)]
    for k, e in enumerate(errors):
        for size in (np.abs(e) * scales(leaves[k]), np.abs(e)):
            for entry in np.argsort(-size, axis=None)[:8]:
                if e.flat[entry]:
                    yield single(leaves, k, entry)
    yield [np.ones(np.shape(x)) for x in leaves]


def stand_out(h, at, v, slope, planted):
    """What an error of the slope predicts at a step, in units of noise and curvature."""
    argnums = at.function.argnums
    unexplained = 0.0
    for factor in (1.0, 0.9137, 1.0713):  # one step alone may be lucky
        step = h * factor
        ends = [move(at.args, argnums, v, s) for s in (step, -step)]
        values = [at.value(end, False) for end in ends]
        rounded = max(abs(real(x)) for x in values) * 2.0**-53
        change = values[0] - values[1]
        expected = lift(2 * step) * slope
        unexplained = max(unexplained, abs(real(change - expected)) / factor + rounded)
    return abs(2 * h * planted) / unexplained if unexplained else np.inf


def complex_step(at, v, slope, planted):
    """The same for the imaginary part of f at a step along the imaginary axis."""
    h = 1e-30
    y = at.function.f(*move(at.args, at.function.argnums, v, 1j * h))
    found = dot(at.dy, tree.map(np.imag, y)) / lift(h)
    error = abs(real(found - slope)) + 2.0**-50 * abs(real(slope))
    return abs(planted) / error if np.iscomplexobj(tree.leaves(y)[0]) else 0.0


WAYS = (*[partial(stand_out, h) for h in STEPS], complex_step)
