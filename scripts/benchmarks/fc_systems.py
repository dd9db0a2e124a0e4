"""Every system's TT layer: ``build(case, problem, device) -> Run``."""

from importlib import import_module
from math import prod
from string import ascii_letters

import numpy as np

from benchmarks.workload import Run


def named(y, cores, bias, x):
    """Results by name, as NumPy arrays; arguments but y are cotangents."""
    named_cores = {f"dcores.{k}": core for k, core in enumerate(cores)}
    arrays = {"y": y, **named_cores, "dbias": bias, "dx": x}
    return {name: np.asarray(array) for name, array in arrays.items()}


def array_module(device):
    """NumPy, or CuPy on a GPU."""
    return import_module("cupy" if device == "gpu" else "numpy")


def waiting(xp):
    """The function that waits for an array module's queued work."""
    return xp.cuda.runtime.deviceSynchronize if hasattr(xp, "cuda") else lambda: None


def ttref(case, problem, device):
    """TTDense, through ttref.fast."""
    from ttref import TTDense

    xp = array_module(device)
    layer = TTDense(case["in_modes"], case["out_modes"], case["ranks"])
    cores = [xp.asarray(core) for core in problem["cores"]]
    bias, x, dy = (xp.asarray(problem[name]) for name in ("bias", "x", "dy"))

    def step():
        # new cores, as after an optimiser's step: nothing laid out for the last ones holds
        params = {"cores": tuple(core.copy() for core in cores), "bias": bias}
        y, cache = layer.forward(params, x, train=True)
        return y, *layer.backward(dy, cache)

    def results():
        y, dparams, dx = step()
        cpu = getattr(xp, "asnumpy", np.asarray)
        return named(cpu(y), map(cpu, dparams["cores"]), cpu(dparams["bias"]), cpu(dx))

    return Run(step, results, waiting(xp))


def run_torch(problem, device, layer, cores, bias=None, layout=lambda core: core):
    """A torch function of x; `layout` takes the gradient of a core to ttref's layout."""
    import torch

    place = "cuda" if device == "gpu" else "cpu"
    x = torch.tensor(problem["x"], requires_grad=True, device=place)
    dy = torch.tensor(problem["dy"], device=place)
    inputs = [*cores, bias, x]

    def step():
        y = layer(x)
        return y, torch.autograd.grad(y, inputs, dy)

    def results():
        y, grads = step()
        *dcores, dbias, dx = (grad.cpu() for grad in grads)
        return named(y.detach().cpu(), map(layout, dcores), dbias.flatten(), dx)

    return Run(step, results, torch.cuda.synchronize if device == "gpu" else lambda: None)


def leaves(device, *arrays):
    """Torch parameters."""
    import torch

    place = "cuda" if device == "gpu" else "cpu"
    return [torch.tensor(a, requires_grad=True, device=place) for a in arrays]


def chain(tensordot, cores, x):
    """``x W``, one core after the other."""
    state = x.reshape(len(x), 1, *(core.shape[1] for core in cores))
    for core in cores:  # bond and mode go, the new mode and bond come last
        state = tensordot(state, core, ((1, 2), (0, 1)))
        last = state.ndim - 1
        state = state.transpose(0, last, *range(1, last))
    return state.reshape(len(x), -1)


def torch_chain(case, problem, device, compiled=False):
    """One core after the other, from left to right, as t3f does."""
    import torch

    *cores, bias = leaves(device, *problem["cores"], problem["bias"])

    def layer(x):
        state = x.reshape(len(x), 1, *case["in_modes"])
        for core in cores:  # sum over (bond, mode); the new bond comes to the front
            state = torch.tensordot(state, core, dims=([1, 2], [0, 1])).movedim(-1, 1)
        return state.reshape(len(x), -1) + bias

    return run_torch(problem, device, torch.compile(layer) if compiled else layer, cores, bias)


def torch_compiled(case, problem, device):
    """The same under torch.compile."""
    return torch_chain(case, problem, device, compiled=True)


def torch_dense(case, problem, device):
    """The dense linear layer, on the materialised W, which is given."""
    from torch.nn.functional import linear

    matrix = np.ones((1, 1, 1), "float32")  # (N, M, r) of the cores so far
    for core in problem["cores"]:
        rows, columns, _ = matrix.shape
        matrix = np.tensordot(matrix, core, 1).transpose(0, 2, 1, 3, 4)
        matrix = matrix.reshape(rows * core.shape[1], columns * core.shape[2], -1)
    weight, bias = leaves(device, np.ascontiguousarray(matrix[:, :, 0].T), problem["bias"])
    run = run_torch(problem, device, lambda x: linear(x, weight, bias), [weight], bias)

    def results():
        found = run.results()
        return {name: found[name] for name in ("y", "dbias", "dx")}

    return run._replace(results=results)


