"""The picture of the learning curves."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ttref import storage


def draw_curves(path, histories, recorded):
    """Save a picture of loss and accuracy against epochs, one colour per stage.

    Parameters
    ----------
    path : Path
    histories : dict from stage to History
    recorded : dict from stage to float or None
        The accuracy that the original states, drawn as a dotted line.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for k, (stage, history) in enumerate(histories.items()):
        for panel, metric in zip(panels, ("loss", "accuracy"), strict=True):
            epochs = [row["epoch"] for row in history.rows]
            for prefix, style in (("", "--"), ("val_", "-")):
                values = [row[prefix + metric] for row in history.rows]
                label = f"{stage}, {'validation' if prefix else 'training'}"
                panel.plot(epochs, values, f"C{k}o{style}", ms=3, label=label)
            if metric == "accuracy" and recorded.get(stage) is not None:
                panel.axhline(recorded[stage], color=f"C{k}", ls=":", label=f"{stage}, recorded")
    for panel, metric in zip(panels, ("loss", "accuracy"), strict=True):
        panel.set(xlabel="epoch", title=metric)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    panels[0].set(yscale="log")
    panels[1].legend(fontsize=8)
    with storage.atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
