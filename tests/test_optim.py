"""The optimisers against torch.optim, exact arithmetic, and the conditions they refuse.

Every tolerance counts roundings: u = eps / 2 is the error of one operation, relative to its result.
"""

import decimal
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from ttref import tree
from ttref.arrays import to_numpy
from ttref.contracts import CPU_FLOAT32
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.machine import blocks, threads
from ttref.optim import EMA, SGD, Adam, clip_by_global_norm, clipping, rate_at
from ttref.schedules import Constant, Step

STEPS = 50
SHAPES = {"kernel": (4, 3), "cores": [(1, 2, 3, 2), (2, 2, 1, 1)], "scale": ()}
SGDS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.5, "nesterov": True},
    {"weight_decay": 0.25},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
]
ADAMS = [{}, {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3}, {"weight_decay": 0.1}, {"beta1": 0.0}]
OPTIMIZERS = [(SGD, {"lr": 0.1, **o}) for o in SGDS] + [(Adam, {"lr": 0.01, **o}) for o in ADAMS]
every_optimizer = pytest.mark.parametrize(
    ("kind", "options"), [pytest.param(k, o, id=repr(k(**o))) for k, o in OPTIMIZERS]
)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def draw(rng, dtype="float64"):
    """A tree of `SHAPES` with normal entries."""
    cores = tuple(rng.standard_normal(s).astype(dtype) for s in SHAPES["cores"])
    kernel, scale = (np.asarray(rng.standard_normal(SHAPES[n]), dtype) for n in ("kernel", "scale"))
    return {"kernel": kernel, "cores": cores, "scale": scale}


def trajectory(optimizer, params, gradients):
    """The parameters after each step; `gradients` are given, or a function of the parameters."""
    state, path = optimizer.init(params), [params]
    for k in range(STEPS):
        grads = gradients(path[-1]) if callable(gradients) else gradients[k]
        new, state = optimizer.step(path[-1], grads, state)
        path.append(new)
    return path


def torch_trajectory(torch, kind, options, params, gradients):
    """The same through torch.optim."""
    leaves = [torch.tensor(leaf, requires_grad=True) for leaf in tree.leaves(params)]
    options = dict(options)
    if kind is Adam:
        options["betas"] = options.pop("beta1", 0.9), options.pop("beta2", 0.999)
    optimizer, path = getattr(torch.optim, kind.__name__)(leaves, **options), [params]
    for k in range(STEPS):
        grads = gradients(path[-1]) if callable(gradients) else gradients[k]
        for leaf, grad in zip(leaves, tree.leaves(grads), strict=True):
            leaf.grad = torch.tensor(grad)
        optimizer.step()
        new = iter([leaf.detach().numpy().copy() for leaf in leaves])
        path.append(tree.map(lambda _, new=new: next(new), params))
    return path


def largest(*trees):
    return max(float(np.max(np.abs(to_numpy(x)))) for t in trees for x in tree.leaves(t))


def step_error(kind, options, path, gradients, dtype):
    """Bound on the rounding errors of one step, in p.

    SGD: the decayed gradient g' has 2 roundings, the velocity 2 more, and they add up to at most
    1 / (1 - mu) times as much; nesterov takes 2, the product with lr one. So p gets
    u (|p| + lr (7 / (1 - mu)) |v|), |v| <= |g'| / (1 - mu).

    Adam: v is a sum of positive terms, each with fewer than 2 STEPS + 3 roundings; m takes 4 per
    step, which the decay of m holds below 4 / (1 - beta1) times the largest |m|, and by
    Cauchy-Schwarz |m| / sqrt(v) <= 8 for the betas here. The update is below 8 lr and right within
    u (STEPS + 4 / (1 - beta1) + 20), 8 (50 + 40 + 20) < 1000.
    """
    u, p = np.finfo(dtype).eps / 2, largest(*path)
    if kind is Adam:
        return u * (p + 1000 * options["lr"])
    keep = 1 / (1 - options.get("momentum", 0))
    g = largest(*gradients) + options.get("weight_decay", 0) * p
    return u * (p + options["lr"] * 7 * keep * keep * g)


