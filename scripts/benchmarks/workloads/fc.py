"""TT fully connected layers: forward and backward with the gradients of cores, bias and x.

The check runs on integers: cores of -1, 0 and 1, x and dy of -1 and 1. Every result is then an
integer, and a float32 system gives it exactly, whatever its order of contraction, while its partial
sums stay below 2^24. Sums of n random signs are of size sqrt(n): the share of zeros keeps n below
2^36 for the largest results, the gradients of cores.
"""

from math import prod

import numpy as np

from benchmarks import fc_systems
from benchmarks.flops import least_flops, sweep
from benchmarks.workload import System, Workload

EXACT = 2**24
MOST_CORES = 8
LARGEST_MATRIX = 2**28  # bytes of a materialised W beyond which it is left out


def fc(in_modes, out_modes, rank, batch):
    """A case; all its ranks are equal."""
    ranks = [1, *[rank] * (len(in_modes) - 1), 1]
    return {"in_modes": in_modes, "out_modes": out_modes, "ranks": ranks, "batch": batch}


def problem(case, exact):
    """Float32 ``{"cores", "bias", "x", "dy"}``."""
    rng = np.random.default_rng(0)
    n, m, r, batch = (case[key] for key in ("in_modes", "out_modes", "ranks", "batch"))
    shapes = list(zip(r[:-1], n, m, r[1:], strict=True))
    if exact:
        terms = batch * prod(n) * prod(m) * prod(r)
        density = min(1, (2**36 / terms) ** (1 / len(n)))
        cores = [signs(rng, shape) * (rng.random(shape) < density) for shape in shapes]
        x, dy, bias = (signs(rng, s) for s in ((batch, prod(n)), (batch, prod(m)), prod(m)))
    else:
        cores = [rng.standard_normal(s, "float32") / np.sqrt(s[1] * s[3]) for s in shapes]
        sizes = (batch, prod(n)), (batch, prod(m)), prod(m)
        x, dy, bias = (rng.standard_normal(s, "float32") for s in sizes)
    cores = [core.astype("float32") for core in cores]
    return {"cores": cores, "bias": bias, "x": x, "dy": dy}


def signs(rng, shape):
    """Random -1 and 1."""
    return rng.integers(0, 2, shape, "int8").astype("float32") * 2 - 1


def truth(case, inputs):
    """The layer's results in float64, where they are exact."""
    from ttref import TTDense

    layer = TTDense(case["in_modes"], case["out_modes"], case["ranks"])
    cores, bias, x, dy = (inputs[key] for key in ("cores", "bias", "x", "dy"))
    params = {"cores": tuple(c.astype("float64") for c in cores), "bias": bias.astype("float64")}
    y, cache = layer.forward(params, x.astype("float64"))
    dparams, dx = layer.backward(dy.astype("float64"), cache)
    results = fc_systems.named(y, dparams["cores"], dparams["bias"], dx)
    assert all(abs(v).max() < EXACT for v in results.values()), "too large to be exact in float32"
    return results


def work(case):
    """Three times the least operations of forward; x, dy, y, dx and twice the parameters.

    None where there are too many orders to know the least.
    """
    structure = [case[key] for key in ("in_modes", "out_modes", "ranks", "batch")]
    n, m, r, batch = structure
    if len(n) > MOST_CORES:
        return None
    weights = sum(map(prod, zip(r[:-1], n, m, r[1:], strict=True))) + prod(m)
    moved = 4 * (2 * batch * (prod(n) + prod(m)) + 2 * weights)
    return 3 * least_flops(*structure), moved


def no_matrix(case):
    """Why W is not materialised, or None."""
    size = 4 * prod(case["in_modes"]) * prod(case["out_modes"])
    return f"W has {size / 2**30:.1f} GiB" if size > LARGEST_MATRIX else None


BOTH = ("cpu", "gpu")
SYSTEMS = {
    "ttref": System(fc_systems.ttref, role="ours", devices=BOTH),
    "tltorch factorized": System(fc_systems.tltorch_factorized),
    "tltorch reconstructed": System(fc_systems.tltorch_reconstructed, refuse=no_matrix),
    "torchTT": System(fc_systems.torchtt),
    "JAX einsum": System(fc_systems.jax_einsum, devices=BOTH),
    "JAX chain": System(fc_systems.jax_chain, devices=BOTH),
    "t3f": System(fc_systems.t3f, env="t3f"),
    "torch chain": System(fc_systems.torch_chain, devices=BOTH),
    "torch compiled": System(fc_systems.torch_compiled, devices=("gpu",)),
    "torch dense": System(
        fc_systems.torch_dense, role="other", devices=BOTH, refuse=no_matrix, partial=True
    ),
}


