"""The planned recurrence is `ttref.scan`: exactly, with every option, in less time and memory."""

import tracemalloc
import weakref
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amounts import amounts
from ttref import fast, ops, scan, tree
from ttref.arrays import to_numpy
from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.errors import ConventionError, ShapeError
from ttref.fast.recurrence.activations import ACTIVATION_NAMES, ACTIVATIONS, _fuse
from ttref.fast.recurrence.dispatch import STEPS, make_step
from ttref.fast.recurrence.gru import gru_after_gates, gru_gates, gru_mix
from ttref.fast.recurrence.lstm import lstm_gates
from ttref.fast.recurrence.rnn import rnn_gates
from ttref.fast.recurrence.step import StepInPlace
from ttref.testing import check_op

CELLS = {
    "rnn": RNNCell("relu"),
    "gru before": GRUCell("relu", "hard_sigmoid"),
    "gru after": GRUCell("identity", "relu", "after"),
    "lstm": LSTMCell("identity", "hard_sigmoid"),
    "lstm sixth": LSTMCell("identity", "hard_sigmoid_sixth"),
}
MASKS = ("none", "one", "per gate")


def divisor(cell):
    """What inputs are multiples of where the slopes of hard sigmoids have to be exact."""
    name = getattr(cell, "recurrent_activation", None)
    return {"hard_sigmoid": 5, "hard_sigmoid_sixth": 6}.get(name, 1)


def integers(rng, *shape):
    return rng.integers(-2, 3, shape).astype(object)


RECURRENT = ("matrix", "train", "train per gate")


def draw_recurrent(rng, form, u, g):
    """U as a full matrix, as a train for all gates, or as one for each gate."""
    if form == "matrix":
        return integers(rng, u, g * u)
    if form == "train":
        return integers(rng, 1, 1, g, 2), integers(rng, 2, u, u, 1)
    return tuple((integers(rng, 1, u, 1, 2), integers(rng, 2, 1, u, 1)) for _ in range(g))


def problem(
    cell,
    rng,
    B=2,
    T=4,
    u=2,
    mask=False,
    recurrent_mask="none",
    input_mask=False,
    recurrent="matrix",
):
    """``(params, x, options, cotangents)`` of integers: a train of the modes (2, 2) -> (g, u)."""
    g = cell.gates
    params = {
        "cores": (integers(rng, 1, 2, g, 2), integers(rng, 2, 2, u, 1)),
        "bias": integers(rng, g * u),
        "recurrent": draw_recurrent(rng, recurrent, u, g),
    }
    if cell.takes_recurrent_bias:
        params["recurrent_bias"] = integers(rng, g * u)
    options = {
        "state": tuple(integers(rng, B, u) for _ in range(cell.states)),
        "mask": rng.integers(0, 2, (B, T)) > 0 if mask else None,
        "input_mask": integers(rng, B, 4) if input_mask else None,
        "recurrent_mask": {
            "none": None,
            "one": integers(rng, B, u),
            "per gate": integers(rng, g, B, u),
        }[recurrent_mask],
    }
    cotangents = integers(rng, B, T, u), tuple(integers(rng, B, u) for _ in range(cell.states))
    return params, integers(rng, B, T, 4), options, cotangents


def run(op, cell, problem, **more):
    """Everything that forward and backward return, by name."""
    params, x, options, cotangents = problem
    (ys, state), cache = op.forward(cell, params, x, **options, **more)
    dparams, dx, dstate = op.backward(cotangents, cache)
    return tree.flatten({"ys": ys, "state": state, "dparams": dparams, "dx": dx, "dstate": dstate})


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (to_numpy(found[name]) == to_numpy(value)).all(), name


@pytest.mark.parametrize("name", CELLS)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_it_equals_the_scan_exactly_with_every_option(name, data, seed):
    cell = CELLS[name]
    rng = np.random.default_rng(seed)
    sizes = {"B": data.draw(st.integers(0, 3)), "T": data.draw(st.integers(0, 5))}
    options = {
        "mask": data.draw(st.booleans()),
        "input_mask": data.draw(st.booleans()),
        "recurrent_mask": data.draw(st.sampled_from(MASKS)),
        "recurrent": data.draw(st.sampled_from(RECURRENT)),
    }
    common = {
        "go_backwards": data.draw(st.booleans()),
        "truncate": data.draw(st.sampled_from([None, 1, 2, 3])),
        "at_padding": data.draw(st.sampled_from(["repeat", "zero"])),
    }
    drawn = problem(cell, rng, u=data.draw(st.integers(1, 3)), **sizes, **options)
    every = data.draw(st.sampled_from([None, 1, 2, 3, 7]))
    expected = run(scan, cell, drawn, **common)
    assert_equal(run(fast.recurrence, cell, drawn, checkpoint_every=every, **common), expected)


