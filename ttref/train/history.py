"""What training leaves behind: rows of numbers, and weights."""

from dataclasses import dataclass
from typing import TypeAlias

from ttref.contracts import Tree

Row: TypeAlias = dict[str, float]
"""Numbers of one epoch by name: epoch, loss, accuracy, val_loss, val_accuracy, lr, seconds."""


@dataclass(frozen=True)
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
    """

    rows: tuple[Row, ...]
    params: Tree
    average: Tree | None
