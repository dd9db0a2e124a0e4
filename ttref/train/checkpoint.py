"""The folder of a training run: its checkpoint and its history file."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from ttref import storage, tree
from ttref.arrays import namespace
from ttref.contracts import Tree
from ttref.errors import CheckpointError, ConventionError, FolderInUseError
from ttref.train.run_identity import RunIdentity
from ttref.train.run_machine import MEASUREMENTS, RunMachine
from ttref.train.saved_run import SavedRun, check_entries, refuse
from ttref.train.state import TrainingState
from ttref.train.training import Training

CHECKPOINT = "checkpoint.npz"
HISTORY = "history.jsonl"
CLAIM = ".in-use"  # the file that keeps other runs out, with the number of the process
KIND = "ttref training run"


class RunFolder:
    """The folder with checkpoint, history and measurements of a run; nothing is written for None.

    Parameters
    ----------
    path : str, Path or None
    training : Training
    params : tree of arrays
        The weights from which the run starts.
    seed : int
    named : dict of str, optional
        As that of `RunIdentity`.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None,
        training: Training,
        params: Tree,
        seed: int,
        named: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(path, str | PathLike | None):
            raise ConventionError(f"out is {path!r}, expected the path of a folder")
        self.path = None if path is None else Path(path)
        self.training = training
        if self.path is None:
            return
        self.identity = RunIdentity(training, params, seed, named)
        self.identity.warn()
        self.machine = RunMachine(tree.leaves(params)[0])
        self.has_measurements = False  # whether this process has written them

    @property
    def checkpoint(self) -> Path | None:
        """Path of the checkpoint, where there is a folder."""
        return self.path and self.path / CHECKPOINT

    def resume(self, start: TrainingState, exact: bool) -> TrainingState | None:
        """Load the saved state; None where there is none yet. Nothing is written.

        Parameters
        ----------
        start : TrainingState
            The state before the first step.
        exact : bool
            Whether it is an error if the run may not go on bit for bit.

        Raises
        ------
        CheckpointError
            If the file is damaged, of a run with other settings, or holds what no run can be.
        """
        path = self.checkpoint
        if path is None or not path.exists():
            return None
        saved = storage.load(path, namespace(start.vectors["params"]))
        kind = saved.get("kind") if isinstance(saved, dict) else None
        if not isinstance(kind, str) or kind != KIND:
            raise CheckpointError(f"{path} is not a checkpoint of a training run")
        _check_texts(path, saved)
        self.identity.check(saved, path)
        self.machine.resume(path, saved.get("machine"), exact)
        return SavedRun(path, saved["run"], start, self.training).read()

    @contextmanager
    def occupy(self, resume: bool) -> Iterator[None]:
        """Make the folder, and keep other runs out of it.

        Raises
        ------
        CheckpointError
            If nothing can be written there, if another process trains there, or if it holds a run
            that is not to be resumed.
        """
        if self.path is None or self.checkpoint is None:
            yield
            return
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(storage.claim(self.path / CLAIM))
            except storage.ClaimedError as error:
                raise CheckpointError(
                    f"{self.path} is in use by a run in process {error}; wait for its end, or "
                    "choose another folder (out=)"
                ) from None
            except OSError as error:
                raise CheckpointError(
                    f"{self.path} cannot be the folder of a run ({error})"
                ) from None
            if self.checkpoint.exists() and not resume:
                raise FolderInUseError(
                    f"{self.checkpoint} exists already; resume that run (resume=True), or choose "
                    "another folder (out=)"
                )
            for name in (CHECKPOINT, HISTORY, MEASUREMENTS):
                storage.remove_leftovers(self.path / name)
            yield

    @contextmanager
    def keep_basis(self) -> Iterator[None]:
        """Cut work as the run does, if there is a folder."""
        with nullcontext() if self.path is None else self.machine.keep_basis():
            yield

    def save(self, state: TrainingState) -> None:
        """Write checkpoint and history; each replaces its old file in one move."""
        if self.path is None or self.checkpoint is None:
            return
        if not self.has_measurements:
            self.machine.save(self.path)
            self.has_measurements = True
        run = {f.name: getattr(state, f.name) for f in fields(TrainingState)}
        about = self.identity.contents() | {"machine": self.machine.contents()}
        storage.save(self.checkpoint, {"kind": KIND, **about, "run": run})
        self.save_history(state)

    def save_history(self, state: TrainingState) -> None:
        """Write the history; where a run is resumed, as a crash may have come before it."""
        if self.path is None:
            return
        lines = "".join(json.dumps(row) + "\n" for row in state.rows)
        with storage.atomic_write(self.path / HISTORY) as file:
            file.write(lines.encode())


def _check_texts(path: Path, saved: Mapping[str, Any]) -> None:
    """Raise unless the checkpoint has a run, and texts by which it is told."""
    names = ("kind", "settings", "identity", "machine", "run")
    known = tuple(name for name in names if name not in ("identity", "machine") or name in saved)
    check_entries(path, "content", saved, known)
    for name in ("settings", "identity"):
        texts = saved.get(name, {})
        if not isinstance(texts, dict) or not all(
            isinstance(text, str | None) for text in texts.values()
        ):
            refuse(path, name, "something else", "a dict of texts")
