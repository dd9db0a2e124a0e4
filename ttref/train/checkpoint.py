"""The folder of a training run: its checkpoint and its history file."""

import json
from dataclasses import fields
from os import PathLike
from pathlib import Path

from ttref import storage
from ttref.contracts import Namespace
from ttref.errors import CheckpointError, ConventionError, FolderInUseError
from ttref.train.run_identity import RunIdentity
from ttref.train.state import TrainingState

CHECKPOINT = "checkpoint.npz"
HISTORY = "history.jsonl"
KIND = "ttref training run"


class RunFolder:
    """The folder with ``checkpoint.npz`` and ``history.jsonl``; nothing is written for None.

    Parameters
    ----------
    path : str, Path or None
    identity : RunIdentity or None
        What a resumed run must have in common with the saved one; None without a folder.
    """

    def __init__(self, path: str | PathLike[str] | None, identity: RunIdentity | None) -> None:
        if not isinstance(path, str | PathLike | None):
            raise ConventionError(f"out is {path!r}, expected the path of a folder")
        self.path = None if path is None else Path(path)
        self.identity = identity

    @property
    def checkpoint(self) -> Path | None:
        """Path of the checkpoint, where there is a folder."""
        return self.path and self.path / CHECKPOINT

    def resume(self, xp: Namespace) -> TrainingState | None:
        """Load the saved state; None where there is none yet.

        Raises
        ------
        CheckpointError
            If the file is damaged, or of a run with other settings.
        """
        if self.identity is None or self.path is None or self.checkpoint is None:
            return None
        if not self.checkpoint.exists():
            return None
        saved = storage.load(self.checkpoint, xp)
        if not isinstance(saved, dict) or saved.get("kind") != KIND:
            raise CheckpointError(f"{self.checkpoint} is not a checkpoint of a training run")
        self.identity.check(saved, self.checkpoint)
        state = TrainingState(**{f.name: saved["run"][f.name] for f in fields(TrainingState)})
        _save_history(self.path, state)  # a crash may have come between the two files
        return state

    def prepare(self, resume: bool) -> None:
        """Make the folder.

        Raises
        ------
        CheckpointError
            If that is not possible, or if it holds a run that is not to be resumed.
        """
        if self.path is None or self.checkpoint is None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be the folder of a run ({error})") from None
        if self.checkpoint.exists() and not resume:
            raise FolderInUseError(
                f"{self.checkpoint} exists already; resume that run (resume=True), or choose "
                "another folder (out=)"
            )

    def save(self, state: TrainingState) -> None:
        """Write checkpoint and history; each replaces its old file in one move."""
        if self.identity is None or self.path is None or self.checkpoint is None:
            return
        run = {f.name: getattr(state, f.name) for f in fields(TrainingState)}
        contents = {"kind": KIND, **self.identity.contents(), "run": run}
        storage.save(self.checkpoint, contents)
        _save_history(self.path, state)


def _save_history(path: Path, state: TrainingState) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in state.rows)
    with storage.atomic_write(path / HISTORY) as file:
        file.write(lines.encode())
