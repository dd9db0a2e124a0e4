"""One step of training: forward, loss, backward, update.

On a device nothing is read back: every decision in a step is made from shapes, settings and what
the CPU knows beforehand (`ttref.train.data.Batch`).
"""

import math

import numpy as np
from array_api_compat import is_numpy_array

from ttref import ops, tree
from ttref.arrays import namespace
from ttref.errors import DivergenceError
from ttref.losses import LOSSES
from ttref.optim import clipping, ravel_gradients
from ttref.train.diagnosis import first_not_finite
from ttref.train.sums import count_right

FLUSH = 64  # steps


class Stepper:
    """Takes the steps of a `Training`, in a `Run` of it."""

    def __init__(self, training, run):
        self.training, self.l2_slopes = training, None
        if training.l2:  # the penalty's gradient is linear: this times the parameters
            ones = tree.map(lambda p: namespace(p).ones_like(p), run.params)
            _, cache = ops.l2.forward(ones, training.l2)
            self.l2_slopes = tree.ravel(ops.l2.backward(1, cache))

    def take_step(self, run, batch, rng, careful):
        """Update `run` by one batch; if `careful`, look at the loss before."""
        training, p = self.training, run.vectors["params"]
        loss_op = LOSSES[training.loss]
        prediction, cache = training.model.forward(run.params, batch.x, train=True, rng=rng)
        loss, loss_cache = loss_op.forward(prediction, batch.target, batch.weight)
        dprediction = loss_op.backward(1, loss_cache)
        grads, _ = training.model.backward(dprediction, cache, input_gradient=False)
        g = ravel_gradients(grads, run.params)
        if self.l2_slopes is not None:
            slope = self.l2_slopes * p
            loss = loss + namespace(p).sum(slope * p) / 2
            g += slope
        if careful and not math.isfinite(loss):
            raise DivergenceError(
                f"the loss is {float(loss)} at epoch {run.epoch + 1}, step {run.step + 1}: "
                f"{first_not_finite(training.model, run.params, [batch.x])}; check the data, lower "
                "the learning rate, or clip the gradient (clip_norm)"
            )
        if training.clip_norm is not None:
            g *= clipping(g, training.clip_norm)[1]
        run.advance(
            training.optimizer,
            g,
            lambda params: training.model.update_state(params, cache),
            training.average,
        )
        if run.optimizer["step"] % FLUSH == 0:
            flush(run.optimizer)
        right = count_right(training.loss, prediction, batch)
        run.pending.append((loss, *right, batch.total))


def flush(state):
    """Zero the subnormal numbers in an optimiser's vectors, which slow the CPU down.

    The velocity of a weight whose gradient stays 0 decays to them, and stays there: `0.9 v` rounds
    to v. docs/decisions/16-subnormals-and-graphs.md.
    """
    for vector in state.values():
        if is_numpy_array(vector):
            vector[np.abs(vector) < np.finfo(vector.dtype).smallest_normal] = 0
