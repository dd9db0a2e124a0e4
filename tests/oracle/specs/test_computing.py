"""`compute` in its three modes, and `rounded`."""

from fractions import Fraction

import numpy as np
import pytest

from ttref.arithmetic import ball
from ttref.arithmetic.rational import as_fraction
from ttref.errors import ConventionError, DataError
from ttref.oracle import SPECS, compute, rounded, spec
from ttref.rng import generator

pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

LINEAR = spec("linear", bias=False)


def product(factors, x, dtype=float):
    """The results of ``y = x w`` for one row x and one column w."""
    kernel = np.asarray(factors, dtype).reshape(-1, 1)
    return compute(LINEAR, {"kernel": kernel}, {"x": np.asarray(x, dtype).reshape(1, -1)})


@pytest.mark.parametrize("kind", SPECS)
def test_floats_and_balls_are_where_the_exact_results_are(kind):
    rng = generator(1)
    layer = spec(kind)
    for _ in range(3):
        problem = layer.draw(rng)
        enclosed = compute(layer, *problem, mode="certified")
        floats = compute(layer, *problem, mode="float")
        assert list(enclosed) == list(floats)
        for name, balls in enclosed.items():
            assert ball.distance(floats[name], balls).max(initial=0) < 1e-9
            assert floats[name].dtype == np.float64
        if not layer.irrational:
            exact = compute(layer, *problem)
            with ball.precision(1024):
                for name, balls in enclosed.items():
                    values = ball.lift(exact[name])
                    assert all(b.contains(v) for b, v in zip(balls.flat, values.flat, strict=True))


def test_exact_results_are_the_rationals_of_the_floats():
    found = product([0.1, 3.0], [1.0, 1 / 3])
    assert as_fraction(found["y"][0, 0]) == Fraction(0.1) + 3 * Fraction(1 / 3)
    assert found.mode == "exact"
    assert repr(found).startswith("<exact results of Linear(")


def test_a_cotangent_that_is_left_out_is_zero_and_without_any_there_are_no_gradients():
    params = {"kernel": np.ones((2, 1))}
    inputs = {"x": np.ones((1, 2))}
    assert list(compute(LINEAR, params, inputs)) == ["y"]
    assert not compute(LINEAR, params, inputs, {})["kernel"].any()


def test_arguments_that_are_none_are_refused():
    params = {"kernel": np.ones((2, 1))}
    inputs = {"x": np.ones((1, 2))}
    with pytest.raises(ConventionError, match="spec is a str, expected a layer such as spec"):
        compute("linear", params, inputs)
    with pytest.raises(ConventionError, match="mode is 'precise'"):
        compute(LINEAR, params, inputs, mode="precise")
    with pytest.raises(ConventionError, match="name in upstream is 'x'"):
        compute(LINEAR, params, inputs, {"x": np.ones((1, 2))})
    with pytest.raises(DataError, match="nan has no exact value"):
        compute(LINEAR, params, {"x": np.full((1, 2), np.nan)})


def test_a_tie_is_rounded_to_even():
    # 1 + 2^-24 and 1 + 3 * 2^-24 are the middles of two numbers of float32
    for x, expected in ((1.0, 1.0), (3.0, 1 + 2**-22)):
        found = rounded(product([1.0, 2.0**-24], [1.0, x]), "float32")["y"]
        assert found.dtype == np.float32
        assert found[0, 0] == np.float32(expected)


def test_subnormal_numbers_are_kept_and_overflow_is_infinite():
    assert rounded(product([2.0**-100], [2.0**-49]), "float32")["y"][0, 0] == 2.0**-149
    assert rounded(product([2.0**-100], [2.0**-50]), "float32")["y"][0, 0] == 0
    assert rounded(product([2.0**-100], [3 * 2.0**-51]), "float32")["y"][0, 0] == 2.0**-149
    assert rounded(product([2.0**64], [2.0**63]), "float32")["y"][0, 0] == 2.0**127
    assert rounded(product([2.0**64], [-(2.0**64)]), "float32")["y"][0, 0] == -np.inf
    assert rounded(product([70000.0], [1.0]), "float16")["y"][0, 0] == np.inf


def test_there_is_no_other_format():
    with pytest.raises(ConventionError, match="dtype is 'float8'"):
        rounded(product([1.0], [1.0]), "float8")
