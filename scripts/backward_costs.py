"""Count and measure two backward passes of the TT layer, and draw both.

One is that of `ttref.ops.tt_linear`, the adjoint of its sweep. The other contracts left and right
partial sums for each core (`tests/ops/partial_sums.py`), as TensorNet's MATLAB layer does. Writes
docs/backward_costs.json and docs/img/backward_costs.png; the picture needs the extra plot.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tests.ops import partial_sums
from ttref import ops, tt
from ttref.errors import MissingExtraError
from ttref.testing import count_flops

RECORD = Path("docs/backward_costs.json")
PICTURE = Path("docs/img/backward_costs.png")
OPERATORS = {"sweep": ops.tt_linear, "partial sums": partial_sums}
MODE = 4  # all modes
BATCH = 16
CORES = 5  # where the rank grows
RANK = 4  # where the number of cores grows
RANKS = (1, 2, 3, 4, 6, 8, 12, 16)
NUMBERS_OF_CORES = (1, 2, 3, 4, 5, 6)
SECONDS = 1.0  # for each operator and shape, or one pass
FEWEST = 3  # passes


class Shape(NamedTuple):
    """A train of `cores` cores, all its modes `MODE`, all ranks between them `rank`."""

    cores: int
    rank: int

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the cores."""
        modes = (MODE,) * self.cores
        return tt.core_shapes(modes, modes, (1, *(self.rank,) * (self.cores - 1), 1))


def count(op: Any, shape: Shape) -> int:
    """Multiplications of one backward pass."""
    x_shape = BATCH, MODE**shape.cores
    return count_flops(op, ({"cores": tuple(shape.shapes)}, x_shape)).backward.multiplications


def measure(shape: Shape) -> dict[str, float]:
    """Seconds of one backward pass in float32: of many, in turns, the fastest of each operator."""
    rng = np.random.default_rng(0)
    cores = tuple(rng.standard_normal(core).astype("float32") for core in shape.shapes)
    x = rng.standard_normal((BATCH, MODE**shape.cores)).astype("float32")
    passes: dict[str, Callable[[], Any]] = {}
    for name, op in OPERATORS.items():
        y, cache = op.forward({"cores": cores}, x)
        passes[name] = lambda op=op, y=y, cache=cache: op.backward(y, cache)
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    while any(len(s) < FEWEST or sum(s) < SECONDS for s in seconds.values()):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(found) for name, found in seconds.items()}


def cost(shape: Shape) -> dict[str, Any]:
    """Counts and times of a shape, as the record has them."""
    counted = {name: count(op, shape) for name, op in OPERATORS.items()}
    return {**shape._asdict(), "multiplications": counted, "seconds": measure(shape)}


def draw(record: dict[str, Any]) -> None:
    """Draw what is counted above what is measured, over the rank and over the number of cores."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib is not installed: pip install 'ttref[plot]'") from None
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharex="col")
    columns = {"rank": f"rank ({CORES} cores)", "cores": f"number of cores (rank {RANK})"}
    rows = {"multiplications": "multiplications, counted", "seconds": "milliseconds, measured"}
    for column, (key, label) in enumerate(columns.items()):
        for row, (quantity, title) in enumerate(rows.items()):
            panel = panels[row, column]
            draw_lines(panel, record[key], key, quantity)
            panel.set_yscale("log")
            panel.grid(alpha=0.3, which="both" if key == "rank" else "major")
            panel.set_ylabel(title if column == 0 else "")
        panels[1, column].set_xlabel(label)
        if key == "rank":
            panels[1, column].set_xscale("log", base=2)
            panels[1, column].set_xticks(RANKS, [str(rank) for rank in RANKS])
    panels[0, 0].legend(fontsize=8)
    figure.suptitle("backward pass of a TT layer: all modes 4, batch 16, float32, one core")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def draw_lines(panel: Any, found: Sequence[dict[str, Any]], key: str, quantity: str) -> None:
    """Draw a line per operator, and in the panel of counts over the rank two slopes."""
    x = [entry[key] for entry in found]
    for name, marker in zip(OPERATORS, "os", strict=True):
        scale = 1e3 if quantity == "seconds" else 1
        panel.plot(x, [scale * entry[quantity][name] for entry in found], marker=marker, label=name)
    if (key, quantity) != ("rank", "multiplications"):
        return
    for name, power in zip(OPERATORS, (2, 4), strict=True):
        last = found[-1][quantity][name]
        line = [last * (rank / x[-1]) ** power for rank in x[3:]]
        panel.plot(x[3:], line, color="black", lw=0.8, ls=":")
        panel.annotate(f"r^{power}", (x[-3], line[-3]), textcoords="offset points", xytext=(4, -12))


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, measure, write the record, and draw."""
    parser = argparse.ArgumentParser(prog="scripts/backward_costs", description=__doc__)
    parser.add_argument("--picture", action="store_true", help="only draw what is recorded")
    options = parser.parse_args(arguments)
    if not options.picture:
        shapes = {
            "rank": [Shape(CORES, rank) for rank in RANKS],
            "cores": [Shape(cores, RANK) for cores in NUMBERS_OF_CORES],
        }
        record = {key: [cost(s) for s in tqdm(some, key)] for key, some in shapes.items()}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    draw(json.loads(RECORD.read_text()))


if __name__ == "__main__":
    main()
