"""Elementwise functions: against 128-bit balls on floats, exactly on exact numbers."""

from fractions import Fraction

import numpy as np
import pytest

from ttref import border
from ttref import functions as F
from ttref.arithmetic.dual import Dual
from ttref.arrays import to_numpy
from ttref.errors import InexactError
from ttref.ops import activation

flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
arb = flint.arb

GAUSS = (2 * arb.pi()).sqrt()
PHI = lambda x: (-x / arb(2).sqrt()).erfc() / 2  # noqa: E731
SIGMOID = lambda x: 1 / (1 + (-x).exp())  # noqa: E731
ALPHA = Fraction(3, 4)
A = arb(3) / 4

# kind: (f, f') for balls away from the kinks
TRUTH = {
    "identity": (lambda x: x, lambda x: arb(1)),
    "relu": (lambda x: x if x > 0 else arb(0), lambda x: arb(x > 0)),
    "leaky_relu": (lambda x: x if x > 0 else A * x, lambda x: arb(1) if x > 0 else A),
    "tanh": (lambda x: x.tanh(), lambda x: x.sech() ** 2),
    "sigmoid": (SIGMOID, lambda x: SIGMOID(x) * SIGMOID(-x)),
    "hard_sigmoid": (
        lambda x: arb(0) if x <= -2.5 else arb(1) if x >= 2.5 else x / 5 + arb(1) / 2,
        lambda x: arb(1) / 5 if -2.5 < x < 2.5 else arb(0),
    ),
    "hard_sigmoid_sixth": (
        lambda x: arb(0) if x <= -3 else arb(1) if x >= 3 else x / 6 + arb(1) / 2,
        lambda x: arb(1) / 6 if -3 < x < 3 else arb(0),
    ),
    "softplus": (lambda x: x.exp().log1p(), SIGMOID),
    "elu": (lambda x: x if x > 0 else A * x.expm1(), lambda x: arb(1) if x > 0 else A * x.exp()),
    "gelu": (lambda x: x * PHI(x), lambda x: PHI(x) + x * (-x * x / 2).exp() / GAUSS),
}

# Units of roundoff, relative to the value, that an implementation with that many roundings may
# lose: NumPy's and SciPy's own functions are within 4 units in the last place (8 u) each, a
# product, sum or quotient adds u. tanh' = (1 - y)(1 + y) amplifies tanh's error by y / (1 - y^2),
# and gelu' has a zero: both are measured against the size of their terms instead.
UNITS = {"identity": 0, "relu": 0, "leaky_relu": 1, "hard_sigmoid": 4, "hard_sigmoid_sixth": 4}
DEFAULT_UNITS = 24


def points(dtype, reach):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=150) * 2, rng.uniform(-reach, reach, 150), [1e-8, -1e-8]])
    return x.astype(dtype)


def error_in_units(found, truth, scale, dtype):
    """|found - truth| / (u * scale), entrywise maximum; all in balls of 256 bits."""
    u = arb(float(np.finfo(dtype).eps)) / 2
    errors = (
        abs(arb(float(f)) - t) / (u * s) if s != 0 else arb(float(f) != 0) * 10**9
        for f, t, s in zip(found, truth, scale, strict=True)
    )
    return max(float(e.upper()) for e in errors)


@pytest.fixture(autouse=True)
def precise_balls():
    before, flint.ctx.prec = flint.ctx.prec, 256
    yield
    flint.ctx.prec = before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", TRUTH)
def test_activations_are_accurate_in_the_middle_and_in_both_tails(kind, dtype):
    x = points(dtype, 12 if kind == "gelu" else 80)
    if kind == "gelu" and dtype == "float32":
        x = x[np.abs(x) < 5]  # beyond, x * x / 2 in the exponent alone costs x * x / 2 units
    y, _ = activation.forward({}, x, kind, float(ALPHA))
    truth = [TRUTH[kind][0](arb(float(v))) for v in x]
    units = UNITS.get(kind, 200 if kind == "gelu" else DEFAULT_UNITS)
    scale = [abs(t) for t in truth]
    if kind.startswith("hard_sigmoid"):  # a sum: relative to the larger of its terms
        scale = [s + arb(1) / 2 for s in scale]
    assert y.dtype == dtype
    assert error_in_units(y, truth, scale, dtype) <= units


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", TRUTH)
def test_derivatives_are_accurate(kind, dtype):
    x = points(dtype, 5 if kind in ("gelu", "tanh") else 80)
    _, cache = activation.forward({}, x, kind, float(ALPHA))
    _, slope = activation.backward(np.ones_like(x), cache)
    truth = [TRUTH[kind][1](arb(float(v))) for v in x]
    scale = [abs(t) for t in truth]
    if kind == "tanh":  # (1 - y)(1 + y) from a rounded y
        scale = [s + abs(arb(float(v)).tanh()) * 2 for s, v in zip(scale, x, strict=True)]
    if kind == "gelu":
        scale = [PHI(v) + abs(v) * (1 + v * v) for v in (arb(float(v)) for v in x)]
    assert slope.dtype == dtype
    assert error_in_units(slope, truth, scale, dtype) <= DEFAULT_UNITS


