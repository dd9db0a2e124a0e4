"""An epoch: its steps, then its row in the history."""

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from ttref import tree
from ttref.arrays import namespace, numpy_namespace
from ttref.errors import DivergenceError
from ttref.layers.probe import find_not_finite
from ttref.losses import get_loss
from ttref.optim import rate_at
from ttref.rng import generator
from ttref.train.data import batches
from ttref.train.diagnosis import find_cause
from ttref.train.evaluation import evaluate_checked
from ttref.train.graph import GraphStepper
from ttref.train.history import History, Row
from ttref.train.state import TrainingState
from ttref.train.step import Stepper
from ttref.train.stopping import EarlyStopping
from ttref.train.sums import collect, compute_means, new_sums
from ttref.train.training import Training

LOOK = 20  # steps between looks at the running means


class ProgressBar(Protocol):
    """What an epoch asks of tqdm's bar."""

    def update(self, n: int = 1) -> object:
        """Move the bar by `n` steps."""

    def set_postfix(self, ordered_dict: dict[str, str], refresh: bool = True) -> None:
        """Show these words behind the bar."""


def train_epoch(
    stepper: Stepper | GraphStepper,
    state: TrainingState,
    bar: ProgressBar,
    interrupted: Callable[[], bool],
) -> bool:
    """Take the steps that are left of this epoch; False if the run was ended before the last one.

    The losses of NumPy are looked at before each update. A device would have to be waited for, so
    its losses are looked at every `LOOK` steps only. If one of them is not finite, the epoch is
    taken again from here with a look at every step, which finds the step to blame. A callback gets
    the loss of every step, so then it is looked at as well.
    """
    watched = stepper.training.callbacks.on_step is not None
    if watched or namespace(state.vectors["params"]) is numpy_namespace:
        take_steps(stepper, state, bar, interrupted, careful=True)
    else:
        kept = state.copy()
        if not take_steps(stepper, state, bar, interrupted, careful=False):
            bar.update(kept.step - state.step)
            state.restore(kept)
            take_steps(stepper, state, bar, interrupted, careful=True)
    return state.step == stepper.training.steps_per_epoch


def take_steps(
    stepper: Stepper | GraphStepper,
    state: TrainingState,
    bar: ProgressBar,
    interrupted: Callable[[], bool],
    careful: bool,
) -> bool:
    """Take steps to the end of the epoch or of the run; False if a loss seen is not finite."""
    training = stepper.training
    rng, order = _restore_shuffle(training, state)
    began = time.perf_counter() - state.seconds
    finite = True
    for batch in batches(training.data, training.batch_size, order, state.step):
        if interrupted() or not finite or state.stopping:
            break
        if batch.total > 0:
            stepper.take_step(state, batch, rng, careful)
        state.step += 1
        bar.update()
        if state.step % LOOK == 0:
            finite = collect(state.sums, state.pending)
            bar.set_postfix(_format(compute_means(state.sums)), refresh=False)
    state.generator = rng.bit_generator.state
    state.seconds = time.perf_counter() - began
    return collect(state.sums, state.pending)


def _restore_shuffle(
    training: Training, state: TrainingState
) -> tuple[np.random.Generator, np.ndarray]:
    """The generator as it is before the next step, and the order of the epoch's samples."""
    rng = generator(0)
    rng.bit_generator.state = state.epoch_generator
    order = rng.permutation(training.data.samples)
    if state.step:
        rng.bit_generator.state = state.generator
    return rng, order


def finish_epoch(training: Training, state: TrainingState) -> None:
    """Evaluate, add a row to the history, and decide whether training stops early."""
    # The last step may have made weights that only the next step's loss would reveal.
    broken = find_not_finite(state.params)
    if broken:
        raise DivergenceError(
            f"the weights {', '.join(broken)} are not finite after epoch {state.epoch + 1}; "
            "lower the learning rate, or clip the gradient (clip_norm)"
        )
    # The row of the history.
    row: Row = {"epoch": state.epoch + 1, **compute_means(state.sums)}
    row |= _validate(training, state)
    row["lr"] = float(rate_at(training.optimizer.lr, state.optimizer["step"]))
    row["seconds"] = state.seconds
    if training.early_stopping is not None:
        _update_best(training.early_stopping, state, row)
    state.rows = (*state.rows, row)
    # The next epoch.
    state.epoch += 1
    state.step = 0
    state.sums = new_sums()
    state.seconds = 0.0
    state.epoch_generator = state.generator


def _validate(training: Training, state: TrainingState) -> Row:
    """Scores on the validation data, if there are any."""
    data = training.validation
    if data is None:
        return {}
    weights = state.params if state.average is None else state.average
    model = training.model
    scores = evaluate_checked(model, weights, data, training.loss, training.batch_size)
    if not math.isfinite(scores["loss"]):
        loss = get_loss(training.loss)
        found = (
            find_cause(model, weights, batch, loss, train=False)
            for batch in batches(data, training.batch_size)
            if batch.total > 0
        )
        cause = next(filter(None, found), "the losses of all batches are finite, their mean is not")
        raise DivergenceError(
            f"the validation loss is {scores['loss']} after epoch {state.epoch + 1}: {cause}; "
            "lower the learning rate, or clip the gradient (clip_norm)"
        )
    return {f"val_{name}": value for name, value in scores.items()}


def _update_best(stopping: EarlyStopping, state: TrainingState, row: Row) -> None:
    """Keep the weights of the best epoch; finish the run when patience has run out."""
    best = state.best
    if best is None or stopping.improves(row, best["value"]):
        best = {
            "value": row[stopping.monitor],
            "epoch": int(row["epoch"]),
            "average": None if state.average is None else tree.copy(state.average),
            "params": tree.copy(state.params),
        }
        state.best = best
    if row["epoch"] - best["epoch"] >= stopping.patience:
        state.finished = True


def make_history(training: Training, state: TrainingState) -> History:
    """The result so far; of the best epoch, if early stopping is to restore it."""
    stopping = training.early_stopping
    best = state.best
    if stopping is None or best is None:
        return History(
            state.rows,
            state.params,
            state.average,
            stopped_early=state.stopping,
            scale=training.scale,
        )
    kept = (state.params, state.average)
    if stopping.restore_best:
        kept = (best["params"], best["average"])
    stopped = state.finished or state.stopping
    return History(state.rows, *kept, best["epoch"], stopped, training.scale)


def _format(numbers: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in numbers.items()}
