"""Draw docs/img/gradient_through_time.png: the gradient's norm on its way back through time.

On the left, dense cells of 64 units with their initial weights, and 100 steps of 512 random bits;
on the right, the TT cells of FiboClass after 20 epochs, and test windows of 30 steps. The cotangent
of the last h is random. Each line is a mean over the batch, divided by the last step's norm.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ttref.contracts import Array, Tree
from ttref.datasets import fibo
from ttref.experiments.cells import CELLS, DROPOUT, recurrent
from ttref.layers import Dense, Sequential
from ttref.optim import Adam
from ttref.train import fit

PICTURE = Path("docs/img/gradient_through_time.png")
IN_MODES = (16, 32)
OUT_MODES = (8, 8)
RANK = 3
UNITS = 64
BATCH = 64
STEPS = 100
EPOCHS = 20


def norms(layer: Any, params: Tree, x: Array, rng: np.random.Generator) -> Array:
    """Return the mean norm of each state's cotangent at each step, shape (states, T)."""
    # The input map of all steps at once.
    own = dict(params)
    cell = layer.cell
    affine = {name: own.pop(name) for name in (*layer.weights, "bias")}
    p, _ = layer.input_map.forward(affine, x.reshape(-1, x.shape[2]).astype(float))

    # Forward through time.
    state = cell.states * (np.zeros((len(x), UNITS)),)
    caches = []
    for p_t in np.moveaxis(p.reshape(*x.shape[:2], -1), 1, 0):
        state, cache = cell.forward(own, state, p_t)
        caches.append(cache)

    # Backward, from a random cotangent of the last h.
    dstate = (rng.standard_normal(state[0].shape), *map(np.zeros_like, state[1:]))
    found = []
    for cache in reversed(caches):
        found.append([np.linalg.norm(part, axis=1).mean() for part in dstate])
        _, dstate, _ = cell.backward(dstate, cache)
    return np.asarray(found[::-1]).T / found[0][0]


def initial_norms(name: str, rng: np.random.Generator) -> Array:
    """Return the norms with initial weights."""
    layer = recurrent(name, True, IN_MODES, OUT_MODES, RANK)
    x = rng.integers(0, 2, (BATCH, STEPS, fibo.BITS))
    return norms(layer, layer.init(rng, "float64"), x, rng)


def trained_norms(name: str, rng: np.random.Generator) -> Array:
    """Return the norms after training."""
    train, test = fibo.load()
    layer = recurrent(name, False, IN_MODES, OUT_MODES, RANK, dropout=DROPOUT)
    net = Sequential([layer, Dense(UNITS, 4)])
    data = (train.x.astype(float), train.target)
    start = net.init(rng, "float64")
    history = fit(net, start, data, Adam(1e-3), EPOCHS, batch_size=16, progress=False)
    whole = test.x[:, 0].any(axis=1)  # windows without padding
    return norms(layer, history.params[0], test.x[whole], rng)


def draw(panel: Axes, compute: Callable[[str, np.random.Generator], Array], title: str) -> None:
    """Draw one line per cell, and one for the LSTM's second state."""
    for k, name in enumerate(CELLS):
        lines = compute(name, np.random.default_rng(0))
        for line, style, state in zip(lines, ("-", "--"), "hc", strict=False):
            values = np.where(line > 0, line, np.nan)  # dc of the last step is 0
            panel.plot(np.arange(1, len(line) + 1), values, f"C{k}{style}")
            panel.lines[-1].set_label(f"{name.upper()}, dL/d{state}")
    panel.set(yscale="log", xlabel="step t", title=title)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)


def main() -> None:
    """Compute and draw."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    draw(left, initial_norms, f"initial weights, {STEPS} steps of random bits")
    draw(right, trained_norms, f"FiboClass, TT cells after {EPOCHS} epochs")
    left.set(ylabel="norm of the cotangent, last dL/dh = 1")
    figure.savefig(PICTURE, dpi=120)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
