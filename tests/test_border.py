"""The border of operators, cells and layers: one dtype, one library, errors that name arguments."""

import array_api_strict
import numpy as np
import pytest

from ttref import cells, fast, layers, ops, tree
from ttref.errors import ConventionError, DtypeError, ShapeError, TTRefError
from ttref.rng import generator
from ttref.testing.accuracy import draw_floats
from ttref.testing.cases import CASES, from_generator
from ttref.testing.cases.case import Case

INDEPENDENT = ("l2", "SGD", "Adam")  # leaves do not meet, or have a rule of their own
OPERATORS = [name for name in CASES if name not in INDEPENDENT]
ODD = {
    "none": None,
    "text": "x",
    "true": True,
    "nan": np.nan,
    "negative": -1,
    "list": [],
    "ragged": [[1], [1, 2]],
    "objects": np.array([object()], object),
    "masked": np.ma.masked_array(np.ones((2, 2)), [[0, 1], [0, 0]]),
    "matrix": np.ones((1, 2)).view(np.matrix),
    "empty": np.empty(0),
    "complex": np.ones((2, 2), complex),
    "date": np.array(["2020"], "datetime64[D]"),
    "texts": np.array(["a"]),
    "dict": {},
    "tuple": (1,),
    "record": np.ones(3, dtype=[("a", int)]),
    "number": np.float64(3),
}
LAYERS = [
    layers.Dense(4, 4),
    layers.TTDense([2, 2], [2, 2], 2),
    layers.Activation("relu"),
    layers.Dropout(0.5),
    layers.Flatten(),
    layers.BatchNorm(4),
    layers.GRU(4, 2),
    layers.LSTM(4, 2),
    layers.TTLSTM([2, 2], [2, 1], 2),
    layers.Conv2d(3, 4, 4),
    layers.Sequential([layers.Dense(4, 4), layers.Activation("tanh")]),
    layers.Bidirectional(layers.GRU(4, 2)),
    layers.TimeDistributed(layers.Dense(4, 4)),
]


def draw_case(name: str) -> Case:
    rng = generator(0)
    return draw_floats(CASES[name](from_generator(rng), rng), rng, "float32")


def converted(inputs, chosen, convert):
    """The inputs, one leaf of which is converted."""
    names = iter(tree.flatten(inputs))
    return tree.map(lambda x: convert(x) if next(names) == chosen else x, inputs)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_input_of_another_dtype_is_refused_or_alone(name):
    case = draw_case(name)
    leaves = tree.flatten(case.inputs)
    for leaf in leaves:
        inputs = converted(case.inputs, leaf, lambda x: x.astype("float64"))
        if len(leaves) == 1 or "statistics" in leaf:
            continue
        with pytest.raises(DtypeError, match=r"has dtype .* give all arrays of a call one dtype"):
            case.forward(inputs)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_gradient_has_the_dtype_of_what_it_is_the_gradient_of(name):
    case = draw_case(name)
    if case.backward is None:
        return
    y, cache = case.forward(case.inputs)
    gradients = tree.flatten(case.backward(case.dy.astype(y.dtype), cache))
    for leaf, x in tree.flatten(case.inputs).items():
        assert gradients[leaf].dtype == x.dtype == np.float32


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_cotangent_of_another_dtype_is_refused(layer):
    if type(layer).__name__ in ("Flatten", "Dropout"):  # they only move numbers
        return
    params = layer.init(0)
    shape = (2, 3, 4) if hasattr(layer, "cell") or "B" in type(layer).__name__[:1] else (2, 4)
    shape = {"Conv2d": (2, 5, 5, 4), "BatchNorm": (2, 4), "TimeDistributed": (2, 3, 4)}.get(
        type(layer).__name__, shape
    )
    y, cache = layer.forward(params, np.ones(shape, np.float32))
    with pytest.raises(DtypeError, match="dtype float64"):
        layer.backward(np.ones(y.shape), cache)
    with pytest.raises(TTRefError):
        layer.forward(params, np.ones(shape, np.float64)) if params else layer.forward(params, "x")


@pytest.mark.parametrize("operator", [ops.linear, fast.linear, layers.Dense(4, 3)])
def test_libraries_are_not_mixed(operator):
    params = {"kernel": array_api_strict.ones((4, 3)), "bias": array_api_strict.ones((3,))}
    with pytest.raises(DtypeError, match=r"of one library|of different array libraries"):
        operator.forward(params, np.ones((2, 4)))


