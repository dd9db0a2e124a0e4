"""What a run of `fit` is asked to do, and whether it can be done."""

from dataclasses import dataclass, replace
from typing import Any

from ttref import ops, tree
from ttref.checks import check_count, check_number
from ttref.errors import ConventionError
from ttref.layers import Layer
from ttref.optim import EMA
from ttref.train.data import check_data, fingerprint, in_dtype_of
from ttref.train.diagnosis import loud_later
from ttref.train.run import Run
from ttref.train.stopping import EarlyStopping


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
        for name in ("init", "advance", "lr"):
            if not hasattr(self.optimizer, name):
                raise ConventionError(f"optimizer is {self.optimizer!r}, expected SGD or Adam")
        data = self._checked_data(self.data, params)
        validation = None
        if self.validation is not None:
            validation = self._checked_data(self.validation, params)
        with loud_later():
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
