"""The truth of a layer against a definition by loops: values, and gradients by dual numbers."""

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, rational
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import tangent
from ttref.arithmetic.rational import as_fraction
from ttref.oracle.specs.base import Problem, run
from ttref.rng import generator
from ttref.testing.exact import same

BITS = 160


def check(layer, definition, count=8, seed=0, numbers=None):
    """Raise AssertionError unless values and gradients are those of the definition.

    `definition(layer, params, inputs)` gives the results by name. Polynomials are computed on
    small integers, and other rational functions on quarters; what has no rational value on balls.
    """
    rng = generator(seed)
    for _ in range(count):
        problem = redraw(layer, layer.draw(rng), numbers or small_numbers(layer, rng))
        if layer.irrational:
            with ball.precision(BITS):
                compare(layer, definition, problem.map(ball.lift, layer.selects), rng)
        else:
            compare(layer, definition, problem.map(rational.lift, layer.selects), rng)


def small_numbers(layer, rng):
    def numbers(x):
        return rng.integers(-8, 9, np.shape(x)) / 4

    return numbers


def redraw(layer, problem, numbers):
    return problem.map(lambda x: np.asarray(numbers(x)), layer.selects)


def compare(layer, definition, problem, rng):
    found = run(layer, problem)
    expected = tree.flatten(definition(layer, problem.params, problem.inputs))
    for name, value in expected.items():
        assert_same(name, found[name], value)
    if problem.upstream is None:
        return
    leaves = tree.flatten((problem.params, problem.inputs))
    seen = set(expected)
    for place, value in leaves.items():
        name = place.partition(".")[2]
        if name.partition(".")[0] in (*layer.selects, *layer.constants):
            continue
        seen.add(name)
        direction = np.asarray(rng.integers(-(2**20), 2**20, value.shape), dtype=object)
        pushed = push(layer, definition, problem, place, direction)
        assert found[name].shape == value.shape, name
        pulled = (np.asarray(found[name], object) * direction).sum()
        assert same(pushed, pulled + 0 * pushed), f"gradient of {name}: {pulled} and {pushed}"
    assert set(found) == seen


def push(layer, definition, problem, place, direction):
    """``<upstream, J v>`` for a direction on one array."""
    names = iter(tree.flatten((problem.params, problem.inputs)))

    def lift(x):
        is_it = next(names) == place
        if x.dtype != object:
            return x
        return dual(x, direction if is_it else np.zeros(x.shape, object))

    params, inputs = tree.map(lift, (problem.params, problem.inputs))
    results = definition(layer, params, inputs)
    total = 0
    for name, dy in problem.upstream.items():
        pairs = zip(tree.leaves(dy), tree.leaves(results[name]), strict=True)
        total = total + sum(np.sum(part * tangent(np.asarray(y, object))) for part, y in pairs)
    return total


def assert_same(name, found, expected):
    expected = np.asarray(expected, object)
    assert np.shape(found) == expected.shape, name
    for index in np.ndindex(expected.shape):
        one = np.asarray(found, object)[index]
        other = expected[index]
        if hasattr(one, "overlaps"):
            assert same(one, other + 0 * one), f"{name}{index}: {one}, {other}"
        else:
            assert as_fraction(one) == as_fraction(other), f"{name}{index}: {one}, {other}"


__all__ = ["Problem", "check"]
