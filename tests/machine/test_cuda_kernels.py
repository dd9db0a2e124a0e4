"""The CUDA kernels, their text compiled for the CPU and called in CuPy's stead on NumPy's arrays.

So the formulas, the order of the arguments and what is written where are tested without a device;
how CuPy compiles and launches them is not. On a device, the tests marked gpu compare them again.
"""

import ctypes
import shutil
import subprocess
from itertools import product

import numpy as np
import pytest

from ttref import losses, ops
from ttref.arrays import is_floating
from ttref.fast import activation, softmax_cross_entropy
from ttref.fast.recurrence import activations, gru
from ttref.layers import Activation
from ttref.layers.activation import DEFAULT_ALPHA
from ttref.machine import cuda_kernels
from ttref.optim import EMA, SGD, Adam
from ttref.schedules import Step

CTYPES = {"float64": "double", "int64": "long long", "bool": "bool", "I": "long long"}
DTYPES = {"double": "float64", "long long": "int64", "bool": "bool", "float": "float32"}
KINDS = sorted({*cuda_kernels.FORWARD, *cuda_kernels.BACKWARD})


def parameters(declarations, real):
    """``(raw, type, name)`` of each parameter."""
    for declaration in declarations.split(","):
        *raw, kind, name = declaration.split()
        yield bool(raw), {**CTYPES, "T": real}[kind], name


def function(name, real):
    """A kernel as a C function of a size, and an address and a step for each parameter."""
    inputs, outputs, operation = cuda_kernels.SOURCES[name]
    lines, count = [], inputs.count(",") + 1
    for k, (raw, kind, own) in enumerate(parameters(f"{inputs}, {outputs}", real)):
        const = "const " if k < count else ""
        lines.append(
            f"{const}{kind} *{own} = ({kind} *)a[{k}];"
            if raw
            else f"{const}{kind} &{own} = (({kind} *)a[{k}])[i * steps[{k}]];"
        )
    return f"""extern "C" void {name}_{real}(long long size, void **a, long long *steps) {{
        typedef {real} T;
        for (long long i = 0; i < size; ++i) {{ {" ".join(lines)} {operation} }} }}"""


def compiled(folder):
    """All kernels, compiled for the CPU without contraction."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("CUDA KERNELS NOT TESTED: a C++ compiler is needed")
    functions = [function(*pair) for pair in product(cuda_kernels.SOURCES, ("float", "double"))]
    head = "#include <cmath>\n#define __device__\nusing namespace std;\n" + cuda_kernels.PREAMBLE
    source, target = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text("\n".join([head, *functions]))
    flags = ["-O1", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", target], check=True)
    return ctypes.CDLL(str(target))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("kernels"))


class OnHost:
    """A kernel, called as CuPy's is: the inputs, then the outputs that are written into."""

    def __init__(self, library, name):
        self.library, self.name = library, name

    def __call__(self, *arguments):
        inputs, outputs, _ = cuda_kernels.SOURCES[self.name]
        arrays = [a for a in arguments if isinstance(a, np.ndarray) and is_floating(a)]
        (dtype,) = {a.dtype for a in arrays}  # CuPy takes no two for one letter
        real = {"f": "float", "d": "double"}[dtype.char]
        declared = list(parameters(f"{inputs}, {outputs}", real))
        shape = np.broadcast_shapes(
            *[np.shape(a) for (raw, *_), a in zip(declared, arguments, strict=False) if not raw]
        )
        missing = [np.empty(shape, DTYPES[kind]) for _, kind, _ in declared[len(arguments) :]]
        given = [
            np.ascontiguousarray(a, DTYPES[kind])
            for a, (_, kind, _) in zip(arguments, declared[: len(arguments)], strict=True)
        ]
        count = inputs.count(",") + 1
        for a, b in zip(arguments[count:], given[count:], strict=True):
            assert a is b, "an output must be written itself"
        given += missing
        steps = (ctypes.c_longlong * len(given))(*[int(a.size > 1) for a in given])
        addresses = (ctypes.c_void_p * len(given))(*[a.ctypes.data for a in given])
        call = getattr(self.library, f"{self.name}_{real}")
        call(ctypes.c_longlong(int(np.prod(shape))), addresses, steps)
        return missing[0] if missing else None