def assert_paths_agree(path, other, tolerance):
    for k, (ours, theirs) in enumerate(zip(path, other, strict=True)):
        for a, b in zip(tree.leaves(ours), tree.leaves(theirs), strict=True):
            error = np.max(np.abs(to_numpy(a).astype("float64") - to_numpy(b).astype("float64")))
            assert error <= tolerance, f"step {k}: {error} > {tolerance}"


# Against torch


@pytest.mark.witness
@both_dtypes
@every_optimizer
def test_fifty_steps_on_random_gradients_are_those_of_torch(kind, options, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    params, gradients = draw(rng, dtype), [draw(rng, dtype) for _ in range(STEPS)]
    ours = trajectory(kind(**options), params, gradients)
    theirs = torch_trajectory(torch, kind, options, params, gradients)
    # Both sides round STEPS times; an error in p decays or stays, for 0 <= lr * weight_decay < 1.
    tolerance = 2 * STEPS * step_error(kind, options, ours, gradients, dtype)
    assert_paths_agree(ours, theirs, tolerance)
    assert all(leaf.dtype == dtype for leaf in tree.leaves(ours[-1]))


@pytest.mark.witness
@both_dtypes
@every_optimizer
def test_fifty_steps_down_a_quadratic_are_those_of_torch(kind, options, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    root = rng.standard_normal((4, 4))
    a = (root @ root.T / 8 + np.eye(4)).astype(dtype)
    b, start = rng.standard_normal(4).astype(dtype), {"p": rng.standard_normal(4).astype(dtype)}

    def gradients(params):
        return {"p": a @ params["p"] - b}

    ours = trajectory(kind(**options), start, gradients)
    theirs = torch_trajectory(torch, kind, options, start, gradients)
    # A gradient has 5 roundings, of terms up to |A| |p| + |b|, which enter the step like those of
    # step_error; an error in p is then amplified by the steps that follow.
    terms = {"g": 5 * (np.abs(a) @ np.max([np.abs(x["p"]) for x in ours], axis=0) + np.abs(b))}
    growth = amplification(kind(**options), start, gradients, ours)
    tolerance = 2 * STEPS * step_error(kind, options, ours, [terms], dtype) * growth
    assert_paths_agree(ours, theirs, tolerance)
    values = [x["p"] @ (a @ x["p"]) / 2 - b @ x["p"] for x in (ours[0], ours[-1])]
    assert options.get("weight_decay") or values[1] < values[0]


def amplification(optimizer, start, gradients, path):
    """How much an error at the start grows, measured on perturbed runs; twice that, to be safe.

    Their displacement is linear in the perturbation (for Adam but for a millionth), and later
    errors have fewer steps to grow in.
    """
    size, total = 2.0**-10 if start["p"].dtype == "float32" else 2.0**-20, 0.0
    for k in range(len(start["p"])):
        moved = {"p": start["p"] + (size * (np.arange(len(start["p"])) == k)).astype("float32")}
        other = trajectory(optimizer, moved, gradients)
        total += np.abs([y["p"] - x["p"] for x, y in zip(path, other, strict=True)]) / size
    return 2 * np.max(total)


@pytest.mark.witness
@pytest.mark.parametrize("share", [0.1, 0.999, 1.001, 10])
def test_clipping_is_that_of_torch_but_for_its_millionth(share):
    torch = pytest.importorskip("torch")
    grads = draw(np.random.default_rng(3))
    leaves = [torch.tensor(g, requires_grad=True) for g in tree.leaves(grads)]
    for leaf, grad in zip(leaves, tree.leaves(grads), strict=True):
        leaf.grad = torch.tensor(grad)
    norm = float(np.sqrt(sum(np.sum(g * g) for g in tree.leaves(grads))))
    clipped, found = clip_by_global_norm(grads, share * norm)
    theirs = torch.nn.utils.clip_grad_norm_(leaves, share * norm)
    # torch divides by norm + 1e-6. The norm of n numbers has n + 2 roundings on either side.
    u = 2.0**-53
    relative = 2 * (tree.size(grads) + 5) * u
    assert abs(float(found) - float(theirs)) <= relative * norm
    for ours, leaf in zip(tree.leaves(clipped), leaves, strict=True):
        assert np.all(np.abs(ours - leaf.grad.numpy()) <= (1e-6 / norm + relative) * np.abs(ours))


# Against exact arithmetic


def sgd_in_fractions(options, params, gradients):
    """The last parameters by the formulas, one number at a time: a list of lists of rationals."""
    o = {"momentum": 0, "weight_decay": 0, "nesterov": False, **options}
    lr, mu, decay = (Fraction(o[name]) for name in ("lr", "momentum", "weight_decay"))
    p = [list(map(Fraction, leaf.ravel().tolist())) for leaf in tree.leaves(params)]
    velocity = [[0] * len(leaf) for leaf in p]
    for grads in gradients:
        for leaf, v, g in zip(p, velocity, tree.leaves(grads), strict=True):
            for i, slope in enumerate(g.ravel().tolist()):
                slope = Fraction(slope) + decay * leaf[i]
                v[i] = mu * v[i] + slope
                leaf[i] -= lr * (slope + mu * v[i] if o["nesterov"] else v[i])
    return p


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.5},
        {"lr": 0.25, "momentum": 0.5},
        {"lr": 0.25, "momentum": 0.75, "nesterov": True, "weight_decay": 0.5},
    ],
    ids=str,
)
def test_sgd_is_its_formula_exactly_where_numbers_are_short(options):
    rng = np.random.default_rng(4)
    integers = lambda leaf: np.round(4 * leaf)  # noqa: E731
    params = tree.map(integers, draw(rng))
    gradients = [tree.map(integers, draw(rng)) for _ in range(4)]
    # every step adds 5 bits at most to the 5 of the start: far from 53
    optimizer, p = SGD(**options), params
    state = optimizer.init(params)
    for grads in gradients:
        p, state = optimizer.step(p, grads, state)
    expected = sgd_in_fractions(options, params, gradients)
    assert [leaf.ravel().tolist() for leaf in tree.leaves(p)] == expected


