"""Convolutions: exactly, in every form, on every library, by every witness."""

from itertools import product

import numpy as np
import pytest

from tests.amounts import amounts
from ttref import ops, tree
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, RankError, ShapeError
from ttref.ops import windows
from ttref.testing import check_op
from ttref.testing.cases.case import integers
from ttref.testing.cases.convolution import conv2d_by_entries, kernel_by_entries

RNG = np.random.default_rng


@amounts(12, many=50)
@pytest.mark.parametrize("name", ["conv2d", "tt_conv2d", "tt_conv2d_full"])
def test_definition_adjoint_and_lattice_hold_exactly_on_random_geometries(name, amount):
    report = check_op(name, **amount, seed=3)
    assert report.ok, report


def run(op, params, x, dy, **hyper):
    """``(y, {leaf: gradient})``."""
    y, cache = op.forward(params, x, **hyper)
    dparams, dx = op.backward(y if dy is None else dy, cache)
    return y, tree.flatten({**dparams, "x": dx})


GEOMETRIES = [
    {"strides": strides, "padding": padding, "dilation": dilation}
    for strides in ((1, 1), (2, 2), (2, 1), (3, 2))
    for padding in ("SAME", "VALID")
    for dilation in ((1, 1), (2, 1))
]
KERNELS = [(1, 1), (3, 3), (2, 2), (1, 3), (3, 2), (4, 1)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("direct", [False, True], ids=["filters", "direct"])
def test_sweep_full_kernel_and_definition_are_equal_for_every_geometry(kernel, direct):
    rng, n, m, r = RNG(0), (2, 3), (2, 2), (3, 2, 1)
    params = {"bias": integers(rng, (4,))}
    if direct:
        n, m, r = (*kernel, 6, 1), (1, 1, 1, 4), (1, 2, 3, 2, 1)
    else:
        params["filters"] = integers(rng, (*kernel, 3))
    params["cores"] = tuple(integers(rng, s) for s in zip(r[:-1], n, m, r[1:], strict=True))
    K = kernel_by_entries(params, kernel)
    dense = {"kernel": K, "bias": params["bias"]}
    for geometry, size in product(GEOMETRIES, [(8, 7), (7, 8)]):
        x = integers(rng, (1, *size, 6))
        y, gradients = run(ops.tt_conv2d, params, x, None, kernel=kernel, **geometry)
        y_full, gradients_full = run(ops.tt_conv2d_full, params, x, None, kernel=kernel, **geometry)
        y_dense, gradients_dense = run(ops.conv2d, dense, x, None, **geometry)
        assert (y == y_full).all() and (y == y_dense).all()
        assert (gradients["x"] == gradients_dense["x"]).all()
        assert gradients.keys() == gradients_full.keys()
        assert all((gradients[leaf] == gradients_full[leaf]).all() for leaf in gradients)
    assert (y == conv2d_by_entries(K, x, params["bias"], **geometry)).all()


def test_without_filters_a_kernel_of_one_pixel_is_tt_linear_on_pixels():
    rng = RNG(1)
    params = {"cores": (integers(rng, (1, 2, 3, 2)), integers(rng, (2, 2, 1, 1)))}
    x = integers(rng, (2, 3, 4, 4))
    y, _ = ops.tt_conv2d.forward(params, x, 1)
    assert (y.reshape(24, 3) == ops.tt_linear.forward(params, x.reshape(24, 4))[0]).all()


@pytest.mark.parametrize("nearest", [False, True])
def test_fold_is_the_adjoint_of_unfold(nearest):
    rng = RNG(2)
    for geometry in GEOMETRIES:
        x = integers(rng, (2, 7, 6, 2))
        axes = windows.axes_of((7, 6), (3, 2), **geometry)
        seen = windows.unfold(x, axes, nearest)
        dseen = integers(rng, seen.shape)
        assert (seen * dseen).sum() == (x * windows.fold(dseen, axes, nearest)).sum()


def test_padding_is_that_of_tensorflow():
    """Of an even kernel's odd padding the larger half comes last; strides leave rows out first."""
    axis = windows.axes_of((5, 4), (2, 3), (1, 2), "SAME")
    assert [a.before for a in axis] == [0, 0] and [a.out for a in axis] == [5, 2]
    axis = windows.axes_of((5, 5), (4, 3), (1, 2), "SAME")
    assert [a.before for a in axis] == [1, 1] and [a.out for a in axis] == [5, 3]
    axis = windows.axes_of((5, 6), (3, 3), (2, 2), "VALID")
    assert [a.before for a in axis] == [0, 0] and [a.out for a in axis] == [2, 2]


ALL_SIZES = [
    (size, kernel, stride, dilation, padding)
    for size in range(1, 9)
    for kernel in (1, 2, 3, 5)
    for stride in (1, 2, 3)
    for dilation in (1, 2)
    for padding in ("SAME", "VALID")
    if padding == "SAME" or size > (kernel - 1) * dilation
]


@pytest.mark.witness
def test_same_and_valid_are_those_of_jax_on_every_odd_and_even_size():
    jax, rng = pytest.importorskip("jax"), RNG(4)
    for size, kernel, stride, dilation, padding in ALL_SIZES[::11]:
        K = rng.integers(-3, 4, (kernel, 2, 2, 2)).astype("float32")
        x = rng.integers(-3, 4, (1, size, 5, 2)).astype("float32")
        y, _ = ops.conv2d.forward({"kernel": K}, x, (stride, 1), padding, (dilation, 1))
        expected = jax.lax.conv_general_dilated(
            x,
            K,
            (stride, 1),
            padding,
            rhs_dilation=(dilation, 1),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        assert (y == np.asarray(expected)).all(), (size, kernel, stride, dilation, padding)


@pytest.mark.witness
def test_convolutions_are_those_of_torch_where_torch_is_told_the_padding():
    torch, rng = pytest.importorskip("torch"), RNG(5)
    for size, kernel, stride, dilation, padding in ALL_SIZES[::2]:
        K = rng.integers(-3, 4, (kernel, kernel, 2, 3))
        x = rng.integers(-3, 4, (2, size, size, 2))
        total = 0
        if padding == "SAME":
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        x_t, K_t = (
            torch.tensor(np.transpose(a, axes), dtype=torch.float64, requires_grad=True)
            for a, axes in ((x, (0, 3, 1, 2)), (K, (3, 2, 0, 1)))
        )
        pads = (total // 2, total - total // 2) * 2
        y_t = torch.nn.functional.conv2d(
            torch.nn.functional.pad(x_t, pads), K_t, stride=stride, dilation=dilation
        )
        options = {"strides": stride, "padding": padding, "dilation": dilation}
        y, cache = ops.conv2d.forward({"kernel": K.astype(float)}, x.astype(float), **options)
        assert (y == y_t.detach().numpy().transpose(0, 2, 3, 1)).all()
        y_t.backward(y_t.detach())
        dparams, dx = ops.conv2d.backward(y, cache)
        assert (dparams["kernel"] == K_t.grad.numpy().transpose(2, 3, 1, 0)).all()
        assert (dx == x_t.grad.numpy().transpose(0, 2, 3, 1)).all()


def fixed_problem(name, batch=2):
    """``(params, x, dy, hyper)`` as integers."""
    rng = RNG(6)

    def draw(*shape):
        return rng.integers(-2, 3, shape)

    hyper = {"strides": (2, 1), "padding": "SAME"}
    if name == "conv2d":
        params = {"kernel": draw(3, 2, 4, 6), "bias": draw(6)}
    else:
        hyper["kernel"] = (3, 2)
        cores = draw(3, 2, 3, 2), draw(2, 2, 2, 1)
        params = {"filters": draw(3, 2, 3), "cores": cores, "bias": draw(6)}
    return params, draw(batch, 5, 4, 4), draw(batch, 3, 4, 6), hyper


NAMES = ["conv2d", "tt_conv2d", "tt_conv2d_full"]


def results(name, array, batch=2):
    params, x, dy, hyper = fixed_problem(name, batch)
    params, x, dy = tree.map(array, (params, x, dy))
    return run(getattr(ops, name), params, x, dy, **hyper)


@pytest.mark.parametrize("name", NAMES)
def test_every_library_and_number_gives_the_same_integers(name, backend):
    y, gradients = results(name, lambda a: a.astype(object))
    found_y, found = results(name, backend.array)
    assert (to_numpy(found_y) == y).all()
    assert found_y.dtype == backend.dtype
    for leaf, gradient in gradients.items():
        assert (to_numpy(found[leaf]) == gradient).all(), leaf
        assert found[leaf].dtype == backend.dtype


@pytest.mark.witness
@pytest.mark.parametrize("name", NAMES)
def test_the_autodiff_of_torch_through_our_forward_is_our_backward(name):
    torch = pytest.importorskip("torch")
    params, x, dy, hyper = fixed_problem(name)
    params, x, dy = tree.map(
        lambda a: torch.tensor(a, dtype=torch.float64, requires_grad=True), (params, x, dy)
    )
    getattr(ops, name).forward(params, x, **hyper)[0].backward(dy)
    _, gradients = results(name, lambda a: a.astype(float))
    for leaf, value in tree.flatten({**params, "x": x}).items():
        assert (value.grad.numpy() == gradients[leaf]).all(), leaf


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_gives_empty_results_and_zero_gradients(name):
    y, gradients = results(name, lambda a: a.astype("float32"), batch=0)
    assert y.shape == (0, 3, 4, 6) and gradients["x"].shape == (0, 5, 4, 4)
    assert not any(g.any() for g in gradients.values())


@pytest.mark.parametrize("name", NAMES)
def test_without_the_input_gradient_the_parameters_get_the_same(name):
    op, (params, x, dy, hyper) = getattr(ops, name), fixed_problem(name)
    _, cache = op.forward(params, x, **hyper)
    dparams, dx = op.backward(dy, cache, input_gradient=False)
    assert dx is None
    expected, _ = op.backward(dy, cache)
    leaves = zip(tree.leaves(dparams), tree.leaves(expected), strict=True)
    assert all((a == b).all() for a, b in leaves)


def conv(name, **changes):
    """The fixed problem, some of it changed."""
    params, x, _, hyper = fixed_problem(name)
    arguments = {"params": params, "x": x, **hyper} | changes
    return getattr(ops, name).forward(**arguments)


X = np.ones((2, 5, 4, 4))
BAD = [
    (lambda: conv("conv2d", x=X[0]), ShapeError, r"x has shape \(5, 4, 4\), expected \(any, any"),
    (lambda: conv("conv2d", x=X[..., 1:]), ShapeError, r"expected \(any, any, any, 4\)"),
    (lambda: conv("conv2d", padding="FULL"), ConventionError, "padding is 'FULL', expected one of"),
    (lambda: conv("conv2d", strides=(1, 2, 3)), ConventionError, "strides is .* one or two pos"),
    (lambda: conv("conv2d", strides=0), ConventionError, "strides is 0, expected a positive int"),
    (
        lambda: conv("conv2d", padding="VALID", dilation=3),
        ShapeError,
        "no window that spans 7 pixels fits into 5; use padding 'SAME' or larger",
    ),
    (lambda: conv("conv2d", x=X[:, :0]), ShapeError, "no window .* fits into 0$"),
    (lambda: conv("tt_conv2d", kernel=3), ShapeError, r"filters has shape .* \(3, 3, any\)"),
    (lambda: conv("tt_conv2d", x=X[..., 1:]), ShapeError, r"x has shape \(24, 18\)"),
    (lambda: conv("tt_conv2d_full", x=X[0]), ShapeError, r"x has shape \(5, 4, 4\)"),
    (
        lambda: conv("tt_conv2d", params={"cores": fixed_problem("tt_conv2d")[0]["cores"]}),
        RankError,
        "core 0 has left rank 3, expected r_0 = 1",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


@pytest.mark.parametrize("name", NAMES)
def test_a_cotangent_of_another_shape_is_refused(name):
    y, cache = conv(name)
    with pytest.raises(ShapeError, match=r"dy has shape \(1, 3, 4, 6\), expected \(2, 3, 4, 6\)"):
        getattr(ops, name).backward(y[:1], cache)