@pytest.fixture
def on_host(library, monkeypatch):
    """NumPy's arrays taken for CuPy's, by everything that asks; the names of kernels called."""
    called = []

    def kernel(name):
        called.append(name)
        return OnHost(library, name)

    monkeypatch.setattr(cuda_kernels, "kernel", kernel)
    monkeypatch.setattr(cuda_kernels, "on_cupy", lambda x: x.dtype.char in "fd")
    return called


def tolerance(kind, x):
    """Both libraries' functions are within 4 units of roundoff, and a formula has up to four.

    erfc of z ends in the exponential of -z^2, which amplifies the roundoff of that by z^2.
    """
    largest = np.max(np.abs(x), where=np.isfinite(x), initial=0)
    return (16 + (largest**2 / 2 if kind == "gelu" else 0)) * np.finfo(x.dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_activations_are_those_of_the_operator(on_host, kind, dtype):
    rng = np.random.default_rng(0)
    corners = [0.0, 2.5, -2.5, 3.0, -3.0, 30, -30, 1e-20, -1e-20, np.inf, -np.inf, np.nan]
    x = np.concatenate([rng.standard_normal(198) * 3, corners]).astype(dtype).reshape(3, -1)
    dy, layer = rng.standard_normal(x.shape).astype(dtype), Activation(kind)
    with np.errstate(all="ignore"):
        y, cache = layer.forward({}, x)
        _, dx = layer.backward(dy, cache)
        expected, its = ops.activation.forward({}, x, kind, DEFAULT_ALPHA.get(kind))
        _, its_dx = ops.activation.backward(dy, its)
    assert y.dtype == dx.dtype == x.dtype
    assert on_host == [
        *[f"{kind}_forward"] * (kind in cuda_kernels.FORWARD),
        *[f"{kind}_backward"] * (kind in cuda_kernels.BACKWARD),
    ]
    np.testing.assert_allclose(y, expected, rtol=tolerance(kind, x), atol=0)
    np.testing.assert_allclose(dx, its_dx, rtol=tolerance(kind, x), atol=0)


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "hard_sigmoid", "hard_sigmoid_sixth"])
def test_piecewise_linear_ones_have_the_same_bits(on_host, kind):
    x = np.arange(-40, 41).astype("float32") / 8
    alpha = DEFAULT_ALPHA.get(kind)
    y, cache = activation.forward({}, x, kind, alpha)
    expected, its = ops.activation.forward({}, x, kind, alpha)
    assert (y == expected).all()
    assert (activation.backward(x, cache)[1] == ops.activation.backward(x, its)[1]).all()


OPTIMISERS = [
    SGD(Step((0.3, 0.1), (2,)), weight_decay=0.5),
    SGD(0.1),
    SGD(0.1, 0.9, weight_decay=0.01),
    SGD(0.1, 0.9, nesterov=True),
    Adam(Step((0.3, 0.1), (2,)), weight_decay=0.01),
    Adam(),
]


@pytest.mark.parametrize("as_vector", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMISERS, ids=repr)
def test_an_update_is_one_launch_with_the_bits_of_numpy(
    on_host, monkeypatch, optimizer, dtype, as_vector
):
    rng = np.random.default_rng(0)
    p, *gradients = rng.standard_normal((6, 100)).astype(dtype)
    theirs, ours = (p.copy(), optimizer.init((p,))), (p.copy(), optimizer.init((p,)))
    for step, g in enumerate(gradients):
        rates = np.asarray(optimizer.rates(step), dtype) if as_vector else None
        ours = optimizer.advance(ours[0], g.copy(), ours[1], rates)
        with monkeypatch.context() as patch:
            patch.setattr(cuda_kernels, "on_cupy", lambda x: False)
            theirs = optimizer.advance(theirs[0], g.copy(), theirs[1])
        assert len(on_host) == step + 1
        assert (ours[0] == theirs[0]).all()
        for name, value in theirs[1].items():
            assert np.all(ours[1][name] == value), name