def rationals(params):
    """A tree of floats as one of the same numbers as fractions."""
    return tree.map(lambda x: np.asarray(np.frompyfunc(Fraction, 1, 1)(x), dtype=object), params)


@pytest.mark.parametrize("options", SGDS, ids=str)
def test_sgd_on_rationals_stays_rational_and_is_its_formula_exactly(options):
    rng, options = np.random.default_rng(4), {"lr": Fraction(1, 10), **options}
    options = {name: v if v is True else Fraction(v) for name, v in options.items()}
    params, *gradients = (rationals(draw(rng)) for _ in range(4))
    optimizer, p = SGD(**options), params
    state = optimizer.init(params)
    for grads in gradients:
        p, state = optimizer.step(p, grads, state)
    expected = sgd_in_fractions(options, params, gradients)
    assert [leaf.ravel().tolist() for leaf in tree.leaves(p)] == expected
    assert {type(v) for leaf in tree.leaves(p) for v in leaf.flat} == {Fraction}


@both_dtypes
@pytest.mark.parametrize("options", SGDS, ids=str)
def test_sgd_is_its_formula_within_its_roundings(options, dtype):
    rng, options = np.random.default_rng(5), {"lr": 0.1, **options}
    params, gradients = draw(rng, dtype), [draw(rng, dtype) for _ in range(STEPS)]
    path = trajectory(SGD(**options), params, gradients)
    tolerance = STEPS * step_error(SGD, options, path, gradients, dtype)
    expected = sgd_in_fractions(options, params, gradients)
    for leaf, exact in zip(tree.leaves(path[-1]), expected, strict=True):
        for value, fraction in zip(leaf.ravel().tolist(), exact, strict=True):
            assert abs(Fraction(value) - fraction) <= tolerance


@both_dtypes
@pytest.mark.parametrize("options", ADAMS, ids=str)
def test_adam_is_its_formula_within_its_roundings(options, dtype):
    rng = np.random.default_rng(6)
    params, gradients = draw(rng, dtype), [draw(rng, dtype) for _ in range(STEPS)]
    options = {"lr": 0.01, **options}
    path = trajectory(Adam(**options), params, gradients)
    tolerance = STEPS * step_error(Adam, options, path, gradients, dtype)
    for k, leaf in tree.flatten(path[-1]).items():
        slopes = [tree.flatten(g)[k].ravel() for g in gradients]
        for i, start in enumerate(tree.flatten(params)[k].ravel()):
            exact = adam_in_decimals(start, [g[i] for g in slopes], options)
            assert abs(Decimal(float(leaf.ravel()[i])) - exact) <= tolerance


