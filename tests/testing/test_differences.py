"""Complex step, Richardson and Taylor: silent on right operators, loud on planted bugs."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import functions as F
from ttref import ops
from ttref.errors import MissingExtraError, UndecidableError
from ttref.rng import generator
from ttref.testing import CASES, differences
from ttref.testing.cases import Case, from_generator
from ttref.testing.ladder import plant
from ttref.testing.report import Inapplicable

RUNGS = ("complex_step", "richardson", "taylor")
WITHOUT_GRADIENT = ("SGD", "Adam")


def cases(name, count, seed=0, **options):
    rng = generator(seed)
    for _ in range(count):
        yield CASES[name](from_generator(rng), rng, **options)


def findings(rung, name, count=5, **options):
    rng = generator(1)
    return [
        f for case in cases(name, count, **options) for f in getattr(differences, rung)(case, rng)
    ]


def one_input(forward, slope, x, kinks=()):
    """The case of a function of one entry at a time."""
    return Case(
        {"x": np.asarray(x)},
        np.ones(np.shape(x)),
        lambda inputs: (forward(inputs["x"]), inputs["x"]),
        lambda dy, x: {"x": dy * slope(x)},
        None,
        kinks=kinks,
    )


def line_at(case, v):
    x = case.inputs["x"]
    return differences.Line(case, "x", np.asarray(v), float(np.sum(case.backward(1, x)["x"])), 0.0)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT_GRADIENT])
def test_right_operators_pass_and_every_case_is_decided(rung, name):
    found = findings(rung, name)
    assert found
    assert not any(f.failure or f.undecided for f in found), found


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_what_has_no_gradient_has_nothing_to_find(rung, name):
    assert findings(rung, name, 2) == []


# A remainder of second order hides an error in the gradient of softmax, and none in a linear map.
POWERS = [
    ("complex_step", "tt_linear", "cores", 11),
    ("complex_step", "softmax", "x", 11),
    ("richardson", "tt_linear", "cores", 8),
    ("richardson", "softmax", "x", 8),
    ("taylor", "tt_linear", "cores", 8),
    ("taylor", "softmax", "x", 4),
]


@pytest.mark.parametrize(("rung", "name", "tensor", "decade"), POWERS)
def test_a_small_error_of_a_whole_gradient_is_seen_in_every_case(rung, name, tensor, decade):
    rng = generator(1)
    for case in cases(name, 5):
        suspect = plant(case, tensor, decade, True, [])
        failures = [f.failure for f in getattr(differences, rung)(suspect, rng)]
        one_class = name == "softmax" and case.inputs["x"].shape[1] == 1
        assert one_class or any(failures)  # whose gradient is zero, which no factor makes wrong


@pytest.mark.parametrize("rung", RUNGS)
def test_a_wrong_slope_behind_a_relu_is_seen(rung):
    def backward(dy, cache):
        return {}, dy * (cache.x > -1)  # the kink is elsewhere

    suspect = SimpleNamespace(forward=ops.activation.forward, backward=backward)
    found = findings(rung, "activation", 20, op=suspect)
    assert any(f.failure for f in found)


@pytest.mark.parametrize("rung", RUNGS)
def test_a_gradient_of_another_shape_is_an_error_that_names_it(rung):
    case = one_input(lambda x: x, lambda x: np.ones((2, 3)), np.ones(3))
    with pytest.raises(ValueError, match=r"gradient of x has shape \(2, 3\)"):
        getattr(differences, rung)(case, generator(0))


def test_the_failure_states_both_products_and_what_roundings_explain():
    case = one_input(lambda x: 2 * x, lambda x: 0 * x + 3, np.ones(2))
    (finding,) = differences.complex_step(case, generator(0))
    assert "expected <dy, J v> = " in str(finding.failure)
    assert "it is off by" in str(finding.failure) and "is explained" in str(finding.failure)


def test_the_failure_of_taylor_states_the_slope_that_an_error_leaves():
    case = one_input(lambda x: x * x, lambda x: 2 * x + 1, np.ones(2))
    (finding,) = differences.taylor(case, generator(0))
    assert "falls with slope 1.0" in str(finding.failure)


def test_the_step_stops_short_of_a_kink():
    case = one_input(F.relu, lambda x: 1.0 * (x > 0), [0.01])
    step, _ = differences.certain(line_at(case, [1.0]), differences._stays_on_branch)
    assert step == 2.0**-7  # 0.0078, and 0.0156 would cross


def test_the_step_stops_short_of_a_kink_of_an_intermediate_result():
    case = one_input(lambda x: F.relu(x * x - 1), lambda x: 2 * x, [1.01])
    step, _ = differences.certain(line_at(case, [1.0]), differences._stays_on_branch)
    assert step == 2.0**-7


@pytest.mark.parametrize("rung", RUNGS)
def test_on_a_kink_the_case_is_undecided(rung, monkeypatch):
    case = one_input(F.relu, lambda x: 1.0 * (x > 0), [0.0])
    monkeypatch.setattr(differences.accuracy, "draw_floats", lambda case, rng, dtype: case)
    (finding,) = getattr(differences, rung)(case, generator(0))
    assert finding.undecided
    assert finding.failure is None


def test_the_complex_step_does_not_apply_where_forward_takes_no_complex_arrays():
    def real_only(x):
        if x.dtype.kind == "c":
            raise TypeError("no complex numbers")
        return x

    case = one_input(real_only, lambda x: 0 * x + 1, [1.0])
    with pytest.raises(Inapplicable, match="takes no complex arrays: no complex numbers"):
        differences.complex_step(case, generator(0))


def test_a_modulus_fools_the_complex_step_and_the_others_not():
    def forward(x):
        return np.abs(x) if x.dtype.kind in "fc" else F.absolute(x)

    case = one_input(forward, np.sign, np.ones(3))
    assert differences.complex_step(case, generator(0))[0].failure
    assert not differences.richardson(case, generator(0))[0].failure


def test_points_on_a_line_are_never_rounded():
    (case,) = cases("linear", 1)
    for line in differences.lines(case, generator(0)):
        x = case.inputs[line.leaf]
        step = 2.0**-differences.NARROWEST * differences.TAYLOR_STEPS[-1]
        there, back = (line._replace(case=line.case).at(t) for t in (step, 0))
        assert there[line.leaf].shape == x.shape
        assert ((there[line.leaf] - back[line.leaf]) / step == line.v).all()


def test_the_curvature_of_a_parabola_is_its_second_derivative():
    case = one_input(lambda x: 3 * x * x, lambda x: 6 * x, [0.5])
    _, curvature = differences.certain(line_at(case, [1.0]), differences._largest_curvature)
    assert curvature == pytest.approx(6, rel=2.0**-differences.BITS * 8)  # a few roundings of balls


def test_curvature_without_a_bound_is_undecidable():
    case = one_input(lambda x: 1 / (x - x), lambda x: x, [0.5])  # whose ball contains 1 / 0
    with pytest.raises(UndecidableError, match="has no bound, within 2"):
        differences.certain(line_at(case, [1.0]), differences._largest_curvature)


def test_extrapolation_takes_a_polynomial_of_its_order_exactly_up_to_roundings():
    value, error, nodes = differences.extrapolated(lambda t: 1 + 3 * t + t**8, 2.0**-4)
    allowed = error + differences.RICHARDSON_WEIGHTS * 2.0**-53 * 1.2 / min(map(abs, nodes))
    assert abs(value - 3) <= allowed < 1e-11


def remainders(case):
    return {
        line.leaf: differences.remainder(line) for line in differences.lines(case, generator(0))
    }


def test_the_picture_shows_one_line_per_tensor(tmp_path):
    (case,) = cases("softmax_cross_entropy", 1)
    differences.draw_taylor(tmp_path / "taylor.png", remainders(case))
    assert (tmp_path / "taylor.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_asks_for_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ttref\[plot\]'"):
        differences.draw_taylor(tmp_path / "taylor.png", {})
