"""Balls contain the exact value, get as narrow as asked, and say so where they cannot tell."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttref import functions as F
from ttref import ops
from ttref.arithmetic import ball, rational
from ttref.errors import MissingExtraError, UndecidableError
from ttref.ops.activation import BACKWARD, FORWARD, Cache

flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
arb = flint.arb
TRUE_BITS = 600

# Formulas other than those of ttref.functions, for a number with 600 bits.
TRUTH = {
    "relu": lambda v: max(v, arb(0)),
    "negative_part": lambda v: min(v, arb(0)),
    "absolute": abs,
    "hard_sigmoid": lambda v: min(max(v / 5 + arb(1) / 2, arb(0)), arb(1)),
    "hard_sigmoid_sixth": lambda v: min(max(v / 6 + arb(1) / 2, arb(0)), arb(1)),
    "exp": lambda v: 1 / (-v).exp(),
    "expm1": lambda v: v.exp() - 1,
    "log1p": lambda v: (1 + v).log(),
    "tanh": lambda v: v.sinh() / v.cosh(),
    "sigmoid": lambda v: ((v / 2).tanh() + 1) / 2,
    "softplus": lambda v: (1 + v.exp()).log(),
    "erfc": lambda v: 1 - v.erf(),
    "normal_cdf": lambda v: (1 + (v / arb(2).sqrt()).erf()) / 2,
    "normal_pdf": lambda v: (-v * v / 2).exp() / (2 * arb.pi()).sqrt(),
}


def exactly(fraction, bits=TRUE_BITS):
    """A ball around a Fraction that is as good as the number itself."""
    with ball.precision(bits):
        return arb(fraction.numerator) / fraction.denominator


def contains(found, exact):
    """Whether a ball contains a number, itself known to 600 bits."""
    with ball.precision(TRUE_BITS):
        return found.contains(exact) or bool(found.overlaps(exact) and exact.rad() < 2.0**-400)


middles = st.fractions(-20, 20, max_denominator=64)
offsets = st.fractions(-1, 1, max_denominator=16)


@pytest.mark.parametrize("name", TRUTH)
@settings(max_examples=100)
@given(middles, offsets, st.integers(1, 100))
def test_a_function_of_a_ball_contains_its_value_at_every_point_of_the_ball(
    name, middle, offset, digits
):
    radius = Fraction(1, 2**digits)
    point = middle + offset * radius
    if name == "log1p" and middle - radius <= -1:
        return
    with ball.precision(128):
        x = arb(arb(middle.numerator) / middle.denominator, 2.0**-digits)
        try:
            y = ball.lift(getattr(F, name)(np.asarray([x], dtype=object)))[0]
        except UndecidableError:
            kink = KINKED.get(name, 0)
            assert abs(abs(middle) - kink) <= radius
            return
    with ball.precision(TRUE_BITS):
        assert contains(y, TRUTH[name](exactly(point)))


KINKED = {
    "relu": 0,
    "leaky_relu": 0,
    "elu": 0,
    "hard_sigmoid": Fraction(5, 2),
    "hard_sigmoid_sixth": 3,
}


@pytest.mark.parametrize("kind", FORWARD)
@pytest.mark.parametrize("side", [1, -1])
def test_which_side_of_a_kink_a_ball_is_on_is_not_guessed(kind, side):
    kink = KINKED.get(kind, 0) * side
    with ball.precision(128):
        x = np.asarray([arb(float(kink), 2.0**-100)], dtype=object)
        beside = np.asarray([arb(float(kink) + 2.0**-40, 2.0**-100)], dtype=object)
        compute = [
            lambda x: FORWARD[kind](x, 2),
            lambda x: BACKWARD[kind](x * 0 + 1, Cache(kind, 2, x, FORWARD[kind](beside, 2))),
        ]
        for function in compute:
            assert np.isfinite(float(ball.lift(function(beside))[0].mid()))
            if kind in KINKED:
                with pytest.raises(
                    UndecidableError, match=r"whether .* is positive cannot be told"
                ):
                    function(x)


def balls_and_points(rng, shape, radius):
    """Logits as wide balls that overlap each other, and points in them."""
    middles = rng.integers(-1, 2, shape) / 64
    x = np.frompyfunc(lambda v: arb(float(v), radius), 1, 1)(middles)
    return x, middles + radius * rng.uniform(-1, 1, shape)


def contain(found, points):
    return all(contains(ball.lift(b)[()], p) for b, p in zip(found.flat, points.flat, strict=True))


MASK = np.asarray([[1, 1, 1], [1, 1, 0]])


def losses_by_operators(z, labels):
    """Softmax, its pullback of itself, and two cross-entropies with their gradients."""
    y, cache = ops.softmax.forward({}, z)
    found = [y, ops.softmax.backward(y, cache)[1]]
    for mask in (None, MASK):
        loss, cache = ops.softmax_cross_entropy.forward(z, labels, class_mask=mask)
        found += [np.asarray(loss), ops.softmax_cross_entropy.backward(1, cache)]
    return found


def losses_by_definition(z, labels):
    powers = F.exp(z)
    y = powers / powers.sum(axis=1, keepdims=True)
    found = [y, y * (y - (y * y).sum(axis=1, keepdims=True))]
    for mask in (np.ones_like(MASK), MASK):
        totals = (powers * mask).sum(axis=1)
        hot = labels[:, None] == np.arange(3)
        loss = sum(t.log() - v for t, v in zip(totals, z[hot], strict=True)) / 2
        found += [np.asarray(loss), (powers * mask / totals[:, None] - hot.astype(int)) / 2]
    return found


@pytest.mark.parametrize("seed", range(10))
def test_softmax_and_cross_entropy_contain_the_truth_where_no_largest_logit_is_known(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 2)
    with ball.precision(128):
        x, points = balls_and_points(rng, (2, 3), 2.0**-5)
        assert x[0, 0].overlaps(x[0, 1])
        found = losses_by_operators(x, labels)
    with ball.precision(TRUE_BITS):
        truth = losses_by_definition(ball.lift(points), labels)
    assert all(map(contain, found, truth))


def test_enclose_doubles_the_precision_until_the_radius_is_small():
    asked = []

    def cancelling():
        asked.append(flint.ctx.prec)
        return {"d": ball.lift(np.asarray([2.0**400])) + 1 - 2.0**400}

    found = ball.enclose(cancelling)["d"][0]
    assert asked == [128, 256, 512]
    assert found == 1
    assert flint.ctx.prec == 53


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("float32", 24), ("float64", 53)])
def test_enclosures_are_narrower_than_a_thousandth_of_an_ulp(dtype, bits):
    of_the_last_bit = 2.0 ** (1 - bits)  # of 1
    narrow, wide = (
        np.asarray([arb(1, share * of_the_last_bit)], dtype=object) for share in (2**-11, 2**-9)
    )
    assert ball.enclose(lambda: narrow, dtype)[0].overlaps(1)
    with pytest.raises(UndecidableError, match=r"a radius stays above 2\^-10 ulp"):
        ball.enclose(lambda: wide, dtype)


def test_a_value_that_cancels_to_zero_is_measured_against_its_neighbours():
    def compute():
        third = ball.lift(np.asarray([1])) / 3
        return np.concatenate([3 * third - 1, third])

    assert ball.enclose(compute)[0].contains(0)


def test_enclose_gives_up_in_words():
    def on_the_kink():
        third = ball.lift(np.asarray([1])) / 3
        return F.relu(3 * third - 1)

    with pytest.raises(UndecidableError, match="is positive cannot be told, even with 8192 bits"):
        ball.enclose(on_the_kink)
    wide = np.asarray([arb(1, 0.5)], dtype=object)
    with pytest.raises(UndecidableError, match=r"a radius stays above 2\^-10 ulp, even with 8192"):
        ball.enclose(lambda: wide)


def test_a_kink_that_more_bits_leave_behind_is_decided():
    def beside_the_kink():
        third = ball.lift(np.asarray([1])) / 3
        return F.relu(3 * third - 1 + Fraction(1, 2**200).numerator / arb(2) ** 200)

    with ball.precision(128), pytest.raises(UndecidableError):
        beside_the_kink()
    assert ball.enclose(beside_the_kink)[0] > 0


def test_the_precision_is_set_back_even_after_an_error():
    with pytest.raises(ZeroDivisionError), ball.precision(300):
        raise ZeroDivisionError
    assert flint.ctx.prec == 53


@given(st.fractions(max_denominator=10**6))
def test_numbers_of_every_kind_lift_to_balls_that_contain_them(value):
    for number in (value, flint.fmpq(value.numerator, value.denominator)):
        with ball.precision(128):
            lifted = ball.lift(np.asarray([number], dtype=object))[0]
        assert contains(lifted, exactly(value))
    assert ball.lift(np.float32(0.1))[()] == float(np.float32(0.1))
    assert ball.lift(np.int64(2**62 + 1))[()] == 2**62 + 1


def test_the_distance_of_floats_from_balls_is_an_upper_bound():
    truth = np.asarray([arb(1, 0.25), arb(2)], dtype=object)
    bounds = ball.distance(np.asarray([1.5, np.nan]), truth)
    assert 0.75 <= bounds[0] < 0.7501
    assert not bounds[1] <= 1e300  # not a number is not near any
    assert ball.distance(np.empty((0, 2)), np.empty((0, 2), dtype=object)).shape == (0, 2)


def test_without_python_flint_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(ball, "flint", None)
    assert not ball.available()
    with pytest.raises(MissingExtraError, match=r"pip install 'ttref\[exact\]'"):
        ball.enclose(lambda: rational.lift(1))
