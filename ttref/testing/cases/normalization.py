"""Cases of batch normalisation."""

import numpy as np

from ttref.contracts import Array, Cache
from ttref.testing.cases.case import (
    BALLS,
    Case,
    Draw,
    IntegerSource,
    Number,
    Params,
    Subject,
    choose,
    draw_size,
    entrywise,
    integers,
    sixteenths,
    total,
)


def make_batch_norm(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case with the statistics of the batch or with given ones, of vectors or images.

    A given variance is the square of an input, ``deviation``, so that it is positive at any input.
    """
    # structure
    B, *rest = choose(draw, [(3, 2), (2, 1, 2, 2), (4, 1), (1, 2)])
    shape = (draw_size(draw, B, B), *rest)
    epsilon = choose(draw, [1, 2.0**-10])
    names = ["mean", "deviation"] * draw(0, 1) + ["scale"] * draw(0, 1) + ["offset"] * draw(0, 1)

    def params_of(inputs: Params) -> Params:
        params = {name: inputs[name] for name in names if name != "deviation"}
        if "mean" in names:
            params["var"] = inputs["deviation"] * inputs["deviation"]
        return params

    def forward(inputs: Params) -> tuple[Array, Cache]:
        y, cache = op.forward(params_of(inputs), inputs["x"], epsilon)
        return y, (cache, inputs.get("deviation"))

    def backward(dy: Array, cache: Cache) -> Params:
        cache_of_op, deviation = cache
        dparams, dx = op.backward(dy, cache_of_op)
        if deviation is not None:
            dparams["deviation"] = 2 * deviation * dparams.pop("var")
        return {name: dparams[name] for name in names} | {"x": dx}

    def definition(inputs: Params) -> Array:
        return batch_norm_by_entries(params_of(inputs), inputs["x"], epsilon)

    # values
    inputs = {name: sixteenths(rng, shape[-1:]) for name in names}
    inputs["x"] = sixteenths(rng, shape)
    return Case(inputs, integers(rng, shape), forward, backward, definition, BALLS)


def batch_norm_by_entries(params: Params, x: Array, epsilon: float) -> Array:
    """Batch normalisation by its definition, one channel after the other."""
    y = np.empty(x.shape, dtype=object)
    for c in range(x.shape[-1]):
        of_channel = {name: value[c] for name, value in params.items()}
        y[..., c] = _normalise(np.asarray(x[..., c]), epsilon, **of_channel)
    return y


def _normalise(
    x: Array,
    epsilon: float,
    mean: Number = None,
    var: Number = None,
    scale: Number = 1,
    offset: Number = 0,
) -> Array:
    """Normalise the entries of one channel, by their own statistics where none are given."""
    if mean is None:
        values = list(x.flat)
        mean = total(values) / len(values)
        var = total([(v - mean) ** 2 for v in values]) / len(values)

    def normalise(v: Number) -> Number:
        return scale * (v - mean) / (var + epsilon).sqrt() + offset

    return entrywise(normalise, x)
