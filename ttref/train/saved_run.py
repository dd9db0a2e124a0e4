"""The run in a checkpoint: read as a state of training, if it can be one of this training.

A checksum tells that a file is as it was written, not that it was written by `fit`. So every number
that decides how the run goes on is checked against the others, and the weights against those of the
model: also the order of their names, in which the optimiser's vectors are.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from numbers import Real
from pathlib import Path
from typing import Any, NoReturn

from array_api_compat import is_array_api_obj

from ttref import tree
from ttref.contracts import Tree
from ttref.errors import CheckpointError
from ttref.optim import SGD, Adam
from ttref.train.state import TrainingState
from ttref.train.sums import new_sums
from ttref.train.training import Training

NAMES = tuple(field.name for field in fields(TrainingState))
SHOWN = 60  # characters of a wrong value


class SavedRun:
    """The entry ``run`` of a checkpoint.

    Parameters
    ----------
    path : Path
        Of the checkpoint, for messages.
    run : object
        What stands there.
    start : TrainingState
        The state before the first step of the same training.
    training : Training
    """

    def __init__(self, path: Path, run: Any, start: TrainingState, training: Training) -> None:
        self.path = path
        self.run = check_entries(path, "run", run, NAMES)
        self.start = start
        self.training = training

    def read(self) -> TrainingState:
        """The state of training.

        Raises
        ------
        CheckpointError
            Names the first entry that no run of this training can have.
        """
        self._check_position()
        self._check_weights("params", self.run["params"], self.start.params)
        self._check_weights("average", self.run["average"], self.start.average)
        self._check_optimizer()
        for name in ("generator", "epoch_generator"):
            self._check_generator(name)
        self._check_sums()
        self._check_rows()
        self._check_best()
        return TrainingState(**self.run)

    def _refuse(self, name: str, expected: str, value: object = None) -> NoReturn:
        refuse(self.path, f"run.{name}", value, expected)

    def _check(self, name: str, is_right: Callable[[Any], bool], expected: str) -> Any:
        value = self.run[name]
        if not is_right(value):
            self._refuse(name, expected, value)
        return value

    def _check_position(self) -> None:
        steps = self.training.steps_per_epoch
        self._check("epoch", is_count, "a count of epochs")
        self._check(
            "step", lambda v: is_count(v) and v < steps, f"an integer from 0 to {steps - 1}"
        )
        self._check("seconds", is_not_negative, "a finite number >= 0")

    def _check_weights(self, name: str, found: Tree, expected: Tree | None) -> None:
        """Raise unless two trees have leaves of the same names, in this order, and shapes."""
        if expected is None:
            if found is not None:
                self._refuse(name, "None, as there is no moving average", describe(found))
            return
        theirs = tree.flatten(found)
        ours = tree.flatten(expected)
        if list(theirs) != list(ours) or kinds(found) != kinds(expected):
            what = "in another order than the model's"
            if sorted(theirs) != sorted(ours):
                what = ", ".join(theirs)
            self._refuse(name, f"the parameters {', '.join(ours)}", f"parameters {what}")
        for leaf, own in ours.items():
            self._check_array(f"{name}.{leaf}", theirs[leaf], own)

    def _check_array(self, name: str, found: Any, like: Any) -> None:
        is_alike = is_array_api_obj(found) and found.shape == like.shape
        if not is_alike or found.dtype != like.dtype:
            self._refuse(name, describe(like), describe(found))

    def _check_optimizer(self) -> None:
        start = self.start.optimizer
        state = check_entries(self.path, "run.optimizer", self.run["optimizer"], tuple(start))
        for name, own in start.items():
            found = state[name]
            called = f"optimizer.{name}"
            if is_array_api_obj(own):
                self._check_array(called, found, own)
            elif own is None and not (found is None or is_array_api_obj(found)):
                self._refuse(called, "None or an array", found)
            elif own is not None and type(found) is not type(own):
                self._refuse(called, f"a value of type {type(own).__name__}", describe(found))
        # How many steps were taken; those without any weight are left out.
        if not isinstance(self.training.optimizer, SGD | Adam):
            return
        steps = self.run["epoch"] * self.training.steps_per_epoch + self.run["step"]
        least = steps if self.training.data.weight is None else 0
        taken = state["step"]
        if not is_count(taken) or not least <= taken <= steps:
            words = f"{steps}" if least else f"an integer from 0 to {steps}"
            self._refuse("optimizer.step", f"{words}, by epoch and step", taken)

    def _check_generator(self, name: str) -> None:
        """Raise unless these are numbers of the generator that the seed has started."""
        start = self.start.generator
        value = check_entries(self.path, f"run.{name}", self.run[name], tuple(start))
        inner = check_entries(self.path, f"run.{name}.state", value["state"], tuple(start["state"]))
        limits = {"has_uint32": 2, "uinteger": 2**32}
        numbers = {key: value[key] for key in limits} | {"state": inner["state"]}
        for key, number in numbers.items():
            if not is_count(number) or number >= limits.get(key, 2**128):
                self._refuse(f"{name}.{key}", "a number of a state of PCG64", number)
        same = is_same(value["bit_generator"], start["bit_generator"])
        if not same or not is_same(inner["inc"], start["state"]["inc"]):
            self._refuse(name, "a state of the generator of this seed", value)

    def _check_sums(self) -> None:
        sums = check_entries(self.path, "run.sums", self.run["sums"], tuple(new_sums()))
        for name, value in sums.items():
            if not is_finite(value) or (name != "loss" and value < 0):
                self._refuse(f"sums.{name}", "a finite number", value)
        if sums["right"] > sums["answers"]:
            self._refuse("sums.right", f"at most the {sums['answers']} answers", sums["right"])
        if self.run["step"] == 0 and sums != new_sums():
            self._refuse("sums", "zeros before the first step of an epoch", sums)

    def _check_rows(self) -> None:
        rows = self.run["rows"]
        epochs = self.run["epoch"]
        if not isinstance(rows, tuple) or len(rows) != epochs:
            self._refuse("rows", f"one row for each of {epochs} epochs", describe(rows))
        columns = ("epoch", *self.training.columns)
        for k, row in enumerate(rows):
            check_entries(self.path, f"run.rows.{k}", row, columns)
            for name, value in row.items():
                if not is_finite(value):
                    self._refuse(f"rows.{k}.{name}", "a finite number", value)
            if row["epoch"] != k + 1:
                self._refuse(f"rows.{k}.epoch", str(k + 1), row["epoch"])

    def _check_best(self) -> None:
        """Raise unless best epoch and end of the run are those that the rows give."""
        stopping = self.training.early_stopping
        best = self.run["best"]
        finished = self._check("finished", lambda v: isinstance(v, bool), "True or False")
        rows = self.run["rows"]
        if stopping is None or not rows:
            if best is not None or finished:
                self._refuse("best", "no best epoch and no end by early stopping", describe(best))
            return
        names = ("value", "epoch", "params", "average")
        check_entries(self.path, "run.best", best, names)
        epoch = best["epoch"]
        if not is_count(epoch) or not 1 <= epoch <= len(rows):
            self._refuse("best.epoch", f"an integer from 1 to {len(rows)}", epoch)
        value = rows[epoch - 1][stopping.monitor]
        if not is_same(best["value"], value):
            self._refuse("best.value", f"that of its epoch, {value}", best["value"])
        self._check_weights("best.params", best["params"], self.start.params)
        self._check_weights("best.average", best["average"], self.start.average)
        if finished != (len(rows) - epoch >= stopping.patience):
            self._refuse("finished", f"{not finished}, by the best epoch", finished)


def refuse(path: Path, name: str, value: object, expected: str) -> NoReturn:
    """Raise `CheckpointError`: what stands in the file under a name, and what was expected."""
    shown = value if isinstance(value, str) else repr(value)
    if len(shown) > SHOWN:
        shown = f"{shown[:SHOWN]}..."
    raise CheckpointError(
        f"{path} is not a checkpoint of this training: its {name} is {shown}, expected {expected}; "
        "take another checkpoint, or begin a run in another folder"
    )


def check_entries(path: Path, name: str, value: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """`value`, if it is a dict of these entries and no other."""
    if not isinstance(value, dict):
        refuse(path, name, describe(value), f"a dict of {', '.join(names)}")
    if set(value) != set(names):
        refuse(path, name, f"a dict of {', '.join(value)}", f"one of {', '.join(names)}")
    return value


def describe(value: Any) -> str:
    """A value in a few words."""
    if is_array_api_obj(value):
        return f"an array of {value.dtype} and shape {tuple(value.shape)}"
    if value is None or isinstance(value, Real):
        return repr(value)
    return f"a {type(value).__name__}"


def kinds(node: Tree) -> Any:
    """The structure of a tree, with the type of each branch, without its leaves."""
    if isinstance(node, dict):
        return {key: kinds(branch) for key, branch in node.items()}
    return tuple(kinds(branch) for branch in node) if isinstance(node, tuple | list) else None


def is_same(value: Any, expected: Any) -> bool:
    """Whether two plain values are of one type and equal."""
    return type(value) is type(expected) and bool(value == expected)


def is_count(value: Any) -> bool:
    """Whether a value is an integer >= 0, and not True."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number, and not True."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def is_not_negative(value: Any) -> bool:
    """Whether a value is a finite number >= 0."""
    return is_finite(value) and bool(value >= 0)
