"""Training and evaluation own BLAS's threads: the same bits in every run, one thread afterwards."""

import os
import subprocess
import sys

import numpy as np
import pytest

from ttref.layers import Dense, Sequential
from ttref.machine import process
from ttref.optim import SGD
from ttref.train import evaluate, fit

PROGRAM = """
import hashlib
import numpy as np
from ttref.fast import linear
from ttref.layers import Dense, Sequential, TTDense
from ttref.machine import threads
from ttref.optim import Adam
from ttref.train import evaluate, fit
from ttref import tree

parts, real = [], threads.run
threads.run = lambda function, cuts: parts.append(len(cuts)) or real(function, cuts)
linear._pays = lambda *shape: True
rng = np.random.default_rng(0)
data = rng.standard_normal((300, 784), "float32"), rng.integers(0, 10, 300)
model = Sequential([TTDense([7, 4, 7, 4], [5] * 4, 4, activation="relu"), Dense(625, 10)])
history = fit(model, model.init(0), data, Adam(), 2, validation=data, progress=False)
scores = evaluate(model, history.params, data)
rows = [sorted((k, v) for k, v in row.items() if k != "seconds") for row in history.rows]
weights = hashlib.sha256(b"".join(leaf.tobytes() for leaf in tree.leaves(history.params)))
print(2 in parts, weights.hexdigest(), rows, scores)
"""


def test_two_runs_with_two_threads_give_the_same_bytes():
    pytest.importorskip("threadpoolctl")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", PROGRAM]
    first, second = (subprocess.check_output(command, env=environment) for _ in "ab")
    assert first == second
    assert first.startswith(b"True ")


class Watching(Dense):
    """A layer that notes how many threads BLAS has."""

    def forward(self, params, x, train=False, rng=None):
        seen.append(process.blas_controller().num_threads)
        return super().forward(params, x, train, rng)


seen: list[int] = []


def test_blas_has_one_thread_in_every_step_and_its_own_afterwards():
    pytest.importorskip("threadpoolctl")
    seen.clear()
    before = process.blas_controller().num_threads
    model = Sequential([Watching(3, 2)])
    data = np.ones((4, 3), "float32"), np.asarray([0, 1, 0, 1])
    fit(model, model.init(0), data, SGD(0.1), 2, validation=data, progress=False)
    assert seen == [before, 1, 1, 1, 1]  # the look at the parameters, then steps and validations
    seen.clear()
    evaluate(model, model.init(0), data)
    assert seen == [1]
    assert process.blas_controller().num_threads == before
