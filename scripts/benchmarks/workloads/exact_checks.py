"""What exactness costs: the oracle's lattice cases, and TT layers on rationals."""

from itertools import cycle

import numpy as np

from benchmarks.workload import Run, System, Workload


def problem(case, exact):
    """Nothing: a check draws its own."""
    return {}


def build(case, problem, device):
    """One check."""
    check = rationals(**case) if case else lattice_case()
    return Run(check, dict)


def lattice_case():
    """A case of the oracle, on which the reference itself is judged."""
    from ttref import ops
    from ttref.oracle import Adapter, judge, truth
    from ttref.oracle.problems import make_problem

    def gradients(params, x, dy):
        dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
        return {**dparams, "x": dx}

    rng = np.random.default_rng(0)
    adapter = Adapter(lambda params, x: ops.tt_linear.forward(params, x)[0], gradients)
    shapes = cycle(adapter.draw_shapes(rng, 200))

    def check():
        case = truth.draw_integers(make_problem(next(shapes), rng), rng, "float32")
        judge(case, adapter.results(case, "float32"), "float32")

    return check


def rationals(modes, batch):
    """Forward and backward of 1024 x 1024 at rank 4, without roundoff."""
    from ttref import ops, tree
    from ttref.arithmetic import rational

    rng = np.random.default_rng(0)
    ranks = (1, *[4] * (len(modes) - 1), 1)
    shapes = zip(ranks[:-1], modes, modes, ranks[1:], strict=True)
    cores = tuple(rng.standard_normal(shape, dtype="float32") for shape in shapes)
    x, dy = rng.standard_normal((2, batch, 1024), dtype="float32")

    def check():
        params = {"cores": tree.map(rational.lift, cores)}
        _, cache = ops.tt_linear.forward(params, rational.lift(x))
        ops.tt_linear.backward(rational.lift(dy), cache)

    return check


CASES = {"a lattice case of the oracle, shapes as in `ttref oracle`": {}} | {
    f"TT 1024 x 1024, rank 4, on rationals, modes {modes}, batch {batch}": {
        "modes": modes,
        "batch": batch,
    }
    for modes, batch in (([32, 32], 4), ([4, 8, 8, 4], 1), ([4, 8, 8, 4], 4))
}
WORKLOADS = (
    Workload(
        "exact",
        "exact checks, forward and backward",
        CASES,
        {"ttref": System(build, role="ours")},
        problem,
        threads=(1,),
    ),
)
