"""W5, TT-LSTM and TT-GRU on UCF11's shapes: the last output, and BPTT with all gradients.

Gates are TT_RNN's: hard_sigmoid, and a GRU that resets before the product. That is not torch's
``GRUCell``, nor has its ``LSTMCell`` a hard_sigmoid, so torch systems have their gates written out.
The check runs the same code in float64, where the bound of the longest sums is far below the error
of a wrong term, and no gate is so close to a kink that its two slopes could be mistaken.
"""

from math import isqrt, prod

import numpy as np

from benchmarks.fc_systems import array_module, swapped, waiting
from benchmarks.flops import least_flops
from benchmarks.workload import Run, System, Workload

GATES = {"lstm": 4, "gru": 3}
BATCH, MODES, RANK = 16, ([8, 20, 20, 18], [4, 4, 4, 4]), 4


def recurrent(cell, steps, in_modes=MODES[0], out_modes=MODES[1], rank=RANK, batch=BATCH):
    """A case; all its ranks are equal."""
    modes = {"in_modes": in_modes, "out_modes": out_modes}
    return {"cell": cell, "steps": steps, **modes, "rank": rank, "batch": batch}


def structure(case):
    """Input modes, output modes of the train of all gates, and ranks."""
    first, *others = case["out_modes"]
    ranks = [1, *[case["rank"]] * len(others), 1]
    return case["in_modes"], [GATES[case["cell"]] * first, *others], ranks


def problem(case, exact):
    """``{"cores", "bias", "recurrent", "x", "dy"}`` of size 1; float64 for the check."""
    rng, dtype = np.random.default_rng(0), "float64" if exact else "float32"
    (n, m, r), u, batch = structure(case), prod(case["out_modes"]), case["batch"]

    def normal(*shape):
        return rng.standard_normal(shape, dtype)

    shapes = zip(r[:-1], n, m, r[1:], strict=True)
    return {
        "cores": [normal(*shape) / np.sqrt(shape[1] * shape[3], dtype=dtype) for shape in shapes],
        "bias": normal(prod(m)),
        "recurrent": normal(u, prod(m)) / np.sqrt(u, dtype=dtype),
        "x": normal(batch, case["steps"], prod(n)),
        "dy": normal(batch, u),
    }


def truth(case, inputs):
    """The results of ttref's layer, without checkpoints."""
    return ttref(case | {"checkpoint_every": None}, inputs, "cpu").results()


def named(y, cores, bias, recurrent, x=None):
    """Results by name; arguments but y are cotangents, and there may be none of x."""
    named_cores = {f"dcores.{k}": core for k, core in enumerate(cores)}
    arrays = {"y": y, **named_cores, "dbias": bias, "drecurrent": recurrent}
    if x is not None:
        arrays["dx"] = x
    return {name: np.asarray(array) for name, array in arrays.items()}


def ttref(case, problem, device):
    """TTLSTM, TTGRU."""
    from ttref import TTGRU, TTLSTM, tree

    xp = array_module(device)
    layer = {"lstm": TTLSTM, "gru": TTGRU}[case["cell"]]
    options = {"checkpoint_every": case.get("checkpoint_every")}
    layer = layer(case["in_modes"], case["out_modes"], case["rank"], **options)
    params = {name: problem[name] for name in ("bias", "recurrent")}
    params = tree.map(xp.asarray, params | {"cores": tuple(problem["cores"])})
    x, dy = xp.asarray(problem["x"]), xp.asarray(problem["dy"])

    def step():
        # new cores, as after an optimiser's step
        new = params | {"cores": tuple(core.copy() for core in params["cores"])}
        y, cache = layer.forward(new, x, train=True)
        dparams, dx = layer.backward(dy, cache, case.get("input_gradient", True))
        return (y, dparams) if dx is None else (y, dparams, dx)

    def results():
        y, dparams, *dx = tree.map(getattr(xp, "asnumpy", np.asarray), step())
        return named(y, dparams["cores"], dparams["bias"], dparams["recurrent"], *dx)

    return Run(step, results, waiting(xp))


