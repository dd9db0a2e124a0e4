"""The state of a training run, its checkpoint and its history file."""

import json
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from array_api_compat import is_array_api_obj

from ttref import storage, tree
from ttref.errors import CheckpointError, ConventionError
from ttref.train.sums import new_sums

CHECKPOINT, HISTORY = "checkpoint.npz", "history.jsonl"


@dataclass
class Run:
    """Everything that the next step depends on.

    It owns its arrays, which steps write into: `params` and `average` are copied, and become trees
    of views of two vectors, ``vectors["params"]`` and ``vectors["average"]``.
    """

    params: Any  # tree of arrays
    optimizer: dict  # the optimiser's state
    average: Any  # tree like params: their moving average; None without one
    generator: dict  # state of the random generator now
    epoch_generator: dict  # its state when this epoch began, from which the shuffle is redrawn
    epoch: int = 0  # epochs finished
    step: int = 0  # steps finished in this epoch
    sums: dict = field(default_factory=new_sums)
    seconds: float = 0.0  # spent training in this epoch
    rows: tuple = ()  # the history, one dict per epoch
    best: Any = None  # {"value", "epoch", "params", "average"} of early stopping
    finished: bool = False

    def __post_init__(self):
        self.pending: list = []  # what the latest steps add to `sums`, still on its device
        self.vectors: dict = {}
        for name in ("params", "average"):
            if getattr(self, name) is not None:
                self._hold(name, tree.ravel(getattr(self, name)))

    def _hold(self, name, vector):
        if vector is not self.vectors.get(name):
            self.vectors[name] = vector
            setattr(self, name, tree.unravel(vector, self.params))

    def advance(self, optimizer, gradient, update_state, ema):
        """Take the optimiser's step, update the layers' state, then the moving average."""
        p, self.optimizer = optimizer.advance(self.vectors["params"], gradient, self.optimizer)
        self._hold("params", p)  # another vector, if the library's arrays cannot be written
        params = update_state(self.params)
        if params is not self.params:
            self._hold("params", tree.ravel(params))
        if ema is not None:
            average = ema.advance(self.vectors["average"], self.vectors["params"])
            self._hold("average", average)

    def copy(self):
        """The same run, with arrays of its own."""
        state = {name: _copied(value) for name, value in self.optimizer.items()}
        return replace(self, optimizer=state, sums=dict(self.sums))

    def restore(self, kept):
        """Be the run `kept`, a copy from before, again."""
        vars(self).update(vars(kept))


@dataclass(frozen=True)
class History:
    """What `fit` returns.

    Attributes
    ----------
    rows : tuple of dict
        One per epoch: epoch, loss, accuracy, val_loss, val_accuracy, lr, seconds.
    params : tree of arrays
        The final weights (the best epoch's, with early stopping that restores them).
    average : tree of arrays or None
        Their exponential moving average, if one was asked for.
    """

    rows: tuple
    params: Any
    average: Any


class Folder:
    """The folder of a run: ``checkpoint.npz`` and ``history.jsonl``; or nothing, for None."""

    def __init__(self, path, settings):
        if not isinstance(path, str | PathLike | None):
            raise ConventionError(f"out is {path!r}, expected the path of a folder")
        self.path = None if path is None else Path(path)
        self.settings = settings

    @property
    def checkpoint(self):
        """Path of the checkpoint, where there is a folder."""
        return self.path and self.path / CHECKPOINT

    def resume(self, xp):
        """The saved `Run`, or None where there is none yet.

        Raises
        ------
        CheckpointError
            If the file is damaged, or of a run with other settings.
        """
        if self.path is None or not self.checkpoint.exists():
            return None
        saved = storage.load(self.checkpoint, xp)
        if not isinstance(saved, dict) or saved.get("kind") != "ttref training run":
            raise CheckpointError(f"{self.checkpoint} is not a checkpoint of a training run")
        theirs, ours = saved["settings"], self.settings
        for name in ours:
            if theirs.get(name) != ours[name]:
                raise CheckpointError(
                    f"cannot resume {self.checkpoint}: its {name} was {theirs.get(name)}, "
                    f"now it is {ours[name]}; use the same settings or choose another folder"
                )
        run = Run(**{f.name: saved["run"][f.name] for f in fields(Run)})
        _save_history(self.path, run)  # the crash that is resumed from may have come before
        return run

    def prepare(self, resume):
        """Make the folder; raise `CheckpointError` if it cannot be, or holds another run."""
        if self.path is None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be the folder of a run ({error})") from None
        if self.checkpoint.exists() and not resume:
            raise CheckpointError(
                f"{self.checkpoint} exists already; resume that run (--resume), "
                "or choose another folder (--out)"
            )

    def save(self, run):
        """Write checkpoint and history; each replaces its old file whole."""
        if self.path is None:
            return
        run_tree = {f.name: getattr(run, f.name) for f in fields(Run)}
        storage.save(
            self.checkpoint,
            {"kind": "ttref training run", "settings": self.settings, "run": run_tree},
        )
        _save_history(self.path, run)


def _save_history(path, run):
    lines = "".join(json.dumps(row) + "\n" for row in run.rows)
    with storage.atomic_write(path / HISTORY) as file:
        file.write(lines.encode())


def _copied(value):
    return tree.copy(value) if is_array_api_obj(value) else value
