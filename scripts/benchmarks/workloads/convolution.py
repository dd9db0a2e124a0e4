"""W6, TT-convolution: forward and backward with the gradients of filters, cores, bias and x.

The check runs on integers, as that of `fc` does.
"""

from math import prod

import numpy as np

from benchmarks.fc_systems import leaves
from benchmarks.workload import Run, System, Workload
from benchmarks.workloads.fc import EXACT, signs


def conv(in_modes, out_modes, rank, size, batch):
    """A case: square images, 3 x 3 kernels, stride 1, SAME; all ranks but the last are equal."""
    ranks = [*[rank] * len(in_modes), 1]
    modes = {"in_modes": in_modes, "out_modes": out_modes, "ranks": ranks}
    return modes | {"size": size, "batch": batch, "kernel": 3}


def problem(case, exact):
    """Float32 ``{"filters", "cores", "bias", "x", "dy"}``, images (B, H, W, C)."""
    rng = np.random.default_rng(0)
    n, m, r, k = (case[key] for key in ("in_modes", "out_modes", "ranks", "kernel"))
    train = [(k * k, r[0]), *zip(r[:-1], n, m, r[1:], strict=True)]
    images = case["batch"], case["size"], case["size"]
    shapes = (prod(m),), (*images, prod(n)), (*images, prod(m))
    if exact:
        terms = prod(images) * k * k * prod(n) * prod(m) * prod(r)
        density = min(1, (2**36 / terms) ** (1 / len(train)))
        weights = [signs(rng, shape) * (rng.random(shape) < density) for shape in train]
        bias, x, dy = (signs(rng, shape) for shape in shapes)
    else:
        weights = [rng.standard_normal(s, "float32") / np.sqrt(s[0] * s[-1]) for s in train]
        bias, x, dy = (rng.standard_normal(s, "float32") for s in shapes)
    filters, *cores = (weight.astype("float32") for weight in weights)
    filters = filters.reshape(k, k, r[0])
    return {"filters": filters, "cores": cores, "bias": bias, "x": x, "dy": dy}


def truth(case, inputs):
    """The layer's results in float64, where they are exact."""
    results = ttref(case, {name: in_float64(value) for name, value in inputs.items()}, "cpu")
    found = results.results()
    assert all(abs(v).max() < EXACT for v in found.values()), "too large to be exact in float32"
    return found


def in_float64(value):
    """An array, or a list of arrays."""
    return [a.astype("float64") for a in value] if isinstance(value, list) else np.float64(value)


def named(y, filters, cores, bias, x):
    """Results by name, as NumPy arrays; arguments but y are cotangents."""
    named_cores = {f"dcores.{k}": core for k, core in enumerate(cores)}
    arrays = {"y": y, "dfilters": filters, **named_cores, "dbias": bias, "dx": x}
    return {name: np.asarray(array) for name, array in arrays.items()}


def ttref(case, problem, device):
    """TTConv2d, through ttref.fast."""
    from ttref import TTConv2d

    layer = TTConv2d(case["kernel"], case["in_modes"], case["out_modes"], case["ranks"])
    params = {name: problem[name] for name in ("filters", "bias")}
    params["cores"] = tuple(problem["cores"])

    def step():
        y, cache = layer.forward(params, problem["x"], train=True)
        return y, *layer.backward(problem["dy"], cache)

    def results():
        y, dparams, dx = step()
        return named(y, dparams["filters"], dparams["cores"], dparams["bias"], dx)

    return Run(step, results)


def filtered(shape):
    """Where TensorNet-TF's bank of filters takes images: each channel alone, (B C, 1, H, W)."""
    B, H, W, C = shape
    return (B * C, 1, H, W), (B, C, -1, H, W)


def sweep(cores, state):
    """The cores on filtered images (r_0, C, B, H, W), as TensorNet-TF does: (B H W, S)."""
    for core in cores:
        r, n, m, b = core.shape
        state = core.reshape(r * n, m * b).T @ state.reshape(r * n, -1)
        state = state.reshape(m, -1).T
    return state