@pytest.mark.parametrize("kind", TRUTH)
def test_extreme_and_missing_numbers_stay_what_they_are(kind):
    x = np.asarray([1e4, -1e4, 3e38, -3e38, np.nan], dtype="float32")
    with np.errstate(over="ignore", invalid="ignore"):  # x * x in gelu' overflows, to the right 0
        y, cache = activation.forward({}, x, kind, 1)
        _, slope = activation.backward(np.ones_like(x), cache)
    assert np.isfinite(y[:4]).all()
    assert np.isnan(y[4])
    assert np.isfinite(slope[:2]).all()


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "softplus", "elu", "relu", "leaky_relu"])
def test_the_complex_step_sees_the_same_derivative(kind):
    x = points("float64", 20)
    h = 1e-30
    with border.complex_steps():
        stepped, _ = activation.forward({}, x + 1j * h, kind, float(ALPHA))
    _, cache = activation.forward({}, x, kind, float(ALPHA))
    _, slope = activation.backward(np.ones_like(x), cache)
    # both are within some 20 units of the truth; tanh' as above
    scale = np.abs(slope) + (2 if kind == "tanh" else 0)
    assert (np.abs(stepped.imag / h - slope) <= 64 * 2**-53 * scale).all()


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "hard_sigmoid", "hard_sigmoid_sixth"])
def test_the_left_branch_holds_at_the_kink(kind):
    kinks = {"hard_sigmoid": [-2.5, 2.5], "hard_sigmoid_sixth": [-3.0, 3.0]}.get(kind, [0.0])
    for number in (float, Fraction):
        x = np.asarray([number(k) for k in kinks])
        _, cache = activation.forward({}, x, kind, 3)
        _, slope = activation.backward(np.asarray([number(1)] * len(kinks)), cache)
        assert slope.tolist() == [3 if kind == "leaky_relu" else 0] * len(kinks)


def test_division_of_integers_is_exact():
    x = np.asarray([1, 2, 3], dtype=object)
    assert F.divide(x, 3).tolist() == [Fraction(1, 3), Fraction(2, 3), 1]
    assert F.divide(7, 2) == Fraction(7, 2)
    assert F.divide(np.asarray([1.0]), 4).tolist() == [0.25]


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "softplus", "elu", "gelu"])
def test_transcendental_functions_refuse_exact_numbers(kind):
    x = np.asarray([Fraction(1, 2), Fraction(-1, 3)])
    with pytest.raises(InexactError, match=r"of Fraction .* has no exact value; use float"):
        activation.forward({}, x, kind, Fraction(1))


def test_numbers_with_their_own_functions_are_asked():
    x = np.asarray([arb(1), arb(-2)])
    assert [v.overlaps(arb(t).tanh()) for v, t in zip(F.tanh(x), (1, -2), strict=True)] == [
        True
    ] * 2


def test_functions_run_on_every_library_and_keep_the_dtype(float_backend):
    x = float_backend.array([-3, -1, 0, 1, 3])
    reference = np.asarray([-3, -1, 0, 1, 3], dtype=float_backend.kind)
    u = np.finfo(float_backend.kind).eps / 2
    for kind in TRUTH:
        y, cache = activation.forward({}, x, kind, 2)
        expected, expected_cache = activation.forward({}, reference, kind, 2)
        assert y.dtype == float_backend.dtype
        # two libraries' functions are within 8 u of the truth each, and some 4 of them are chained
        assert (np.abs(to_numpy(y) - expected) <= 64 * u * np.abs(expected)).all()
        _, slope = activation.backward(x, cache)
        _, expected_slope = activation.backward(reference, expected_cache)
        assert slope.dtype == float_backend.dtype
        assert (np.abs(to_numpy(slope) - expected_slope) <= 64 * u * np.abs(reference)).all()


# Kinks


def watched(function, values):
    """The kinks that a function of the values meets."""
    x = np.empty(len(values), dtype=object)
    x[:] = values
    with F.watch_kinks() as kinks:
        function(x)
    return kinks


FIVE_HALVES = Fraction(5, 2)
KINKS = {  # kind: those of -3, -5/2, -1, 0, 1, 5/2, 3 at which its slope jumps
    "relu": [0],
    "leaky_relu": [0],
    "elu": [0],
    "hard_sigmoid": [-FIVE_HALVES, FIVE_HALVES],
    "hard_sigmoid_sixth": [-3, 3],
    "identity": [],
    "tanh": [],
    "sigmoid": [],
    "softplus": [],
    "gelu": [],
}


@pytest.mark.parametrize("kind", KINKS)
def test_kinks_are_watched_and_smooth_functions_have_none(kind):
    def y(x):
        return activation.forward({}, x, kind, arb(3) / 4)

    for value in (-3, -FIVE_HALVES, -1, 0, 1, FIVE_HALVES, 3):
        met = watched(y, [arb(Fraction(value).numerator) / Fraction(value).denominator])
        assert bool(met) == (value in KINKS[kind]), value


@pytest.mark.parametrize("number", [int, Fraction, arb, lambda v: Dual(arb(v), arb(1))])
def test_kinks_are_watched_on_every_exact_number_and_on_dual_ones(number):
    assert len(watched(F.relu, [number(v) for v in (-1, 0, 2, 0)])) == 2


def test_equal_numbers_are_a_kink_of_a_maximum_but_one_number_is_none_with_itself():
    a, b, c = Fraction(1, 2), Fraction(1, 2), Fraction(2, 3)
    x = np.asarray([a, a, c], dtype=object)
    with F.watch_kinks() as kinks:
        F.greater(x, np.asarray([b, a, b], dtype=object))
    assert kinks == [a]


def test_kinks_are_not_watched_outside_nor_on_floats():
    with F.watch_kinks() as kinks:
        F.relu(np.zeros(2))
    F.relu(np.asarray([0], dtype=object))
    assert kinks == []
