"""W7, a training step of t3f's network: forward, cross-entropy, backward, Adam."""

import numpy as np

from benchmarks.fc_systems import array_module, chain, swapped, waiting
from benchmarks.workload import Run, System, Workload

SAMPLES, RATE = 6400, 1e-3
FIT_STEPS = 100  # least steps of one call of `fit`
MODES = [7, 4, 7, 4], [5, 5, 5, 5]


def network(ranks):
    """784 -> 625 relu -> 10; its dense twin where `ranks` is None."""
    from ttref import Dense, Sequential, TTDense

    if ranks is None:
        first = Dense(784, 625, activation="relu")
    else:
        first = TTDense(*MODES, ranks, activation="relu")
    return Sequential([first, Dense(625, 10)])


def problem(case, exact):
    """Batches, and the parameters that training starts from, by name."""
    from ttref import tree

    rng, batches = np.random.default_rng(0), max(2, SAMPLES // case["batch"])
    x = rng.random((batches, case["batch"], 784), "float32") * 2 - 1
    labels = rng.integers(0, 10, x.shape[:2])
    return {"x": x, "labels": labels, "params": tree.flatten(network(case["ranks"]).init(0))}


def truth(case, inputs):
    """Loss and gradients of the first batch, from the reference in float64."""
    from ttref import losses, tree

    net = network(case["ranks"])
    params = tree.map(lambda leaf: leaf.astype("float64"), net.init(0))
    logits, cache = net.forward(params, inputs["x"][0].astype("float64"))
    loss, dlogits = losses.softmax_cross_entropy(logits, inputs["labels"][0])
    return named(loss, tree.flatten(net.backward(dlogits, cache)[0]))


def named(loss, grads):
    """Results by name."""
    return {"loss": np.asarray(loss), **{k: np.asarray(v) for k, v in grads.items()}}


def endless(*sequences):
    """Their elements side by side, for ever."""
    while True:
        yield from zip(*sequences, strict=True)


def ttref(case, problem, device):
    """Layers, loss and optimiser, called one after the other."""
    from ttref import tree
    from ttref.fast import softmax_cross_entropy
    from ttref.optim import Adam

    xp = array_module(device)
    net, optimizer = network(case["ranks"]), Adam(RATE)
    params = tree.map(xp.asarray, net.init(0))
    source = endless(xp.asarray(problem["x"]), xp.asarray(problem["labels"]))
    state = optimizer.init(params)

    def gradients(x, labels):
        logits, cache = net.forward(params, x, train=True)
        loss, loss_cache = softmax_cross_entropy.forward(logits, labels)
        dlogits = softmax_cross_entropy.backward(1, loss_cache)
        return loss, net.backward(dlogits, cache, input_gradient=False)[0]

    def step():
        nonlocal params, state
        _, grads = gradients(*next(source))
        params, state = optimizer.step(params, grads, state)

    def results():
        loss, grads = gradients(*next(source))
        cpu = getattr(xp, "asnumpy", np.asarray)
        return named(cpu(loss), {k: cpu(v) for k, v in tree.flatten(grads).items()})

    return Run(step, results, waiting(xp))


def ttref_fit(case, problem, device, graph=False):
    """`fit`: shuffled batches, running loss and accuracy too; a step is a batch of its epochs."""
    from ttref import fit, tree
    from ttref.optim import Adam

    xp = array_module(device)
    net = network(case["ranks"])
    params = tree.map(xp.asarray, net.init(0))
    data = xp.asarray(problem["x"].reshape(-1, 784)), xp.asarray(problem["labels"].reshape(-1))
    batches = len(problem["x"])
    epochs = -(-FIT_STEPS // batches)
    options = {"batch_size": case["batch"], "progress": False, "graph": graph}

    def step():
        fit(net, params, data, Adam(RATE), epochs, **options)

    return Run(step, dict, waiting(xp), steps=batches * epochs)


def ttref_graph(case, problem, device):
    """`fit` by CUDA graphs, which every call records anew."""
    return ttref_fit(case, problem, device, graph=True)


def torch_step(problem, device, forward, named_leaves, layout=lambda core: core, **options):
    """Autograd and torch.optim.Adam; `forward` maps images to logits."""
    import torch
    from torch.nn.functional import cross_entropy

    place = "cuda" if device == "gpu" else "cpu"
    inputs = torch.tensor(problem["x"], device=place)
    source = endless(inputs, torch.tensor(problem["labels"], device=place))
    optimizer = torch.optim.Adam(named_leaves.values(), RATE, **options)

    def gradients():
        x, labels = next(source)
        optimizer.zero_grad()
        loss = cross_entropy(forward(x), labels)
        loss.backward()
        return loss

    def step():
        gradients()
        optimizer.step()

    def results():
        loss = gradients().item()
        grads = {name: leaf.grad.cpu() for name, leaf in named_leaves.items()}
        return named(loss, {k: layout(v) if "cores" in k else v for k, v in grads.items()})

    return Run(step, results, torch.cuda.synchronize if device == "gpu" else lambda: None)


def torch_leaves(problem, device):
    """Torch parameters by name."""
    import torch

    place = "cuda" if device == "gpu" else "cpu"
    params = problem["params"].items()
    return {k: torch.tensor(v, device=place, requires_grad=True) for k, v in params}


def torch_chain(case, problem, device, **options):
    """The TT layer one core after the other; the dense one as torch's."""
    import torch

    leaves = torch_leaves(problem, device)
    cores = [leaf for name, leaf in leaves.items() if "cores" in name]

    def hidden(x):
        if not cores:
            return x @ leaves["0.kernel"]
        state = x.reshape(len(x), 1, *MODES[0])
        for core in cores:
            state = torch.tensordot(state, core, dims=([1, 2], [0, 1])).movedim(-1, 1)
        return state.reshape(len(x), -1)

    def forward(x):
        activations = torch.relu(hidden(x) + leaves["0.bias"])
        return activations @ leaves["1.kernel"] + leaves["1.bias"]

    return torch_step(problem, device, forward, leaves, **options)


def torch_fused(case, problem, device):
    """The same with Adam's fused kernel."""
    return torch_chain(case, problem, device, fused=True)


def tltorch(case, problem, device):
    """TensorLy-Torch's layer, factorized, in torch's network."""
    import torch
    from tltorch import FactorizedLinear

    leaves = torch_leaves(problem, device)
    ranks = (1, *[case["ranks"]] * 3, 1)
    layer = FactorizedLinear(*map(tuple, MODES), factorization="blocktt", rank=ranks)
    layer.implementation = "factorized"
    for k, factor in enumerate(layer.weight.factors):
        factor.data = swapped(leaves[f"0.cores.{k}"].data)
        leaves[f"0.cores.{k}"] = factor
    layer.bias.data = leaves["0.bias"].data
    leaves["0.bias"] = layer.bias

    def forward(x):
        return torch.relu(layer(x)) @ leaves["1.kernel"] + leaves["1.bias"]

    return torch_step(problem, device, forward, leaves, layout=swapped, fused=True)


def jax_step(case, problem, device):
    """The whole step compiled, Adam by its formula; the TT layer one core after the other."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_default_matmul_precision", "highest")
    source = endless(*map(list, map(jax.device_put, (problem["x"], problem["labels"]))))
    params = jax.device_put(dict(problem["params"]))
    names = [name for name in params if "cores" in name]

    def loss_of(params, x, labels):
        cores = [params[name] for name in names]
        hidden = chain(jnp.tensordot, cores, x) if cores else x @ params["0.kernel"]
        activations = jax.nn.relu(hidden + params["0.bias"])
        logs = jax.nn.log_softmax(activations @ params["1.kernel"] + params["1.bias"])
        return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], 1))

    gradients = jax.value_and_grad(loss_of)

    @jax.jit
    def compiled(params, first, second, count, x, labels):
        _, grads = gradients(params, x, labels)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        rates = 1 / (1 - 0.9**count), 1 / (1 - 0.999**count)

        def update(p, m, v):
            return p - RATE * m * rates[0] / (jnp.sqrt(v * rates[1]) + 1e-8)

        return jax.tree.map(update, params, first, second), first, second, count + 1

    zeros = jax.tree.map(jnp.zeros_like, params)
    state = params, zeros, zeros, jnp.float32(1)

    def step():
        nonlocal state
        state = compiled(*state, *next(source))
        return state if device == "gpu" else jax.block_until_ready(state)

    return Run(
        step,
        lambda: named(*jax.jit(gradients)(params, *next(source))),
        lambda: jax.block_until_ready(state),
    )


def no_train(case):
    """Why a system of TT layers does not run the dense network, or None."""
    return "no TT layer" if case["ranks"] is None else None


def targets(case, threads):
    """Ratio that is aimed at, for rank 4 on one core."""
    return (2.0 if case["ranks"] == 4 and threads == 1 else None), None


BOTH = ("cpu", "gpu")
WORKLOADS = (
    Workload(
        "W7",
        "a training step of t3f's network (784 -> 625 relu -> 10), batch 64",
        {
            "TT rank 4": {"ranks": 4, "batch": 64},
            "TT rank 16": {"ranks": 16, "batch": 64},
            "dense": {"ranks": None, "batch": 64},
        },
        {
            "ttref": System(ttref, role="ours", devices=BOTH),
            "ttref fit": System(ttref_fit, role="other", devices=BOTH, partial=True),
            "ttref fit, graph": System(ttref_graph, role="other", devices=("gpu",), partial=True),
            "torch chain": System(torch_chain, devices=BOTH),
            "torch chain, fused": System(torch_fused, devices=BOTH),
            "tltorch factorized": System(tltorch, refuse=no_train),
            "JAX chain": System(jax_step, devices=BOTH),
        },
        problem,
        truth,
        tolerance=784 * 2.0**-24,  # sums of some 784 terms in float32
        targets=targets,
        gpu_cases={f"TT rank 4, batch {b}": {"ranks": 4, "batch": b} for b in (1024, 8192)},
    ),
)
