"""Early stopping."""

from dataclasses import dataclass

from ttref.errors import ConventionError


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
        What counts as an improvement.
    restore_best : bool
        Whether the best epoch's weights are returned, rather than the last one's.
    """

    monitor: str = "val_loss"
    patience: int = 5
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self):
        if (
            isinstance(self.patience, bool)
            or not isinstance(self.patience, int)
            or self.patience < 1
        ):
            raise ConventionError(f"patience is {self.patience!r}, expected a positive integer")

    def improves(self, row, best):
        """Whether the history row `row` beats the value `best`; the first epoch always does."""
        if self.monitor not in row:
            raise ConventionError(
                f"early stopping monitors {self.monitor!r}, but the history has {', '.join(row)}"
            )
        if best is None:
            return True
        gain = row[self.monitor] - best
        return (gain if self.monitor.endswith("accuracy") else -gain) > self.min_delta