def adam_in_decimals(p, gradients, options):
    """The formulas of Kingma and Ba (2015), Algorithm 1, to 40 digits."""
    defaults = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    lr, b1, b2, eps, decay = (
        Decimal({**defaults, **options}[k]) for k in ("lr", "beta1", "beta2", "eps", "weight_decay")
    )
    p, m, v = Decimal(float(p)), Decimal(0), Decimal(0)
    with decimal.localcontext(prec=40):
        for t, g in enumerate(gradients, start=1):
            g = Decimal(float(g)) + decay * p
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g * g
            p -= lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps)
    return p


def test_first_step_of_adam_is_the_rate_whatever_the_size_of_the_gradient():
    grads = {"p": np.asarray([1e-3, -1e5, 2.0])}
    optimizer = Adam(0.5, eps=1e-300)
    params, _ = optimizer.step(tree.zeros_like(grads), grads, optimizer.init(grads))
    # m / (1 - beta1) and sqrt(v / (1 - beta2)) are |g| but for 14 roundings or fewer
    assert np.all(np.abs(params["p"] - [-0.5, 0.5, -0.5]) <= 14 * 2.0**-53 * 0.5)


def test_average_is_its_formula_exactly_where_numbers_are_short():
    rng, ema = np.random.default_rng(7), EMA(0.75)
    average, *weights = (tree.map(lambda leaf: np.round(4 * leaf), draw(rng)) for _ in range(4))
    expected = tree.map(
        lambda a, p, q, r: (27 * a + 9 * p + 12 * q + 16 * r) / 64, average, *weights
    )
    for params in weights:
        average = ema.update(average, params)
    for a, b in zip(tree.leaves(average), tree.leaves(expected), strict=True):
        assert np.array_equal(a, b)


def test_average_with_decay_zero_is_the_last_weights():
    rng = np.random.default_rng(8)
    average, params = draw(rng, "float32"), draw(rng, "float32")
    new = EMA(0.0).update(average, params)
    assert all(np.all(a == b) for a, b in zip(tree.leaves(new), tree.leaves(params), strict=True))


# Clipping


@pytest.mark.parametrize(
    ("bound", "dtype"),
    [
        (float("inf"), "float64"),
        (float("inf"), "float32"),
        (1e39, "float32"),  # inf in float32, and inf / inf is no factor
    ],
)
def test_clipping_to_a_huge_bound_measures_the_norm_and_leaves_the_gradient_alone(bound, dtype):
    clipped, norm = clip_by_global_norm({"a": np.asarray([3.0, 4.0], dtype)}, bound)
    assert norm == 5 and clipped["a"].tolist() == [3, 4]


@pytest.mark.parametrize(("bound", "factor"), [(10, 1), (5, 1), (2.5, 0.5), (0.625, 0.125)])
def test_clipping_scales_three_four_five_exactly(bound, factor):
    grads = ({"a": np.asarray([3.0, 0.0])}, np.asarray(-4.0))
    clipped, norm = clip_by_global_norm(grads, bound)
    assert norm == 5
    assert np.all(clipped[0]["a"] == [3 * factor, 0]) and clipped[1] == -4 * factor


def test_clipping_leaves_a_zero_gradient_alone():
    clipped, norm = clip_by_global_norm({"a": np.zeros(3), "b": np.zeros((2, 2))}, 1.0)
    assert norm == 0 and not np.any(clipped["a"]) and not np.any(clipped["b"])


@pytest.mark.parametrize("bound", [0, -1.0, np.nan, "1", None, True])
def test_clipping_refuses_a_bound_that_is_not_one(bound):
    with pytest.raises(ConventionError, match=r"max_norm is .*, expected a positive number"):
        clip_by_global_norm({"a": np.asarray([3.0, 4.0])}, bound)


