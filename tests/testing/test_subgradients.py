"""The kinks: conventions as documented, and derivatives outside of both slopes seen."""

import importlib.util
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import functions as F
from ttref import ops
from ttref.errors import UndecidableError
from ttref.rng import generator
from ttref.testing import CASES, SUBGRADIENTS, subgradients
from ttref.testing.cases import from_generator

ALPHA = Fraction(1, 4)
needs = {
    name: pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f"{name} is not installed (extra witness)"
    )
    for name in ("torch", "jax")
}


def findings(name="activation", count=30, **options):
    rng = generator(0)
    made = (CASES[name](from_generator(rng), rng, **options) for _ in range(count))
    return [f for case in made for f in subgradients.on_kinks(case, rng)]


@pytest.mark.parametrize("name", ["activation", "smooth_activation", "softmax", "SGD"])
def test_right_operators_pass(name):
    assert not any(f.failure or f.undecided for f in findings(name))


@pytest.mark.parametrize("name", ["activation", "smooth_activation"])
def test_there_are_kinks_to_look_at(name):
    assert findings(name)


def with_backward(change):
    def backward(dy, cache):
        return {}, change(ops.activation.backward(dy, cache)[1], dy, cache)

    return SimpleNamespace(forward=ops.activation.forward, backward=backward)


@pytest.mark.parametrize("name", ["activation", "smooth_activation"])
def test_a_slope_beyond_both_sides_is_seen(name):
    found = findings(name, op=with_backward(lambda dx, dy, cache: dx + 4 * dy))
    assert any(f.failure and "a slope between" in str(f.failure) for f in found)


def test_the_slope_of_the_other_side_is_not_that_of_the_branch_which_forward_takes():
    def flipped(dx, dy, cache):
        return F.where_positive(-cache.x, dx, dy) if cache.kind == "relu" else dx

    failures = {f.failure.what for f in findings(op=with_backward(flipped)) if f.failure}
    assert failures == {"x: <J^T dy, v>"}


def test_a_subgradient_lies_between_the_slopes_whichever_is_larger():
    found = subgradients.is_subgradient(np.asarray([0, Fraction(1, 2), 1, 2, -1]), 1, 0)
    assert found.tolist() == [True, True, True, False, False]
    assert subgradients.is_subgradient(1.25, 0, 1, error=0.25)


@pytest.mark.parametrize("function", SUBGRADIENTS)
def test_every_framework_takes_a_subgradient(function):
    kink = SUBGRADIENTS[function]
    taken = [kink.torch, kink.jax] + ([] if kink.ttref is None else [kink.ttref])
    low, high = sorted((kink.left, kink.right))
    assert all(float(low) <= float(value) <= float(high) for value in taken)


OURS = [key for key, kink in SUBGRADIENTS.items() if kink.ttref is not None]


@pytest.mark.parametrize(("name", "point"), OURS)
def test_ttref_takes_what_the_table_says(name, point):
    x = np.asarray([float(point)])
    alpha = float(ALPHA) if name in ("leaky_relu", "elu") else None
    _, cache = ops.activation.forward({}, x, name, alpha)
    _, dx = ops.activation.backward(np.ones(1), cache)
    assert dx[0] == SUBGRADIENTS[name, point].ttref


@pytest.mark.parametrize(("name", "point"), OURS)
def test_ttref_takes_the_left_branch_but_a_hard_sigmoid_is_flat(name, point):
    kink = SUBGRADIENTS[name, point]
    assert kink.ttref == (0 if name.startswith("hard_sigmoid") else kink.left)


def in_torch(name):
    import torch
    from torch.nn import functional as T

    return {
        "relu": torch.relu,
        "leaky_relu": lambda x: T.leaky_relu(x, float(ALPHA)),
        "elu": lambda x: T.elu(x, float(ALPHA)),
        "hard_sigmoid": lambda x: torch.clamp(x / 5 + 0.5, 0, 1),
        "hard_sigmoid_sixth": T.hardsigmoid,
        "abs": torch.abs,
        "clamp": lambda x: torch.clamp(x, -1, 1),
        "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
        "hardtanh": T.hardtanh,
    }[name]


@pytest.mark.witness
@needs["torch"]
@pytest.mark.parametrize(("name", "point"), SUBGRADIENTS)
def test_torch_takes_what_the_table_says(name, point):
    import torch

    x = torch.tensor(float(point), dtype=torch.float64, requires_grad=True)
    in_torch(name)(x).backward()
    assert x.grad.item() == SUBGRADIENTS[name, point].torch


def in_jax(name):
    import jax
    from jax import numpy as jnp

    return {
        "relu": jax.nn.relu,
        "leaky_relu": lambda x: jax.nn.leaky_relu(x, float(ALPHA)),
        "elu": lambda x: jax.nn.elu(x, float(ALPHA)),
        "hard_sigmoid": lambda x: jnp.clip(x / 5 + 0.5, 0, 1),
        "hard_sigmoid_sixth": jax.nn.hard_sigmoid,
        "abs": jnp.abs,
        "clamp": lambda x: jnp.clip(x, -1, 1),
        "maximum": lambda x: jnp.maximum(x, 0.0),
        "hardtanh": jax.nn.hard_tanh,
    }[name]


@pytest.mark.witness
@needs["jax"]
@pytest.mark.parametrize(("name", "point"), SUBGRADIENTS)
def test_jax_takes_what_the_table_says(name, point):
    import jax

    expected = np.float32(SUBGRADIENTS[name, point].jax)  # its default precision, or better
    assert np.float32(jax.grad(in_jax(name))(float(point))) == expected


def test_a_comparison_of_a_ball_around_a_kink_says_so():
    flint = pytest.importorskip("flint")
    with pytest.raises(UndecidableError, match="whether"):
        F.relu(np.asarray([flint.arb(0, 1)], dtype=object))
