"""Draw the tensor network of each form of a convolution: docs/img/network_*.png.

A circle is a tensor, a line between two an index that is summed over, an open line an index of
the result. Run ``python scripts/draw_networks.py [FOLDER]``.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Ellipse, FancyBboxPatch

RADIUS = 0.33
WINDOW, WEIGHT = "lightsteelblue", "moccasin"
TRAIN = {"F": (0, 0), "$G_1$": (1.7, 0), "$G_2$": (3.4, 0), "$G_3$": (5.1, 0)}
TRAIN_BONDS = [
    ("F", "$G_1$", r"$\alpha_0$"),
    ("$G_1$", "$G_2$", r"$\alpha_1$"),
    ("$G_2$", "$G_3$", r"$\alpha_2$"),
]
SEEN_BY_TRAIN = {"F": "a, b", "$G_1$": "$c_1$", "$G_2$": "$c_2$", "$G_3$": "$c_3$"}
OUTPUTS = {"$G_1$": "$s_1$", "$G_2$": "$s_2$", "$G_3$": "$s_3$"}
DIRECT = {"A": (0, 0), "B": (1.7, 0), "C": (3.4, 0), "S": (5.1, 0)}

# name: (weights with their places, bonds, what the window shares with each, outputs, box)
NETWORKS = {
    "conv2d": ({"K": (2.55, 0)}, [], {"K": "a, b, c"}, {"K": "s"}, None),
    "tt_conv2d": (TRAIN, TRAIN_BONDS, SEEN_BY_TRAIN, OUTPUTS, None),
    "tt_conv2d_full": (TRAIN, TRAIN_BONDS, SEEN_BY_TRAIN, OUTPUTS, "K, made first"),
    "tt_conv2d_direct": (
        DIRECT,
        [("A", "B", "$r_1$"), ("B", "C", "$r_2$"), ("C", "S", "$r_3$")],
        {"A": "a", "B": "b", "C": "c"},
        {"S": "s"},
        None,
    ),
}


def draw(name):
    """The figure of one network."""
    weights, bonds, seen, outputs, box = NETWORKS[name]
    figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for left, right, label in bonds:
        line(ax, weights[left], weights[right], label, (0, 0.13))
    for weight, label in seen.items():
        x, y = weights[weight]
        line(ax, (x, 1.7), (x, y), label, (0.12, 0.05), "left")
    for weight, label in outputs.items():
        x, y = weights[weight]
        line(ax, (x, y), (x, y - 1), label, (0.12, -0.3), "left")
    places = [x for x, _ in weights.values()]
    middle, width = (min(places) + max(places)) / 2, max(max(places) - min(places) + 1.6, 3.6)
    line(ax, (middle, 1.7), (middle, 2.65), "n, i, j", (0.12, 0.3), "left")
    ax.add_patch(Ellipse((middle, 1.7), width, 0.8, facecolor=WINDOW, edgecolor="black", zorder=2))
    ax.text(middle, 1.7, "U X: the windows of the images", ha="center", va="center", zorder=3)
    for weight, place in weights.items():
        ax.add_patch(plt.Circle(place, RADIUS, facecolor=WEIGHT, edgecolor="black", zorder=2))
        ax.text(*place, weight, ha="center", va="center", zorder=3)
    if box:
        corner = min(places) - 0.55, -0.55
        size = max(places) - min(places) + 1.1, 1.1
        style = {"boxstyle": "round,pad=0.05", "fill": False, "linestyle": "--"}
        ax.add_patch(FancyBboxPatch(corner, *size, **style))
        ax.text(max(places) + 0.7, -0.5, box, va="center")
    ax.set(xlim=(middle - 4.2, middle + 4.2), ylim=(-1.15, 2.75), aspect="equal")
    ax.axis("off")
    return figure


def line(ax, start, end, label, shift, align="center"):
    """A line, labelled at its middle."""
    (x0, y0), (x1, y1) = start, end
    ax.plot([x0, x1], [y0, y1], color="black", zorder=1)
    ax.text((x0 + x1) / 2 + shift[0], (y0 + y1) / 2 + shift[1], label, ha=align, va="center")


def main(folder="docs/img"):
    """Draw all of them."""
    for name in NETWORKS:
        figure = draw(name)
        figure.savefig(Path(folder) / f"network_{name}.png", dpi=110)
        plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