# Rates


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_schedule_sees_the_steps_from_zero_and_its_rate_is_used(kind):
    seen, params = [], {"p": np.zeros(1)}

    def lr(step):
        seen.append(step)
        return 2.0**-step

    optimizer = kind(lr)
    state = optimizer.init(params)
    for step in range(4):
        fixed, _ = kind(2.0**-step).step(params, {"p": np.ones(1)}, state)
        params, state = optimizer.step(params, {"p": np.ones(1)}, state)
        assert params["p"] == fixed["p"]
        assert state["step"] == step + 1
    assert seen == [0, 1, 2, 3]


def test_sgd_moves_by_the_rates_of_its_schedule():
    optimizer = SGD(lambda step: 10.0**step)
    params = {"p": np.zeros(1)}
    state = optimizer.init(params)
    for _ in range(3):
        params, state = optimizer.step(params, {"p": np.ones(1)}, state)
    assert params["p"] == -111


def test_rate_is_the_number_or_what_the_schedule_says():
    assert rate_at(0.5, 7) == 0.5
    assert rate_at(lambda step: step + 0.5, 7) == 7.5


# Array libraries, dtypes, purity


@every_optimizer
def test_steps_on_every_array_library_are_those_of_numpy(float_backend, kind, options):
    dtype, rng = float_backend.kind, np.random.default_rng(9)
    params, gradients = draw(rng, dtype), [draw(rng, dtype) for _ in range(3)]
    optimizer = kind(**options)
    theirs, state = tree.map(float_backend.xp.asarray, params), None
    state, ours, our_state = optimizer.init(theirs), params, optimizer.init(params)
    for grads in gradients:
        there = tree.map(float_backend.xp.asarray, grads)
        theirs, state = optimizer.step(theirs, there, state)
        ours, our_state = optimizer.step(ours, grads, our_state)
    tolerance = 2 * 3 * step_error(kind, options, [params, ours], gradients, dtype)
    assert_paths_agree([ours], [theirs], tolerance)
    assert all(leaf.dtype == float_backend.dtype for leaf in tree.leaves(theirs))


def test_clipping_and_averaging_on_every_array_library_are_exact_where_numbers_are(float_backend):
    grads = {"a": float_backend.array([3, 0]), "b": (float_backend.array(-4),)}
    clipped, norm = clip_by_global_norm(grads, 2.5)
    average = EMA(0.5).update(grads, clipped)
    assert float(norm) == 5
    assert to_numpy(clipped["a"]).tolist() == [1.5, 0] and float(clipped["b"][0]) == -2
    assert to_numpy(average["a"]).tolist() == [2.25, 0] and float(average["b"][0]) == -3
    assert clipped["a"].dtype == average["b"][0].dtype == float_backend.dtype


@every_optimizer
def test_steps_write_into_none_of_their_arguments(kind, options):
    rng = np.random.default_rng(10)
    optimizer, params, grads = kind(**options), draw(rng), draw(rng)
    _, state = optimizer.step(params, grads, optimizer.init(params))
    arguments = {"params": params, "grads": grads, "state": state}
    copies = {name: np.copy(leaf) for name, leaf in tree.flatten(arguments).items()}
    for leaf in tree.leaves(arguments):
        if isinstance(leaf, np.ndarray):
            leaf.flags.writeable = False
    first = optimizer.step(params, grads, state)
    assert all(np.array_equal(copies[n], leaf) for n, leaf in tree.flatten(arguments).items())
    second = optimizer.step(params, grads, state)
    for a, b in zip(tree.leaves(first), tree.leaves(second), strict=True):
        assert np.array_equal(a, b)


def test_clipping_and_averaging_write_into_none_of_their_arguments():
    grads, params = {"a": np.asarray([3.0, 4.0])}, {"a": np.asarray([1.0, 1.0])}
    grads["a"].flags.writeable = params["a"].flags.writeable = False
    clip_by_global_norm(grads, 1.0)
    EMA(0.5).update(params, grads)
    assert np.all(grads["a"] == [3, 4]) and np.all(params["a"] == 1)


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.125},
        {"lr": np.float64(0.125), "weight_decay": np.float64(0.5)},
        {"lr": lambda step: np.float64(0.125)},
    ],
    ids=["float", "np.float64", "schedule"],
)
def test_float32_parameters_stay_float32(kind, options):
    optimizer, params = kind(**options), {"p": np.ones(2, "float32")}
    new, state = optimizer.step(params, params, optimizer.init(params))
    assert new["p"].dtype == "float32"
    moments = [leaf for leaf in state.values() if isinstance(leaf, np.ndarray)]
    assert all(leaf.dtype == "float32" for leaf in moments)


