"""Numbers among the options of layers, optimisers and schedules: taken, or refused in a sentence.

Each option of each class is given values that are not what it expects. None is taken for a number,
and no error is one of NumPy's or Python's own.
"""

from fractions import Fraction

import numpy as np
import pytest

from ttref import schedules, tt
from ttref.errors import TTRefError
from ttref.layers import (
    GRU,
    LSTM,
    RNN,
    TTGRU,
    TTLSTM,
    Activation,
    Augment,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Layer,
    MaxPool2d,
    Recurrent,
    Standardize,
    TTConv1d,
    TTConv2d,
    TTDense,
)
from ttref.ops import l2
from ttref.optim import EMA, SGD, Adam
from ttref.train import EarlyStopping

MODES = {"in_modes": (2, 2), "out_modes": (2, 2), "ranks": 2}
DROPS = {"dropout": 0.1, "recurrent_dropout": 0.1}
MADE = [  # a class, and options that are numbers
    (Activation, {"name": "elu", "alpha": 1.0}),
    (Augment, {"pad": 1, "contrast": (0.5, 1.5)}),
    (AvgPool2d, {"kernel": 2, "strides": 2}),
    (MaxPool2d, {"kernel": 2, "strides": 2}),
    (BatchNorm, {"features": 4, "decay": 0.9, "epsilon": 1e-3}),
    (Conv2d, {"kernel": 3, "in_channels": 4, "out_channels": 4, "strides": 1, "dilation": 1}),
    (Dense, {"in_features": 4, "out_features": 3, "bias_init": 0.5}),
    (Dropout, {"rate": 0.5}),
    (GRU, {"in_features": 4, "units": 3, "truncate": 2, **DROPS}),
    (LSTM, {"in_features": 4, "units": 3, "checkpoint_every": 2, **DROPS}),
    (RNN, {"in_features": 4, "units": 3, "checkpoint_every": 2}),
    (Standardize, {"shape": (4, 4, 4)}),
    (TTConv1d, {**MODES, "kernel": 3, "stride": 1, "dilation": 1}),
    (TTConv2d, {**MODES, "kernel": 3, "strides": 1, "dilation": 1}),
    (TTDense, {**MODES, "bias_init": 0.5}),
    (TTGRU, {**MODES, **DROPS}),
    (TTLSTM, {**MODES, **DROPS}),
    (EarlyStopping, {"patience": 3, "min_delta": 0.1}),
    (EMA, {"decay": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (Adam, {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}),
    (schedules.Constant, {"rate": 0.1}),
    (schedules.Cosine, {"rate": 0.1, "steps": 3.0, "final": 0.0}),
    (schedules.Exponential, {"rate": 0.1, "decay": 0.9, "period": 2.0}),
    (schedules.Logspace, {"start": 0.1, "stop": 0.01, "count": 3, "period": 1.0}),
    (schedules.Step, {"rates": (0.1, 0.01), "boundaries": (3,)}),
]
OPTIONS = [
    pytest.param(made, options, name, id=f"{made.__name__}-{name}")
    for made, options in MADE
    for name, value in options.items()
    if not isinstance(value, str)
]
NO_NUMBERS = [True, "3", b"2", [], {}, [[1]], object(), 1j, np.array(True), np.array(np.nan)]
NO_NUMBERS += [np.arange(1, 8), [np.arange(2), 1], float("nan")]
NO_COUNTS = [2.5, -1, float("inf"), np.array(4.0), np.float64(2.0)]
HUGE = 10**30


def use(made, dtype="float32"):
    """Make use of the options: the parameters, a step in training, the rate of a step."""
    if isinstance(made, Layer):
        shape = (2, 3, 4) if isinstance(made, Recurrent | TTConv1d) else (2, 4, 4, 4)
        shape = (2, 4) if isinstance(made, Dense | TTDense | BatchNorm) else shape
        x = np.ones(shape, dtype)
        params = made.init(0, dtype)
        return made.forward(params, x, train=True, rng=np.random.default_rng(0))[0]
    if isinstance(made, SGD | Adam):
        params = {"w": np.ones(3, dtype)}
        return made.step(params, params, made.init(params))[0]["w"]
    return made(5) if callable(made) else made


def answer(made, options, dtype="float32"):
    """What comes of it, or the error, which has one line and is one of ttref's."""
    try:
        with np.errstate(over="ignore"):
            return use(made(**options), dtype)
    except TTRefError as error:
        assert "\n" not in str(error)
        return error


@pytest.mark.parametrize(("made", "options", "name"), OPTIONS)
def test_what_is_no_number_is_refused(made, options, name):
    assert not isinstance(answer(made, options), TTRefError)
    is_count = isinstance(options[name], int | tuple) and name not in ("contrast", "rates")
    for odd in NO_NUMBERS + (NO_COUNTS if is_count else []):
        found = answer(made, options | {name: odd})
        assert isinstance(found, TTRefError), (odd, found)


@pytest.mark.parametrize(("made", "options", "name"), OPTIONS)
def test_numbers_of_numpy_are_numbers(made, options, name):
    value = options[name]
    expected = answer(made, options)
    kind = np.int64 if isinstance(value, int) else np.float64
    if isinstance(value, tuple):
        same = tuple(np.asarray(value))
    else:
        same = kind(value)
    found = answer(made, options | {name: same})
    assert np.array_equal(found, expected) or found == expected


@pytest.mark.parametrize(("made", "options", "name"), OPTIONS)
def test_a_huge_number_is_taken_or_refused(made, options, name):
    value = options[name]
    answer(made, options | {name: (HUGE,) * len(value) if isinstance(value, tuple) else HUGE})


STARTS = [tt.glorot, tt.he, tt.lecun, tt.normal, tt.glorot_uniform, tt.xavier]


@pytest.mark.parametrize(
    "start", [*STARTS, tt.orthogonal, tt.ones, tt.zeros], ids=lambda f: f.__name__
)
def test_cores_beyond_the_memory_are_refused(start):
    more = () if start in (tt.ones, tt.zeros) else (2, 0)
    with pytest.raises(TTRefError, match=r"a tensor train of 2 cores takes .* GB"):
        start([10**9] * 2, [10**9] * 2, *more)


@pytest.mark.parametrize("start", STARTS, ids=lambda f: f.__name__)
def test_sizes_and_ranks_of_long_trains_may_lie_beyond_float64(start):
    found = start([2] * 1100, [2] * 1100, 3, 0)
    for core in found.cores:
        assert np.isfinite(core).all() and core.any()


def test_the_variance_of_a_long_train_is_that_of_its_definition():
    d, rank = 1500, 2
    found = np.mean([np.mean(core**2) for core in tt.he([2] * d, [2] * d, rank, 0).cores])
    log2 = 1 - d - (d - 1)  # of 2 / N / prod(r)
    assert found == pytest.approx(2 ** (log2 / d), rel=0.05)


def test_the_norm_of_a_long_orthogonal_start_is_refused_where_one_core_cannot_hold_it():
    with pytest.raises(TTRefError, match=r"the norm of the matrix is about 2\^1940"):
        tt.orthogonal([2] * 1100, [2] * 1100, 3, 0)


FRACTIONS = [param for param in OPTIONS if isinstance(param.values[1][param.values[2]], float)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("made", "options", "name"), FRACTIONS)
def test_a_fraction_is_the_float_that_it_is_nearest_to(made, options, name, dtype):
    exactly = {name: Fraction(options[name])}
    expected = answer(made, options, dtype)
    found = answer(made, options | exactly, dtype)
    assert not isinstance(found, TTRefError)
    assert np.array_equal(found, expected) or found == expected
    assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)


def test_a_fraction_stays_one_where_the_arrays_are_exact():
    params = {"w": np.array([Fraction(1, 3), Fraction(2)], object)}
    step = SGD(Fraction(1, 7), Fraction(1, 2), weight_decay=Fraction(1, 5))
    found, _ = step.step(params, params, step.init(params))
    assert found["w"].tolist() == [w - w * Fraction(6, 5) / 7 for w in params["w"]]
    assert l2.forward(params, {"w": Fraction(1, 7)})[0] == (Fraction(1, 9) + 4) / 7
