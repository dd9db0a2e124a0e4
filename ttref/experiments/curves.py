"""The picture of the learning curves."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ttref import storage
from ttref.train import History
from ttref.train.curves import draw_histories


def draw_curves(
    path: str | Path,
    histories: Mapping[str, History],
    recorded: Mapping[str, float | None],
    title: str = "",
) -> None:
    """Save a picture of loss and accuracy against epochs, one colour per stage.

    Parameters
    ----------
    path : str or Path
    histories : dict from stage to History
    recorded : dict from stage to float or None
        The accuracy that the original states, drawn as a dotted line.
    title : str
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    draw_histories(figure, histories, title, recorded)
    with storage.atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