@amounts(8, many=30)
@pytest.mark.parametrize("case", ["scan", "hard_scan", "smooth_scan"])
def test_it_passes_the_ladder_of_the_scan(case, amount):
    """Its definition, adjoint and certified floats: tanh and sigmoid inside of the ball."""
    report = check_op(fast.recurrence, case, **amount, seed=5)
    assert report.ok, report


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("recurrent", RECURRENT)
@pytest.mark.parametrize("padded", [False, True])
def test_every_library_and_number_gives_the_same_integers(name, recurrent, padded, backend):
    """Multiples of 5 or 6 keep the slopes of hard sigmoids exact, and T = 2 all in 24 bits."""
    cell = CELLS[name]
    rng = np.random.default_rng(1)
    times = divisor(cell)
    masks = {"recurrent_mask": "one", "input_mask": True}
    params, x, options, cotangents = problem(cell, rng, T=2, recurrent=recurrent, **masks)
    if recurrent != "matrix":
        params["recurrent"] = tree.map(np.sign, params["recurrent"])
    params, cotangents, state = tree.map(
        lambda a: times * (a % 2), (params, cotangents, options.pop("state"))
    )
    drawn = params, x, {**options, "state": state}, cotangents
    mask = np.asarray([[True, False], [False, True]]) if padded else None

    def on(array, mask):
        given = {
            name: value if value is None else tree.map(array, value)
            for name, value in drawn[2].items()
        }
        params, x, cotangents = (tree.map(array, drawn[k]) for k in (0, 1, 3))
        return params, x, {**given, "mask": mask}, cotangents

    expected = run(scan, cell, on(lambda a: a, mask))
    found = run(
        fast.recurrence, cell, on(backend.array, backend.integers(mask) if padded else None)
    )
    assert_equal(found, expected)
    assert all(value.dtype == backend.dtype for value in found.values())


def in_floats(cell, drawn):
    """A problem's values modulo 2, as floats; multiples of 5 or 6 where sigmoids are hard."""
    times = float(divisor(cell))
    params, x, options, cotangents = drawn
    floats = {name: value for name, value in options.items() if name != "mask"}
    params, x, cotangents, state = tree.map(
        lambda a: times * (a % 2).astype(float), (params, x, cotangents, floats.pop("state"))
    )
    masks = {name: m if m is None else m.astype(float) for name, m in floats.items()}
    return params, x, {"mask": options["mask"], "state": state, **masks}, cotangents


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("recurrent_mask", MASKS)
def test_the_steps_in_place_give_the_same_integers(name, recurrent_mask):
    """Those of T = 3 fit in 53 bits."""
    cell = CELLS[name]
    rng = np.random.default_rng(3)
    choices = [0, 1], [0, 1], [None, 2], [None, 1], ["repeat", "zero"]
    for mask, backwards, every, truncate, at_padding in product(*choices):
        common = {
            "go_backwards": bool(backwards),
            "truncate": truncate,
            "at_padding": at_padding,
        }
        masks = {"mask": mask, "recurrent_mask": recurrent_mask, "input_mask": True}
        drawn = in_floats(cell, problem(cell, rng, T=3, **masks))
        expected = run(scan, cell, drawn, **common)
        assert_equal(run(fast.recurrence, cell, drawn, checkpoint_every=every, **common), expected)


def random_floats(cell, B=3, T=12, u=4, N=4):
    rng = np.random.default_rng(0)
    params = {
        "kernel": rng.standard_normal((N, cell.gates * u)),
        "recurrent": rng.standard_normal((u, cell.gates * u)),
    }
    return params, rng.standard_normal((B, T, N)), rng.standard_normal((B, T, u))