# In place


def pure_step(optimizer, p, g, state):
    """One step of the rule on vectors, written without in-place operations."""
    g = g + optimizer.weight_decay * p if optimizer.weight_decay else g
    if isinstance(optimizer, Adam):
        size, eps = optimizer.rates(state["step"])
        m = state["m"] + (1 - optimizer.beta1) * (g - state["m"])
        v = optimizer.beta2 * state["v"] + (1 - optimizer.beta2) * g * g
        moments = {"m": m, "v": v}
        p = p - size * m / (np.sqrt(v) + eps)
    else:
        velocity, mu = state["velocity"], optimizer.momentum
        if mu:
            velocity = mu * velocity + g
            g = g + mu * velocity if optimizer.nesterov else velocity
        moments = {"velocity": velocity}
        p = p - rate_at(optimizer.lr, state["step"]) * g
    return p, {"step": state["step"] + 1, **moments}


@pytest.fixture(params=[2, 7, 29, None])  # of 29 numbers
def in_blocks(request, monkeypatch):
    """Updates go in blocks of so many entries, on three threads; None: in one call."""
    if request.param is None:
        return
    costs = blocks.machine(CPU_FLOAT32)._replace(part=0.0)
    monkeypatch.setattr(blocks, "machine", lambda kind: costs)
    monkeypatch.setattr(blocks, "FEWEST", 0)
    monkeypatch.setattr(blocks, "cut", lambda size, most, cut=blocks.cut: cut(size, request.param))
    monkeypatch.setattr(threads, "available", lambda: 3)


@both_dtypes
@every_optimizer
def test_steps_have_the_bits_of_the_rule(in_blocks, kind, options, dtype):
    rng, optimizer = np.random.default_rng(11), kind(**{**options, "lr": Step((0.1, 0.05), (2,))})
    params = draw(rng, dtype)
    p = expected = tree.ravel(params)
    assert p.size == 29
    expected_state = optimizer.init(params)
    state, in_place = optimizer.init(params), optimizer.init(params)
    p = p.copy()
    for _ in range(5):
        grads = draw(rng, dtype)
        expected, expected_state = pure_step(optimizer, expected, tree.ravel(grads), expected_state)
        params, state = optimizer.step(params, grads, state)
        new, in_place = optimizer.advance(p, tree.ravel(grads), in_place)
        assert new is p
        for found in (tree.ravel(params), p):
            assert found.tobytes() == expected.tobytes()
        for found in (state, in_place):
            assert found.keys() == expected_state.keys()
            assert all(np.array_equal(found[name], expected_state[name]) for name in found)


@pytest.mark.parametrize("optimizer", [SGD(Fraction(1, 4), Fraction(1, 2), True), SGD(1)], ids=repr)
def test_steps_on_exact_numbers_are_exact_and_write_into_nothing(optimizer):
    params, grads = (np.asarray([Fraction(k, d) for k in (1, -2, 5)]) for d in (3, 7))
    copies, state = (params.copy(), grads.copy()), optimizer.init(params)
    expected, expected_state = params, state
    found = params
    for _ in range(3):
        expected, expected_state = pure_step(optimizer, expected, grads, expected_state)
        found, state = optimizer.step(found, grads, state)
    assert found.tolist() == expected.tolist()
    assert all(type(value) is Fraction for value in found)
    assert params.tolist() == copies[0].tolist() and grads.tolist() == copies[1].tolist()


