"""Velocities of weights without a gradient end at 0, not among the subnormal numbers."""

import numpy as np
import pytest

from ttref.layers import Dense
from ttref.optim import SGD, Adam
from ttref.train import fit, step

SMALLEST = np.finfo("float32").smallest_normal


def test_only_subnormal_numbers_are_flushed():
    normal = np.asarray([SMALLEST, -SMALLEST, 1, 0, np.inf, np.nan], "float32")
    tiny = np.nextafter(SMALLEST, np.float32(0))
    state = {"step": 3, "m": normal.copy(), "v": np.asarray([tiny, -tiny, 1e-45], "float32")}
    step.flush(state | {"velocity": None})
    np.testing.assert_array_equal(state["m"], normal)
    assert not state["v"].any()


@pytest.mark.parametrize("optimizer", [SGD(1e-3, 0.8), Adam(1e-3, beta1=0.5, beta2=0.5)], ids=repr)
@pytest.mark.parametrize("flush", [True, False])
def test_a_fit_flushes_the_velocity_of_a_dead_weight(tools, monkeypatch, optimizer, flush):
    if not flush:
        monkeypatch.setattr(step, "flush", lambda state: None)
    x = np.zeros((1000, 2), "float32")
    x[0, 0] = 1  # one sample gives this input's weights a gradient, all others none
    record: list = []
    model, target = Dense(2, 1), np.ones((len(x), 1), "float32")
    own = tools.recording(optimizer, record)
    fit(
        model, model.init(0), (x, target), own, 1,
        batch_size=1, seed=4, loss="mean_squared_error", progress=False,
    )  # fmt: skip
    ends = [np.abs(s["m" if "m" in s else "velocity"][:1]) for _, s in record[-step.FLUSH :]]
    assert any(0 < end < SMALLEST for end in ends) == (not flush)