def test_the_input_map_is_called_once_each_way_and_sees_no_padding():
    calls = []

    def counted(function):
        def call(first, *rest):
            calls.append((rest[0] if function is ops.linear.forward else first).shape[0])
            return function(first, *rest)

        return call

    spy = SimpleNamespace(
        forward=counted(ops.linear.forward), backward=counted(ops.linear.backward)
    )
    params, x, dys = random_floats(CELLS["lstm"])
    mask = np.arange(12) >= np.asarray([[0], [5], [9]])
    x[~mask] = np.nan
    _, cache = fast.recurrence.forward(CELLS["lstm"], params, x, input_map=spy, mask=mask)
    dparams, dx, _ = fast.recurrence.backward((dys, None), cache)
    assert calls == [12 + 7 + 3] * 2
    assert (dx[~mask] == 0).all()
    assert all(np.isfinite(leaf).all() for leaf in tree.leaves((dparams, dx)))


def test_saturated_gates_do_not_warn():
    cell = LSTMCell("tanh", "sigmoid")
    params, x, dys = random_floats(cell)
    for dtype in ("float32", "float64"):
        large = tree.map(lambda a, dtype=dtype: (1000 * a).astype(dtype), params)
        (ys, _), cache = fast.recurrence.forward(cell, large, x.astype(dtype), input_map=ops.linear)
        dparams, _, _ = fast.recurrence.backward((dys.astype(dtype), None), cache)
        assert all(np.isfinite(leaf).all() for leaf in tree.leaves((ys, dparams)))


def test_arguments_are_read_and_never_written():
    for cell in CELLS.values():
        drawn = problem(cell, np.random.default_rng(0), mask=True, recurrent_mask="per gate")
        for leaf in tree.leaves(drawn):
            if leaf is not None:
                leaf.flags.writeable = False
        for every in (None, 2):
            run(fast.recurrence, cell, drawn, checkpoint_every=every)


def test_backward_may_be_called_twice():
    params, x, dys = random_floats(CELLS["lstm"])
    for every in (None, 5):
        _, cache = fast.recurrence.forward(
            CELLS["lstm"], params, x, input_map=ops.linear, checkpoint_every=every
        )
        first, second = (fast.recurrence.backward((dys, None), cache) for _ in range(2))
        assert_equal(tree.flatten(first), tree.flatten(second))


def test_one_window_is_held_at_a_time():
    """What the input map keeps of a window is gone before the next one is there."""
    alive = weakref.WeakSet()
    counts = []

    class Kept:
        def __init__(self, cache):
            self.cache = cache
            alive.add(self)
            counts.append(len(alive))

    def forward(params, x):
        p, cache = ops.linear.forward(params, x)
        return p, Kept(cache)

    def backward(dy, kept, input_gradient=True):
        return ops.linear.backward(dy, kept.cache, input_gradient)

    rng = np.random.default_rng(0)
    params = {"kernel": rng.random((3, 8)), "recurrent": rng.random((2, 8))}
    options = {"input_map": SimpleNamespace(forward=forward, backward=backward)}
    (ys, _), cache = fast.recurrence.forward(
        CELLS["lstm"], params, rng.random((2, 6, 3)), checkpoint_every=2, **options
    )
    fast.recurrence.backward((ys, None), cache)
    assert counts == [1] * 6  # three windows forward, three again


def kept_bytes(T, checkpoint_every, u=64, B=4):
    """What a forward pass leaves allocated for backward, its outputs apart."""
    cell = LSTMCell()
    params, x, _ = random_floats(cell, B=B, T=T, u=u)
    tracemalloc.start()
    try:
        (ys, _), cache = fast.recurrence.forward(
            cell, params, x, input_map=ops.linear, checkpoint_every=checkpoint_every
        )
        assert cache
        return tracemalloc.get_traced_memory()[0] - ys.nbytes
    finally:
        tracemalloc.stop()