@every_optimizer
def test_steps_in_place_on_every_array_library_are_the_pure_ones(float_backend, kind, options):
    rng, optimizer = np.random.default_rng(12), kind(**options)
    params = tree.map(float_backend.xp.asarray, draw(rng, float_backend.kind))
    state, other, p = optimizer.init(params), optimizer.init(params), tree.ravel(params)
    for _ in range(3):
        grads = tree.map(float_backend.xp.asarray, draw(rng, float_backend.kind))
        params, state = optimizer.step(params, grads, state)
        p, other = optimizer.advance(p, tree.ravel(grads), other)
    assert to_numpy(p).tobytes() == to_numpy(tree.ravel(params)).tobytes()


def test_the_average_in_place_has_the_bits_of_the_pure_one(in_blocks):
    rng, ema = np.random.default_rng(13), EMA(0.9)
    average = draw(rng, "float32")
    vector = tree.ravel(average)
    for _ in range(3):
        params = draw(rng, "float32")
        expected = 0.9 * tree.ravel(average) + (1 - 0.9) * tree.ravel(params)
        average = ema.update(average, params)
        assert ema.advance(vector, tree.ravel(params)) is vector
        assert vector.tobytes() == tree.ravel(average).tobytes() == expected.tobytes()


def test_the_factor_of_clipping_is_that_of_the_tree():
    grads = draw(np.random.default_rng(14), "float32")
    clipped, norm = clip_by_global_norm(grads, 0.5)
    same, factor = clipping(tree.ravel(grads), 0.5)
    assert norm == same and (tree.ravel(grads) * factor).tobytes() == tree.ravel(clipped).tobytes()


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_no_two_vectors_of_a_fresh_state_share_their_numbers(kind):
    optimizer = kind(0.1, 0.5)
    vectors = [v for v in optimizer.init({"p": np.ones(3)}).values() if isinstance(v, np.ndarray)]
    assert not np.shares_memory(vectors[0], vectors[-1]) or len(vectors) == 1


# What is refused


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize(
    ("grads", "message"),
    [
        (
            {"a": np.ones((2, 1)), "b": np.ones(3)},
            r"a gradient has shape \(2, 1\), its parameter \(2,\)",
        ),
        ({"a": np.ones(2)}, "trees differ"),
        ({"a": np.ones(2), "c": np.ones(3)}, "trees differ"),
        ({"a": np.ones(2), "b": np.ones(3), "c": np.ones(1)}, "trees differ"),
        ((np.ones(2), np.ones(3)), "trees differ"),
    ],
    ids=["shape", "missing", "other", "extra", "tuple"],
)
def test_gradients_that_do_not_fit_are_refused(kind, grads, message):
    params = {"a": np.ones(2), "b": np.ones(3)}
    optimizer = kind(0.1)
    with pytest.raises(ShapeError, match=message):
        optimizer.step(params, grads, optimizer.init(params))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"a": np.ones((2, 1))}, ShapeError, r"a parameter has shape \(2, 1\), its average \(2,\)"),
        ({"a": np.ones(2, "float32")}, DtypeError, "dtype float32, its average float64"),
        ({"b": np.ones(2)}, ShapeError, "trees differ"),
    ],
    ids=["shape", "dtype", "name"],
)
def test_parameters_that_do_not_fit_their_average_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        EMA(0.5).update({"a": np.ones(2)}, params)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_leaves_of_mixed_dtypes_are_refused(kind):
    params = {"a": np.ones(2, "float32"), "b": np.ones(2, "float64")}
    with pytest.raises(DtypeError, match=r"leaves have dtypes \['float32', 'float64'\]"):
        kind(0.1).step(params, params, {"step": 0, "velocity": None, "m": 0, "v": 0})


def test_leaves_of_mixed_dtypes_are_refused_when_there_is_momentum():
    params = {"a": np.ones(2, "float32"), "b": np.ones(2, "float64")}
    for optimizer in (SGD(0.1, momentum=0.5), Adam()):
        with pytest.raises(DtypeError, match=r"leaves have dtypes \['float32', 'float64'\]"):
            optimizer.init(params)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_gradients_of_another_dtype_than_the_parameters_are_refused(kind):
    params, grads = {"p": np.ones(2, "float32")}, {"p": np.ones(2, "float64")}
    optimizer = kind(0.1)
    with pytest.raises(DtypeError, match="a gradient has dtype float64, its parameter float32"):
        optimizer.step(params, grads, optimizer.init(params))


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_gradients_belong_to_parameters_by_name_and_not_by_order(kind):
    params = {"a": np.zeros(2), "b": np.zeros(2)}
    grads = {"b": np.full(2, 5.0), "a": np.zeros(2)}
    optimizer = kind(1.0)
    new, _ = optimizer.step(params, grads, optimizer.init(params))
    assert np.all(new["a"] == 0) and np.all(new["b"] != 0)


