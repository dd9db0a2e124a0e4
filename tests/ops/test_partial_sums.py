"""A second, independent backward of the TT layer finds the same gradients, by ==."""

from math import prod

import numpy as np
import pytest
from hypothesis import given

from tests.ops import partial_sums
from tests.ops.problems import tt_problems
from ttref import ops, tree, tt
from ttref.arrays import to_numpy
from ttref.testing import MUTANTS, count_flops


def run(op, problem, array):
    """Everything that forward and backward return, by name."""
    params, x, dy = tree.map(array, tuple(problem))
    y, cache = op.forward(params, x)
    dparams, dx = op.backward(dy, cache)
    return tree.flatten({"y": y, **dparams, "x": dx})


def differs(found, expected):
    """Whether a result has another value or another shape."""
    assert found.keys() == expected.keys()
    return any(
        found[leaf].shape != value.shape or (to_numpy(found[leaf]) != to_numpy(value)).any()
        for leaf, value in expected.items()
    )


@given(tt_problems())
def test_both_have_the_same_results_and_gradients_exactly(problem):
    for dtype in (object, "float64"):
        found = run(partial_sums, problem, lambda a, dtype=dtype: a.astype(dtype))
        expected = run(ops.tt_linear, problem, lambda a, dtype=dtype: a.astype(dtype))
        assert not differs(found, expected)


SHAPES = {  # in_modes, out_modes, ranks
    "one core": ((3,), (2,), (1, 1)),
    "two cores": ((3, 2), (2, 5), (1, 4, 1)),
    "all sizes differ": ((2, 3, 5), (7, 4, 3), (1, 6, 8, 1)),
    "rank beyond n m": ((2, 1, 2), (1, 2, 2), (1, 5, 7, 1)),
    "cores alike": ((2, 2, 2), (3, 3, 3), (1, 1, 1, 1)),
    "five cores": ((2, 1, 2, 3, 2), (1, 2, 2, 1, 3), (1, 2, 3, 2, 4, 1)),
}


def problem(shape, B=3, seed=0, size=3):
    """Parameters, x and dy: integers from -size to size."""
    n, m, r = SHAPES[shape]
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-size, size + 1, shape)

    cores = tuple(draw(*core) for core in tt.core_shapes(n, m, r))
    return {"cores": cores, "bias": draw(prod(m))}, draw(B, prod(n)), draw(B, prod(m))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_library_and_number_gives_the_same_integers(shape, backend):
    drawn = problem(shape, size=1)
    largest = run(ops.tt_linear, drawn, lambda a: abs(a).astype(object))
    assert max(value.max() for value in largest.values()) < 2**24  # so float32 is exact
    expected = run(ops.tt_linear, drawn, lambda a: a.astype(object))
    assert not differs(run(partial_sums, drawn, backend.array), expected)


@pytest.mark.parametrize("batch", [0, 1])
def test_an_empty_batch_and_a_single_sample_are_no_exception(batch):
    for shape in SHAPES:
        both = (
            run(op, problem(shape, batch), lambda a: a.astype("float64"))
            for op in (partial_sums, ops.tt_linear)
        )
        assert not differs(*both)


WRONG = [
    pytest.param(m, id=m.name)
    for m in MUTANTS.values()
    if m.operator == "tt_linear" and not m.name.endswith("narrow")  # it changes no small integer
]


@pytest.mark.parametrize("mutant", WRONG)
def test_the_witness_tells_every_wrong_tt_layer_from_the_right_one(mutant):
    found = set()
    for shape in SHAPES:
        drawn = problem(shape)
        wrong, right = (
            run(op, drawn, lambda a: a.astype(float)) for op in (mutant.op, partial_sums)
        )
        found.add(differs(wrong, right))
    assert True in found


def expected_multiplications(n, m, r, B):
    """Of backward, by the sums of docs/derivations/tt_linear.md, which number cores from 1."""
    cores = range(1, len(n) + 1)
    total = 0
    for k in cores:
        own = r[k - 1] * r[k]
        rest = n[k - 1] * own * prod(m[k:])  # what the left partial sum of core k carries along
        total += B * prod(m[:k]) * prod(n[k - 1 :]) * own  # dx
        total += B * prod(m) * n[k - 1] * own  # the product with dy
        if k > 1:
            total += B * prod(n[:k]) * prod(m[k - 1 :]) * own  # the right partial sums
            total += B * prod(n[: k - 1]) * m[k - 2] * r[k - 2] * rest  # the core before
        for e in range(1, k - 1):  # the other cores before
            total += B * prod(n[:e]) * prod(m[e - 1 : k - 1]) * r[e - 1] * r[e] * rest
    return total


def multiplications(op, n, m, r, B):
    """Counted, of backward."""
    shapes = {"cores": tt.core_shapes(n, m, r)}, (B, prod(n))
    return count_flops(op, shapes).backward.multiplications


@pytest.mark.parametrize("shape", SHAPES)
def test_its_cost_is_counted_as_the_formula_says(shape):
    n, m, r = SHAPES[shape]
    assert multiplications(partial_sums, n, m, r, 2) == expected_multiplications(n, m, r, 2)


def test_its_cost_grows_with_the_fourth_power_of_the_rank_and_that_of_the_sweep_with_the_second():
    def at(op, rank):
        return multiplications(op, (2,) * 5, (2,) * 5, (1, *[rank] * 4, 1), 1)

    def growth(op):
        """Of the cost, when the rank doubles."""
        return at(op, 64) / at(op, 32)

    assert 14 < growth(partial_sums) < 16
    assert 3.8 < growth(ops.tt_linear) < 4
