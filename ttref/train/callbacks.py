"""Functions of the caller that `fit` calls after each step and after each epoch."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from array_api_compat import is_numpy_array

from ttref import tree
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError
from ttref.train.history import Row
from ttref.train.state import TrainingState


class StepReport(NamedTuple):
    """What ``on_step`` gets. Arrays are copies; those of NumPy cannot be written."""

    epoch: int  # from 1
    step: int  # of the epoch, from 1
    loss: float  # of the batch, with the l2 penalty
    gradients: Mapping[str, Array]  # of this loss, by the names of `tree.flatten`, not yet clipped
    params: Mapping[str, Array]  # after the step, by the same names


class EpochReport(NamedTuple):
    """What ``on_epoch`` gets. Arrays are copies; those of NumPy cannot be written."""

    epoch: int  # from 1
    row: Row  # the row that the epoch adds to the history
    params: Tree
    average: Tree | None  # moving average of params, if one was asked for


OnStep: TypeAlias = Callable[[StepReport], bool | None]
OnEpoch: TypeAlias = Callable[[EpochReport], bool | None]


class Callbacks(NamedTuple):
    """The two functions; each ends the run by returning True. What they raise is not caught."""

    on_step: OnStep | None = None
    on_epoch: OnEpoch | None = None

    def check(self, graph: bool) -> None:
        """Raise `ConventionError` unless these are functions that can be called."""
        for name, function in self._asdict().items():
            if function is not None and not callable(function):
                raise ConventionError(f"{name} is {function!r}, expected a function")
        if graph and self.on_step is not None:
            raise ConventionError(
                "on_step cannot be called within a CUDA graph; leave graph or on_step out"
            )

    def after_step(self, state: TrainingState, loss: Array, gradients: Tree) -> None:
        """Call ``on_step``, after the update of a step and before it is counted."""
        if self.on_step is None:
            return
        epoch = state.epoch + 1
        step = state.step + 1
        params = tree.copy(state.params)
        named = [_locked(tree.flatten(arrays)) for arrays in (gradients, params)]
        report = StepReport(epoch, step, float(loss), *named)
        if _says_stop("on_step", self.on_step(report)):
            state.stopping = True

    def after_epoch(self, state: TrainingState) -> None:
        """Call ``on_epoch``, after the row of an epoch was added and saved."""
        if self.on_epoch is None:
            return
        params = _locked(tree.copy(state.params))
        average = None if state.average is None else _locked(tree.copy(state.average))
        report = EpochReport(state.epoch, dict(state.rows[-1]), params, average)
        if _says_stop("on_epoch", self.on_epoch(report)):
            state.stopping = True


def _locked(arrays: Tree) -> Any:
    """The same arrays, which NumPy refuses to write from now on."""
    for leaf in tree.leaves(arrays):
        if is_numpy_array(leaf):
            leaf.flags.writeable = False
    return arrays


def _says_stop(name: str, answer: object) -> bool:
    if answer is None:
        return False
    if not isinstance(answer, bool | np.bool_):
        raise ConventionError(
            f"{name} returned {answer!r}, expected True to end the run, or False or None to go on"
        )
    return bool(answer)
