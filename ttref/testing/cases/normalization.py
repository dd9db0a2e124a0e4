"""Problems for batch normalisation."""

import numpy as np

from ttref import fast, ops
from ttref.testing.cases.case import BALLS, Case, choose, entrywise, integers, sixteenths


def batch_norm(draw, rng, op=ops.batch_norm):
    """Statistics of the batch or given ones, vectors and images, with and without scale and offset.

    A variance that is given is the square of an input, so that it is positive at any input.
    """
    shape = choose(draw, [(3, 2), (2, 1, 2, 2), (4, 1), (1, 2)])
    epsilon = choose(draw, [1, 2.0**-10])
    names = ["mean", "deviation"] * draw(0, 1) + ["scale"] * draw(0, 1) + ["offset"] * draw(0, 1)
    inputs = {name: sixteenths(rng, shape[-1:]) for name in names}

    def split(inputs):
        params = {name: inputs[name] for name in names if name != "deviation"}
        if "mean" in names:
            params["var"] = inputs["deviation"] * inputs["deviation"]
        return params

    def forward(inputs):
        y, cache = op.forward(split(inputs), inputs["x"], epsilon)
        return y, (cache, inputs.get("deviation"))

    def backward(dy, cache):
        cache, deviation = cache
        dparams, dx = op.backward(dy, cache)
        if deviation is not None:
            dparams["deviation"] = 2 * deviation * dparams.pop("var")
        return {name: dparams[name] for name in names} | {"x": dx}

    def definition(inputs):
        return batch_norm_by_entries(split(inputs), inputs["x"], epsilon)

    inputs["x"] = sixteenths(rng, shape)
    return Case(inputs, integers(rng, shape), forward, backward, definition, BALLS)


def fast_batch_norm(draw, rng, op=fast.batch_norm):
    """The problems of `batch_norm` for the operator that the layer runs."""
    return batch_norm(draw, rng, op)


def batch_norm_by_entries(params, x, epsilon):
    """Batch normalisation by its definition, one channel after the other."""
    y = np.empty(x.shape, dtype=object)
    for c in range(x.shape[-1]):
        values = list(x[..., c].flat)
        if "mean" in params:
            mean, var = params["mean"][c], params["var"][c]
        else:
            mean = sum(values[1:], start=values[0]) / len(values)
            squares = [(v - mean) ** 2 for v in values]
            var = sum(squares[1:], start=squares[0]) / len(values)
        scale = params["scale"][c] if "scale" in params else 1
        offset = params["offset"][c] if "offset" in params else 0

        def normalised(v, mean=mean, var=var, scale=scale, offset=offset):
            return scale * (v - mean) / (var + epsilon).sqrt() + offset

        y[..., c] = entrywise(normalised, np.asarray(x[..., c]))
    return y
