"""The fast convolutions are the references, whatever the blocks, and keep to their memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fast.limits import limits
from ttref import ops, tree
from ttref.errors import RankError, ShapeError
from ttref.fast import conv2d, tt_conv2d
from ttref.layers import Conv2d, TTConv2d

RNG = np.random.default_rng
KINDS = {"objects": object, "integers": np.int64, "float32": np.float32, "float64": np.float64}


def integers(rng, *shape, kind=np.float32):
    """Small ones, as numbers of some kind."""
    return rng.integers(-3, 4, shape).astype(kind)


def run(op, params, x, dy, *hyper):
    """y and all gradients, by name; those of the parameters with and without dx."""
    y, cache = op.forward(params, x, *hyper)
    dy = np.resize(dy, y.shape)
    dparams, dx = op.backward(dy, cache)
    alone, none = op.backward(dy, cache, input_gradient=False)
    assert none is None
    return {"y": y, "x": dx, **tree.flatten(dparams), **tree.flatten({"alone": alone})}


def check_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        assert (found[name] == value).all(), name


@st.composite
def problems(draw):
    """``(B, H, W, C), (kh, kw), S, (strides, padding, dilation)`` and a seed."""
    kernel, strides, dilation = (
        (draw(st.integers(1, 4)), draw(st.integers(1, 4))) for _ in range(3)
    )
    padding = draw(st.sampled_from(("SAME", "VALID")))
    sizes = [
        (k - 1) * d * (padding == "VALID") + draw(st.integers(1, 8))
        for k, d in zip(kernel, dilation, strict=True)
    ]
    shape = (draw(st.integers(0, 4)), *sizes, draw(st.integers(1, 3)))
    S = draw(st.integers(1, 3))
    seed = draw(st.integers(0, 99))
    return shape, kernel, S, (strides, padding, dilation), seed


kinds = st.sampled_from(list(KINDS))


@given(problems(), kinds, st.booleans(), st.sampled_from((1, 40, 300, 2**18)), st.integers(1, 3))
def test_blocks_of_every_size_equal_the_reference_exactly(problem, kind, bias, cache, count):
    shape, kernel, S, hyper, seed = problem
    kind = KINDS[kind]
    rng = RNG(seed)
    params = {"kernel": integers(rng, *kernel, shape[3], S, kind=kind)}
    if bias:
        params["bias"] = integers(rng, S, kind=kind)
    x = integers(rng, *shape, kind=kind)
    dy = integers(rng, 97, kind=kind)
    with limits(conv2d, cache, count):
        found = run(conv2d, params, x, dy, *hyper)
    check_same(found, run(ops.conv2d, params, x, dy, *hyper))


@given(problems(), kinds, st.booleans(), st.integers(1, 4))
def test_filters_and_cores_of_every_size_equal_the_reference_exactly(problem, kind, bank, r):
    shape, kernel, S, hyper, seed = problem
    kind = KINDS[kind]
    rng = RNG(seed)
    if bank:
        params = {"filters": integers(rng, *kernel, r, kind=kind)}
        sizes = [(r, shape[3], 1, 2), (2, 1, S, 1)]
    else:
        params = {"bias": integers(rng, S, kind=kind)}
        sizes = [(1, kernel[0], 1, r), (r, kernel[1], 1, 2), (2, shape[3], S, 1)]
    params["cores"] = tuple(integers(rng, *size, kind=kind) for size in sizes)
    arguments = params, integers(rng, *shape, kind=kind), integers(rng, 97, kind=kind), kernel
    with limits(conv2d, 40):
        found = run(tt_conv2d, *arguments, *hyper)
    check_same(found, run(ops.tt_conv2d_full, *arguments, *hyper))


@pytest.mark.parametrize("name", ["conv2d", "tt_conv2d"])
def test_every_library_and_number_gives_the_same_integers(name, backend):
    rng = RNG(1)
    op = {"conv2d": conv2d, "tt_conv2d": tt_conv2d}[name]
    if name == "conv2d":
        params = {"kernel": integers(rng, 3, 2, 4, 6)}
        hyper = ((2, 1),)
    else:
        cores = integers(rng, 3, 2, 3, 2), integers(rng, 2, 2, 2, 1)
        params = {"filters": integers(rng, 3, 2, 3), "cores": cores}
        hyper = ((3, 2), (2, 1))
    inputs = {**params, "bias": integers(rng, 6)}, integers(rng, 2, 5, 4, 4)
    dy = integers(rng, 2, 3, 4, 6)

    def results(array):
        params, x = tree.map(array, inputs)
        y, cache = op.forward(params, x, *hyper)
        dparams, dx = op.backward(array(dy), cache)
        return {"y": y, "x": dx, **tree.flatten(dparams)}

    found = results(backend.array)
    for leaf, value in results(lambda a: a).items():
        assert found[leaf].dtype == backend.dtype
        given = found[leaf].get() if hasattr(found[leaf], "get") else np.asarray(found[leaf])
        assert (given == value).all(), leaf


def test_the_layers_run_these_operators(monkeypatch):
    x = np.ones((1, 4, 4, 4), "float32")
    layers = Conv2d(3, 4, 4), *(TTConv2d(3, [4], [4], 2, form=f) for f in ("full", "direct"))
    for layer in layers:
        params, called = layer.init(0), []
        with monkeypatch.context() as patch:
            real = conv2d.forward
            patch.setattr(conv2d, "forward", lambda *a, r=real, c=called: c.append(a) or r(*a))
            y, cache = layer.forward(params, x)
        assert called
        assert layer.backward(y, cache)[1].shape == x.shape


def test_no_argument_is_written_and_layouts_make_no_difference():
    rng = RNG(2)
    params = {"kernel": integers(rng, 3, 3, 4, 5), "bias": integers(rng, 5)}
    x, dy = integers(rng, 3, 7, 6, 4), integers(rng, 3, 4, 3, 5)
    before = tree.map(np.copy, (params, x, dy))
    expected = run(conv2d, params, x, dy, 2)
    check_same(tree.flatten((params, x, dy)), tree.flatten(before))
    turned = tree.map(lambda a: np.asfortranarray(a[::-1])[::-1], (params, x, dy))
    check_same(run(conv2d, *turned, 2), expected)


@pytest.mark.parametrize("count", [1, 2])
def test_two_calls_give_the_same_bits(count):
    rng = RNG(3)
    params = {"kernel": rng.standard_normal((3, 3, 8, 8), "float32")}
    x, dy = rng.standard_normal((2, 6, 16, 16, 8), "float32")
    with limits(conv2d, 2**12, count):
        check_same(run(conv2d, params, x, dy), run(conv2d, params, x, dy))


SLACK = 2**15  # bytes of Python's own: lists of blocks, closures


@pytest.mark.parametrize(("strides", "count"), [(1, 1), (1, 2), (2, 2)])
def test_memory_is_that_of_blocks_as_the_docstrings_say(strides, count):
    """For the whole batch, a stride of 1 would need 2.4 MB."""
    rng = RNG(4)
    cache = 2**13
    params = {"kernel": integers(rng, 3, 3, 16, 16), "bias": integers(rng, 16)}
    x = integers(rng, 16, 16, 16, 16)
    y, kept = conv2d.forward(params, x, strides)
    allowed = SLACK + 4 * 4 * cache * count
    with limits(conv2d, cache, count):
        assert peak(lambda: conv2d.forward(params, x, strides)) <= y.nbytes + allowed
        allowed += (2 * count + 1) * params["kernel"].nbytes
        assert peak(lambda: conv2d.backward(y, kept)) <= x.nbytes + allowed
        assert peak(lambda: conv2d.backward(y, kept, False)) <= allowed


def peak(call):
    """Bytes that a call allocates at most, its results among them."""
    call()
    tracemalloc.start()
    call()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


X = np.ones((2, 5, 4, 4))
CORES = np.ones((3, 2, 3, 2)), np.ones((2, 2, 2, 1))
TRAIN = {"filters": np.ones((3, 2, 3)), "cores": CORES}
BAD = [
    (
        lambda: conv2d.forward({"kernel": np.ones((3, 3, 4))}, X),
        ShapeError,
        r"kernel has shape \(3",
    ),
    (lambda: conv2d.forward({"kernel": np.ones((3, 3, 3, 2))}, X), ShapeError, r"any, any, 3\)"),
    (
        lambda: tt_conv2d.forward(TRAIN, X[..., 1:], (3, 2)),
        ShapeError,
        r"windows of 3 x 2 pixels see 18 numbers .* \(2, 5, 4, 3\); .* make 24, expected as many",
    ),
    (lambda: tt_conv2d.forward(TRAIN, X, 3), ShapeError, r"filters has shape .* \(3, 3, any\)"),
    (lambda: tt_conv2d.forward({"cores": CORES}, X, 3), RankError, "core 0 has left rank 3"),
    (lambda: tt_conv2d.forward(TRAIN, X[0], (3, 2)), ShapeError, r"x has shape \(5, 4, 4\)"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


@pytest.mark.parametrize("op", [conv2d, tt_conv2d])
def test_a_bias_and_a_cotangent_of_another_shape_are_refused(op):
    params = {"kernel": np.ones((3, 2, 4, 6))} if op is conv2d else TRAIN
    kernel = () if op is conv2d else ((3, 2),)
    with pytest.raises(ShapeError, match=r"bias has shape \(5,\), expected \(6,\)"):
        op.forward(params | {"bias": np.ones(5)}, X, *kernel)
    y, cache = op.forward(params, X, *kernel)
    with pytest.raises(ShapeError, match=r"dy has shape \(1, 5, 4, 6\), expected \(2, 5, 4, 6\)"):
        op.backward(y[:1], cache)