def torch_tensornet(case, problem, device):
    """TensorNet-TF's tt_conv: filters, then core by core."""
    import torch
    from torch.nn.functional import conv2d

    filters, bias, x, *cores = leaves(
        device, *(problem[name] for name in ("filters", "bias", "x")), *problem["cores"]
    )
    dy = torch.tensor(problem["dy"])
    alone, apart = filtered(x.shape)

    def step():
        bank = filters.permute(2, 0, 1)[:, None]
        state = conv2d(x.permute(0, 3, 1, 2).reshape(alone), bank, padding="same")
        state = state.reshape(apart).permute(2, 1, 0, 3, 4)
        y = sweep(cores, state).reshape(dy.shape) + bias
        return y, torch.autograd.grad(y, (filters, bias, x, *cores), dy)

    def results():
        y, (dfilters, dbias, dx, *dcores) = step()
        return named(y.detach(), dfilters, dcores, dbias, dx)

    return Run(step, results)


def jax_tensornet(case, problem, device):
    """The same, compiled."""
    import jax

    arguments = jax.device_put([problem[k] for k in ("filters", "cores", "bias", "x")])
    dy = jax.device_put(problem["dy"])
    alone, apart = filtered(problem["x"].shape)
    layout = "NCHW", "OIHW", "NCHW"

    def layer(filters, cores, bias, x):
        bank = filters.transpose(2, 0, 1)[:, None]
        images = x.transpose(0, 3, 1, 2).reshape(alone)
        state = jax.lax.conv_general_dilated(images, bank, (1, 1), "SAME", dimension_numbers=layout)
        state = state.reshape(apart).transpose(2, 1, 0, 3, 4)
        return sweep(cores, state).reshape(dy.shape) + bias

    @jax.jit
    def compiled(arguments, dy):
        y, pull = jax.vjp(layer, *arguments)
        return y, *pull(dy)

    def step():
        return jax.block_until_ready(compiled(arguments, dy))

    return Run(step, lambda: named(*step()))


def dense(channels_last):
    """Builder of torch's convolution with the whole kernel, which is given."""

    def build(case, problem, device):
        import torch
        from torch.nn.functional import conv2d

        k, layout = case["kernel"], torch.contiguous_format
        if channels_last:
            layout = torch.channels_last
        kernel = whole_kernel(problem, k).transpose(3, 2, 0, 1)
        images = [problem[name].transpose(0, 3, 1, 2) for name in ("x", "dy")]
        x, dy = (torch.tensor(a).contiguous(memory_format=layout) for a in images)
        weight, bias = leaves(device, np.ascontiguousarray(kernel), problem["bias"])
        x.requires_grad_(True)

        def step():
            y = conv2d(x, weight, bias, padding="same")
            return y, *torch.autograd.grad(y, (weight, bias, x), dy)

        def results():
            y, _, dbias, dx = step()
            y, dx = (a.detach().permute(0, 2, 3, 1).numpy() for a in (y, dx))
            return {"y": y, "dbias": dbias.numpy(), "dx": dx}

        return Run(step, results)

    return build


def whole_kernel(problem, k):
    """The kernel (k, k, C, S) of filters and cores."""
    kernel = problem["filters"].reshape(k * k, 1, 1, -1)  # (pixels, C, S, r) of the cores so far
    for core in problem["cores"]:
        pixels, C, S, _ = kernel.shape
        kernel = np.tensordot(kernel, core, 1).transpose(0, 1, 3, 2, 4, 5)
        kernel = kernel.reshape(pixels, C * core.shape[1], S * core.shape[2], -1)
    return kernel.reshape(k, k, *kernel.shape[1:3])


WORKLOADS = (
    Workload(
        "W6",
        "TT-convolution 3 x 3, [4, 4, 4] -> [4, 4, 4], rank 16, images 32 x 32 x 64",
        {f"batch {b}": conv([4, 4, 4], [4, 4, 4], 16, 32, b) for b in (1, 32)},
        {
            "ttref": System(ttref, role="ours"),
            "TensorNet-TF in torch": System(torch_tensornet),
            "TensorNet-TF in JAX": System(jax_tensornet),
            "torch dense": System(dense(False), role="other", partial=True),
            "torch dense, channels last": System(dense(True), role="other", partial=True),
        },
        problem,
        truth,
        targets=lambda case, threads: (10.0 if case["batch"] > 1 else None, None),
    ),
)
