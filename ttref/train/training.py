"""What a run of `fit` is asked to do, and whether it can be done."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ttref import ops, tree
from ttref.arrays import describe, holds_objects, namespace
from ttref.checks import check_count, check_finite_not_negative, check_positive, suggest_call
from ttref.contracts import Loss, Optimizer, Tree
from ttref.errors import ConventionError, DtypeError
from ttref.layers import Layer
from ttref.optim import EMA
from ttref.train.callbacks import Callbacks
from ttref.train.data import Data, batches
from ttref.train.diagnosis import check_finite_parameters, ignore_overflow
from ttref.train.state import TrainingState
from ttref.train.stopping import EarlyStopping
from ttref.train.sums import has_accuracy


@dataclass(frozen=True)
class Training:
    """What stays the same from step to step: the arguments of `fit`, with checked data."""

    model: Layer
    data: Data
    validation: Data | None
    optimizer: Optimizer
    batch_size: int
    loss: str | Loss
    scale: float | None
    l2: Mapping[str, float] | None
    clip_norm: float | None
    average: EMA | None
    early_stopping: EarlyStopping | None
    callbacks: Callbacks

    def check(self, params: Tree) -> None:
        """Raise a `TTRefError` if the options, or the parameters and the model, do not fit."""
        check_count("batch_size", self.batch_size)
        # The model raises if it cannot take the parameters or a sample.
        first = next(batches(self.data, 1))
        with ignore_overflow():
            self.model.forward(params, first.x)
        check_finite_parameters(self.model, params)
        # The penalty raises if a name is not among the parameters.
        if not isinstance(self.l2, dict | None):
            raise ConventionError(f"l2 is {self.l2!r}, expected a dict from parameter to rate")
        for name, rate in (self.l2 or {}).items():
            check_finite_not_negative(f"the l2 rate of {name}", rate)
        with ignore_overflow():
            ops.l2.forward(params, self.l2 or {})
        # Clipping and early stopping.
        if self.clip_norm is not None:
            check_positive("clip_norm", self.clip_norm)
        if self.early_stopping is not None:
            if not isinstance(self.early_stopping, EarlyStopping):
                raise ConventionError(
                    f"early_stopping is {self.early_stopping!r}, expected an EarlyStopping"
                )
            self.early_stopping.check(self.columns)

    @property
    def columns(self) -> list[str]:
        """Names of the numbers that every epoch's row of the history has."""
        scores = ["loss", "accuracy"] if has_accuracy(self.loss) else ["loss"]
        checked = [] if self.validation is None else [f"val_{name}" for name in scores]
        return [*scores, *checked, "lr", "seconds"]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.data.samples // self.batch_size)

    def start(self, params: Tree, rng: np.random.Generator) -> TrainingState:
        """The state before the first step."""
        generator = rng.bit_generator.state
        average = None if self.average is None else params
        return TrainingState(params, self.optimizer.init(params), average, generator, generator)


def check_model(model: Layer, params: Tree, optimizer: Optimizer) -> None:
    """Raise unless these are a layer with parameters that can be trained, and an optimiser."""
    if not isinstance(model, Layer):
        raise ConventionError(f"model is {model!r}, expected a ttref Layer{suggest_call(model)}")
    if not tree.leaves(params):
        raise ConventionError(f"{model} has no parameters, so there is nothing to train")
    for name in ("init", "advance", "lr"):
        if not hasattr(optimizer, name) or isinstance(optimizer, type):
            raise ConventionError(
                f"optimizer is {optimizer!r}, expected SGD or Adam{suggest_call(optimizer)}"
            )
    check_parameters(params)


def check_parameters(params: Tree) -> None:
    """Raise unless all leaves are arrays of real numbers of one floating dtype.

    Raises
    ------
    DtypeError
        Names the first leaf that is not.
    """
    named = tree.flatten(params)
    first = next(iter(named), "")
    for name, leaf in named.items():
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            called = f"parameter {name}" if name else "params"
            raise DtypeError(f"{called} is a {describe(leaf)}, expected an array")
        is_real = not holds_objects(leaf) and namespace(leaf).isdtype(leaf.dtype, "real floating")
        if not is_real:
            raise DtypeError(
                f"parameter {name} has dtype {leaf.dtype}, expected real floating-point numbers; "
                "use init's dtype=, or convert it"
            )
        if leaf.dtype != named[first].dtype:
            raise DtypeError(
                f"parameter {name} has dtype {leaf.dtype}, {first} has {named[first].dtype}; "
                "expected one dtype"
            )
