"""Dense affine map, as `ttref.ops.linear`: large products of NumPy's floats on several threads.

Forward is one product, backward one or two. Where they are large enough, each thread computes its
piece of every result, cut along the longer side, with a BLAS of one thread; otherwise BLAS computes
the whole. Other arrays go to the reference.
"""

from functools import lru_cache

import numpy as np

from ttref import border
from ttref.arrays import check_shape
from ttref.contracts import Array, Kind, Params
from ttref.machine import threads
from ttref.machine.array_functions import NUMPY, functions_of
from ttref.machine.costs import machine
from ttref.machine.process import keep_freed_memory
from ttref.machine.products import ModeProduct, mode_product_seconds
from ttref.ops import linear


@border.forward("params", "x")
def forward(params: Params, x: Array) -> tuple[Array, linear.Cache]:
    """Compute what `ttref.ops.linear.forward` does."""
    kernel = params["kernel"]
    bias = params.get("bias")
    check_shape("kernel", kernel, (None, None))
    check_shape("x", x, (None, kernel.shape[0]))
    functions, kind = functions_of(x, (kernel,) if bias is None else (kernel, bias))
    if functions is not NUMPY:
        return linear.forward(params, x)
    if bias is not None:
        check_shape("bias", bias, kernel.shape[1:])
    keep_freed_memory()
    threaded = _pays(*x.shape, kernel.shape[1], kind)
    (y,) = _multiply([(x, kernel)], threaded)  # BN,NM->BM
    if bias is not None:
        y += bias
    return y, linear.Cache(x, kernel, bias is not None)


@border.backward
def backward(
    dy: Array, cache: linear.Cache, input_gradient: bool = True
) -> tuple[dict[str, Array], Array | None]:
    """Pull the cotangent `dy` of y, shape (B, M), back to ``(dparams, dx)``.

    Without `input_gradient`, dx is None and its cost, half of the whole, is saved.
    """
    x, kernel, has_bias = cache
    check_shape("dy", dy, (x.shape[0], kernel.shape[1]))
    functions, kind = functions_of(dy, (x, kernel))
    if functions is not NUMPY:
        return linear.backward(dy, cache, input_gradient)
    pairs = [(x.T, dy)]  # BN,BM->NM
    if input_gradient:
        pairs.append((dy, kernel.T))  # BM,NM->BN
    found = _multiply(pairs, _pays(*x.shape, kernel.shape[1], kind))
    dparams = {"kernel": found[0]}
    if has_bias:
        dparams["bias"] = np.add.reduce(dy)
    return dparams, found[1] if input_gradient else None


@lru_cache(maxsize=4096)
def _pays(batch: int, features: int, units: int, kind: Kind) -> bool:
    """Whether forward and backward take long enough for several threads."""
    product = ModeProduct(max(1, batch), max(1, features), max(1, units), 1)
    return machine(kind).pays(mode_product_seconds(product, kind))


def _multiply(pairs: list[tuple[Array, Array]], threaded: bool) -> list[Array]:
    """Multiply pairs of matrices; if `threaded`, on as many threads as there are."""
    count = threads.available() if threaded else 1
    if count == 1:
        return [np.dot(a, b) for a, b in pairs]
    results = [np.empty((a.shape[0], b.shape[1]), a.dtype) for a, b in pairs]

    def compute(part: int) -> None:
        for pair, result in zip(pairs, results, strict=True):
            a, b = pair
            side = max(result.shape)
            cut = slice(side * part // count, side * (part + 1) // count)
            if side == len(result):
                np.matmul(a[cut], b, out=result[cut])
            else:
                np.matmul(a, b[:, cut], out=result[:, cut])

    threads.run(compute, range(count))
    return results