def attempts():
    """``(label, call)`` of every public pass with an odd argument in each place."""
    modules = {f"ops.{name}": getattr(ops, name) for name in ops.__all__}
    modules |= {f"fast.{name}": getattr(fast, name) for name in fast.__all__}
    del modules["fast.recurrence"]
    x = np.ones((2, 4))
    for odd in ODD.values():
        for label, module in modules.items():
            named = dict.fromkeys(("kernel", "cores", "filters", "bias"), odd)
            for first, second in ((odd, x), (x, odd), (odd, odd), ({}, odd), (named, x)):
                yield f"{label}.forward", module.forward, (first, second)
                yield f"{label}.forward", module.forward, (first, second, odd)
            yield f"{label}.backward", module.backward, (x, odd)
            yield f"{label}.backward", module.backward, (odd, odd)
            yield f"{label}.forward", module.forward, (odd,)
        for layer in LAYERS:
            params = layer.init(0)
            yield f"{layer}.forward", layer.forward, (params, odd)
            yield f"{layer}.forward", layer.forward, (odd, x.astype("float32"))
            yield f"{layer}.backward", layer.backward, (odd, odd)
            yield f"{layer}.backward", layer.backward, (x.astype("float32"), odd)
        yield from attempts_of_cells(odd)


def attempts_of_cells(odd):
    h = np.ones((2, 3))
    for cell in (cells.RNNCell(), cells.GRUCell(), cells.LSTMCell()):
        params = {"recurrent": np.ones((3, 3 * cell.gates))}
        p = np.ones((2, 3 * cell.gates))
        state = (h,) * cell.states
        _, cache = cell.forward(params, state, p)
        odds = (odd,) * cell.states
        for args in ((odd, state, p), (params, odd, p), (params, state, odd), (params, odds, p)):
            yield f"{cell}.forward", cell.forward, args
        yield f"{cell}.forward", cell.forward, (params, state, p, odd)
        for args in ((odd, cache), (odds, cache), (state, odd)):
            yield f"{cell}.backward", cell.backward, args


@pytest.mark.filterwarnings("ignore")
def test_odd_arguments_of_every_pass_give_errors_of_one_line():
    refused = 0
    for label, call, args in attempts():
        try:
            call(*args)
        except TTRefError as error:
            refused += 1
            assert "\n" not in str(error), label
        except Exception as error:
            pytest.fail(f"{label} of {args!r:.200} raises {type(error).__name__}: {error}")
    assert refused > 4000


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.linear.forward(np.ones((2, 4)), {}), ConventionError, "params is a float64"),
        (lambda: ops.linear.forward({}, np.ones((2, 4))), ConventionError, "have no 'kernel'"),
        (lambda: ops.linear.forward({"kernel": [[1.0]]}, np.ones((2, 1))), ShapeError, "kernel is"),
        (lambda: ops.linear.forward({}), ConventionError, "missing a required argument: 'x'"),
        (
            lambda: ops.softmax.backward(
                np.ones((2, 4)), ops.activation.forward({}, np.ones((2, 4)), "tanh")[1]
            ),
            ConventionError,
            "cache is a ttref.ops.activation.Cache, expected the one .* of ops.softmax returned",
        ),
        (
            lambda: layers.Dense(4, 3).backward(np.ones((2, 3)), layers.Dropout(0).forward({}, 1)),
            TTRefError,
            "x is a int 1, expected an array",
        ),
        (
            lambda: ops.mean_squared_error.backward(
                np.ones(3), ops.mean_squared_error.forward(np.ones((2, 4)), np.ones((2, 4)))[1]
            ),
            ShapeError,
            r"dloss has shape \(3,\), expected \(\)",
        ),
        (
            lambda: ops.tt_linear.forward({"cores": np.float64(1)}, np.ones((2, 4))),
            TTRefError,
            "cores is a",
        ),
    ],
)
def test_the_argument_that_is_wrong_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


W = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.linear.forward(params={"kernel": np.ones((4, 3))}, x=W),
        lambda: ops.linear.forward({"kernel": np.ones((4, 3))}, x=W),
        lambda: layers.Dense(4, 3).forward(layers.Dense(4, 3).init(0, "float64"), x=W),
        lambda: ops.dropout.forward({}, W, np.ones((2, 4))),
        lambda: ops.dropout.forward({}, W, mask=np.ones((2, 4))),
        lambda: ops.mean_squared_error.forward(W, W, np.ones(2)),
        lambda: ops.mean_squared_error.forward(W, W, sample_weight=np.ones(2)),
        lambda: ops.softmax_cross_entropy.forward(W, np.array([0, 1]), np.ones(2)),
        lambda: ops.softmax_cross_entropy.forward(W, np.ones((2, 4)) / 4),
        lambda: ops.linear.backward(
            dy=np.ones((2, 3)), cache=ops.linear.forward({"kernel": W.T @ W[:, :3]}, W)[1]
        ),
        lambda: layers.GRU(4, 2).forward(
            layers.GRU(4, 2).init(0), W[:, None, :], state=(np.ones((2, 2)),)
        ),
        lambda: cells.RNNCell().forward(
            {"recurrent": np.ones((2, 2), np.float32)}, (np.ones((2, 2)),), W[:, :2]
        ),
    ],
)
def test_every_array_of_a_call_is_compared_also_by_its_name(call):
    with pytest.raises(DtypeError, match=r"dtype float(32|64), but .* has float(64|32); give all"):
        call()


