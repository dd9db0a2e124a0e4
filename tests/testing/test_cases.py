"""The cases: structure that reaches the corners, values and attributes that are what they say."""

from collections import Counter
from fractions import Fraction
from math import comb, prod

import numpy as np
import pytest

from ttref import fast, ops, scan, tree
from ttref.cells import GRUCell, LSTMCell, RNNCell, per_gate
from ttref.errors import InexactError
from ttref.layers import Dense, Sequential, TTDense
from ttref.optim import SGD, Adam
from ttref.testing import CASES
from ttref.testing.cases import affine, case, elementwise, from_generator
from ttref.testing.exact import arithmetic, compare


def some(name, count=40, seed=0):
    """Cases of an operator."""
    rng = np.random.default_rng(seed)
    draw = from_generator(rng)
    return [CASES[name](draw, rng) for _ in range(count)]


@pytest.mark.parametrize("name", CASES)
def test_a_seed_gives_the_same_cases_again(name):
    for one, other in zip(some(name, 5), some(name, 5), strict=True):
        pairs = zip(tree.leaves(one.inputs), tree.leaves(other.inputs), strict=True)
        assert all((a == b).all() for a, b in pairs)
        assert one.dy is None or (one.dy == other.dy).all()


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_objects_and_every_one_has_a_gradient_of_its_shape(name):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    for found in some(name, 10):
        assert all(leaf.dtype == object for leaf in tree.leaves(found.inputs))
        with arithmetic(found) as lift:
            inputs = tree.map(lift, found.inputs)
            y, cache = found.forward(inputs)
            assert found.definition(inputs).shape == np.shape(y)
            if found.backward is not None:
                assert found.dy.shape == np.shape(y)
                gradients = tree.flatten(found.backward(found.dy, cache))
                shapes = {k: x.shape for k, x in tree.flatten(inputs).items()}
                assert {k: np.shape(g) for k, g in gradients.items()} == shapes


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("SGD", "Adam")])
def test_gradients_are_seldom_zero(name):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    empty = 0
    for found in some(name, 20):
        with arithmetic(found) as lift:
            _, cache = found.forward(tree.map(lift, found.inputs))
            gradients = tree.leaves(found.backward(found.dy, cache))
            empty += not any(bool(v != 0) for g in gradients for v in np.asarray(g).flat)
    assert empty < 10


@pytest.mark.parametrize("name", CASES)
def test_y_is_a_polynomial_of_the_degree_that_is_stated_and_of_no_smaller_one(name):
    reached = set()
    for found in some(name, 30):
        if found.degree is None:
            continue
        points = range(found.degree + 3)
        values = [found.forward(tree.map(lambda x, t=t: t * x, found.inputs))[0] for t in points]
        for order in (found.degree, found.degree + 1):
            signs = [(-1) ** (order - k) * comb(order, k) for k in range(order + 1)]
            differences = [
                np.asarray(sum(s * v for s, v in zip(signs, values[t:], strict=False)))
                for t in range(2)
            ]
            if order == found.degree:
                reached |= {bool((d != 0).any()) for d in differences}
            else:
                assert not any((d != 0).any() for d in differences)
    assert not reached or True in reached


@pytest.mark.parametrize("name", CASES)
def test_cases_that_are_not_exact_have_no_value_on_integers(name):
    for found in some(name, 10):
        if found.is_exact:
            y, _ = found.forward(found.inputs)
            assert all(isinstance(v, int | Fraction) for v in np.asarray(y, object).flat)
        elif name != "Adam":  # its rates are floats
            with pytest.raises(InexactError):
                found.forward(tree.map(lambda x: 1 + 0 * x, found.inputs))


def test_steps_of_sgd_on_multiples_of_the_unit_are_integers():
    for found in some("SGD", 20):
        y, _ = found.forward(tree.map(lambda x, unit=found.unit: unit * x, found.inputs))
        assert all(Fraction(v).denominator == 1 for v in y)


@pytest.mark.parametrize("kind", ["relu", "hard_sigmoid", "hard_sigmoid_sixth"])
def test_inputs_lie_on_both_sides_of_the_kinks_and_on_that_at_zero(kind):
    kinks = elementwise.PIECEWISE_LINEAR[kind].kinks
    values = [v for c in some("activation", 200) if c.kinks == kinks for v in c.inputs["x"].flat]
    assert {np.sign(float(v - kinks[0])) for v in values} >= {-1, 1}
    assert kind != "relu" or 0 in values


@pytest.fixture(scope="module")
def trains():
    draw = from_generator(np.random.default_rng(0))
    return [affine.draw_structure(draw) for _ in range(300)]


CORNERS = {
    "one core": lambda n, m, r: len(n) == 1,
    "three cores or more": lambda n, m, r: len(n) >= 3,
    "square modes and equal ranks": lambda n, m, r: n == m and len({*n}) == 1 and len({*r}) <= 2,
    "a mode of size 1": lambda n, m, r: 1 in n + m,
    "a prime mode": lambda n, m, r: {2, 3, 5} & {*n, *m},
    "a rank beyond its modes": lambda n, m, r: any(
        b > j * i * a for j, i, a, b in zip(n, m, r[:-1], r[1:], strict=True)
    ),
    "ranks that differ": lambda n, m, r: len({*r[1:-1]}) > 1,
    "sizes all different": lambda n, m, r: (
        len(n) > 1 and max(Counter([*n, *m, *r[1:-1]]).values()) == 1
    ),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_one_train_in_twenty_at_least_is_in_every_corner(trains, corner):
    assert sum(bool(CORNERS[corner](*train)) for train in trains) >= 15


def test_trains_chain_and_stay_small(trains):
    for n, m, r in trains:
        assert len(n) == len(m) == len(r) - 1
        assert r[0] == r[-1] == 1
        assert prod(n) <= 81
        assert prod(m) <= 81
        assert max(r) <= 11


def test_draws_include_both_ends_and_the_first_option_is_the_simplest():
    draw = from_generator(np.random.default_rng(0))
    assert {draw(2, 4) for _ in range(50)} == {2, 3, 4}
    assert case.choose(lambda low, high: low, "abc") == "a"
    assert case.choose(lambda low, high: high, "abc") == "c"


def test_the_definition_of_a_train_is_the_sum_over_all_bonds():
    rng = np.random.default_rng(0)
    cores = tuple(case.integers(rng, shape) for shape in ((1, 2, 3, 2), (2, 2, 1, 3), (3, 1, 2, 1)))
    dense = np.einsum("ajib,bklc,cmnd->jkmiln", *(core.astype(int) for core in cores))
    assert (affine.matrix_by_entries(cores) == dense.reshape(4, 6)).all()


@pytest.mark.parametrize("name", CASES)
def test_a_definition_that_is_off_by_one_is_told_from_the_operator(name):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    found = some(name, 1)[0]
    with arithmetic(found) as lift:
        inputs = tree.map(lift, found.inputs)
        y, _ = found.forward(inputs)
        assert compare("y", y, found.definition(inputs), found) is None
        assert compare("y", y, 1 + found.definition(inputs), found) is not None


def test_every_operator_and_every_layer_with_parameters_has_its_cases():
    operators = [family.operator for family in CASES.values()]
    assert {getattr(ops, name) for name in ops.__all__} <= set(operators)
    assert {fast.tt_linear, Dense, TTDense, Sequential, SGD, Adam} <= set(operators)
    assert {per_gate, RNNCell, GRUCell, LSTMCell, scan} <= set(operators)
