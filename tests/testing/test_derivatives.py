"""jvp and hvp: exact by other formulas, on every kind of number, layer and array library."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttref
from ttref import cells, functions, losses, ops, scan, tree
from ttref.arithmetic import ball, rational
from ttref.arrays import to_numpy
from ttref.errors import (
    ConventionError,
    DataError,
    DtypeError,
    InexactError,
    MissingExtraError,
    ShapeError,
    UndecidableError,
)
from ttref.testing import hvp, jvp

needs_balls = pytest.mark.skipif(not ball.available(), reason="python-flint is not installed")
THREE = np.asarray([[3]])
seeds = st.integers(0, 2**32 - 1)


def draw(seed, *shapes):
    """Integers as Python objects, one array per shape."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-5, 6, shape).astype(object) for shape in shapes]


def normal(rng, like):
    return tree.map(lambda a: rng.normal(size=a.shape), like)


def exactly(x):
    """The exact values of floats, as Fractions."""
    return np.asarray(np.frompyfunc(Fraction, 1, 1)(x), object)


def inner(a, b):
    """``<a, b>`` of trees of floats, without rounding."""
    b = tree.flatten(b)
    return sum((exactly(x) * exactly(b[name])).sum() for name, x in tree.flatten(a).items())


@given(seeds)
def test_the_tangent_of_a_product_is_that_of_the_product_rule(seed):
    x, u, W, V = draw(seed, (2, 3), (2, 3), (3, 4), (3, 4))
    y, tangent = jvp(ops.linear, ({"kernel": W}, x), ({"kernel": V}, u))
    assert (y == x @ W).all()
    assert (tangent == u @ W + x @ V).all()


@given(seeds)
def test_the_hessian_of_a_product_swaps_its_factors(seed):
    x, u, W, V, dy = draw(seed, (2, 3), (2, 3), (3, 4), (3, 4), (2, 4))
    gradient, product = hvp(ops.linear, ({"kernel": W}, x), ({"kernel": V}, u), dy)
    assert (gradient[0]["kernel"] == x.T @ dy).all()
    assert (gradient[1] == dy @ W.T).all()
    assert (product[0]["kernel"] == u.T @ dy).all()
    assert (product[1] == dy @ V.T).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rational_results_are_the_exact_ones_rounded_once(dtype):
    rng = np.random.default_rng(0)
    x, u, W, V = (rng.normal(size=s).astype(dtype) for s in ((2, 3), (2, 3), (3, 4), (3, 4)))
    y, tangent = jvp(ops.linear, ({"kernel": W}, x), ({"kernel": V}, u))
    expected = exactly(u) @ exactly(W) + exactly(x) @ exactly(V)
    assert tangent.dtype == y.dtype == dtype
    assert (tangent == rational.to_float(expected, dtype)).all()
    assert (y == rational.to_float(exactly(x) @ exactly(W), dtype)).all()


@needs_balls
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_from_balls_are_those_of_the_formula_to_half_an_ulp(dtype):
    """``f = sum(tanh(x))``: ``H v = -2 y (1 - y^2) v``."""
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=(2, 50)).astype(dtype)
    found = hvp(ttref.Activation("tanh"), ({}, x), ({}, v), np.ones(50, dtype)).product[1]
    with ball.precision(300):
        y = functions.tanh(ball.lift(x))
        expected = -2 * y * (1 - y * y) * ball.lift(v)
        error = ball.distance(found, expected)
    assert found.dtype == dtype
    assert (error <= (0.5 + 2.0**-10) * np.spacing(abs(found))).all()


LAYERS = {
    "TTDense": (ttref.TTDense([2, 3], [3, 2], 2, activation="tanh"), (3, 6)),
    "Conv2d": (ttref.Conv2d((2, 2), 2, 2), (2, 3, 3, 2)),
    "TTConv2d": (ttref.TTConv2d((2, 2), [2, 1], [1, 2], 2), (1, 3, 3, 2)),
    "BatchNorm": (ttref.BatchNorm(3), (4, 3)),
    "TTGRU": (ttref.TTGRU([2, 1], [1, 2], 2), (2, 3, 2)),
    "LSTM": (ttref.LSTM(2, 2, recurrent_activation="sigmoid"), (2, 3, 2)),
    "Sequential": (
        ttref.Sequential([ttref.Dense(4, 3, activation="gelu"), ttref.Dense(3, 2)]),
        (2, 4),
    ),
}


