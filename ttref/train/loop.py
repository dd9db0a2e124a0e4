"""`fit`: the training loop."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ttref import ops, tree
from ttref.arrays import check_count, check_number, namespace
from ttref.errors import CheckpointError, ConventionError, DivergenceError
from ttref.layers import Layer
from ttref.losses import LOSSES
from ttref.optim import EMA, clip_by_global_norm, rate_at
from ttref.rng import generator, stream
from ttref.train.diagnosis import first_not_finite, not_finite
from ttref.train.evaluation import (
    add_batch,
    check_data,
    count_right,
    evaluate_checked,
    in_dtype_of,
    means,
    new_sums,
    weight_of,
)
from ttref.train.interrupt import Interrupted, deferred_interrupt
from ttref.train.memory import keep_freed_memory
from ttref.train.run import Folder, History, Run, fingerprint
from ttref.train.stopping import EarlyStopping


def fit(
    model,
    params,
    data,
    optimizer,
    epochs,
    *,
    batch_size=64,
    loss="softmax_cross_entropy",
    validation=None,
    l2=None,
    clip_norm=None,
    ema=None,
    early_stopping=None,
    seed=0,
    out=None,
    resume=False,
    progress=True,
):
    """Train `model` from `params` on `data`.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
        As ``model.init`` makes it; not changed.
    data : ``(x, target)`` or ``(x, target, sample_weight)``
        Arrays of the parameters' namespace and dtype; the first axis counts samples.
    optimizer : SGD or Adam
    epochs : int
        Passes over the data in all, those before a resume included.
    batch_size : int
        The last batch of an epoch may be smaller.
    loss : str
        softmax_cross_entropy, binary_cross_entropy or mean_squared_error.
    validation : like `data`, optional
        Evaluated after every epoch, with the moving average of the weights if there is one.
    l2 : dict from parameter name to rate, optional
        Penalty ``rate * sum(p ** 2)``, added to the training loss; names as in `ops.l2`.
    clip_norm : float, optional
        Bound on the global norm of the gradient.
    ema : float, optional
        Decay of an exponential moving average of the weights.
    early_stopping : EarlyStopping, optional
    seed : int
        Of the shuffling and of dropout.
    out : str or Path, optional
        Folder for ``checkpoint.npz`` and ``history.jsonl``, written every epoch and on Ctrl-C.
    resume : bool
        Continue the run in `out`, if there is one, bit for bit as if it had never stopped.
    progress : bool
        Whether a progress bar is shown.

    Returns
    -------
    History

    Raises
    ------
    ShapeError, DataError, DtypeError, ConventionError
        Before anything is computed, if the arguments do not fit.
    CheckpointError
        If `out` holds a run and `resume` is False, or a damaged one, or one with other settings.
    DivergenceError
        If the loss is not finite; names the first layer whose output is not.
    Interrupted
        On Ctrl-C, after the step at hand; a `KeyboardInterrupt` with the history so far.
    """
    from tqdm import tqdm

    check_count("epochs", epochs)
    average = None if ema is None else EMA(ema)
    training = Training(
        model, data, validation, optimizer, batch_size, loss, l2, clip_norm, average, early_stopping
    ).checked(params)
    run = training.start(params, stream(seed, "shuffle and dropout"))
    folder = Folder(out, training.settings(params, seed) if out is not None else {})
    folder.prepare(resume)
    run = _not_beyond(epochs, folder.resume(namespace(*tree.leaves(params))) or run, folder)
    keep_freed_memory()
    steps = training.steps_per_epoch
    done = run.epoch * steps + run.step
    with (
        deferred_interrupt() as interrupted,
        tqdm(total=epochs * steps, initial=done, unit="step", disable=not progress) as bar,
        _loud_later(),
    ):
        while run.epoch < epochs and not run.finished:
            bar.set_description(f"epoch {run.epoch + 1}/{epochs}")
            if training.train_epoch(run, bar, interrupted):
                training.finish_epoch(run)
            folder.save(run)
            if interrupted():
                saved = f"; {folder.checkpoint} can be resumed" if out is not None else ""
                raise Interrupted(
                    f"stopped after epoch {run.epoch}, step {run.step}{saved}",
                    training.history(run),
                )
    return training.history(run)


@dataclass(frozen=True)
class Training:
    """What stays the same from step to step."""

    model: Layer
    data: tuple
    validation: tuple | None
    optimizer: Any
    batch_size: int
    loss: str
    l2: dict | None
    clip_norm: float | None
    average: EMA | None
    early_stopping: Any

    def checked(self, params):
        """The same, after a look at everything, with the data in the parameters' dtype."""
        check_count("batch_size", self.batch_size)
        if not isinstance(self.model, Layer):
            raise ConventionError(f"model is {self.model!r}, expected a ttref Layer")
        if not tree.leaves(params):
            raise ConventionError(f"{self.model} has no parameters, so there is nothing to train")
        for name in ("init", "step", "lr"):
            if not hasattr(self.optimizer, name):
                raise ConventionError(f"optimizer is {self.optimizer!r}, expected SGD or Adam")
        data = self._checked_data(self.data, params)
        validation = None
        if self.validation is not None:
            validation = self._checked_data(self.validation, params)
        with _loud_later():
            self.model.forward(params, data[0][:1, ...])  # raises if the parameters do not fit
        self._check_options(params)
        return replace(self, data=data, validation=validation)

    def _check_options(self, params):
        if not isinstance(self.l2, dict | None):
            raise ConventionError(f"l2 is {self.l2!r}, expected a dict from parameter to rate")
        for name, rate in (self.l2 or {}).items():
            check_number(f"the l2 rate of {name}", rate, "a number >= 0", lambda v: v >= 0)
        ops.l2.forward(params, self.l2 or {})  # raises on a name that is not there
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, "a positive number", lambda v: v > 0)
        if self.early_stopping is not None:
            if not isinstance(self.early_stopping, EarlyStopping):
                raise ConventionError(
                    f"early_stopping is {self.early_stopping!r}, expected an EarlyStopping"
                )
            self.early_stopping.check(self.columns)

    def _checked_data(self, data, params):
        return in_dtype_of(params, self.loss, *check_data(self.model, data, self.loss))

    @property
    def columns(self):
        """Names of the numbers that every epoch's row of the history has."""
        scores = ["loss"] if self.loss == "mean_squared_error" else ["loss", "accuracy"]
        checked = [] if self.validation is None else [f"val_{name}" for name in scores]
        return [*scores, *checked, "lr", "seconds"]

    def settings(self, params, seed):
        """What a resumed run must have in common with the one that it continues, as text."""
        names = ("model", "optimizer", "batch_size", "loss", "l2", "clip_norm", "average")
        return {
            **{name: repr(getattr(self, name)) for name in (*names, "early_stopping")},
            "seed": str(seed),
            "samples": repr(self.data[0].shape[0]),
            "dtype": str(self.data[0].dtype),
            "data": fingerprint(self.data),
            "validation": self.validation and fingerprint(self.validation),
            "start": fingerprint(tree.leaves(params)),
        }

    @property
    def steps_per_epoch(self):
        """Batches in an epoch, the last and perhaps smaller one included."""
        return -(-self.data[0].shape[0] // self.batch_size)

    def start(self, params, rng):
        """The run before its first step."""
        state = rng.bit_generator.state
        average = None if self.average is None else params
        return Run(params, self.optimizer.init(params), average, state, state)

    def train_epoch(self, run, bar, interrupted):
        """Take the steps that are left of this epoch; False if Ctrl-C came before the end."""
        rng = generator(0)
        rng.bit_generator.state = run.epoch_generator
        order = rng.permutation(self.data[0].shape[0])
        if run.step:
            rng.bit_generator.state = run.generator
        began = time.perf_counter() - run.seconds
        xp = namespace(self.data[0])
        while run.step < self.steps_per_epoch and not interrupted():
            chosen = xp.asarray(order[run.step * self.batch_size :][: self.batch_size])
            batch = tuple(a if a is None else xp.take(a, chosen, axis=0) for a in self.data)
            if weight_of(batch) > 0:
                self.take_step(run, batch, rng)
            run.step, run.generator = run.step + 1, rng.bit_generator.state
            run.seconds = time.perf_counter() - began
            bar.update()
            if run.step % 20 == 0:
                bar.set_postfix(**_shown(means(run.sums)), refresh=False)
        return run.step == self.steps_per_epoch

    def take_step(self, run, batch, rng):
        """Forward, backward, update; `run` gets the new weights and sums."""
        x, target, weight = batch
        prediction, cache = self.model.forward(run.params, x, train=True, rng=rng)
        loss_op = LOSSES[self.loss]
        loss, loss_cache = loss_op.forward(prediction, target, weight)
        dprediction = loss_op.backward(1, loss_cache)
        grads, _ = self.model.backward(dprediction, cache, input_gradient=False)
        if self.l2:
            penalty, penalty_cache = ops.l2.forward(run.params, self.l2)
            loss = loss + penalty
            grads = tree.add(grads, ops.l2.backward(1, penalty_cache))
        if not math.isfinite(float(loss)):
            raise DivergenceError(
                f"the loss is {float(loss)} at epoch {run.epoch + 1}, step {run.step + 1}: "
                f"{first_not_finite(self.model, run.params, x)}; check the data, lower the "
                "learning rate, or clip the gradient (clip_norm)"
            )
        if self.clip_norm is not None:
            grads, _ = clip_by_global_norm(grads, self.clip_norm)
        run.params, run.optimizer = self.optimizer.step(run.params, grads, run.optimizer)
        if self.average is not None:
            run.average = self.average.update(run.average, run.params)
        add_batch(run.sums, float(loss), count_right(self.loss, prediction, batch), batch)

    def finish_epoch(self, run):
        """Evaluate, add a row to the history, and look whether it is time to stop."""
        broken = not_finite(run.params)
        if broken:  # by the last step; the next one's loss would have told
            raise DivergenceError(
                f"the weights {', '.join(broken)} are not finite after epoch {run.epoch + 1}; "
                "lower the learning rate, or clip the gradient (clip_norm)"
            )
        row = {"epoch": run.epoch + 1, **means(run.sums)}
        if self.validation is not None:
            weights = run.params if run.average is None else run.average
            scores = evaluate_checked(self.model, weights, self.validation, self.loss)
            if not math.isfinite(scores["loss"]):
                raise DivergenceError(
                    f"the validation loss is {scores['loss']} after epoch {run.epoch + 1}: "
                    f"{first_not_finite(self.model, weights, self.validation[0])}; lower the "
                    "learning rate, or clip the gradient (clip_norm)"
                )
            row |= {f"val_{name}": value for name, value in scores.items()}
        row["lr"] = float(rate_at(self.optimizer.lr, run.optimizer["step"]))
        row["seconds"] = run.seconds
        if self.early_stopping is not None:
            self._look_for_best(run, row)
        run.rows = (*run.rows, row)
        run.epoch, run.step, run.sums, run.seconds = run.epoch + 1, 0, new_sums(), 0.0
        run.epoch_generator = run.generator

    def _look_for_best(self, run, row):
        stopping = self.early_stopping
        if stopping.improves(row, run.best and run.best["value"]):
            best = {"params": run.params, "average": run.average}
            run.best = {"value": row[stopping.monitor], "epoch": row["epoch"], **best}
        if row["epoch"] - run.best["epoch"] >= stopping.patience:
            run.finished = True

    def history(self, run):
        """The result so far; of the best epoch, where early stopping is to restore it."""
        if run.best and self.early_stopping.restore_best:
            return History(run.rows, run.best["params"], run.best["average"])
        return History(run.rows, run.params, run.average)


def _not_beyond(epochs, run, folder):
    """The run, if it has not taken more steps than are asked for."""
    if run.epoch > epochs or (run.epoch == epochs and run.step):
        steps = f" and {run.step} steps" if run.step else ""
        raise CheckpointError(
            f"{folder.checkpoint} has {run.epoch} epochs{steps} already, more than the {epochs} "
            "asked for"
        )
    return run


def _loud_later():
    """No warning where a number stops being finite: the loss is looked at after every step."""
    return np.errstate(over="ignore", invalid="ignore")


def _shown(numbers):
    return {name: f"{value:.4f}" for name, value in numbers.items()}
