"""Elementwise CUDA kernels: one launch in place of several. CuPy compiles them when first used.

A kernel's text is the formula of its operator, optimiser or loss, operation by operation. Products
and sums are not contracted (``--fmad=false``), so where only ``+ - * /`` and roots occur, the bits
are those of NumPy. What depends on the number of the step comes in a vector on the device, `rates`:
a recorded CUDA graph reads it anew each time that it is replayed.
"""

from functools import cache
from typing import Any, NamedTuple

from array_api_compat import is_cupy_array

from ttref.contracts import Array


class KernelSource(NamedTuple):
    """The arguments of a `cupy.ElementwiseKernel`, as text."""

    inputs: str
    outputs: str  # arrays that are written into
    formula: str


PREAMBLE = """
template <typename T> __device__ T sigmoid_(T x) {
    T decay = exp(x <= 0 ? x : -x);
    return (x <= 0 ? decay : T(1)) / (1 + decay);
}
template <typename T> __device__ T normal_cdf_(T x) { return erfc(-x / T(1.4142135623730951)) / 2; }
"""

DECAYED = "T d = weight_decay ? g + T(weight_decay) * p : g;"

OPTIMISERS = {
    "descend": KernelSource(
        "T g, raw T rates, float64 weight_decay",
        "T p",
        DECAYED + "p = p - rates[0] * d;",
    ),
    "momentum": KernelSource(
        "T g, raw T rates, float64 weight_decay, float64 momentum, bool nesterov",
        "T p, T velocity",
        DECAYED
        + """
        velocity = velocity * T(momentum) + d;
        d = nesterov ? d + T(momentum) * velocity : velocity;
        p = p - rates[0] * d;""",
    ),
    "adam": KernelSource(
        "T g, raw T rates, float64 weight_decay, float64 new1, float64 beta2, float64 new2",
        "T p, T m, T v",
        DECAYED
        + """
        m = m + (d - m) * T(new1);
        v = v * T(beta2) + T(new2) * d * d;
        p = p - rates[0] * m / (sqrt(v) + rates[1]);""",
    ),
    "average": KernelSource(
        "T p, float64 decay, float64 fresh",
        "T average",
        "average = average * T(decay) + T(fresh) * p;",
    ),
}

FORWARD = {  # y of the activations that take more than one launch otherwise
    "leaky_relu": "x <= 0 ? T(alpha) * x : x",
    "sigmoid": "sigmoid_(x)",
    "hard_sigmoid": "5 - 2 * x <= 0 ? T(1) : 2 * x + 5 <= 0 ? T(0) : (2 * x + 5) / 10",
    "hard_sigmoid_sixth": "3 - x <= 0 ? T(1) : x + 3 <= 0 ? T(0) : (x + 3) / 6",
    "softplus": "(x <= 0 ? T(0) : x) + log1p(exp(x <= 0 ? x : -x))",
    "elu": "x <= 0 ? T(alpha) * expm1(x) : x",
    "gelu": "x * normal_cdf_(x)",
}

BACKWARD = {  # dx of the activations
    "relu": "dy * T(x > 0)",
    "leaky_relu": "x <= 0 ? T(alpha) * dy : dy",
    "tanh": "dy * (1 - y) * (1 + y)",
    "sigmoid": "dy * y * sigmoid_(-x)",
    "hard_sigmoid": "dy / 5 * T(5 + 2 * x > 0) * T(5 - 2 * x > 0)",
    "hard_sigmoid_sixth": "dy / 6 * T(3 + x > 0) * T(3 - x > 0)",
    "softplus": "dy * sigmoid_(x)",
    "elu": "x <= 0 ? dy * T(alpha) * exp(x) : dy",
    "gelu": "dy * (normal_cdf_(x) + x * (exp(-x * x / 2) / T(2.5066282746310002)))",
}

CROSS_ENTROPY = KernelSource(  # a thread takes a row of C logits; slope is that of the row's term
    "raw T logits, I label, int64 C",
    "T term, raw T slope",
    """
    const long long row = i * C;
    long long best = 0;
    for (long long c = 1; c < C; ++c) if (logits[row + c] > logits[row + best]) best = c;
    const T top = logits[row + best];
    T rest = 0, others = 0;
    for (long long c = 0; c < C; ++c) {
        const T power = exp(logits[row + c] - top);
        slope[row + c] = power;
        if (c != best) rest += power;
    }
    for (long long c = 0; c < C; ++c) {
        slope[row + c] = slope[row + c] / (1 + rest);
        if (c != label) others += slope[row + c];
    }
    slope[row + label] = -others;
    term = log1p(rest) - (logits[row + label] - top);""",
)

SOURCES = {
    **OPTIMISERS,
    **{
        f"{activation}_forward": KernelSource("T x, float64 alpha", "T y", f"y = {text};")
        for activation, text in FORWARD.items()
    },
    **{
        f"{activation}_backward": KernelSource(
            "T dy, T x, T y, float64 alpha", "T dx", f"dx = {text};"
        )
        for activation, text in BACKWARD.items()
    },
    "softmax_cross_entropy": CROSS_ENTROPY,
}


def on_cupy(x: Array) -> bool:
    """Whether `x` is a CuPy array of float32 or float64, which the kernels are written for."""
    return is_cupy_array(x) and x.dtype.char in "fd"


@cache
def kernel(name: str) -> Any:
    """The `cupy.ElementwiseKernel` of that name in `SOURCES`."""
    import cupy

    options = {"preamble": PREAMBLE, "options": ("--fmad=false",)}
    return cupy.ElementwiseKernel(*SOURCES[name], f"ttref_{name}", **options)
