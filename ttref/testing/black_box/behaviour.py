"""How f and vjp behave: they write into no argument, and depend on their arguments alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ttref.arrays import to_numpy
from ttref.contracts import Array, Tree
from ttref.testing.black_box.pair import Pair
from ttref.testing.black_box.projection import Projection, draw_projection
from ttref.testing.black_box.structure import same_bits, unit_of_values, walk
from ttref.testing.report import Check, Failure, Target

PURITY = Check("purity")
DETERMINISM = Check("determinism")
LARGE = 1e-3  # relative change from call to call that no noise explains
OTHER = 0.125  # how far other arguments are, relative to the entries


class Observed(NamedTuple):
    """What is known after the calls at the given arguments."""

    y: np.ndarray
    projection: Projection
    gradient: np.ndarray  # of all groups together
    failures: dict[Target, Failure]
    notes: list[str]
    drift: np.ndarray  # how far each entry of y moved from call to call
    restless: str  # what differs from call to call, in words
    unit: float  # roundoff of the format that all values of f fit in; 0 if in none but float64


def observe(pair: Pair, scales: np.ndarray, effort: str, rng: np.random.Generator) -> Observed:
    """Call f and vjp at the arguments, at others, and at the arguments again."""
    failures: dict[Target, Failure] = {}
    notes: list[str] = []
    # f and vjp at the given arguments
    args = pair.arguments.place(pair.x)
    y_tree = pair.call_f(args)
    y = pair.read_results(y_tree)
    notes += _views("f", y_tree, args, pair.names)
    failures |= _written("f", pair, args)
    projection = draw_projection(y, effort, rng)
    args = pair.arguments.place(pair.x)
    dy = pair.cotangent(projection.weights)
    found = pair.call_vjp(dy, args)
    gradient = pair.read_gradient(found)
    notes += _views("vjp", found, args, pair.names)
    failures |= _written("vjp", pair, args)
    if not _same(dy, pair.cotangent(projection.weights)):
        failures[Target(PURITY, "dy")] = Failure("dy is written into by vjp")
    # at others, and at the given ones again
    elsewhere = _call_elsewhere(pair, projection, scales, rng)
    if not same_bits(pair.read_results(y_tree), y):
        failures[Target(PURITY, "y")] = Failure("y is overwritten by a later call of f")
    if not same_bits(pair.read_gradient(found), gradient):
        failures[Target(PURITY, "gradients")] = Failure(
            "the result of vjp is overwritten by a later call"
        )
    gradient_again = pair.gradient(projection.weights, pair.x)
    y_again = pair.read_results(pair.call_f(pair.arguments.place(pair.x)))
    # what differs
    restless = ""
    if not same_bits(y, y_again):
        third = pair.read_results(pair.call_f(pair.arguments.place(pair.x)))
        restless = _judge_difference("f", "y", [y, y_again, third], failures)
    if not same_bits(gradient, gradient_again):
        third = pair.gradient(projection.weights, pair.x)
        found_restless = _judge_difference(
            "vjp", "gradients", [gradient, gradient_again, third], failures
        )
        restless = restless or found_restless
    drift = np.nan_to_num(np.abs(y - y_again))
    unit = unit_of_values(y, elsewhere)
    return Observed(y, projection, gradient, failures, notes, drift, restless, unit)


def _call_elsewhere(
    pair: Pair, projection: Projection, scales: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Call f and vjp at other arguments, where they may raise; the results there."""
    step = OTHER * np.where(pair.x == 0, scales, np.abs(pair.x))
    other = pair.snap(pair.x + step * rng.uniform(0.5, 1, pair.x.shape))
    y = pair.value(other)
    try:
        pair.call_vjp(pair.cotangent(projection.weights), pair.arguments.place(other))
    except Exception:  # outside of the domain
        return y
    return y


def _judge_difference(
    what: str, tensor: str, values: Sequence[np.ndarray], failures: dict[Target, Failure]
) -> str:
    """Add a failure for a result that depends on earlier calls; say if it is random in small."""
    first, second, third = values
    with np.errstate(all="ignore"):
        change = float(np.max(np.abs(second - first), initial=0))
        size = float(np.max(np.abs(first), initial=0))
    where = Target(DETERMINISM, tensor)
    if same_bits(second, third) or same_bits(first, third):
        failures[where] = Failure(f"{what} depends on an earlier call: {tensor} differs after it")
    elif not change <= LARGE * size:
        failures[where] = Failure(f"{what} differs from call to call, by {change:.3g}")
    return f"{what} differs from call to call, by {change:.3g}"


def _written(what: str, pair: Pair, args: Sequence[Tree]) -> dict[Target, Failure]:
    """Failures for arguments that are no longer what they were."""
    failures: dict[Target, Failure] = {}
    for name, given, kept in zip(pair.names, args, pair.arguments.tree, strict=True):
        if not _same(given, kept):
            failures[Target(PURITY, name)] = Failure(f"{name} is written into by {what}")
    return failures


def _same(a: Tree, b: Tree) -> bool:
    """Whether arrays and numbers of two trees are the same."""
    left = dict(walk(a))
    right = dict(walk(b))
    return left.keys() == right.keys() and all(
        _same_leaf(x, right[name]) for name, x in left.items()
    )


def _same_leaf(a: Any, b: Any) -> bool:
    if not hasattr(a, "shape"):
        return not isinstance(a, float | int | str) or a == b or a != a
    x = _bits(a)
    y = _bits(b)
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.dtype.kind in "fc":  # longdouble has bytes that hold nothing
        return np.array_equal(x, y, equal_nan=True)
    return x.tobytes() == y.tobytes()


def _bits(x: Array) -> np.ndarray:
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float() if "bfloat16" in str(x.dtype) else x
    return np.asarray(to_numpy(x))


def _views(what: str, result: Tree, args: Sequence[Tree], names: Sequence[str]) -> list[str]:
    """Notes on results that share memory with arguments."""
    notes: list[str] = []
    for name, arg in zip(names, args, strict=True):
        for _, x in walk(arg):
            for _, y in walk(result):
                arrays = isinstance(x, np.ndarray) and isinstance(y, np.ndarray)
                if arrays and np.may_share_memory(x, y):
                    notes.append(f"{what} returns a view of {name}")
    return list(dict.fromkeys(notes))
