"""Dense affine map, as `ttref.ops.linear`: large products of NumPy's floats on several threads.

Forward is one product, backward one or two. Where they are large enough, each thread computes its
piece of every result, cut along the longer side, with a BLAS of one thread; else, BLAS has it all.
Arrays of other kinds go to the reference.
"""

from functools import lru_cache

import numpy as np

from ttref.arrays import check_shape
from ttref.machine import threads
from ttref.machine.array_functions import NUMPY, functions_of
from ttref.machine.costs import machine
from ttref.machine.memory import keep_freed_memory
from ttref.machine.products import ModeProduct, mode_product_seconds
from ttref.ops import linear


def forward(params, x):
    """As `ttref.ops.linear.forward`."""
    kernel, bias = params["kernel"], params.get("bias")
    check_shape("kernel", kernel, (None, None))
    check_shape("x", x, (None, kernel.shape[0]))
    kernels, kind = functions_of(x, (kernel,) if bias is None else (kernel, bias))
    if kernels is not NUMPY:
        return linear.forward(params, x)
    if bias is not None:
        check_shape("bias", bias, kernel.shape[1:])
    (y,) = _products([(x, kernel)], _pays(*x.shape, kernel.shape[1], kind))  # BN,NM->BM
    if bias is not None:
        y += bias
    return y, linear.Cache(x, kernel, bias is not None)


def backward(dy, cache, input_gradient=True):
    """As `ttref.ops.linear.backward`."""
    x, kernel, has_bias = cache
    check_shape("dy", dy, (x.shape[0], kernel.shape[1]))
    kernels, kind = functions_of(dy, (x, kernel))
    if kernels is not NUMPY:
        return linear.backward(dy, cache, input_gradient)
    pairs = [(x.T, dy), (dy, kernel.T)]  # BN,BM->NM and BM,NM->BN
    found = _products(pairs[: 1 + input_gradient], _pays(*x.shape, kernel.shape[1], kind))
    dparams = {"kernel": found[0]}
    if has_bias:
        dparams["bias"] = np.add.reduce(dy)
    return dparams, found[1] if input_gradient else None


@lru_cache(maxsize=4096)
def _pays(batch, features, units, kind):
    """Whether forward and backward take long enough for several threads."""
    keep_freed_memory()
    product = ModeProduct(max(1, batch), max(1, features), max(1, units), 1)
    return machine(kind).pays(mode_product_seconds(product, kind))


def _products(pairs, large):
    """Products of pairs of matrices; if `large`, by as many threads as there are."""
    count = threads.available() if large else 1
    if count == 1:
        return [np.dot(a, b) for a, b in pairs]
    results = [np.empty((a.shape[0], b.shape[1]), a.dtype) for a, b in pairs]

    def compute(part):
        for (a, b), result in zip(pairs, results, strict=True):
            side = max(result.shape)
            cut = slice(side * part // count, side * (part + 1) // count)
            if side == len(result):
                np.matmul(a[cut], b, out=result[cut])
            else:
                np.matmul(a, b[:, cut], out=result[:, cut])

    threads.run(compute, range(count))
    return results