def test_rates_of_a_schedule_that_are_none_are_refused_when_they_come():
    params = {"p": np.ones(1)}
    optimizer = SGD(lambda step: 0.1 - step)
    params, state = optimizer.step(params, params, optimizer.init(params))
    with pytest.raises(ConventionError, match=r"lr is -0\.9, expected a number >= 0"):
        optimizer.step(params, params, state)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SGD, {"lr": -0.1}, "lr is -0.1, expected a number >= 0 or a schedule"),
        (
            SGD,
            {"lr": float("inf")},
            "lr is inf, expected a number >= 0 or a schedule, not infinity",
        ),
        (SGD, {"lr": 10**400}, r"lr is 10+\.\.\. \(401 characters\), expected a number"),
        (SGD, {"lr": 0.1, "momentum": 10**400}, r"momentum is 10+\.\.\. \(401 char"),
        (Adam, {"eps": 10**400}, r"eps is 10+\.\.\. \(401 characters\), expected a positive"),
        (SGD, {"lr": Constant}, r"lr is <class .*Constant'>, .*; call the class, Constant\(...\)"),
        (SGD, {"lr": 0.1, "nesterov": 1}, "nesterov is 1, expected True or False"),
        (
            SGD,
            {"lr": 0.1, "weight_decay": float("inf")},
            "weight_decay is inf, expected a number >=",
        ),
        (Adam, {"lr": True}, "lr is True, expected a number"),
        (Adam, {"eps": float("inf")}, "eps is inf, expected a positive number, not infinity"),
        (SGD, {"lr": "0.1"}, "lr is '0.1', expected a number"),
        (SGD, {"lr": True}, "lr is True, expected a number"),
        (SGD, {"lr": float("nan")}, "lr is nan, expected a number"),
        (SGD, {"lr": 0.1, "momentum": 1}, r"momentum is 1, expected a number in \[0, 1\)"),
        (SGD, {"lr": 0.1, "momentum": -0.5}, "momentum is -0.5"),
        (SGD, {"lr": 0.1, "momentum": True}, "momentum is True"),
        (SGD, {"lr": 0.1, "nesterov": True}, "nesterov=True needs a positive momentum"),
        (SGD, {"lr": 0.1, "weight_decay": -1}, "weight_decay is -1, expected a number >= 0"),
        (SGD, {"lr": 0.1, "weight_decay": "1"}, "weight_decay is '1'"),
        (Adam, {"lr": -1}, "lr is -1"),
        (Adam, {"beta1": 1.0}, "beta1 is 1.0"),
        (Adam, {"beta2": -0.1}, "beta2 is -0.1"),
        (Adam, {"beta2": float("nan")}, "beta2 is nan"),
        (Adam, {"eps": 0}, "eps is 0, expected a positive number"),
        (Adam, {"eps": float("nan")}, "eps is nan, expected a positive number"),
        (Adam, {"weight_decay": float("nan")}, "weight_decay is nan"),
        (EMA, {"decay": 1}, r"decay is 1, expected a number in \[0, 1\)"),
        (EMA, {"decay": "0.9"}, "decay is '0.9'"),
    ],
    ids=str,
)
def test_hyper_parameters_out_of_range_are_refused(kind, options, message):
    with pytest.raises(ConventionError, match=message):
        kind(**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SGD, {"lr": None}),
        (SGD, {"lr": 0.1, "momentum": None}),
        (SGD, {"lr": 0.1, "weight_decay": None}),
        (Adam, {"eps": "1e-8"}),
        (EMA, {"decay": None}),
    ],
    ids=str,
)
def test_hyper_parameters_that_are_no_numbers_are_refused(kind, options):
    with pytest.raises(ConventionError, match="expected a"):
        kind(**options)
