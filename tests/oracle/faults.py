"""TT layers with one planted fault each, and what is to be said of it."""

import numpy as np

from tests.oracle import layers
from ttref.oracle import Adapter
from ttref.oracle.changes import round_to


def sweep(params, x, bias=1):
    """``x W + b`` as torch code has it: one einsum per core."""
    state = x.reshape(len(x), 1, -1)
    for core in params["cores"]:
        a, n, _, b = core.shape
        state = np.einsum("pajq,ajib->pibq", state.reshape(len(state), a, n, -1), core)
        state = state.reshape(-1, b, state.shape[-1])
    y = state.reshape(len(x), -1)
    return y + bias * params["bias"] if "bias" in params else y


def differentiate(forward):
    """The exact gradient of a forward that is affine in each array: one call per number."""

    def gradients(params, x, dy):
        def of(value, put):
            found = np.zeros(value.shape, value.dtype)
            zero = np.sum(dy.astype(float) * forward(*put(np.zeros_like(value))))
            for index in np.ndindex(value.shape):
                unit = np.zeros_like(value)
                unit[index] = 1
                found[index] = np.sum(dy.astype(float) * forward(*put(unit))) - zero
            return found

        def with_core(k):
            cores = params["cores"]
            return lambda v: ({**params, "cores": [*cores[:k], v, *cores[k + 1 :]]}, x)

        found = {"x": of(x, lambda v: (params, v))}
        found["cores"] = [of(core, with_core(k)) for k, core in enumerate(params["cores"])]
        if "bias" in params:
            found["bias"] = of(params["bias"], lambda v: ({**params, "bias": v}, x))
        return found

    return gradients


def consistent(forward):
    """A layer whose backward is the exact derivative of its forward."""
    return Adapter(forward, differentiate(forward))


def with_cores(change):
    """The right layer on other cores."""
    return consistent(lambda params, x: sweep({**params, "cores": change(params["cores"])}, x))


def reread(axes, part=slice(None)):
    """Cores whose memory is read in another order of the axes."""
    back = tuple(np.argsort(axes))

    def read(cores):
        chosen = range(len(cores))[part]
        return [
            core.reshape([core.shape[k] for k in axes]).transpose(back) if k in chosen else core
            for k, core in enumerate(cores)
        ]

    return with_cores(read)


def diagonal(cores):
    """Cores of which only the entries with equal ranks count."""
    found = []
    for core in cores:
        mask = np.zeros(core.shape, core.dtype)
        for a in range(core.shape[0]):
            for b in range(core.shape[3]):
                mask[a, :, :, b] = a == b or 1 in (core.shape[0], core.shape[3])
        found.append(core * mask)
    return found


def columns_reversed(x, modes):
    """Columns in Fortran order, of columns in C order."""
    return layers.fortran(x, modes)


def x_in_fortran_order(params, x):
    n = [core.shape[1] for core in params["cores"]]
    return sweep(params, columns_reversed(x, n[::-1]))


def y_in_fortran_order(params, x):
    m = [core.shape[2] for core in params["cores"]]
    return columns_reversed(sweep(params, x), m)


def of(tensor, change):
    """The right layer with ``change(value, params, x, dy)`` of one result."""

    def forward(params, x):
        y = layers.forward(params, x)
        return change(y, params, x, None) if tensor == "y" else y

    def gradients(params, x, dy):
        found = layers.gradients(params, x, dy)
        if tensor not in found:
            return found
        value = found[tensor]
        if tensor == "cores":
            return {**found, tensor: [change(v, params, x, dy) for v in value]}
        return {**found, tensor: change(value, params, x, dy)}

    return Adapter(forward, gradients)


def times(factor):
    """A change by a factor, a function of B, N, M and d."""

    def change(v, params, x, dy):
        cores = params["cores"]
        N = x.shape[1]
        M = int(np.prod([core.shape[2] for core in cores]))
        return (v * factor(len(x), N, M, len(cores))).astype(v.dtype)

    return change


def of_core(which, change):
    """The right layer with a change of the gradient of one core."""

    def gradients(params, x, dy):
        found = layers.gradients(params, x, dy)
        cores = list(found["cores"])
        if len(cores) > 2 or which != 1:
            cores[which] = change(cores[which])
        return {**found, "cores": cores}

    return Adapter(layers.forward, gradients)


def of_rows(rows, *tensors):
    """The right layer, some of whose gradients count some rows only."""

    def gradients(params, x, dy):
        found = layers.gradients(params, x, dy)
        part = layers.gradients(params, x[rows], dy[rows])
        return {**found, **{t: part[t] for t in tensors if t in found}}

    return Adapter(layers.forward, gradients)


def of_dy(change):
    """The right layer, whose gradients are those of another dy."""

    def gradients(params, x, dy):
        return layers.gradients(params, x, change(dy, layers.forward(params, x)))

    return Adapter(layers.forward, gradients)