def test_the_average_is_one_launch_with_the_bits_of_numpy(on_host):
    average, p = np.random.default_rng(0).standard_normal((2, 50)).astype("float32")
    expected = 0.9 * average + (1 - 0.9) * p
    assert (EMA(0.9).advance(average, p) == expected).all()
    assert on_host == ["average"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_is_that_of_the_operator(on_host, dtype, weighted):
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((50, 7)) * 10).astype(dtype)
    logits[0] = 0  # equal ones: any may be called the largest
    logits[1] = [0, 1e4, 0, 0, 0, 0, 0]
    labels = rng.integers(0, 7, 50)
    labels[1] = 1  # as sure as can be, and right
    weight = rng.integers(0, 4, 50).astype(dtype) if weighted else None
    loss, cache = losses.LOSSES["softmax_cross_entropy"].forward(logits, labels, weight)
    expected, its = ops.softmax_cross_entropy.forward(logits, labels, weight)
    assert on_host == ["softmax_cross_entropy"]
    assert isinstance(cache, softmax_cross_entropy.Cache)
    # a sum of 50 terms, each of a sum of 7, rounds up to 57 times more
    np.testing.assert_allclose(loss, expected, rtol=73 * np.finfo(dtype).eps)
    dlogits = softmax_cross_entropy.backward(1, cache)
    its_dlogits = ops.softmax_cross_entropy.backward(1, its)
    assert dlogits.dtype == its_dlogits.dtype
    # exp of a difference of up to 100 has 100 times the roundoff of the difference
    np.testing.assert_allclose(dlogits, its_dlogits, rtol=200 * np.finfo(dtype).eps, atol=0)


def test_other_targets_masks_and_many_classes_go_to_the_operator(on_host):
    logits = np.random.default_rng(0).standard_normal((2, 3))
    for target, mask in ((np.eye(3)[:2], None), (np.asarray([0, 1]), np.asarray([1, 1, 0]))):
        found = softmax_cross_entropy.forward(logits, target, None, mask)
        expected = ops.softmax_cross_entropy.forward(logits, target, None, mask)
        assert found[0] == expected[0]
        dlogits = softmax_cross_entropy.backward(1, found[1])
        assert (dlogits == ops.softmax_cross_entropy.backward(1, expected[1])).all()
    too_many = np.zeros((1, softmax_cross_entropy.MOST_CLASSES + 1))
    softmax_cross_entropy.forward(too_many, np.asarray([0]))
    assert on_host == []


def test_a_wrong_sign_in_a_kernel_is_seen(on_host, tmp_path, monkeypatch):
    inputs, outputs, text = cuda_kernels.SOURCES["descend"]
    assert "p - rates" in text
    wrong = {"descend": (inputs, outputs, text.replace("p - rates", "p + rates"))}
    monkeypatch.setattr(cuda_kernels, "SOURCES", wrong)
    library = compiled(tmp_path)
    monkeypatch.setattr(cuda_kernels, "kernel", lambda name: OnHost(library, name))
    p, _ = SGD(0.5).advance(np.ones(2), np.ones(2), SGD(0.5).init((np.ones(2),)))
    assert (p == 1.5).all()


def test_cupy_takes_the_kernels_and_fuses_the_gates():
    cupy = pytest.importorskip("cupy")
    for name in cuda_kernels.SOURCES:
        assert cuda_kernels.kernel(name).name == f"ttref_{name}"
    fused = activations._fuse(gru.gru_mix, ("tanh", "sigmoid"))
    assert isinstance(fused, cupy._core.fusion.Fusion)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", OPTIMISERS, ids=repr)
def test_on_a_device_an_update_has_the_bits_of_numpy(optimizer):
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU: CuPy and a CUDA device are needed")
    p, g = np.random.default_rng(0).standard_normal((2, 1000)).astype("float32")
    theirs, _ = optimizer.advance(
        cupy.asarray(p), cupy.asarray(g), optimizer.init((cupy.asarray(p),))
    )
    ours, _ = optimizer.advance(p.copy(), g.copy(), optimizer.init((p,)))
    assert (theirs.get() == ours).all()
