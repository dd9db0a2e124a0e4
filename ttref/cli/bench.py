"""``ttref bench``: how a TT layer is computed here, how long it takes, and what would be faster."""

import json

import numpy as np

from ttref import storage
from ttref.arrays import device_namespace
from ttref.cli.arguments import positive_int
from ttref.contracts import Kind
from ttref.errors import ConventionError, DataError
from ttref.fast.tt_plan.plan import Problem, plan_key
from ttref.machine import threads
from ttref.machine.costs import read_measurements, user_file
from ttref.tables import table
from ttref.tt.check import as_structure
from ttref.tuning.calibration import calibrate
from ttref.tuning.explanation import explain
from ttref.tuning.search import tune

DTYPES = ("float32", "float64")
T3F_LAYER = ([7, 4, 7, 4], [5, 5, 5, 5], [4], 64)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="explain and time the plan of a TT layer; calibrate the planner",
        description="Say in which order a TT layer is computed, forward and backward, with "
        "operations, bytes and time as estimated, and time it beside the next best plans; by "
        "default the layer of t3f's tutorial at batch 64. --calibrate measures this machine's "
        f"products and writes {user_file()}, by which plans are chosen from then on. scripts/bench "
        "of the repository compares with other libraries.",
    )
    add = parser.add_argument
    n, m, ranks, batch = T3F_LAYER
    sizes = {"nargs": "+", "type": positive_int, "metavar": "K"}
    add("--in-modes", **sizes, default=n, help="n_1 ... n_d (7 4 7 4)")
    add("--out-modes", **sizes, default=m, help="m_1 ... m_d (5 5 5 5)")
    add("--ranks", **sizes, default=ranks, help="one rank for all, or 1 r_1 ... r_{d-1} 1 (4)")
    add("--batch", type=positive_int, default=batch, help=f"rows of x ({batch})")
    add("--dtype", choices=DTYPES, default="float32", help="(float32)")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="(cpu)")
    add("--tune", action="store_true", help="use the plan that was fastest here from now on")
    add("--calibrate", action="store_true", help="measure this machine (a minute or two), no layer")
    parser.set_defaults(run=run)


def run(options):
    """Calibrate, or explain and time."""
    xp = device_namespace(options.device)
    if options.calibrate:
        return _calibrate(options.device, xp)
    ranks = options.ranks[0] if len(options.ranks) == 1 else options.ranks
    n, m, ranks = as_structure(options.in_modes, options.out_modes, ranks)
    on_gpu = options.device == "gpu"
    count = 1 if on_gpu else threads.available()
    shape = Problem(n, m, ranks, options.batch, Kind(options.device, options.dtype), count)
    print(explain(shape))
    if on_gpu:
        if options.tune:
            raise ConventionError("--tune times NumPy's plans; leave --device gpu out")
        return 0
    ranked = tune(shape)
    rows = [(_order(plan), f"{e * 1e6:.1f}", f"{s * 1e6:.1f}") for plan, e, s in ranked]
    print("\n" + table(("plan", "estimated us", "measured us"), rows))
    if options.tune:
        _store("plans", {plan_key(shape): ranked[0][0]})
        print(f"\nkept in {user_file()}: {_order(ranked[0][0])}")
    return 0


def _order(plan):
    """A plan in short: groups in the order of work, parts."""
    groups = plan.groups if plan.rightward else plan.groups[::-1]
    words = " ".join("-".join(str(k + 1) for k in range(*group)) for group in groups)
    return f"{words}, {plan.parts} part{'s' if plan.parts > 1 else ''}"


def _calibrate(device, xp):
    """Measure, and write what was measured."""
    from tqdm import tqdm

    machines, module = {}, np if device == "cpu" else xp
    for dtype in DTYPES:
        kind = str(Kind(device, dtype))
        found = calibrate(module, dtype, lambda rows, kind=kind: tqdm(rows, desc=kind))
        machines[kind] = found._asdict()
        rate = 2 * 1024**3 / found.product(1, 1024, 1024, 1024)
        print(f"{kind}: {rate / 1e9:.4g} GF/s at 1024^3, {found.call * 1e6:.3g} us a call")
    _store("machines", machines)
    print(f"written to {user_file()}")
    return 0


def _store(section, entries):
    """Add entries to a section of the user's file; the new file replaces the old one whole."""
    path = user_file()
    kept: dict = {"machines": {}, "plans": {}}
    if path.exists():
        try:
            read_measurements(path)
            kept = json.loads(path.read_text())
        except DataError:
            if section != "machines":  # a calibration replaces what is damaged
                raise
    kept[section] |= entries
    with storage.atomic_write(path) as file:
        file.write((json.dumps(kept) + "\n").encode())