def layer(name, title, cases, gpu_cases=None, most_bounds=None, wide=()):
    """A workload of TT layers; `wide` cases have the higher target on two cores."""

    def targets(case, threads):
        if threads == 1:
            return 1.5, most_bounds
        return (3.5 if case in [cases[label] for label in wide] else 1.4), None

    return Workload(
        name, title, cases, SYSTEMS, problem, truth, work=work, targets=targets, gpu_cases=gpu_cases
    )


T3F, WIDE = ([7, 4, 7, 4], [5, 5, 5, 5]), ([4, 4, 4, 4, 4, 3], [8] * 6)
SQUARE, VGG = ([4, 8, 8, 4], [4, 8, 8, 4]), ([2, 7, 8, 8, 7, 4], [4] * 6)
UNSEEN = {
    "d 3, odd modes [9, 11, 13] -> [7, 15, 5], rank 5, batch 64": fc(
        [9, 11, 13], [7, 15, 5], 5, 64
    ),
    "d 5 [5, 3, 7, 3, 5] -> [3, 5, 3, 7, 3], rank 7, batch 7": fc(
        [5, 3, 7, 3, 5], [3, 5, 3, 7, 3], 7, 7
    ),
    "d 8 [2, 3] x 4 -> [3, 2] x 4, rank 6, batch 32": fc([2, 3] * 4, [3, 2] * 4, 6, 32),
    "[8, 8, 8] -> [8, 8, 8], rank 1, batch 128": fc([8] * 3, [8] * 3, 1, 128),
    "[6, 10, 10, 6] -> [6, 10, 10, 6], rank 32, batch 16": fc(
        [6, 10, 10, 6], [6, 10, 10, 6], 32, 16
    ),
    "[4, 4, 4] -> [4, 4, 4], rank 4, batch 4096": fc([4] * 3, [4] * 3, 4, 4096),
}
BASE = {"d": 4, "mode": 8, "rank": 8, "batch": 16}
AXES = {
    "batch": (1, 4, 16, 64, 256),
    "d": (2, 3, 4, 5),
    "rank": (1, 2, 4, 8, 16, 32, 64),
    "mode": (2, 4, 6, 8, 12, 16),
}


def square(d, mode, rank, batch):
    """A case with d equal modes."""
    return fc([mode] * d, [mode] * d, rank, batch)


def scale_cases():
    """One quantity at a time; then a million by a million."""
    cases = {
        f"{axis} {value}": square(**(BASE | {axis: value}))
        for axis, values in AXES.items()
        for value in values
    }
    return cases | {"d 20, mode 2, batch 1": square(20, 2, 8, 1)}


def costs(case, result):
    """What formulas say, beside what was measured."""
    flops, numbers = sweep(*(case[key] for key in ("in_modes", "out_modes", "ranks", "batch")))
    least = (work(case) or (None,))[0]
    return {
        "sweep, Gflop": flops / 1e9,
        "least, Gflop": least and least / 1e9,
        "least, Gflop/s": least and least / 1e9 / result["systems"]["ttref"]["median"],
        "sweep's states, MB": 4 * numbers / 1e6,
        "peak, MB": result["memory"] / 1e6,
    }


WORKLOADS = (
    layer(
        "W1",
        "t3f's MNIST layer, 784 x 625: [7, 4, 7, 4] -> [5, 5, 5, 5], batch 64",
        {f"rank {r}": fc(*T3F, r, 64) for r in (2, 4, 16)},
        {f"rank 4, batch {b}": fc(*T3F, 4, b) for b in (1024, 8192)},
    ),
    layer(
        "W2",
        "the 1024 x 1024 layer: [4, 8, 8, 4] -> [4, 8, 8, 4]",
        {f"rank {r}, batch {b}": fc(*SQUARE, r, b) for r in (3, 8) for b in (32, 100, 1000)},
        {f"rank {r}, batch 8192": fc(*SQUARE, r, 8192) for r in (3, 8)},
        most_bounds=2,
        wide=("rank 8, batch 1000",),
    ),
    layer(
        "W3",
        "VGG's fc6, 25088 x 4096: [2, 7, 8, 8, 7, 4] -> [4, 4, 4, 4, 4, 4], rank 4",
        {f"batch {b}": fc(*VGG, 4, b) for b in (1, 100)},
        {"batch 8192": fc(*VGG, 4, 8192)},
        most_bounds=2,
    ),
    layer(
        "W4",
        "the wide layer, 3072 x 262144: [4, 4, 4, 4, 4, 3] -> [8, 8, 8, 8, 8, 8], rank 8",
        {f"batch {b}": fc(*WIDE, 8, b) for b in (1, 32)},
        most_bounds=2,
        wide=("batch 32",),
    ),
    layer("unseen", "shapes that no plan was tuned on", UNSEEN),
    Workload(
        "scale",
        "cost against batch, d, rank and mode",
        scale_cases(),
        {name: SYSTEMS[name] for name in ("ttref", "torch chain", "torch dense")},
        problem,
        truth,
        work=work,
        columns=costs,
        threads=(1,),
        memory=True,
    ),
)
