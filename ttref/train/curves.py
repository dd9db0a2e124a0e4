"""The learning curves of histories, in a figure of matplotlib (extra ``plot``)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ttref.errors import MissingExtraError
from ttref.train.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {"training": "--", "validation": "-"}
PREFIXES = {"training": "", "validation": "val_"}
METRICS = ("loss", "accuracy")
MOST_MARKERS = 30  # epochs of a line whose points are marked
DECADE = 10  # the ratio of the largest to the smallest loss from which the axis is logarithmic


def new_figure() -> "Figure":
    """Make a figure of pyplot, which a notebook shows, and which ``pyplot.show()`` shows.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise MissingExtraError(
            "learning curves are drawn by matplotlib: pip install 'ttref[plot]'"
        ) from None
    return plt.figure(figsize=(10, 4), layout="constrained")


def draw_histories(
    figure: "Figure",
    histories: Mapping[str, History],
    title: str = "",
    recorded: Mapping[str, float | None] | None = None,
) -> None:
    """Draw loss and accuracy against epochs, one colour per history.

    Parameters
    ----------
    figure : Figure
        It is empty, and has a layout that makes room for a legend beside the panels.
    histories : dict from name to History
        With a name of ``""``, the labels have no name.
    title : str
    recorded : dict from name to float or None, optional
        An accuracy that is drawn as a dotted line.
    """
    metrics = [m for m in METRICS if any(_columns(h, m) for h in histories.values())]
    panels: Sequence[Axes] = []
    if metrics:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]

    # The lines of each history.
    colours = {name: f"C{k}" for k, name in enumerate(histories)}
    for panel, metric in zip(panels, metrics, strict=True):
        for name, history in histories.items():
            _draw_history(panel, name, history, metric, colours[name])
            accuracy = (recorded or {}).get(name)
            if metric == "accuracy" and accuracy is not None:
                label = _label(name, "recorded")
                panel.axhline(accuracy, color=colours[name], ls=":", label=label)
        _set_axes(panel, metric, max((len(h.rows) for h in histories.values()), default=0))

    # Title, and one legend for both panels.
    figure.suptitle(title)
    if not metrics:
        figure.text(0.5, 0.5, "no epoch was finished", ha="center")
    lines = {str(line.get_label()): line for panel in panels for line in panel.lines}
    if lines:
        figure.legend(list(lines.values()), list(lines), loc="outside right upper", fontsize=8)


def _columns(history: History, metric: str) -> dict[str, str]:
    """The columns of a metric that a history has, by what they are of."""
    found = {part: prefix + metric for part, prefix in PREFIXES.items()}
    return {part: column for part, column in found.items() if column in history.columns}


def _draw_history(panel: "Axes", name: str, history: History, metric: str, colour: str) -> None:
    """Draw a metric of training and validation."""
    marker = "o" if len(history.rows) <= MOST_MARKERS else ""
    for part, column in _columns(history, metric).items():
        (line,) = panel.plot(history["epoch"], history[column], f"{colour}{marker}{STYLES[part]}")
        line.set(markersize=4, label=_label(name, part))
        if part == "training":  # hollow, so that single points can be told apart
            line.set(markerfacecolor="white")


def _label(name: str, part: str) -> str:
    return f"{name}, {part}" if name else part


def _set_axes(panel: "Axes", metric: str, epochs: int) -> None:
    """Set title, limits and ticks; whole epochs, and room around a single one."""
    from matplotlib.ticker import MaxNLocator

    panel.set(xlabel="epoch", title=metric, xlim=(0.5, epochs + 0.5))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(alpha=0.3)
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in panel.lines])
    if metric == "loss" and _spans_a_decade(values):
        panel.set(yscale="log")


def _spans_a_decade(values: np.ndarray) -> bool:
    positive = values[np.isfinite(values) & (values > 0)]
    return positive.size > 0 and positive.max() >= DECADE * positive.min()