def relu_layer():
    def forward(params, x):
        return np.maximum(layers.forward(params, x), 0)

    def gradients(params, x, dy):
        return layers.gradients(params, x, dy * (layers.forward(params, x) > 0))

    return Adapter(forward, gradients)


def accumulating():
    """Gradients that are added to those of the calls before on cores of the same shapes."""
    kept = {}

    def gradients(params, x, dy):
        found = layers.gradients(params, x, dy)
        key = tuple(core.shape for core in params["cores"])
        kept[key] = (
            [
                old + new
                for old, new in zip(kept.get(key, found["cores"]), found["cores"], strict=True)
            ]
            if key in kept
            else list(found["cores"])
        )
        return {**found, "cores": [core.copy() for core in kept[key]]}

    return Adapter(layers.forward, gradients)


def dropping():
    """Dropout that is left on."""
    rng = np.random.default_rng(0)

    def forward(params, x):
        y = layers.forward(params, x)
        return y * (2 * rng.integers(0, 2, y.shape)).astype(y.dtype)

    return Adapter(forward, layers.gradients)


def remembering():
    """A result that depends on the number of calls before."""
    calls = []

    def forward(params, x):
        calls.append(0)
        return layers.forward(params, x) + (len(calls) % 7 == 0)

    return Adapter(forward, layers.gradients)


def through(function):
    return Adapter(lambda params, x: function(layers.forward(params, x)), layers.gradients)


def lower(v):
    """Numbers rounded to the 8 bits of bfloat16."""
    return round_to(v, 2.0**-8).astype(v.dtype)


def of_low_inputs():
    def forward(params, x):
        low_params = {**params, "cores": [lower(core) for core in params["cores"]]}
        if "bias" in params:
            low_params["bias"] = lower(params["bias"])
        return layers.forward({**low_params, "cores": tuple(low_params["cores"])}, lower(x))

    return Adapter(forward, layers.gradients)


def square_only(gradient):
    """The right layer for equal modes, with another gradient of x."""

    def gradients(params, x, dy):
        found = layers.gradients(params, x, dy)
        return {**found, "x": gradient(params, x, dy)}

    return Adapter(
        layers.forward, gradients, accepts=lambda s: np.prod(s.in_modes) == np.prod(s.out_modes)
    )


def forgetting_the_last_core():
    def forward(params, x):
        cores = params["cores"]
        return sweep({**params, "cores": [*cores[:-1], np.ones_like(cores[-1])]}, x)

    return Adapter(forward, layers.gradients)