@needs_balls
@pytest.mark.parametrize("name", LAYERS)
def test_for_layers_jvp_is_adjoint_to_the_gradient_and_the_hessian_symmetric(name):
    layer, shape = LAYERS[name]
    rng = np.random.default_rng(1)
    params = layer.init(0, "float64")
    primals = params, rng.normal(size=shape)
    v = normal(rng, primals)
    w = normal(rng, primals)
    if "statistics" in params:  # which have no gradient
        for direction in (v, w):
            direction[0]["statistics"] = tree.zeros_like(params["statistics"])
    train = {"train": True}
    y, Jv = jvp(layer, primals, v, options=train)
    dy = rng.normal(size=y.shape)
    gradient, Hv = hvp(layer, primals, v, dy, options=train)
    Hw = hvp(layer, primals, w, dy, options=train).product

    def allowed(*pairs):
        """Each product has one rounding of its first factor, of at most a unit roundoff."""
        return 2.0**-52 * sum(inner(tree.map(abs, a), tree.map(abs, b)) for a, b in pairs)

    assert abs(inner(gradient, v) - inner(Jv, dy)) <= allowed((gradient, v), (Jv, dy))
    assert abs(inner(Hv, w) - inner(Hw, v)) <= allowed((Hv, w), (Hw, v))
    assert max(abs(leaf).max() for leaf in tree.leaves(Hv)) > 1e-3


@pytest.mark.witness
@needs_balls
def test_torch_finds_the_same_hessian_vector_product():
    """Torch rounds each of some dozens of operations: 1e-12 is above 1000 unit roundoffs."""
    torch = pytest.importorskip("torch")
    layer, shape = LAYERS["TTDense"]
    params = tree.map(lambda a: torch.tensor(a), layer.init(0, "float64"))
    x = torch.ones(shape, dtype=torch.float64)
    leaves = (*params["cores"], params["bias"], x)
    rng = np.random.default_rng(0)
    v = tuple(torch.tensor(rng.normal(size=tuple(leaf.shape))) for leaf in leaves)

    def f(a, b, bias, x):
        return layer.forward({"cores": (a, b), "bias": bias}, x)[0].sum()

    _, expected = torch.autograd.functional.hvp(f, leaves, v)
    tangents = {"cores": v[:2], "bias": v[2]}, v[3]
    found = hvp(layer, (params, x), tangents, torch.ones(3, 6, dtype=torch.float64)).product
    for a, b in zip(tree.leaves(found), expected, strict=True):
        assert a.dtype == torch.float64
        assert torch.allclose(a, b, rtol=0, atol=1e-12 * float(abs(b).max()))


def cube(x, W):
    return ((x @ W) ** 3).sum()


def cube_vjp(dy, x, W):
    slope = 3 * dy * (x @ W) ** 2
    return slope @ W.T, x.T @ slope


@given(seeds)
def test_a_function_has_the_same_hessian_with_its_gradient_and_without(seed):
    x, u, W, V = draw(seed, (2, 2), (2, 2), (2, 3), (2, 3))
    with_vjp = hvp(cube, (x, W), (u, V), vjp=cube_vjp)
    alone = hvp(cube, (x, W), (u, V))
    z = x @ W
    dz = u @ W + x @ V
    # the derivative of (3 z^2) W^T along (u, V)
    assert (with_vjp.product[0] == (6 * z * dz) @ W.T + (3 * z**2) @ V.T).all()
    for found, expected in zip(alone, with_vjp, strict=True):
        assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_a_constant_gets_no_product_and_another_direction_none_of_its_share():
    x, u, W = draw(3, (2, 2), (2, 2), (2, 3))
    zero = W * 0
    alone = hvp(cube, (x, W), (u, None))
    expected = hvp(cube, (x, W), (u, zero), vjp=cube_vjp)
    assert alone.product[1] is None
    assert alone.gradient[1] is None
    assert (alone.product[0] == expected.product[0]).all()


def test_a_function_of_several_results_takes_a_cotangent_of_each():
    x = np.asarray([1.0, 2.0])
    v = np.asarray([1.0, 1.0])
    found = hvp(lambda x: (x**2, x**3), (x,), (v,), (np.asarray([1.0, 0.0]), None))
    assert found.product[0].tolist() == [2.0, 0.0]
    y, tangent = jvp(lambda x: {"square": x**2, "inverse": x**-1}, (x,), (v,))
    assert tangent["square"].tolist() == [2.0, 4.0]
    assert tangent["inverse"].tolist() == [-1.0, -0.25]
    assert y["inverse"].tolist() == [1.0, 0.5]


def test_constants_of_a_function_are_the_floats_that_they_are():
    x = np.asarray([3.0])
    found = jvp(lambda x: 0.1 * x * x + np.float64(0.3), (x,), (np.ones(1),))
    assert found.tangent == float(Fraction(0.1) * 6)
    assert found.y == float(Fraction(0.1) * 9 + Fraction(0.3))


