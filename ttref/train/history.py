"""What training leaves behind: rows of numbers, and weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ttref.checks import suggest
from ttref.contracts import Tree
from ttref.errors import ConventionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row: TypeAlias = dict[str, float]
"""Numbers of one epoch by name: epoch, loss, accuracy, val_loss, val_accuracy, lr, seconds."""

SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")  # in the repr


@dataclass(frozen=True, repr=False)
class History:
    """What `fit` returns.

    Attributes
    ----------
    rows : tuple of dict
        One per epoch: epoch, loss, accuracy, val_loss, val_accuracy, lr, seconds. There is an
        accuracy for the cross-entropies only, and `val_loss` and `val_accuracy` with validation
        data only.
    params : tree of arrays
        The final weights (the best epoch's, with early stopping that restores them).
    average : tree of arrays or None
        Their exponential moving average, if one was asked for.
    best_epoch : int or None
        The number, from 1, of the best epoch: by the number that early stopping monitors, else by
        the validation loss, else by the loss. None if no epoch was finished.
    stopped_early : bool
        Whether early stopping or a callback ended the run before its last epoch.
    scale : float or None
        What integer samples were multiplied by; `evaluate` and `predict` take it.

    Examples
    --------
    >>> history = History(({"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 0.5}), (), None)
    >>> history.columns, history["loss"]
    (('epoch', 'loss'), array([2. , 0.5]))
    >>> history
    History(2 epochs, loss 2 -> 0.5, best epoch 2)
    """

    rows: tuple[Row, ...]
    params: Tree
    average: Tree | None
    best_epoch: int | None = None
    stopped_early: bool = False
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.best_epoch is None and self.rows:
            column = "val_loss" if "val_loss" in self.columns else "loss"
            object.__setattr__(self, "best_epoch", 1 + int(np.argmin(self[column])))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers that every row has; none if no epoch was finished."""
        return tuple(self.rows[0]) if self.rows else ()

    def __getitem__(self, column: str) -> np.ndarray:
        """A column: the number of that name of each epoch, shape (epochs,).

        Raises
        ------
        ConventionError
            If there is no such column.
        """
        if column not in self.columns:
            known = ", ".join(self.columns) or "none, because no epoch was finished"
            raise ConventionError(
                f"the history has no column {column!r}, its columns are {known}"
                f"{suggest(column, self.columns)}"
            )
        return np.asarray([row[column] for row in self.rows])

    __iter__ = None  # a loop goes over the rows or the columns

    def __repr__(self) -> str:
        """In one line: how many epochs, the first and last numbers, the best epoch."""
        epochs = len(self.rows)
        parts = [f"{epochs} epoch{'' if epochs == 1 else 's'}"]
        for name in SHOWN:
            if name in self.columns:
                ends = dict.fromkeys([f"{self[name][k]:.4g}" for k in (0, -1)])
                parts.append(f"{name} {' -> '.join(ends)}")
        if self.best_epoch is not None:
            parts.append(f"best epoch {self.best_epoch}")
        if self.stopped_early:
            parts.append("stopped early")
        return f"History({', '.join(parts)})"

    def plot(self, title: str = "") -> "Figure":
        """Draw loss and accuracy against epochs.

        Parameters
        ----------
        title : str

        Returns
        -------
        Figure
            Of matplotlib's pyplot: a notebook shows it, and ``figure.savefig("curves.png")`` saves
            it.

        Raises
        ------
        MissingExtraError
            Without matplotlib (extra ``plot``).
        """
        from ttref.train.curves import draw_histories, new_figure

        figure = new_figure()
        draw_histories(figure, {"": self}, title)
        return figure
