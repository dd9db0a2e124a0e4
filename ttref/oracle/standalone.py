"""Answers to cases of ``ttref oracle`` from a Python that has no ttref: NumPy is all it needs.

Copy this file (``ttref oracle kit FILE`` writes it). Either run an adapter, a file with the
functions forward(params, x) and gradients(params, x, dy),

    ttref oracle --command "python THIS_FILE mine.py {cases} {results}"

or import it, and end your own file with ``serve(forward, gradients)``:

    ttref oracle --command "python mine.py {cases} {results}"

Python 3.7 and NumPy 1.22 are enough. A case is a file of arrays: core_1, ..., core_d, x, dy and,
with a bias, bias. A result has y and d_core_1, ..., d_core_d, d_x, d_bias, or some of them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def serve(
    forward: Callable[..., Any],
    gradients: Callable[..., Any] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Answer the case, or the folder of cases, that the last two arguments name.

    Parameters
    ----------
    forward : callable
        ``forward(params, x) -> y``, params ``{"cores": [...], "bias": ...}`` or without bias.
    gradients : callable, optional
        ``gradients(params, x, dy) -> {"cores": [...], "bias": ..., "x": ...}``, or some of these.
    arguments : sequence of str, optional
        By default those of the command line.
    """
    places = [Path(word) for word in (arguments or sys.argv)[-2:]]
    source = places[0]
    target = places[1]
    if not source.is_dir():
        answer(forward, gradients, source, target)
        return
    for case in sorted(source.iterdir()):
        answer(forward, gradients, case, target / case.name)


def answer(
    forward: Callable[..., Any], gradients: Callable[..., Any] | None, source: Path, target: Path
) -> None:
    """Compute one case, and write the result in one move."""
    params, x, dy = read_case(source)
    found = {"y": forward(params, x)}
    if gradients is not None:
        of = dict(gradients(params, x, dy))
        cores = of.pop("cores", None)
        for k, core in enumerate([] if cores is None else cores, start=1):
            found[f"d_core_{k}"] = core
        for name, value in of.items():
            if value is not None:
                found[f"d_{name}"] = value
    unfinished = target.with_name(target.name + ".part")
    with unfinished.open("wb") as file:
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found.items()}
        np.savez(file, **arrays)
    unfinished.replace(target)


def read_case(path: Path) -> tuple[dict[str, Any], Any, Any]:
    """Read ``(params, x, dy)`` from an npz file."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    count = sum(name.startswith("core_") for name in arrays)
    params = {"cores": [arrays[f"core_{k}"] for k in range(1, count + 1)]}
    if "bias" in arrays:
        params["bias"] = arrays["bias"]
    return params, arrays["x"], arrays["dy"]


def main() -> None:
    """Answer with the functions of the file that the first argument names."""
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} ADAPTER.py CASES RESULTS")
    path = Path(sys.argv[1])
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location("adapter", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    serve(module.forward, getattr(module, "gradients", None))


if __name__ == "__main__":
    main()
