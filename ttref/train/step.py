"""One step of training: forward, loss, backward, update.

On a device nothing is read back: every decision in a step is made from shapes, settings and what
the CPU knows beforehand (`ttref.train.data.Batch`).
"""

import math

import numpy as np
from array_api_compat import is_numpy_array

from ttref import ops, tree
from ttref.arrays import namespace
from ttref.contracts import Array, OptimizerState, Tree
from ttref.errors import DivergenceError
from ttref.losses import get_loss
from ttref.optim import clipping, ravel_gradients
from ttref.rng import RNG
from ttref.train.data import Batch
from ttref.train.diagnosis import find_cause, is_finite_vector
from ttref.train.state import TrainingState
from ttref.train.sums import BatchScore, count_right
from ttref.train.training import Training

FLUSH = 64  # steps


class Stepper:
    """Takes the steps of a `Training`, each of which updates the `TrainingState`."""

    def __init__(self, training: Training, params: Tree) -> None:
        self.training = training
        self.advance = training.optimizer.advance
        self.l2_slopes: Array | None = None
        if training.l2:
            # The penalty's gradient is linear: it is these slopes times the parameters.
            ones = tree.ones_like(params)
            _, cache = ops.l2.forward(ones, training.l2)
            self.l2_slopes = tree.ravel(ops.l2.backward(1, cache))

    def take_step(self, state: TrainingState, batch: Batch, rng: RNG, careful: bool) -> None:
        """Update `state` by one batch; if `careful`, look at it before the update."""
        training = self.training
        before = rng.bit_generator.state if careful else None
        # Forward.
        prediction, cache = training.model.forward(state.params, batch.x, train=True, rng=rng)
        loss_operator = get_loss(training.loss)
        loss, loss_cache = loss_operator.forward(prediction, batch.target, batch.weight)
        # Backward.
        dprediction = loss_operator.backward(1, loss_cache)
        grads, _ = training.model.backward(dprediction, cache, input_gradient=False)
        g = ravel_gradients(grads, state.params)
        # Penalty.
        if self.l2_slopes is not None:
            p = state.vectors["params"]
            slope = self.l2_slopes * p
            loss = loss + namespace(p).sum(slope * p) / 2
            g += slope
        if careful and not (math.isfinite(loss) and is_finite_vector(g)):
            rng.bit_generator.state = before
            raise self._divergence(state, batch, loss, rng)
        # What the caller is told, before it is clipped and overwritten.
        watched = training.callbacks.on_step is not None
        gradients = tree.copy(tree.unravel(g, state.params)) if watched else ()
        # Update.
        if training.clip_norm is not None:
            g *= clipping(g, training.clip_norm)[1]

        def update_state(params: Tree) -> Tree:
            return training.model.update_state(params, cache)

        state.advance(self.advance, g, update_state, training.average)
        if state.optimizer["step"] % FLUSH == 0:
            flush(state.optimizer)
        right, answers = count_right(training.loss, prediction, batch)
        state.pending.append(BatchScore(loss, right, answers, batch.total))
        training.callbacks.after_step(state, loss, gradients)

    def _divergence(
        self, state: TrainingState, batch: Batch, loss: Array, rng: RNG
    ) -> DivergenceError:
        """What to raise; `rng` is as it was before the step."""
        training = self.training
        operator = get_loss(training.loss)
        cause = find_cause(training.model, state.params, batch, operator, rng) or (
            "the outputs and gradients of all layers are finite, the penalty (l2) is not"
        )
        is_loss = not math.isfinite(loss)
        what = f"the loss is {float(loss)}" if is_loss else "the gradient is not finite"
        return DivergenceError(
            f"{what} at epoch {state.epoch + 1}, step {state.step + 1}: {cause}; check the data, "
            "lower the learning rate, or clip the gradient (clip_norm)"
        )


def flush(optimizer_state: OptimizerState) -> None:
    """Zero the subnormal numbers in an optimiser's vectors, which slow the CPU down.

    The velocity of a weight whose gradient stays 0 decays to a subnormal number and stays there,
    because `0.9 v` rounds to v. docs/decisions/16-subnormals-and-graphs.md.
    """
    for vector in optimizer_state.values():
        if is_numpy_array(vector):
            vector[np.abs(vector) < np.finfo(vector.dtype).smallest_normal] = 0
