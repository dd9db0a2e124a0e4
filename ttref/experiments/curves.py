"""The picture of the learning curves."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ttref import storage
from ttref.train import History

STYLES = {"training": "--", "validation": "-"}


def draw_curves(
    path: str | Path, histories: Mapping[str, History], recorded: Mapping[str, float | None]
) -> None:
    """Save a picture of loss and accuracy against epochs, one colour per stage.

    Parameters
    ----------
    path : str or Path
    histories : dict from stage to History
    recorded : dict from stage to float or None
        The accuracy that the original states, drawn as a dotted line.
    """
    # Loss on the left, accuracy on the right.
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for k, stage in enumerate(histories):
        colour = f"C{k}"
        for panel, metric in zip(panels, ("loss", "accuracy"), strict=True):
            _draw_stage(panel, stage, histories[stage], metric, colour)
        accuracy = recorded.get(stage)
        if accuracy is not None:
            panels[1].axhline(accuracy, color=colour, ls=":", label=f"{stage}, recorded")

    # Axes, grid and legend.
    for panel, metric in zip(panels, ("loss", "accuracy"), strict=True):
        panel.set(xlabel="epoch", title=metric)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    panels[0].set(yscale="log")
    panels[1].legend(fontsize=8)
    with storage.atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _draw_stage(panel: Axes, stage: str, history: History, metric: str, colour: str) -> None:
    """Draw a metric of training and validation against epochs."""
    epochs = [row["epoch"] for row in history.rows]
    for part, column in (("training", metric), ("validation", f"val_{metric}")):
        values = [row[column] for row in history.rows]
        label = f"{stage}, {part}"
        panel.plot(epochs, values, f"{colour}o{STYLES[part]}", ms=3, label=label)
