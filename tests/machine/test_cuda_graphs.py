"""Products and joins for CUDA graphs: those of NumPy, by stand-ins for CuPy and cuTENSOR."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ttref.errors import MissingExtraError
from ttref.machine import cuda_graphs


@pytest.fixture
def cutensor(monkeypatch):
    """cuTENSOR's contraction by the definition of its modes, on NumPy arrays."""

    def contraction(alpha, x, x_modes, y, y_modes, beta, out, modes):
        assert len(x_modes) == x.ndim and len(y_modes) == y.ndim and len(modes) == out.ndim
        out[...] = alpha * np.einsum(x, list(x_modes), y, list(y_modes), list(modes))

    cupyx = ModuleType("cupyx")
    cupyx.cutensor = SimpleNamespace(contraction=contraction)
    monkeypatch.setitem(sys.modules, "cupyx", cupyx)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(empty=np.empty, zeros=np.zeros))


@pytest.mark.parametrize(
    ("shape", "other"),
    [
        *(((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (3, 4))),
        *(((1, 2, 3), (5, 3, 4)), ((1, 2, 3), (1, 3, 4)), ((6, 1, 2, 3), (5, 3, 4))),
        *(((0, 3), (3, 4)), ((2, 0), (0, 4)), ((0, 2, 3), (3, 1)), ((1, 1), (1, 1))),
    ],
)
def test_products_are_those_of_numpy(cutensor, shape, other):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-3, 4, s).astype("float32") for s in (shape, other))
    found = cuda_graphs.matmul(x, y)
    assert found.dtype == x.dtype
    assert found.shape == (x @ y).shape
    assert (found == x @ y).all()
    turned = np.swapaxes(np.ascontiguousarray(np.swapaxes(x, -1, -2)), -1, -2)
    assert (cuda_graphs.matmul(turned, y) == x @ y).all()


@pytest.mark.parametrize("count", [1, 8, 9, 70])
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_joins_are_of_eight_at_most(count, axis):
    arrays = [np.full((2, 2), float(k)) for k in range(count)]

    def concat(arrays, axis):
        assert len(arrays) <= cuda_graphs.MOST
        return np.concatenate(arrays, axis=axis)

    found = cuda_graphs.join(concat, arrays, axis)
    assert (found == np.concatenate(arrays, axis=axis)).all()


def test_cupys_own_functions_come_back():
    pytest.importorskip("cupy")
    import array_api_compat.cupy as xp

    names = ("matmul", "concat", "stack")
    own = [getattr(xp, name) for name in names]
    with pytest.raises(ZeroDivisionError), cuda_graphs.functions():
        assert all(getattr(xp, n) is not f for n, f in zip(names, own, strict=True))
        raise ZeroDivisionError
    assert [getattr(xp, name) for name in names] == own


def test_a_graph_without_cutensor_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupyx", None)  # what Python takes for an import that fails
    with (
        pytest.raises(MissingExtraError, match="a CUDA graph needs cuTENSOR"),
        cuda_graphs.functions(),
    ):
        pass
