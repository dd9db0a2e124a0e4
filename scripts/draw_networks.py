"""Draw the tensor network of each form of a convolution: docs/img/network_*.png.

A circle is a tensor, a line between two an index that is summed over, an open line an index of
the result. Run ``python scripts/draw_networks.py [FOLDER]``.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyBboxPatch

Point: TypeAlias = tuple[float, float]


class Network(NamedTuple):
    """The tensors of a network, and how they are joined."""

    weights: Mapping[str, Point]  # with their places
    bonds: Sequence[tuple[str, str, str]]  # between two weights, with a label
    shared: Mapping[str, str]  # the indices that a weight shares with the window
    outputs: Mapping[str, str]  # the open indices of a weight
    box: str | None = None  # label of a box around all weights


RADIUS = 0.33
WINDOW = "lightsteelblue"
WEIGHT = "moccasin"
CORES = {"F": (0, 0), "$G_1$": (1.7, 0), "$G_2$": (3.4, 0), "$G_3$": (5.1, 0)}
BONDS = [
    ("F", "$G_1$", r"$\alpha_0$"),
    ("$G_1$", "$G_2$", r"$\alpha_1$"),
    ("$G_2$", "$G_3$", r"$\alpha_2$"),
]
SHARED = {"F": "a, b", "$G_1$": "$c_1$", "$G_2$": "$c_2$", "$G_3$": "$c_3$"}
OUTPUTS = {"$G_1$": "$s_1$", "$G_2$": "$s_2$", "$G_3$": "$s_3$"}
DIRECT = {"A": (0, 0), "B": (1.7, 0), "C": (3.4, 0), "S": (5.1, 0)}

NETWORKS = {
    "conv2d": Network({"K": (2.55, 0)}, [], {"K": "a, b, c"}, {"K": "s"}),
    "tt_conv2d": Network(CORES, BONDS, SHARED, OUTPUTS),
    "tt_conv2d_full": Network(CORES, BONDS, SHARED, OUTPUTS, "K, made first"),
    "tt_conv2d_direct": Network(
        DIRECT,
        [("A", "B", "$r_1$"), ("B", "C", "$r_2$"), ("C", "S", "$r_3$")],
        {"A": "a", "B": "b", "C": "c"},
        {"S": "s"},
    ),
}


def draw(name: str) -> Figure:
    """Draw one network."""
    figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    network = NETWORKS[name]
    places = [x for x, _ in network.weights.values()]
    left = min(places)
    right = max(places)
    middle = (left + right) / 2

    # Lines, below the tensors.
    for first, second, label in network.bonds:
        draw_line(ax, network.weights[first], network.weights[second], label, (0, 0.13))
    for weight, label in network.shared.items():
        x, y = network.weights[weight]
        draw_line(ax, (x, 1.7), (x, y), label, (0.12, 0.05), "left")
    for weight, label in network.outputs.items():
        x, y = network.weights[weight]
        draw_line(ax, (x, y), (x, y - 1), label, (0.12, -0.3), "left")
    draw_line(ax, (middle, 1.7), (middle, 2.65), "n, i, j", (0.12, 0.3), "left")

    # The windows and the weights.
    width = max(right - left + 1.6, 3.6)
    ax.add_patch(Ellipse((middle, 1.7), width, 0.8, facecolor=WINDOW, edgecolor="black", zorder=2))
    ax.text(middle, 1.7, "U X: the windows of the images", ha="center", va="center", zorder=3)
    for weight, place in network.weights.items():
        ax.add_patch(plt.Circle(place, RADIUS, facecolor=WEIGHT, edgecolor="black", zorder=2))
        ax.text(*place, weight, ha="center", va="center", zorder=3)
    if network.box:
        draw_box(ax, left, right, network.box)
    ax.set(xlim=(middle - 4.2, middle + 4.2), ylim=(-1.15, 2.75), aspect="equal")
    ax.axis("off")
    return figure


def draw_line(
    ax: Axes, start: Point, end: Point, label: str, shift: Point, align: str = "center"
) -> None:
    """Draw a line with a label at its middle, moved by `shift`."""
    x0, y0 = start
    x1, y1 = end
    ax.plot([x0, x1], [y0, y1], color="black", zorder=1)
    ax.text((x0 + x1) / 2 + shift[0], (y0 + y1) / 2 + shift[1], label, ha=align, va="center")


def draw_box(ax: Axes, left: float, right: float, label: str) -> None:
    """Draw a dashed box around the weights between two places."""
    corner = (left - 0.55, -0.55)
    width = right - left + 1.1
    style = "round,pad=0.05"
    ax.add_patch(FancyBboxPatch(corner, width, 1.1, boxstyle=style, fill=False, linestyle="--"))
    ax.text(right + 0.7, -0.5, label, va="center")


def main(folder: str = "docs/img") -> None:
    """Draw all networks into a folder."""
    for name in NETWORKS:
        figure = draw(name)
        figure.savefig(Path(folder) / f"network_{name}.png", dpi=110)
        plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
