"""check_vjp on functions of torch and JAX, whose gradients come from their own autodiff."""

import importlib

import numpy as np
import pytest

from ttref.testing import check_vjp

pytestmark = pytest.mark.witness
X = np.random.default_rng(0).standard_normal((3, 4))
W = np.random.default_rng(1).standard_normal((4, 2))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_torch_are_right_and_a_changed_one_is_wrong(torch, dtype):
    layer = torch.nn.GRU(4, 2, batch_first=True, dtype=getattr(torch, dtype))

    def f(x, weights):
        return torch.func.functional_call(layer, weights, (x[None],))[0]

    def vjp(dy, x, weights):
        leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
        x = x.detach().clone().requires_grad_()
        found = torch.autograd.grad(f(x, leaves), [x, *leaves.values()], dy)
        return found[0], dict(zip(leaves, found[1:], strict=True))

    def wrong(dy, x, weights):
        dx, dweights = vjp(dy, x, weights)
        dweights["weight_hh_l0"] = dweights["weight_hh_l0"] * 1.01
        return dx, dweights

    x = torch.tensor(X, dtype=getattr(torch, dtype))
    weights = {name: w.detach().clone() for name, w in layer.named_parameters()}
    assert check_vjp(f, vjp, (x, weights))
    report = check_vjp(f, wrong, (x, weights), names=("x", "weights"))
    assert {tensor for tensor, row in verdicts(report).items() if row == "WRONG"} == {
        "weights.weight_hh_l0"
    }


def test_gradients_of_jax_are_right_and_a_changed_one_is_wrong():
    jax = pytest.importorskip("jax")
    jnp = importlib.import_module("jax.numpy")
    jax.config.update("jax_enable_x64", True)

    def f(x, w):
        return jax.nn.softmax(jnp.tanh(x) @ w)

    def vjp(dy, x, w):
        return jax.vjp(f, x, w)[1](dy)

    def wrong(dy, x, w):
        dx, dw = vjp(dy, x, w)
        return dx, dw * 1.001

    args = (jnp.asarray(X), jnp.asarray(W))
    assert check_vjp(f, vjp, args)
    assert verdicts(check_vjp(f, wrong, args, names=("x", "w"))) == {"x": "right", "w": "WRONG"}


def verdicts(report):
    """The verdict on each tensor."""
    return {row["tensor"]: row["verdict"] for row in report.rows()}
