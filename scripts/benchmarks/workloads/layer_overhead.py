"""What a layer costs when there is nothing to compute: TTDense([2, 2], [2, 2], 2) at batch 1."""

import numpy as np

from benchmarks.workload import Run, System, Workload


def problem(case, exact):
    """Nothing: the layer draws its own."""
    return {}


def layer_step(backward):
    """Builder of a system that runs one direction."""

    def build(case, problem, device):
        from ttref import TTDense

        layer = TTDense([2, 2], [2, 2], 2)
        params, x = layer.init(0), np.ones((1, 4), "float32")
        _, cache = layer.forward(params, x, train=True)
        if backward:
            return Run(lambda: layer.backward(x, cache), dict)
        return Run(lambda: layer.forward(params, x, train=True), dict)

    return System(build, role="ours")


WORKLOADS = (
    Workload(
        "overhead",
        "a layer with next to no arithmetic: TTDense([2, 2], [2, 2], 2), batch 1",
        {"batch 1": {}},
        {"forward": layer_step(backward=False), "backward": layer_step(backward=True)},
        problem,
        threads=(1,),
    ),
)
