"""Pooling and normalisation of the CIFAR-10 networks: forward and backward, beside torch's."""

import numpy as np

from benchmarks.workload import Run, System, Workload

EPSILON = 1e-3


def problem(case, exact):
    """Float32 ``{"x", "dy"}``; for the check of pooling small integers, many of them equal."""
    rng = np.random.default_rng(0)
    shapes = case["shape"], case["out_shape"]
    if exact and case["layer"] == "pool":
        x, dy = (rng.integers(-9, 10, shape).astype("float32") for shape in shapes)
    else:
        x, dy = (rng.standard_normal(s, "float64" if exact else "float32") for s in shapes)
    return {"x": x, "dy": dy}


def truth(case, inputs):
    """The results of the reference operators."""
    from ttref import ops

    x, dy = inputs["x"], inputs["dy"]
    if case["layer"] == "pool":
        y, cache = ops.max_pool.forward({}, x, 3, 2, "SAME")
        return {"y": y, "dx": ops.max_pool.backward(dy, cache)[1]}
    ones = np.ones(x.shape[-1], x.dtype)
    y, cache = ops.batch_norm.forward({"scale": ones, "offset": 0 * ones}, x, EPSILON)
    dparams, dx = ops.batch_norm.backward(dy, cache)
    return {"y": y, "dx": dx, "dscale": dparams["scale"], "doffset": dparams["offset"]}


def ttref(case, problem, device):
    """The layers."""
    from ttref import BatchNorm, MaxPool2d

    x, dy = problem["x"], problem["dy"]
    layers = {"pool": MaxPool2d(3, 2, "SAME"), "norm": BatchNorm(x.shape[-1], epsilon=EPSILON)}
    layer = layers[case["layer"]]
    params = layer.init(0, x.dtype)

    def step():
        y, cache = layer.forward(params, x, train=True)
        return y, *layer.backward(dy, cache)

    def results():
        y, dparams, dx = step()
        named = {f"d{name}": dparams[name] for name in ("scale", "offset") if name in dparams}
        return {"y": y, "dx": dx, **named}

    return Run(step, results)


def torch_layers(layout):
    """Builder of torch's layers, the padding of pooling included."""

    def build(case, problem, device):
        import torch
        from torch.nn.functional import batch_norm, max_pool2d, pad

        x, dy = (
            torch.tensor(problem[name].transpose(0, 3, 1, 2)).contiguous(
                memory_format=getattr(torch, layout)
            )
            for name in ("x", "dy")
        )
        x.requires_grad_(True)
        scale, offset = (
            torch.full(x.shape[1:2], value, dtype=x.dtype, requires_grad=True) for value in (1, 0)
        )
        is_pool = case["layer"] == "pool"
        leaves = [x] if is_pool else [x, scale, offset]

        def step():
            if is_pool:  # of even sizes SAME pads a row and a column at the end
                y = max_pool2d(pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
            else:
                y = batch_norm(x, None, None, scale, offset, training=True, eps=EPSILON)
            return y, *torch.autograd.grad(y, leaves, dy)

        def results():
            found = dict(zip(("y", "dx", "dscale", "doffset"), step(), strict=False))
            images = {k: found.pop(k).detach().permute(0, 2, 3, 1).numpy() for k in ("y", "dx")}
            return images | {name: value.detach().numpy() for name, value in found.items()}

        return Run(step, results)

    return build


SHAPE = [100, 32, 32, 64]
WORKLOADS = (
    Workload(
        "images",
        "max pooling 3 x 3, strides 2, SAME, and batch normalisation of 100 images 32 x 32 x 64",
        {
            "max pooling": {"layer": "pool", "shape": SHAPE, "out_shape": [100, 16, 16, 64]},
            "batch normalisation": {"layer": "norm", "shape": SHAPE, "out_shape": SHAPE},
        },
        {
            "ttref": System(ttref, role="ours"),
            "torch": System(torch_layers("contiguous_format"), role="other"),
            "torch, channels last": System(torch_layers("channels_last"), role="other"),
        },
        problem,
        truth,
        tolerance=102400 * 2.0**-53,  # relative to the norm: sums of as many terms, in float64
    ),
)
