"""Rungs of conduct: each sees the misconduct that it is named after, and right operators pass."""

from types import SimpleNamespace

import numpy as np
import pytest

from ttref import ops
from ttref.rng import generator
from ttref.testing import CASES, Check, check_op, conduct
from ttref.testing.cases import from_generator

RUNGS = ("determinism", "purity", "ownership", "layouts", "rows")


def findings(rung, name="linear", count=10, **options):
    rng = generator(0)
    made = (CASES[name](from_generator(rng), rng, **options) for _ in range(count))
    return [f for case in made for f in getattr(conduct, rung)(case, rng)]


def failures(rung, **functions):
    """What a rung says of a linear operator with these functions instead of its own."""
    suspect = SimpleNamespace(
        **({"forward": ops.linear.forward, "backward": ops.linear.backward} | functions)
    )
    return {(f.tensor, f.failure.what) for f in findings(rung, op=suspect) if f.failure}


def changed(function):
    """Forward of the linear operator, y changed by ``function(y, x)``."""

    def forward(params, x):
        y, cache = ops.linear.forward(params, x)
        return function(y, x), cache

    return forward


def changed_gradients(function):
    """Backward of the linear operator, its result changed by ``function(dparams, dx, dy)``."""
    return lambda dy, cache: function(*ops.linear.backward(dy, cache), dy)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", CASES)
def test_right_operators_pass(rung, name):
    assert not any(f.failure for f in findings(rung, name, 5))


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_finds_something_to_look_at(rung):
    assert findings(rung, "tt_linear", 2)


def test_noise_is_seen():
    noise = generator(0)
    forward = changed(lambda y, x: y + noise.standard_normal(y.shape))
    assert failures("determinism", forward=forward) == {("y", "y differs from call to call")}


def test_a_state_that_is_kept_from_call_to_call_is_seen():
    calls = []

    def backward(dparams, dx, dy):
        calls.append(1)
        return dparams, dx + len(calls)

    found = failures("determinism", backward=changed_gradients(backward))
    assert found == {("x", "x differs from call to call")}


def test_a_buffer_that_the_next_call_overwrites_is_seen():
    buffers = {}

    def forward(y, x):
        buffer = buffers.setdefault(y.shape, np.empty_like(y))
        buffer[...] = y
        return buffer

    found = failures("determinism", forward=changed(forward))
    assert found == {("y", "y is overwritten by a later call")}


def test_the_sign_of_a_zero_counts():
    assert not conduct.same_bits(np.asarray(0.0), np.asarray(-0.0))
    assert conduct.same_bits(np.asarray(np.nan), np.asarray(np.nan))
    assert not conduct.same_bits(np.zeros(2, "f4"), np.zeros(1, "f8"))


def test_a_forward_that_writes_into_x_is_seen():
    def forward(y, x):
        x += 1
        return y

    assert failures("purity", forward=changed(forward)) == {("x", "x is written into")}


def test_a_backward_that_writes_into_dy_is_seen():
    def backward(dparams, dx, dy):
        dy *= 2
        return dparams, dx

    found = failures("purity", backward=changed_gradients(backward))
    assert found == {("dy", "dy is written into")}


def test_what_writes_and_mends_is_seen_by_read_only_arguments():
    def forward(y, x):
        x += 1
        x -= 1
        return y

    with pytest.raises(ValueError, match="read-only"):
        failures("purity", forward=changed(forward))


@pytest.mark.parametrize("level", ["certified", "exact"])
def test_conduct_is_checked_at_level_all_only(level):
    assert not set(RUNGS) & {c.rung for c in check_op("dropout", level=level).checks}


def test_an_error_on_read_only_arguments_is_a_failure_in_the_report():
    def forward(y, x):
        x[...] = x.copy()
        return y

    suspect = SimpleNamespace(forward=changed(forward), backward=ops.linear.backward)
    report = check_op(suspect, "linear", "all", examples=1, dtypes=())
    assert "read-only" in str(report.failures[Check("purity"), "-"])


def test_a_bias_gradient_that_is_a_view_of_dy_is_seen():
    def backward(dparams, dx, dy):
        if "bias" in dparams and len(dy) == 1:
            dparams["bias"] = dy[0]
        return dparams, dx

    found = failures("ownership", backward=changed_gradients(backward))
    assert found == {("bias", "the gradient of bias shares memory with dy")}


def test_two_gradients_in_one_memory_are_seen():
    def backward(dparams, dx, dy):
        if "bias" in dparams:
            dparams["bias"] = dparams["kernel"][0]
        return dparams, dx

    found = failures("ownership", backward=changed_gradients(backward))
    assert found == {
        ("bias", "the gradient of bias shares memory with result kernel"),
        ("kernel", "the gradient of kernel shares memory with result bias"),
    }


def test_a_forward_that_reads_memory_in_its_order_is_seen():
    def forward(params, x):
        return ops.linear.forward(params, x.ravel(order="K").reshape(x.shape))

    tensors = {tensor for tensor, _ in failures("layouts", forward=forward)}
    assert {"y", "kernel"} <= tensors


def test_the_layouts_have_the_values_and_not_the_strides():
    x = np.arange(6.0).reshape(2, 3)
    for layout in conduct.LAYOUTS.values():
        assert (layout(x) == x).all()
        assert layout(x).strides != x.strides
        assert layout(np.asarray(1.0)).shape == ()


def test_rows_that_know_of_each_other_are_seen():
    forward = changed(lambda y, x: y - y.sum(axis=0) if len(y) > 1 else y)
    assert failures("rows", forward=forward) == {("y", "y of the batch is not that of its rows")}


def test_a_gradient_that_depends_on_the_batch_size_is_seen():
    def backward(dparams, dx, dy):
        return dparams | {"kernel": dparams["kernel"] * len(dy)}, dx

    found = failures("rows", backward=changed_gradients(backward))
    assert found == {("kernel", "kernel of the batch is not that of its rows")}


def test_a_gradient_of_no_rows_that_is_not_zero_is_seen():
    def backward(dparams, dx, dy):
        return dparams | {"kernel": dparams["kernel"] + (len(dy) == 0)}, dx

    found = failures("rows", backward=changed_gradients(backward))
    assert {tensor for tensor, _ in found} == {"kernel"}
    assert all(words.startswith("kernel of no rows is array(") for _, words in found)
