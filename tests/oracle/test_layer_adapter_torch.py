"""Declared layers of torch: its recurrent cells, convolutions, losses and optimisers conform."""

import numpy as np
import pytest

from ttref.oracle import LayerAdapter, evaluate

pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
torch = pytest.importorskip("torch", reason="torch is not installed (extra test)")
F = torch.nn.functional


class Unsupported(Exception):
    pass


def tensor(x):
    return torch.tensor(np.array(x), requires_grad=x.dtype.kind == "f")


def with_autograd(function):
    """``forward`` and ``gradients`` of a function of dicts of tensors, params and inputs, to y."""

    def build(params, inputs):
        of_params = {name: tensor(v) for name, v in params.items()}
        of_inputs = {name: tensor(v) for name, v in inputs.items() if v is not None}
        return {**of_params, **of_inputs}, function(of_params, of_inputs)

    def forward(params, **inputs):
        return build(params, inputs)[1].detach().numpy()

    def gradients(params, dy, **inputs):
        arrays, y = build(params, inputs)
        leaves = {name: v for name, v in arrays.items() if v.requires_grad}
        found = torch.autograd.grad(y, list(leaves.values()), tensor(dy), allow_unused=True)
        return {n: None if v is None else v.numpy() for n, v in zip(leaves, found, strict=True)}

    return forward, gradients


def of_x(function):
    forward, gradients = with_autograd(function)

    def forward_of_x(params, x):
        return forward(params, x=x)

    def gradients_of_x(params, x, dy):
        return gradients(params, dy, x=x)

    return forward_of_x, gradients_of_x


def of_target(function):
    forward, gradients = with_autograd(function)

    def forward_of_target(params, x, target):
        return forward(params, x=x, target=target)

    def gradients_of_target(params, x, target, dy):
        return {"x": gradients(params, dy, x=x, target=target)["x"]}

    return forward_of_target, gradients_of_target


def recurrent(cell, count):
    """``forward`` and ``gradients`` of a recurrent function of torch, whose state has `count`."""

    def build(params, x, state):
        if len(x) == 0:
            raise Unsupported("no steps")
        arrays = {name: tensor(v) for name, v in params.items()}
        X = tensor(x)
        zero = np.zeros((x.shape[1], params["recurrent"].shape[1]), x.dtype)
        states = [tensor(v) for v in (state if state is not None else [zero] * count)]
        first = [v[None] for v in states]
        weights = [arrays[n] for n in ("kernel", "recurrent", "bias", "recurrent_bias")]
        start = first if count > 1 else first[0]
        y, *last = cell(X, start, weights, True, 1, 0.0, False, False, False)
        return arrays, X, states, [y, *[v[0] for v in last]]

    def forward(params, x, state):
        y, *last = [v.detach().numpy() for v in build(params, x, state)[3]]
        return y, last

    def gradients(params, x, state, dy, dstate):
        arrays, X, states, results = build(params, x, state)
        cotangents = [torch.tensor(np.ascontiguousarray(d)) for d in (dy, *dstate)]
        leaves = [*arrays.values(), X, *states]
        found = [v.numpy() for v in torch.autograd.grad(results, leaves, cotangents)]
        named = dict(zip([*arrays, "x"], found, strict=False))
        return named | {"state": found[len(named) :] if state is not None else None}

    return forward, gradients


TORCH = {"bias": "two", "kernel": "out in", "recurrent": "out in", "time": "TBN"}
IMAGES = {"images": "NCHW", "padding": ((1, 1), (1, 1))}
CONV = {"images": "NCHW", "kernel": "OIHW", "padding": ((1, 1), (2, 2)), "strides": (2, 1)}

LAYERS = [
    ("rnn", TORCH, recurrent(torch._VF.rnn_tanh, 1)),
    (
        "gru",
        {**TORCH, "gates": "rzn", "reset": "after", "recurrent_activation": "sigmoid"},
        recurrent(torch._VF.gru, 1),
    ),
    (
        "lstm",
        {**TORCH, "gates": "ifgo", "recurrent_activation": "sigmoid"},
        recurrent(torch._VF.lstm, 2),
    ),
    (
        "conv2d",
        CONV,
        of_x(lambda p, i: F.conv2d(i["x"], p["kernel"], p["bias"], (2, 1), (1, 2))),
    ),
    ("max_pool", {**IMAGES, "kernel": 3}, of_x(lambda p, i: F.max_pool2d(i["x"], 3, 2, 1))),
    (
        "avg_pool",
        {**IMAGES, "kernel": 3, "count_padding": True},
        of_x(lambda p, i: F.avg_pool2d(i["x"], 3, 2, 1)),
    ),
    (
        "batch_norm",
        {"axes": "NCHW", "epsilon": 1e-5},
        of_x(
            lambda p, i: F.batch_norm(i["x"], None, None, p["scale"], p["offset"], True, 0.1, 1e-5)
        ),
    ),
    ("softmax", {}, of_x(lambda p, i: torch.softmax(i["x"], -1))),
    ("mean_squared_error", {}, of_target(lambda p, i: F.mse_loss(i["x"], i["target"]))),
    ("softmax_cross_entropy", {}, of_target(lambda p, i: F.cross_entropy(i["x"], i["target"]))),
    (
        "binary_cross_entropy",
        {},
        of_target(lambda p, i: F.binary_cross_entropy_with_logits(i["x"], i["target"])),
    ),
]


@pytest.mark.parametrize(("kind", "options", "functions"), LAYERS, ids=[row[0] for row in LAYERS])
def test_a_layer_of_torch_conforms(kind, options, functions):
    report = evaluate(LayerAdapter(kind, *functions, options), examples=6)
    assert report.ok, str(report)


def test_steps_of_torchs_optimisers_conform():
    def adam(params, gradient, m, v):
        p = torch.tensor(params["p"], requires_grad=True)
        p.grad = torch.tensor(gradient)
        optimizer = torch.optim.Adam([p], lr=0.1)
        moments = {"exp_avg": torch.tensor(m), "exp_avg_sq": torch.tensor(v)}
        optimizer.state[p] = {"step": torch.tensor(2.0), **moments}
        optimizer.step()
        moments = {name: value.numpy() for name, value in moments.items()}
        return {"p": p.detach().numpy(), "m": moments["exp_avg"], "v": moments["exp_avg_sq"]}

    def sgd(params, gradient, velocity):
        p = torch.tensor(params["p"], requires_grad=True)
        p.grad = torch.tensor(gradient)
        options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
        optimizer = torch.optim.SGD([p], **options)
        optimizer.state[p] = {"momentum_buffer": torch.tensor(velocity)}
        optimizer.step()
        buffer = optimizer.state[p]["momentum_buffer"]
        return {"p": p.detach().numpy(), "velocity": buffer.numpy()}

    assert evaluate(LayerAdapter("adam", adam, options={"lr": 0.1, "step": 3}), examples=6).ok
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    assert evaluate(LayerAdapter("sgd", sgd, options=options), examples=6).ok