def test_memory_is_linear_in_time_and_checkpoints_save_it():
    """An LSTM keeps its 4 gates, cc, tanh of the new c, h and c: 8 u numbers a step and sample."""
    short = kept_bytes(64, None)
    long = kept_bytes(128, None)
    step = 8 * 4 * 64 * 8
    # and Python objects of some hundred bytes: at most 512
    assert 64 * step <= long - short < 64 * (step + 512)
    # states only, (h, c) every 16 steps
    assert kept_bytes(128, 16) < long / 10


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("method", ["coefficients", "backward", "gradient"])
@pytest.mark.parametrize("kind", ["integers", "floats"])
def test_a_planted_error_is_seen(name, method, kind, monkeypatch):
    """Each method of the four steps, its first result off by one."""
    cell = CELLS[name]
    rng = np.random.default_rng(2)
    drawn = problem(cell, rng, recurrent_mask="one")
    drawn = drawn if kind == "integers" else in_floats(cell, drawn)
    expected = run(scan, cell, drawn)
    assert_equal(run(fast.recurrence, cell, drawn), expected)
    step = type(make_step(cell, drawn[0], None))
    real = getattr(step, method)

    def off(self, *arguments):
        found = real(self, *arguments)
        if method == "gradient":
            return {**found, "recurrent": found["recurrent"] + 1}
        first, *rest = found
        if method == "coefficients":
            return found._make([first + 1, *rest])
        return (first[0] + 1, *first[1:]), *rest

    monkeypatch.setattr(step, method, off)
    with pytest.raises(AssertionError):
        assert_equal(run(fast.recurrence, cell, drawn), expected)


@pytest.mark.parametrize("name", CELLS)
def test_real_floats_of_numpy_take_the_step_in_place_and_all_others_the_general_one(name):
    U = integers(np.random.default_rng(0), 2, 2 * CELLS[name].gates)
    choice = STEPS[type(CELLS[name]), getattr(CELLS[name], "reset", None)]
    steps = {"f4": choice.real_numpy, "f8": choice.real_numpy}
    steps |= {"O": choice.general, "c16": choice.general}
    for dtype, expected in steps.items():
        step = make_step(CELLS[name], {"recurrent": U.astype(dtype)}, None)
        assert type(step) is expected
        made = step.allocate(3, 2)
        in_place = issubclass(expected, StepInPlace)
        assert (made is not None) is in_place
        if in_place:
            assert all(array.shape[:2] == (3, 2) and array.dtype == dtype for array in made)


@pytest.mark.parametrize(("dtype", "kind"), [*product(("float32", "float64"), ACTIVATION_NAMES)])
def test_the_gates_for_floats_are_the_activations(dtype, kind):
    """Each is at most four roundings of values up to 1 (or of x): 4 u, and u for exp and tanh."""
    x = np.linspace(-20, 20, 4001).astype(dtype)
    activation = ACTIVATIONS[kind]
    with np.errstate(over="ignore"):
        found = activation.forward(np, x), activation.into(x, np.empty_like(x))
    expected, cache = ops.activation.forward({}, x, kind)
    bound = 8 * np.finfo(dtype).eps * np.maximum(1, np.abs(expected))
    for y in found:
        assert y.dtype == dtype
        assert (np.abs(y - expected) <= bound).all()
    slope = activation.slope(expected)
    _, exact = ops.activation.backward(np.ones_like(x), cache)
    assert slope.dtype == dtype
    assert (np.abs(slope - exact) <= bound).all()


@pytest.mark.gpu
def test_fused_gates_can_be_made_without_a_device():
    pytest.importorskip("cupy")
    for function in (rnn_gates, lstm_gates, gru_gates, gru_mix, gru_after_gates):
        _fuse(function, ("tanh", "sigmoid"))


def test_what_does_not_fit_is_refused():
    cell = CELLS["lstm"]
    params, x, dys = random_floats(cell)

    def forward(cell=cell, **options):
        return fast.recurrence.forward(cell, params, x, input_map=ops.linear, **options)

    with pytest.raises(ConventionError, match="checkpoint_every is 0, expected a positive"):
        forward(checkpoint_every=0)
    with pytest.raises(ConventionError, match="truncate is -1, expected a positive"):
        forward(truncate=-1)
    with pytest.raises(ConventionError, match=r"activation .`ttref.scan` takes others. is 'gelu'"):
        forward(LSTMCell("gelu"))
    other = type("Other", (LSTMCell,), {})()
    with pytest.raises(ConventionError, match=r"the cell is .*, expected one of ttref's"):
        forward(other)
    with pytest.raises(ShapeError, match=r"mask has shape \(3, 11\), expected \(3, 12\)"):
        forward(mask=np.ones((3, 11), bool))
    _, cache = forward()
    with pytest.raises(ShapeError, match=r"dys has shape \(3, 11, 4\), expected \(3, 12, 4\)"):
        fast.recurrence.backward((dys[:, 1:], None), cache)
    with pytest.raises(ShapeError, match=r"dstate is a tuple of 1, expected a tuple \(h, c\)"):
        fast.recurrence.backward((dys, (dys[:, 0],)), cache)
