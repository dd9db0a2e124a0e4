"""An epoch: its steps, then its row in the history."""

import math
import time

from ttref import tree
from ttref.arrays import namespace, numpy_namespace
from ttref.errors import DivergenceError
from ttref.optim import rate_at
from ttref.rng import generator
from ttref.train.data import batches
from ttref.train.diagnosis import first_not_finite, not_finite
from ttref.train.evaluation import evaluate_checked
from ttref.train.run import History
from ttref.train.sums import collect, means, new_sums

LOOK = 20  # steps between looks at the running means


def train_epoch(stepper, run, bar, interrupted):
    """Take the steps that are left of this epoch; False if Ctrl-C came before the end.

    NumPy's losses are looked at before each update. On a device, which would have to wait for
    that, they are looked at every `LOOK` steps; if one is not finite, the epoch is taken again
    from here, with a look at every step, to find out which.
    """
    if namespace(run.vectors["params"]) is numpy_namespace:
        take_steps(stepper, run, bar, interrupted, careful=True)
    else:
        kept = run.copy()
        if not take_steps(stepper, run, bar, interrupted, careful=False):
            bar.update(kept.step - run.step)
            run.restore(kept)
            take_steps(stepper, run, bar, interrupted, careful=True)
    return run.step == stepper.training.steps_per_epoch


def take_steps(stepper, run, bar, interrupted, careful):
    """Take steps to the epoch's end or Ctrl-C; False at once where a loss seen is not finite."""
    rng, training = generator(0), stepper.training
    rng.bit_generator.state = run.epoch_generator
    order = rng.permutation(training.data[0].shape[0])
    if run.step:
        rng.bit_generator.state = run.generator
    began = time.perf_counter() - run.seconds
    finite = True
    for batch in batches(training.data, training.batch_size, order, run.step):
        if interrupted() or not finite:
            break
        if batch.total > 0:
            stepper.take_step(run, batch, rng, careful)
        run.step += 1
        bar.update()
        if run.step % LOOK == 0:
            finite = collect(run.sums, run.pending)
            bar.set_postfix(_shown(means(run.sums)), refresh=False)
    run.generator, run.seconds = rng.bit_generator.state, time.perf_counter() - began
    return collect(run.sums, run.pending)


def finish_epoch(training, run):
    """Evaluate, add a row to the history, and look whether it is time to stop."""
    broken = not_finite(run.params)
    if broken:  # by the last step; the next one's loss would have told
        raise DivergenceError(
            f"the weights {', '.join(broken)} are not finite after epoch {run.epoch + 1}; "
            "lower the learning rate, or clip the gradient (clip_norm)"
        )
    row = {"epoch": run.epoch + 1, **means(run.sums)}
    if training.validation is not None:
        row |= _validate(training, run)
    row["lr"] = float(rate_at(training.optimizer.lr, run.optimizer["step"]))
    row["seconds"] = run.seconds
    if training.early_stopping is not None:
        _look_for_best(training.early_stopping, run, row)
    run.rows = (*run.rows, row)
    run.epoch, run.step, run.sums, run.seconds = run.epoch + 1, 0, new_sums(), 0.0
    run.epoch_generator = run.generator


def _validate(training, run):
    weights = run.params if run.average is None else run.average
    model, data, size = training.model, training.validation, training.batch_size
    scores = evaluate_checked(model, weights, data, training.loss, size)
    if not math.isfinite(scores["loss"]):
        where = first_not_finite(model, weights, (batch.x for batch in batches(data, size)))
        raise DivergenceError(
            f"the validation loss is {scores['loss']} after epoch {run.epoch + 1}: {where}; "
            "lower the learning rate, or clip the gradient (clip_norm)"
        )
    return {f"val_{name}": value for name, value in scores.items()}


def _look_for_best(stopping, run, row):
    if stopping.improves(row, run.best and run.best["value"]):
        weights = {name: tree.copy(getattr(run, name)) for name in run.vectors}
        run.best = {
            "value": row[stopping.monitor],
            "epoch": row["epoch"],
            "average": None,
            **weights,
        }
    if row["epoch"] - run.best["epoch"] >= stopping.patience:
        run.finished = True


def history(training, run):
    """The result so far; of the best epoch, where early stopping is to restore it."""
    if run.best and training.early_stopping.restore_best:
        return History(run.rows, run.best["params"], run.best["average"])
    return History(run.rows, run.params, run.average)


def _shown(numbers):
    return {name: f"{value:.4f}" for name, value in numbers.items()}
