"""The results of an experiment: rows, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ttref.tables import table


@dataclass(frozen=True)
class Row:
    """One line of the table of results."""

    name: str
    metric: str
    ours: float
    recorded: float | None  # what the original states
    parameters: int
    losses: tuple[float, ...]  # of each epoch; none for a network that was not trained
    seconds: float  # of these epochs
    full_epochs: int = 0  # of the whole experiment

    @property
    def is_short(self) -> bool:
        """Whether the network was trained for fewer epochs than in the whole experiment."""
        return len(self.losses) < self.full_epochs


COLUMNS = ("network", "metric", "ours", "recorded", "parameters", "epochs", "s/epoch")


def results_table(rows: Sequence[Row]) -> str:
    """Format the rows as text, ours beside what the original recorded.

    A row of a network that was trained for fewer epochs than in the whole experiment says so.
    """
    text = table(COLUMNS, [_cells(row) for row in rows])
    if any(row.is_short and row.recorded is not None for row in rows):
        text += "\nA run of fewer epochs is no match for the recorded number of a whole one."
    return text


def _cells(row: Row) -> tuple[str | int | None, ...]:
    epochs = len(row.losses)
    trained = f"{epochs} of {row.full_epochs}" if row.is_short else epochs
    recorded = None if row.recorded is None else f"{row.recorded:.4f}"
    per_epoch = f"{row.seconds / epochs:.2f}" if epochs else None
    return row.name, row.metric, f"{row.ours:.4f}", recorded, row.parameters, trained, per_epoch
