"""Early stopping."""

from collections.abc import Sequence
from dataclasses import dataclass

from ttref.checks import check_count, check_finite_not_negative
from ttref.errors import ConventionError
from ttref.train.history import Row


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the monitored number has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
        A column of the history; larger is better if it ends in ``accuracy``, else smaller.
    patience : int
        Epochs without improvement before training stops.
    min_delta : float
        A change counts as an improvement if it is larger than this.
    restore_best : bool
        Whether the best epoch's weights are returned, rather than the last one's.
    """

    monitor: str = "val_loss"
    patience: int = 5
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        check_count("patience", self.patience)
        check_finite_not_negative("min_delta", self.min_delta)

    def check(self, columns: Sequence[str]) -> None:
        """Raise `ConventionError` unless `monitor` is among the columns of the history."""
        if self.monitor not in columns:
            raise ConventionError(
                f"early stopping monitors {self.monitor!r}, "
                f"but the history has {', '.join(columns)}"
            )

    def improves(self, row: Row, best: float | None) -> bool:
        """Whether the history row `row` beats the value `best`; the first epoch always does."""
        if best is None:
            return True
        gain = row[self.monitor] - best
        if not self.monitor.endswith("accuracy"):
            gain = -gain
        return gain > self.min_delta