def test_a_loss_pushes_through_its_gradient_as_well():
    prediction = np.asarray([[1.0, 2.0]])
    v = np.asarray([[1.0, 0.0]])
    primals = prediction, np.zeros((1, 2))
    loss, dprediction = jvp(losses.mean_squared_error, primals, (v, None)).tangent
    assert loss == 1
    assert dprediction.tolist() == [[1.0, 0.0]]


@needs_balls
def test_labels_and_masks_are_constants():
    """H of softmax cross-entropy at equal logits, of the 2 of 3 classes that take part."""
    logits = np.zeros((1, 3), "float32")
    v = np.asarray([[1.0, 0.0, 5.0]], "float32")
    primals = logits, np.asarray([1]), None, np.asarray([1, 1, 0])
    found = hvp(ops.softmax_cross_entropy, primals, (v, None, None, None)).product
    assert found.tolist() == [[0.25, -0.25, 0.0]]
    assert found.dtype == "float32"


def test_arrays_among_the_options_are_exact_constants():
    weights = np.asarray([0.1, 0.2, 0.3])
    prediction = np.ones((3, 1))
    options = {"sample_weight": weights}
    primals = prediction, np.zeros((3, 1))
    found = jvp(ops.mean_squared_error, primals, (prediction, None), options=options)
    assert found.y == 1  # the sum of the weights is not rounded
    assert found.tangent == 2


def test_the_callers_generator_and_arrays_stay_as_they_are():
    layer = ttref.Dropout(0.5)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    x = np.ones((4, 5))
    first = jvp(layer, ({}, x), ({}, x), options={"train": True, "rng": rng})
    second = jvp(layer, ({}, x), ({}, x), options={"train": True, "rng": rng})
    assert rng.bit_generator.state == before
    assert (first.tangent == second.tangent).all()
    assert set(np.unique(first.tangent)) == {0.0, 2.0}
    assert (x == 1).all()


def test_a_scan_and_its_last_state_have_a_hessian_too():
    cell = cells.RNNCell("identity")
    params = {"kernel": np.asarray([[1.0]]), "recurrent": np.asarray([[2.0]])}
    x = np.ones((1, 3, 1))
    v = {"kernel": None, "recurrent": np.ones((1, 1))}
    options = {"input_map": ops.linear}
    (_, state), tangent = jvp(scan, (cell, params, x), (None, v, None), options=options)
    assert state[0] == 7  # 1 + r + r^2 at r = 2, and its derivative 1 + 2 r
    assert tangent[1][0] == 5
    cotangent = None, (np.ones((1, 1)),)
    found = hvp(scan, (cell, params, x), (None, v, None), cotangent, options=options)
    assert found.gradient[0]["recurrent"] == 5
    assert found.product[0]["recurrent"] == 2


def test_every_library_gets_arrays_of_its_own(float_backend):
    x = float_backend.array(np.asarray([[1, 2]]))
    found = hvp(ops.mean_squared_error, (x, x), (x, None))
    assert type(found.product) is type(x)
    assert found.product.dtype == x.dtype
    assert to_numpy(found.product).tolist() == [[1.0, 2.0]]


def test_plain_numbers_are_arrays_of_no_axes():
    y, tangent = jvp(lambda x, y: x * y, (0.1, 0.3), (1.0, None))
    assert (y, tangent) == (float(Fraction(0.1) * Fraction(0.3)), 0.3)
    assert tangent.dtype == "float64"


def test_a_direction_of_floats_at_integers_is_lifted_to_fractions():
    found = jvp(ops.mean_squared_error, (THREE, 0 * THREE), (np.asarray([[0.1]]), None))
    assert found.tangent == 6 * Fraction(0.1)


def test_bfloat16_is_rounded_once_too():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[1.0, 3.0]], dtype=torch.bfloat16)
    found = jvp(lambda x: x * x / 7, (x,), (x,)).tangent
    assert found.dtype == torch.bfloat16
    exact = np.asarray([[Fraction(2, 7), Fraction(18, 7)]], object)
    assert (found.float().numpy() == rational.to_float(exact, "bfloat16")).all()


def test_exact_numbers_give_exact_numbers():
    x = np.asarray([[1, 2, 3]])
    found = hvp(ops.mean_squared_error, (x, x), (x, None)).product
    assert found.tolist() == [[Fraction(2, 3), Fraction(4, 3), 2]]


@needs_balls
def test_the_numbers_can_be_chosen():
    x = np.asarray([[1.0, 3.0]])
    for numbers in ("rationals", "balls"):
        found = hvp(ops.mean_squared_error, (x, x / 3), (x, None), numbers=numbers)
        assert found.product.tolist() == [[1.0, 3.0]]