def sweep(tensordot, moveaxis, cores, x):
    """``x W`` core by core, the last one first as in TT_RNN: its first core is the widest."""
    state = x.reshape(len(x), *(core.shape[1] for core in cores), 1)
    for k in range(len(cores), 0, -1):  # mode and bond go, the new mode takes the mode's place
        last = state.ndim - 1
        state = tensordot(state, cores[k - 1], ((k, last), (1, 3)))
        state = moveaxis(state, last, k)
    return state.reshape(len(x), -1)


def lstm(xp, p, state, U):
    """A step of an LSTM, gates i, f, c, o; `xp` is torch, or jax.numpy."""
    (h, c), u = state, len(U)
    a = p + h @ U
    i, f, o = (hard_sigmoid(xp, a[:, q * u : (q + 1) * u]) for q in (0, 1, 3))
    c = f * c + i * xp.tanh(a[:, 2 * u : 3 * u])
    return o * xp.tanh(c), c


def gru(xp, p, state, U):
    """A step of a GRU that resets before the product, gates z, r, h."""
    (h, *rest), u = state, len(U)
    zr = hard_sigmoid(xp, p[:, : 2 * u] + h @ U[:, : 2 * u])
    z, r = zr[:, :u], zr[:, u:]
    found = xp.tanh(p[:, 2 * u :] + (r * h) @ U[:, 2 * u :])
    return z * h + (1 - z) * found, *rest


def hard_sigmoid(xp, x):
    """Keras's."""
    return xp.clip(x / 5 + 0.5, 0, 1)


CELLS = {"lstm": lstm, "gru": gru}


def run_torch(case, problem, device, rows, cores, layout=lambda core: core):
    """Autograd; `rows` is the function of x that gives every step's p."""
    import torch

    place = "cuda" if device == "gpu" else "cpu"
    names = "bias", "recurrent", "x"
    bias, U, x = (torch.tensor(problem[n], device=place, requires_grad=True) for n in names)
    dy = torch.tensor(problem["dy"], device=place)
    zero, cell = torch.zeros_like(dy), CELLS[case["cell"]]

    def step():
        state = zero, zero
        for p in rows(x):
            state = cell(torch, p + bias, state, U)
        return state[0], torch.autograd.grad(state[0], [*cores, bias, U, x], dy)

    def results():
        y, grads = step()
        *dcores, dbias, dU, dx = (grad.cpu() for grad in grads)
        return named(y.detach().cpu(), map(layout, dcores), dbias, dU, dx)

    return Run(step, results, torch.cuda.synchronize if device == "gpu" else lambda: None)


def torch_per_step(case, problem, device):
    """The algorithm of TT_RNN's Keras code: the train is applied in every step, core by core."""
    import torch

    place = "cuda" if device == "gpu" else "cpu"
    cores = [torch.tensor(c, device=place, requires_grad=True) for c in problem["cores"]]

    def rows(x):  # unbind's gradient is one stack; that of x[:, t] would be T arrays of x's size
        return (sweep(torch.tensordot, torch.movedim, cores, x_t) for x_t in x.unbind(1))

    return run_torch(case, problem, device, rows, cores)


def tltorch(case, problem, device):
    """TensorLy-Torch's factorized linear layer on the rows of all steps, then the gates."""
    import torch
    from tltorch import FactorizedLinear

    n, m, ranks = map(tuple, structure(case))
    layer = FactorizedLinear(n, m, bias=False, factorization="blocktt", rank=ranks)
    layer.implementation = "factorized"
    factors = list(layer.weight.factors)
    for factor, core in zip(factors, problem["cores"], strict=True):
        factor.data = swapped(torch.tensor(core))

    def rows(x):
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2]).unbind(1)

    return run_torch(case, problem, device, rows, factors, swapped)