def test_labels_masks_and_selections_have_dtypes_of_their_own():
    labels = np.array([0, 1])
    loss, _ = ops.softmax_cross_entropy.forward(W, labels, class_mask=np.ones(4))
    assert loss.dtype == np.float32
    mask = np.ones((2, 1), bool)
    y, _ = layers.GRU(4, 2).forward(layers.GRU(4, 2).init(0), W[:, None, :], mask=mask)
    assert y.dtype == np.float32


class Own(layers.Layer):
    """A layer of one's own, whose errors are its own."""

    def forward(self, params, x, train=False, rng=None):
        raise ValueError("the rate is too high")


def test_an_error_of_ones_own_layer_is_raised_as_it_is():
    with pytest.raises(ValueError, match=r"^the rate is too high$") as found:
        Own().forward({}, W)
    assert not isinstance(found.value, TTRefError)


# complex numbers

Z = generator(3).integers(-4, 5, (2, 4)) + 1j * generator(4).integers(-4, 5, (2, 4))
KERNEL = generator(5).integers(-4, 5, (4, 3)) + 1j * generator(6).integers(-4, 5, (4, 3))
CORES = tuple(
    generator(k).integers(-2, 3, shape) + 1j * generator(k + 9).integers(-2, 3, shape)
    for k, shape in enumerate([(1, 2, 3, 2), (2, 2, 1, 1)])
)
IMAGE = Z.reshape(1, 2, 4, 1)


@pytest.mark.parametrize(
    ("op", "params", "x", "options"),
    [
        (ops.linear, {"kernel": KERNEL}, Z, ()),
        (fast.linear, {"kernel": KERNEL}, Z, ()),
        (ops.tt_linear, {"cores": CORES}, Z, ()),
        (fast.tt_linear, {"cores": CORES}, Z, ()),
        (ops.conv2d, {"kernel": KERNEL.reshape(2, 2, 1, 3)}, IMAGE, (1, "VALID")),
        (ops.avg_pool, {}, IMAGE, (2, 2, "VALID")),
        (ops.dropout, {}, Z, (np.full((2, 4), 2 + 0j),)),
        (ops.activation, {}, Z, ("identity",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_complex_gradients_are_those_without_a_conjugate(op, params, x, options):
    """``sum(dy * J v) == sum(dx * v)``, exactly, for a linear function: no conjugate."""
    y, cache = op.forward(params, x, *options)
    rng = generator(8)
    dy = rng.integers(-4, 5, y.shape) + 1j * rng.integers(-4, 5, y.shape)
    v = rng.integers(-4, 5, x.shape) + 1j * rng.integers(-4, 5, x.shape)
    _, dx = op.backward(dy, cache)
    assert np.sum(dy * op.forward(params, v, *options)[0]) == np.sum(dx * v)


def test_tanh_of_complex_numbers_has_the_slope_of_its_own():
    x = np.array([[0.3 + 0.4j, -0.2 - 0.1j]])
    _, cache = ops.activation.forward({}, x, "tanh")
    _, dx = ops.activation.backward(np.ones_like(x), cache)
    step = 1e-4  # a central difference errs by about step ** 2
    difference = (np.tanh(x + step) - np.tanh(x - step)) / (2 * step)
    assert np.max(np.abs(dx - difference)) <= 10 * step**2


@pytest.mark.parametrize("kind", sorted(set(ops.activation.FORWARD) - {"identity", "tanh"}))
def test_activations_of_real_numbers_refuse_complex_ones(kind):
    alpha = 0.5 if kind in ("leaky_relu", "elu") else None
    for op in (ops.activation, fast.activation):
        with pytest.raises(DtypeError, match=f"{kind} is a function of real numbers"):
            op.forward({}, Z, kind, alpha)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.softmax.forward({}, Z),
        lambda: ops.max_pool.forward({}, IMAGE, 2, 2, "VALID"),
        lambda: ops.batch_norm.forward({}, Z, 1e-3),
        lambda: ops.mean_squared_error.forward(Z, Z),
        lambda: ops.binary_cross_entropy.forward(Z, Z.real),
        lambda: ops.softmax_cross_entropy.forward(Z, np.array([0, 1])),
        lambda: ops.l2.forward({"w": Z}, {"w": 1.0}),
        lambda: layers.GRU(4, 2).forward(
            tree.map(lambda w: w * (1 + 0j), layers.GRU(4, 2).init(0, "float64")), Z[:, None, :]
        ),
    ],
)
def test_functions_of_real_numbers_refuse_complex_ones(call):
    with pytest.raises(DtypeError, match="of real numbers"):
        call()


def test_a_text_of_numpy_is_a_text():
    x = np.ones((2, 3), "float32")
    layer = layers.Dense(3, 4, activation=np.str_("relu"))
    params = layer.init(0)
    expected = layers.Dense(3, 4, activation="relu").forward(params, x)[0]
    assert (layer.forward(params, x)[0] == expected).all()