@needs_balls
def test_the_root_of_a_number_that_is_no_square_is_a_ball():
    found = jvp(np.sqrt, (np.asarray([2.0, 4.0]),), (np.ones(2),))
    assert found.y.tolist() == [np.sqrt(2), 2.0]
    assert found.tangent.tolist() == [np.sqrt(2) / 4, 0.25]


@needs_balls
def test_a_comparison_that_balls_cannot_decide_is_an_error():
    def f(x):
        return functions.relu(functions.tanh(x) ** 2 + functions.tanh(x) * functions.tanh(-x))

    with pytest.raises(UndecidableError, match="cannot be told, even with 8192 bits"):
        jvp(f, (np.asarray([0.3]),), (np.ones(1),))


def test_balls_without_python_flint_are_refused(monkeypatch):
    monkeypatch.setattr(ball, "flint", None)
    with pytest.raises(MissingExtraError, match="certified balls need python-flint"):
        jvp(np.tanh, (np.ones(2),), (np.ones(2),))


X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (jvp, (3, (X,), (X,)), ConventionError, "f is a int, expected an operator or a layer"),
        (jvp, (np.tanh, X, (X,)), ConventionError, "primals is a float64 array .* expected a tup"),
        (jvp, (np.tanh, (X,), X), ConventionError, "tangents is a float64 array"),
        (jvp, (np.tanh, (X,), (X, X)), ShapeError, "there are 1 primals, but 2 tangents"),
        (jvp, (np.tanh, (X,), (X.T,)), ShapeError, r"argument 0 has shape \(3, 2\), expected \(2"),
        (
            jvp,
            (ops.linear, ({"kernel": X}, X), ({"bias": X}, X)),
            ShapeError,
            "the tangent of argument 0 is not a dict of 'kernel'",
        ),
        (jvp, (sum, ((X, X),), ((X,),)), ShapeError, "argument 0 is not a tuple of 2 branches"),
        (jvp, (np.tanh, (X + 1j,), (X,)), DtypeError, "have dtype complex128, expected one of"),
        (jvp, (np.tanh, (X.astype(np.longdouble),), (X,)), DtypeError, "expected one of bfloat16"),
        (jvp, (np.tanh, ("a",), ("b",)), DtypeError, "argument with a tangent is a <U1 array of"),
        (jvp, (np.tanh, (X * np.inf,), (X,)), DataError, "inf has no exact value"),
        (jvp, (np.arcsinh, (X,), (X,)), DtypeError, "arcsinh cannot compute with NumPy object"),
        (jvp, (lambda x: 1 / (x - x), (X,), (X,)), DataError, "divides by zero at these argume"),
        (hvp, (lambda x: x, (X,), (X,)), ConventionError, r"y is not a number \(shape \(2, 3\)\)"),
        (hvp, (lambda x: (x, x), (X,), (X,)), ConventionError, r"y is not a number \(tuple\)"),
        (hvp, (ops.softmax, ({}, X), ({}, X), X.T), ShapeError, r"dy has shape \(3, 2\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(function, arguments, error, message):
    if arguments[0] is ops.softmax and not ball.available():
        pytest.skip("python-flint is not installed")
    with pytest.raises(error, match=message):
        function(*arguments)


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(ConventionError, match="numbers is 'floats', expected one of 'auto'"):
        jvp(np.tanh, (X,), (X,), numbers="floats")
    with pytest.raises(ConventionError, match="vjp goes with a function; an operator has its"):
        hvp(ops.softmax, ({}, X), ({}, X), vjp=cube_vjp)
    with pytest.raises(InexactError, match="tanh has no value on rationals: tanh of"):
        jvp(np.tanh, (X,), (X,), numbers="rationals")


def test_exact_numbers_without_an_exact_value_are_refused():
    with pytest.raises(InexactError, match="tanh of int 1 has no exact value"):
        jvp(np.tanh, (X.astype(int),), (X,))


def test_a_wrong_backward_shows_in_its_hessian():
    """The product is that of the gradient as coded, so H is not symmetric."""

    def backward(dy, cache):
        dparams, dx = ops.linear.backward(dy, cache)
        return {"kernel": 2 * dparams["kernel"]}, dx

    wrong = SimpleNamespace(forward=ops.linear.forward, backward=backward)
    x, W, dy = draw(0, (2, 3), (3, 4), (2, 4))
    primals = {"kernel": W}, x
    v = {"kernel": W}, None
    w = {"kernel": None}, x
    Hv = hvp(wrong, primals, v, dy).product
    Hw = hvp(wrong, primals, w, dy).product
    assert (Hv[1] * x).sum() * 2 == (Hw[0]["kernel"] * W).sum() != 0