def jax_scan(case, problem, device, hoisted=False):
    """One compiled step; the train is applied in lax.scan, or before it to all rows."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # for the check; float32 stays float32
    jax.config.update("jax_default_matmul_precision", "highest")
    names = "cores", "bias", "recurrent", "x"
    arguments = jax.device_put(tuple(problem[name] for name in names))
    dy, cell = jax.device_put(problem["dy"]), CELLS[case["cell"]]

    def last_output(cores, bias, U, x):
        def project(rows):
            return sweep(jnp.tensordot, jnp.moveaxis, cores, rows) + bias

        def step(state, given):
            return cell(jnp, given if hoisted else project(given), state, U), None

        given = project(x.reshape(-1, x.shape[2])).reshape(*x.shape[:2], -1) if hoisted else x
        state = jnp.zeros_like(dy), jnp.zeros_like(dy)
        return jax.lax.scan(step, state, jnp.swapaxes(given, 0, 1))[0][0]

    @jax.jit
    def compiled(dy, *arguments):
        y, pull = jax.vjp(last_output, *arguments)
        return y, *pull(dy)

    last = None

    def step():
        nonlocal last
        last = compiled(dy, *arguments)
        return last if device == "gpu" else jax.block_until_ready(last)

    return Run(step, lambda: named(*step()), lambda: jax.block_until_ready(last))


def jax_hoisted(case, problem, device):
    """The train on the rows of all steps, then the gates in lax.scan."""
    return jax_scan(case, problem, device, hoisted=True)


def work(case):
    """Three times the least operations of forward; x, dx and twice the parameters."""
    (n, m, r), u = structure(case), prod(case["out_modes"])
    rows, width = case["batch"] * case["steps"], prod(m)
    weights = sum(map(prod, zip(r[:-1], n, m, r[1:], strict=True))) + (u + 1) * width
    flops = least_flops(n, m, r, rows) + 2 * rows * u * width
    return 3 * flops, 4 * (2 * rows * prod(n) + 2 * weights)


def memory_cases():
    """A long step of training, whole and with checkpoints."""
    cases = {}
    for steps in (16, 64, 256):
        case = recurrent("lstm", steps) | {"input_gradient": False}
        every = isqrt(steps)
        cases[f"T {steps}"] = case
        cases[f"T {steps}, checkpoint_every {every}"] = case | {"checkpoint_every": every}
    return cases


def sizes(case, result):
    """Bytes of the inputs and of a step."""
    x = 4 * case["batch"] * case["steps"] * prod(case["in_modes"])
    return {"x, MB": x / 1e6, "peak, MB": result["memory"] / 1e6}


BOTH = ("cpu", "gpu")
# Float64, relative to the norm: the longest sum of a step, with a unit of roundoff for each of its
# 57600 terms; what T steps add to it, each of 256 terms, is less.
TOLERANCE = 57600 * 2.0**-53
WORKLOADS = (
    Workload(
        "W5",
        "TT-LSTM and TT-GRU on UCF11's frames: [8, 20, 20, 18] -> [4, 4, 4, 4], rank 4, batch 16, "
        "backpropagation through time",
        {
            f"TT-{cell.upper()}, T {steps}": recurrent(cell, steps)
            for cell in GATES
            for steps in (6, 32)
        },
        {
            "ttref": System(ttref, role="ours", devices=BOTH),
            "torch per step": System(torch_per_step, devices=BOTH),
            "tltorch factorized": System(tltorch),
            "JAX scan": System(jax_scan, devices=BOTH),
            "JAX hoisted": System(jax_hoisted, devices=BOTH),
        },
        problem,
        truth,
        tolerance=TOLERANCE,
        work=work,
        targets=lambda case, threads: (2.5, None),
    ),
    Workload(
        "memory",
        "memory of a training step of TT-LSTM",
        memory_cases(),
        {"ttref": System(ttref, role="ours", devices=BOTH)},
        problem,
        truth,
        tolerance=TOLERANCE,
        columns=sizes,
        threads=(1,),
        memory=True,
    ),
)
