"""``ttref bench``: how a TT layer is computed here, how long it takes, and what would be faster."""

import argparse
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ttref import paths
from ttref.arrays import device_namespace
from ttref.cli.arguments import Subparsers, positive_int
from ttref.contracts import Kind, Namespace
from ttref.errors import ConventionError, visible
from ttref.fast.tt_plan.plan import Plan, Problem, plan_key
from ttref.machine import threads
from ttref.machine.cost_model import Machine
from ttref.machine.measurements import StoredPlan, store, user_file
from ttref.memory import check_memory
from ttref.tables import table
from ttref.tt.check import as_structure
from ttref.tuning.calibration import Sides, calibrate
from ttref.tuning.explanation import explain
from ttref.tuning.search import tune

DTYPES = ("float32", "float64")
T3F_LAYER = ([7, 4, 7, 4], [5, 5, 5, 5], [4], 64)


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="explain and time the plan of a TT layer; calibrate the planner",
        description="Say in which order a TT layer is computed, forward and backward, with "
        "operations, bytes and time as estimated, and time it beside the next best plans; by "
        "default the layer of t3f's tutorial at batch 64. --calibrate measures this machine's "
        f"products and writes {visible(user_file() or 'machine.json')}, by which plans are chosen "
        "from then on. scripts/bench of the repository compares with other libraries.",
    )
    add = parser.add_argument
    n, m, ranks, batch = T3F_LAYER
    sizes: dict[str, Any] = {"nargs": "+", "type": positive_int, "metavar": "K"}
    add("--in-modes", **sizes, default=n, help="n_1 ... n_d (7 4 7 4)")
    add("--out-modes", **sizes, default=m, help="m_1 ... m_d (5 5 5 5)")
    add("--ranks", **sizes, default=ranks, help="one rank for all, or 1 r_1 ... r_{d-1} 1 (4)")
    add("--batch", type=positive_int, default=batch, help=f"rows of x ({batch})")
    add("--dtype", choices=DTYPES, default="float32", help="(float32)")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="(cpu)")
    add("--tune", action="store_true", help="use the plan that was fastest here from now on")
    add("--calibrate", action="store_true", help="measure this machine (a minute or two), no layer")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Calibrate, or explain and time."""
    path = _output() if options.calibrate or options.tune else None
    xp = device_namespace(options.device)
    if path is not None and options.calibrate:
        return _calibrate(options.device, xp, path)
    problem = _problem(options)
    features = prod(problem.in_modes) + prod(problem.out_modes)
    what = f"a layer on {problem.batch} rows"
    check_memory(what, problem.batch * features, problem.kind.itemsize)
    print(explain(problem))
    if options.device == "gpu":
        if options.tune:
            raise ConventionError("--tune times NumPy's plans; leave --device gpu out")
        return 0
    # time the plans, the fastest first
    ranked = tune(problem)
    rows = [
        (_name(timed.plan), f"{timed.estimated * 1e6:.1f}", f"{timed.measured * 1e6:.1f}")
        for timed in ranked
    ]
    print("\n" + table(("plan", "estimated us", "measured us"), rows))
    if path is not None:
        fastest = ranked[0].plan
        store(path, plans={plan_key(problem): StoredPlan(*fastest)})
        print(f"\nkept in {visible(path)}: {_name(fastest)}")
    return 0


def _output() -> Path:
    """The user's file, which can be written."""
    path = user_file()
    if path is None:
        raise ConventionError(
            "there is no home folder to keep measurements in; name a folder in the environment "
            "variable TTREF_CACHE"
        )
    paths.check_output_file(path)
    return path


def _problem(options: argparse.Namespace) -> Problem:
    """What the options describe."""
    ranks = options.ranks[0] if len(options.ranks) == 1 else options.ranks
    n, m, ranks = as_structure(options.in_modes, options.out_modes, ranks)
    count = 1 if options.device == "gpu" else threads.available()
    return Problem(n, m, ranks, options.batch, Kind(options.device, options.dtype), count)


def _name(plan: Plan) -> str:
    """A plan in short: its groups in the order of work, and its parts."""
    groups = plan.groups if plan.rightward else plan.groups[::-1]
    words = " ".join("-".join(str(k + 1) for k in range(*group)) for group in groups)
    return f"{words}, {plan.parts} part{'s' if plan.parts > 1 else ''}"


def _calibrate(device: str, xp: Namespace, path: Path) -> int:
    """Measure, and write to a file what was measured."""
    from tqdm import tqdm

    module = np if device == "cpu" else xp
    machines: dict[str, Machine] = {}
    for dtype in DTYPES:
        kind = str(Kind(device, dtype))

        def show(rows: list[Sides], kind: str = kind) -> Iterable[Sides]:
            return tqdm(rows, desc=kind)

        found = calibrate(module, dtype, show)
        machines[kind] = found
        rate = 2 * 1024**3 / found.product(1, 1024, 1024, 1024)
        print(f"{kind}: {rate / 1e9:.4g} GF/s at 1024^3, {found.call * 1e6:.3g} us a call")
    store(path, machines=machines)
    print(f"written to {visible(path)}")
    return 0