SWAP = (0, 2, 1, 3)
RANKS = (3, 1, 2, 0)
IF = "everything is exact if "
FAULTS = {  # a layer, and what has to be said
    "modes of cores exchanged": (reread(SWAP), f"{IF}core axes are permuted {SWAP}"),
    "ranks of cores exchanged": (reread(RANKS), f"{IF}core axes are permuted {RANKS}"),
    "left rank behind": (reread((1, 0, 2, 3)), f"{IF}core axes are permuted (1, 0, 2, 3)"),
    "right rank before": (reread((0, 1, 3, 2)), f"{IF}core axes are permuted (0, 1, 3, 2)"),
    "axes rotated": (reread((1, 2, 3, 0)), f"{IF}core axes are permuted"),
    "first core exchanged": (reread(SWAP, slice(0, 1)), f"{IF}the axes of the first core are perm"),
    "last core exchanged": (reread(SWAP, slice(-1, None)), f"{IF}the axes of the last core are "),
    "others exchanged": (reread(RANKS, slice(1, None)), f"{IF}the axes of all cores but the first"),
    "x in Fortran order": (consistent(x_in_fortran_order), f"{IF}the modes of x are in Fortran"),
    "y in Fortran order": (consistent(y_in_fortran_order), f"{IF}the modes of y are in Fortran"),
    "diagonal of ranks": (with_cores(diagonal), f"{IF}only the diagonal of the ranks counts"),
    "no bias": (consistent(lambda p, x: sweep(p, x, 0)), f"{IF}the bias is left out"),
    "two biases": (consistent(lambda p, x: sweep(p, x, 2)), f"{IF}the bias is added twice"),
    "relu": (relu_layer(), f"{IF}relu is applied to y"),
    "layout of torch": (
        layers.stored(layers.with_axes(SWAP)),
        f"{IF}core axes are permuted {SWAP}, modes exchanged",
    ),
    "last core first": (
        layers.stored(lambda cores: cores[::-1]),
        f"{IF}cores go from last to first",
    ),
    "cores / B": (of("cores", times(lambda B, N, M, d: 1 / B)), "multiplied by the batch size"),
    "bias * B": (of("bias", times(lambda B, N, M, d: B)), "bias must be divided by the batch size"),
    "x / M": (
        of("x", times(lambda B, N, M, d: 1 / M)),
        "x must be multiplied by the number of out",
    ),
    "x * N": (of("x", times(lambda B, N, M, d: N)), "x must be divided by the number of inputs"),
    "cores / B M": (
        of("cores", times(lambda B, N, M, d: 1 / (B * M))),
        "cores must be multiplied by the batch size times the number of outputs",
    ),
    "bias 2 / B": (
        of("bias", times(lambda B, N, M, d: 2 / B)),
        "bias must be multiplied by half the batch size",
    ),
    "cores * d": (of("cores", times(lambda B, N, M, d: d)), "divided by the number of cores"),
    "y / B": (of("y", times(lambda B, N, M, d: 1 / B)), "y must be multiplied by the batch size"),
    "y twice": (of("y", times(lambda *_: 2)), "y is twice too large"),
    "x three times": (of("x", times(lambda *_: 3)), "x is 3 times what it should be"),
    "x minus": (of("x", times(lambda *_: -1)), "x has the wrong sign"),
    "y minus": (of("y", times(lambda *_: -1)), "y has the wrong sign"),
    "cores minus": (of("cores", times(lambda *_: -1)), "cores has the wrong sign"),
    "cores twice": (of("cores", times(lambda *_: 2)), "cores is twice too large"),
    "x half": (of("x", times(lambda *_: 0.5)), "x is half of what it should be"),
    "cores minus twice": (of("cores", times(lambda *_: -2)), "cores is -2 times what it should be"),
    "bias zero": (of("bias", times(lambda *_: 0)), "bias is zero"),
    "cores zero": (of("cores", times(lambda *_: 0)), "cores is zero"),
    "x zero": (of("x", times(lambda *_: 0)), "x is zero"),
    "y zero": (of("y", times(lambda *_: 0)), "y is zero"),
    "first core minus": (of_core(0, lambda v: -v), "cores: the first core has the wrong sign"),
    "last core zero": (of_core(-1, lambda v: 0 * v), "cores: the last core is zero"),
    "inner core twice": (of_core(1, lambda v: 2 * v), "cores: core 2 is twice too large"),
    "gradient's modes exchanged": (
        of("cores", lambda v, *_: v.transpose(SWAP).reshape(v.shape)),
        f"cores has its axes permuted {SWAP}, modes exchanged",
    ),
    "gradient's ranks exchanged": (
        of("cores", lambda v, *_: v.transpose(RANKS).reshape(v.shape)),
        f"cores has its axes permuted {RANKS}, ranks exchanged",
    ),
    "first row": (of_rows(slice(0, 1), "cores"), "cores counts the first row of the batch only"),
    "last row of bias": (
        of_rows(slice(-1, None), "bias"),
        "bias counts the last row of the batch ",
    ),
    "no first row": (of_rows(slice(1, None), "cores"), "cores leaves out the first row of the ba"),
    "no last row": (of_rows(slice(0, -1), "cores", "bias"), "cores leaves out the last row of the"),
    "dy is one": (
        of_dy(lambda dy, y: np.ones_like(dy)),
        "is the gradient of the sum of y, and not",
    ),
    "dy through relu": (
        of_dy(lambda dy, y: dy * (y > 0)),
        "is the gradient for dy that went throu",
    ),
    "dy W": (
        square_only(lambda p, x, dy: layers.forward({"cores": p["cores"]}, dy)),
        "x is dy W in place of dy W^T",
    ),
    "y lacks the bias": (of("y", lambda v, p, *_: v - p.get("bias", 0)), "y lacks the bias"),
    "y has two": (of("y", lambda v, p, *_: v + p.get("bias", 0)), "y has the bias twice"),
    "y minus bias": (
        of("y", lambda v, p, *_: v - 2 * p.get("bias", 0)),
        "bias with the wrong sign",
    ),
    "y went through relu": (through(lambda y: np.maximum(y, 0)), "y went through relu"),
    "y is a mean": (
        through(lambda y: np.broadcast_to(y.mean(axis=0), y.shape).astype(y.dtype)),
        "y is the mean over the rows of the batch in every row",
    ),
    "y of tanh": (through(np.tanh), "y is not affine in cores"),
    "y of abs": (through(np.abs), "y is not affine in cores"),
    "y of differences": (through(lambda y: y - y[:1]), "a row of y depends on the other rows"),
    "y in bfloat16": (of("y", lambda v, *_: lower(v)), "y is rounded to bfloat16"),
    "y of bfloat16": (of_low_inputs(), "y is computed of arrays that were rounded to bfloat16"),
    "dropout": (dropping(), "two calls with the same arguments give different results (y)"),
    "a counter": (remembering(), "with the same arguments give different results (y)"),
    "accumulated": (accumulating(), "the gradient is added to that of the calls before (cores)"),
    "no last core": (forgetting_the_last_core(), "y does not depend on cores."),
    "noise": (
        of("x", lambda v, *_: v + np.sign(v)),
        "the gradient of x is not the derivative of this forward: see the backward",
    ),
}
