"""Four witnesses of every operator and layer: definition, our backward, autodiff of torch and JAX.

Integers as large as float64 holds without rounding, so that all agree exactly; where the formula
divides or has a transcendental function, within what roundings can do.
"""

import importlib

import numpy as np
import pytest

from ttref import functions as F
from ttref import tree
from ttref.arithmetic import ball, rational, running
from ttref.testing import CASES, exact
from ttref.testing.accuracy import results
from ttref.testing.cases import from_generator
from ttref.testing.report import shapes

SEEDS = 4
NAMES = [name for name in CASES if name not in ("SGD", "Adam")]  # which have no gradient
DIVIDES = {"mean_squared_error", "activation", "hard_scan"}  # JAX: by the rounded reciprocal


def run_torch(case):
    """y and the gradients, by the autograd of torch through our forward."""
    torch = importlib.import_module("torch")
    inputs = tree.map(
        lambda x: torch.tensor(x.astype(float), dtype=torch.float64, requires_grad=True),
        case.inputs,
    )
    leaves = tree.flatten(inputs)
    y, _ = case.forward(inputs)
    found = torch.autograd.grad(
        y, list(leaves.values()), torch.tensor(case.dy.astype(float)), allow_unused=True
    )
    gradients = {}
    for leaf, gradient in zip(leaves, found, strict=True):
        shape = leaves[leaf].shape
        gradients[leaf] = np.zeros(shape) if gradient is None else gradient.numpy()
    return {"y": y.detach().numpy(), **gradients}


def run_jax(case):
    """y and the gradients, by ``jax.vjp`` of our forward."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    inputs = tree.map(lambda x: jax.numpy.asarray(x.astype(float)), case.inputs)
    y, vjp = jax.vjp(lambda inputs: case.forward(inputs)[0], inputs)
    (gradients,) = vjp(jax.numpy.asarray(case.dy.astype(float)))
    return {leaf: np.asarray(x) for leaf, x in tree.flatten({"y": y, **gradients}).items()}


def run_backward(case):
    """y and the gradients, by our own backward on float64."""
    floats = tree.map(lambda x: x.astype(float), case.inputs)
    return results(case._replace(inputs=floats, dy=case.dy.astype(float)))


WITNESSES = {"backward": run_backward, "torch": run_torch, "jax": run_jax}


def cases(name, seeds=range(SEEDS)):
    """Problems off the kinks, where the libraries differ: torch takes half of each for max(0, 0).

    Elsewhere the integers are as large as can be, so that no number but 0 meets a kink inside.
    """
    for seed in seeds:
        rng = np.random.default_rng(seed)
        case = CASES[name](from_generator(rng), rng)
        if not case.is_exact:
            case = exact.move_off_kinks(case._replace(kinks=(*case.kinks, 0)))
        elif case.kinks:
            case = exact.move_off_kinks(case)
        else:
            case = exact.draw_largest_on_lattice(case, rng, "float64")
        yield case


def disagreement(case, run, is_exact):
    """The tensors on which a witness disagrees with our backward in exact arithmetic."""
    found = run(case)
    if is_exact:
        truth = {leaf: rational.to_float(x) for leaf, x in results(case).items()}
        return {leaf for leaf, x in truth.items() if not np.array_equal(found[leaf], x)}
    with ball.precision(ball.FIRST_BITS):
        truth = results(case, ball.lift)
    allowed = bounds(case)
    return {
        leaf for leaf, x in truth.items() if (ball.distance(found[leaf], x) > allowed[leaf]).any()
    }


def bounds(case):
    """How far roundings may take y and the gradients of any derivative of our forward's program.

    Reverse mode multiplies the same local derivatives along the same paths as dual numbers do,
    from the other end. So the running error analysis of dual numbers bounds it, but for the order
    of the products and what the libraries' formulas of local derivatives add: at most three more
    roundings for each one (``exp(x)`` again for y, a quotient for a product, a square).
    """
    inputs = tree.map(lambda x: running.lift(x.astype(float), "float64"), case.inputs)
    allowed = {"y": running.tolerance(case.forward(inputs)[0], "float64")}
    for leaf, x in tree.flatten(inputs).items():
        allowed[leaf] = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            unit = np.zeros(x.shape, dtype=int)
            unit[index] = 1
            pushed = exact.inner(case.dy, exact.tangent_map(case, inputs, leaf, unit))
            allowed[leaf][index] = 4 * running.tolerance(pushed, "float64")
    return allowed


def require(library):
    if library != "backward":
        pytest.importorskip(library, reason=f"WITNESS MISSING: {library} is not installed")


@pytest.mark.witness
@pytest.mark.parametrize("witness", WITNESSES)
@pytest.mark.parametrize("name", NAMES)
def test_every_witness_agrees_with_our_backward(name, witness):
    require(witness)
    for case in cases(name):
        is_exact = case.is_exact and name not in DIVIDES
        assert not disagreement(case, WITNESSES[witness], is_exact), shapes(case.inputs)


@pytest.mark.witness
@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_of_the_definition_agrees_with_our_backward(name):
    """The adjoint identity, with J v through the loops of the definition."""
    for case in cases(name):
        if not case.is_exact and not ball.available():
            pytest.skip("WITNESS MISSING: python-flint is not installed (extra exact)")
        defined = case._replace(
            forward=lambda inputs, case=case: (case.definition(inputs), case.forward(inputs)[1])
        )
        assert [
            f.failure for f in exact.adjoint(defined, np.random.default_rng(0)) if f.failure
        ] == []


def spoiled(case, leaf, decade):
    """The case with a backward that gets a tensor wrong by a factor ``1 + 10 ** -decade``."""

    def backward(dy, cache):
        gradients = case.backward(dy, cache)
        wrong = tree.map(lambda g: g + F.divide(g, 10**decade), gradients[leaf])
        return gradients | {leaf: wrong}

    return case._replace(backward=backward)


@pytest.mark.witness
@pytest.mark.parametrize("witness", ["torch", "jax"])
@pytest.mark.parametrize(
    ("name", "leaf", "decade"),
    [
        ("tt_linear", "cores", 15),
        ("TTDense", "params", 15),
        ("mean_squared_error", "prediction", 13),
        ("smooth_activation", "x", 13),
        ("softmax_cross_entropy", "prediction", 13),
    ],
)
def test_a_wrong_backward_is_seen_by_every_library(name, leaf, decade, witness):
    require(witness)
    for case in cases(name, range(2)):
        wrong = spoiled(case, leaf, decade)
        found = disagreement(wrong, WITNESSES[witness], case.is_exact and name not in DIVIDES)
        assert found and all(x.startswith(leaf) for x in found)


@pytest.mark.witness
def test_a_wrong_forward_is_seen_by_the_definition_only():
    case = next(cases("tt_linear"))
    wrong = case._replace(
        forward=lambda inputs: (2 * case.forward(inputs)[0], case.forward(inputs)[1]),
        backward=lambda dy, cache: case.backward(2 * dy, cache),
    )
    assert not disagreement(wrong, run_backward, True)
    defined = wrong._replace(
        forward=lambda inputs: (case.definition(inputs), case.forward(inputs)[1])
    )
    assert all(f.failure for f in exact.adjoint(defined, np.random.default_rng(0)))