def tltorch_factorized(case, problem, device, implementation="factorized"):
    """TensorLy-Torch's FactorizedLinear of a BlockTT, whose cores are (r, m, n, r)."""
    import torch
    from tltorch import FactorizedLinear

    layer = FactorizedLinear(
        in_tensorized_features=tuple(case["in_modes"]),
        out_tensorized_features=tuple(case["out_modes"]),
        factorization="blocktt",
        implementation=implementation,
        rank=tuple(case["ranks"]),
    )
    cores = list(layer.weight.factors)
    for factor, core in zip(cores, problem["cores"], strict=True):
        factor.data = swapped(torch.tensor(core))
    layer.bias.data = torch.tensor(problem["bias"])
    return run_torch(problem, device, layer, cores, layer.bias, swapped)


def tltorch_reconstructed(case, problem, device):
    """The same, which builds W at every step."""
    return tltorch_factorized(case, problem, device, "reconstructed")


def swapped(core):
    """Input and output mode exchanged, in contiguous memory."""
    return core.transpose(1, 2).contiguous()


def torchtt(case, problem, device):
    """The LinearLayerTT of torchTT, whose cores are (r, m, n, r), and whose x and y have modes."""
    import torch
    from torchtt.nn import LinearLayerTT

    layer = LinearLayerTT(case["in_modes"], case["out_modes"], case["ranks"], dtype=torch.float32)
    for parameter, core in zip(layer.cores, problem["cores"], strict=True):
        parameter.data = swapped(torch.tensor(core))
    layer.bias.data = torch.tensor(problem["bias"]).reshape(case["out_modes"])
    return run_torch(
        problem,
        device,
        lambda x: layer(x.reshape(-1, *case["in_modes"])).flatten(1),
        list(layer.cores),
        layer.bias,
        swapped,
    )


def run_jax(problem, device, contract):
    """A compiled step; `contract` is a function of (cores, x)."""
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")  # float32, on a GPU too
    arguments = jax.device_put(tuple(problem[name] for name in ("cores", "bias", "x", "dy")))

    @jax.jit
    def compiled(cores, bias, x, dy):
        y, pull = jax.vjp(lambda c, b, x: contract(c, x) + b, cores, bias, x)
        return y, *pull(dy)

    last = None

    def step():
        nonlocal last
        last = compiled(*arguments)
        return last if device == "gpu" else jax.block_until_ready(last)

    def results():
        y, cores, bias, x = step()
        return named(y, cores, bias.reshape(-1), x)

    return Run(step, results, lambda: jax.block_until_ready(last))


def jax_chain(case, problem, device):
    """One core after the other."""
    import jax.numpy as jnp

    return run_jax(problem, device, lambda cores, x: chain(jnp.tensordot, cores, x))


def jax_einsum(case, problem, device):
    """One einsum, in the order of least operations by opt_einsum.

    Its search of all orders takes seconds beyond 7 tensors; there, dynamic programming.
    """
    import jax.numpy as jnp

    n, d = case["in_modes"], len(case["in_modes"])
    letters = iter(ascii_letters)
    batch, ins, outs, bonds = (
        "".join(next(letters) for _ in range(count)) for count in (1, d, d, d + 1)
    )
    terms = [batch + ins, *(bonds[k] + ins[k] + outs[k] + bonds[k + 1] for k in range(d))]
    path, search = f"{','.join(terms)}->{batch}{outs}", "optimal" if d <= 6 else "dp"

    def contract(cores, x):
        y = jnp.einsum(path, x.reshape(-1, *n), *cores, optimize=search)
        return y.reshape(len(x), prod(case["out_modes"]))

    return run_jax(problem, device, contract)


def t3f(case, problem, device):
    """t3f's product of a matrix and a TT-matrix, under tf.function."""
    import os

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    np.int = int  # noqa: NPY001  # gone since NumPy 1.24; t3f needs it
    import tensorflow as tf

    threads = int(os.environ["OMP_NUM_THREADS"])
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    import t3f as library

    cores = [tf.Variable(core) for core in problem["cores"]]
    bias, x, dy = (tf.constant(problem[name]) for name in ("bias", "x", "dy"))
    modes = case["in_modes"], case["out_modes"]

    @tf.function
    def compiled():
        with tf.GradientTape() as tape:
            tape.watch((bias, x))
            train = library.TensorTrain(cores, modes, case["ranks"], convert_to_tensors=False)
            y = library.matmul(x, train) + bias
        return y, tape.gradient(y, [*cores, bias, x], output_gradients=dy)

    def results():
        y, (*dcores, dbias, dx) = compiled()
        return named(y, dcores, dbias, dx)

    return Run(compiled, results)
