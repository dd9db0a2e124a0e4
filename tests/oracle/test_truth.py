"""The truth: no order of evaluation rounds on the lattice, nor leaves the bound elsewhere."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from tests.oracle import layers
from ttref import tree
from ttref.arithmetic import lattice
from ttref.arithmetic.formats import format_of
from ttref.oracle import truth
from ttref.oracle.problems import make_problem
from ttref.rng import generator
from ttref.testing import accuracy, exact

FORMATS = ("float16", "float32", "float64")


def contractions(case, dtype):
    """y of a train of two cores, its products in each order, its sums in NumPy's and backwards."""
    values = [case.inputs["x"], *case.inputs["cores"]]
    A, B = (core[0] if k == 0 else core[..., 0] for k, core in enumerate(values[1:]))
    x = values[0].reshape(-1, A.shape[0], B.shape[1])
    parts = {"bjk": x, "jia": A, "akl": B}
    for order in permutations(parts):
        for flip in (1, -1):
            first, second, third = (
                parts[key][..., ::flip].astype(dtype)[..., ::flip] for key in order
            )
            rest = "".join(sorted(set(order[0] + order[1]) & set(order[2] + "bil")))
            state = np.einsum(f"{order[0]},{order[1]}->{rest}", first, second)
            y = np.einsum(f"{rest},{order[2]}->bil", state, third)
            yield y.reshape(len(x), -1)


SHAPES = [((2, 3), (4, 5), (1, 6, 1)), ((3, 3), (3, 3), (1, 2, 1)), ((1, 5), (2, 1), (1, 4, 1))]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_order_of_contraction_rounds_on_the_lattice(shape, dtype):
    case = truth.draw_integers(layers.problem(*shape, bias=False), np.random.default_rng(1), dtype)
    expected = truth.compute_exactly(case)["y"]
    for y in contractions(case, dtype):
        assert np.array_equal(y, expected)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_order_of_contraction_leaves_the_bound(shape, dtype):
    case = truth.draw_floats(layers.problem(*shape, bias=False), np.random.default_rng(1), dtype)
    known = truth.enclose(case, dtype)
    for y in contractions(case, dtype):
        finding = accuracy.judge(
            "y", y, known.values["y"], known.bounds["y"], known.absolute["y"], dtype
        )
        assert finding.failure is None


def test_the_bound_is_what_rounding_up_at_every_step_makes():
    """A product of two numbers and 39 sums: 40 roundings, each by a factor 1 + u."""
    case = layers.problem((2,), (1,), (1, 1))
    u = Fraction(1, 2**24)
    bound = truth.bound_errors(np.ones(1), np.asarray([40]), case.degree, "float32")[0].bound
    assert abs(bound / float((1 + u) ** 40 - 1) - 1) < 2**-45  # a few roundings of float64


def any_problem(rng):
    """A problem of random shapes."""
    (shapes,) = layers.RIGHT.draw_shapes(rng, 1)
    return make_problem(shapes, rng)


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_lattice_is_as_large_as_it_can_be(dtype):
    rng = generator(0)
    for _ in range(50):
        case = any_problem(rng)
        most = int(max(count.max() for count in truth.count_paths(case).values()))
        size = truth.amplitude(case, dtype)
        assert most * size**case.degree < 2 ** format_of(dtype).precision
        assert most * (size + 1) ** case.degree >= 2 ** format_of(dtype).precision
        if size:
            assert np.abs(truth.draw_integers(case, rng, dtype).inputs["x"]).max() <= size


def test_the_lattice_bound_covers_the_peak_that_magnitudes_find():
    rng = generator(0)
    for _ in range(20):
        case = truth.draw_integers(any_problem(rng), rng, "float32")
        assert lattice.is_exact(exact._peak(case), "float32")


def test_paths_are_counted():
    counts = truth.count_paths(layers.problem((2, 3), (4, 5), (1, 6, 1), B=7))
    assert set(counts["y"].flat) == {2 * 3 * 6 + 1}  # j_1, j_2, one bond, the bias
    assert set(counts["bias"].flat) == {7}
    assert set(counts["cores.0"].flat) == {7 * 3 * 5}  # B, j_2, i_2; both its bonds are fixed
    assert set(counts["x"].flat) == {4 * 5 * 6}


def test_truth_on_the_lattice_is_that_of_exact_integers():
    case = truth.draw_integers(layers.problem((2, 3), (4, 5), (1, 6, 1)), generator(0), "float64")
    slow = case._replace(
        inputs=tree.map(lambda v: v.astype(object), case.inputs), dy=case.dy.astype(object)
    )
    expected = accuracy.results(slow)
    found = truth.compute_exactly(case)
    assert all((value == expected[leaf]).all() for leaf, value in found.items())
    assert (expected["y"] == case.definition(slow.inputs)).all()


def test_a_shape_that_is_too_large_for_a_format_has_no_lattice():
    case = layers.problem((3, 3, 3), (3, 3, 3), (1, 4, 4, 1))
    assert truth.draw_integers(case, generator(0), "float32")
    assert truth.draw_integers(case, generator(0), "bfloat16") is None


def test_there_is_no_bound_where_roundings_may_take_every_digit():
    case = layers.problem((3, 3, 3), (3, 3, 3), (1, 4, 4, 1))
    paths = truth.count_paths(case)["y"]
    ones = np.ones_like(paths, float)
    assert truth.bound_errors(ones, paths, case.degree, "bfloat16") is None
    assert truth.bound_errors(ones, paths, case.degree, "float16") is not None
