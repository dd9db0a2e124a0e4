"""Problems for moves, flips and contrast of images."""

from itertools import product

import numpy as np

from ttref import ops
from ttref.testing.cases.case import Case, integers, like, quotient


def crop_flip(draw, rng, op=ops.crop_flip):
    """Images moved by up to two pixels, some of them out of sight, and mirrored."""
    shape = draw(1, 3), draw(1, 4), draw(2, 4), draw(1, 2)
    moves, flips = rng.integers(-2, 3, (shape[0], 2)), rng.integers(0, 2, shape[0])

    def definition(inputs):
        x = inputs["x"]
        _, H, W, _ = shape
        y = np.empty(shape, dtype=object)
        for n, h, w, c in np.ndindex(shape):
            row, column = h + moves[n, 0], (W - 1 - w if flips[n] else w) + moves[n, 1]
            y[n, h, w, c] = x[n, row, column, c] if 0 <= row < H and 0 <= column < W else 0
        return y

    options = [np.asarray(a) for a in (moves, flips)]
    return _linear_in_x(rng, op, shape, options, definition, lambda a, x: _indices(a, x))


def contrast(draw, rng, op=ops.contrast):
    """Contrast by integer factors; inputs are multiples of the number of pixels."""
    shape = tuple(draw(1, 3) for _ in range(4))
    factor = integers(rng, shape[:1])

    def definition(inputs):
        x, pixels = inputs["x"], shape[1] * shape[2]
        y = np.empty(shape, dtype=object)
        for n, h, w, c in np.ndindex(shape):
            mean = quotient(sum(x[n, i, j, c] for i, j in product(*map(range, shape[1:3]))), pixels)
            y[n, h, w, c] = mean + factor[n] * (x[n, h, w, c] - mean)
        return y

    case = _linear_in_x(rng, op, shape, [factor], definition, like)
    return case._replace(unit=shape[1] * shape[2])


def _linear_in_x(rng, op, shape, options, definition, placed):
    """The case of a map that is linear in x, its other inputs `placed` beside x."""
    return Case(
        {"x": integers(rng, shape)},
        integers(rng, shape),
        lambda inputs: op.forward({}, inputs["x"], *(placed(a, inputs["x"]) for a in options)),
        lambda dy, cache: {"x": op.backward(dy, cache)[1]},
        definition,
        degree=1,
    )


def _indices(a, x):
    """Machine integers, whatever the numbers of x."""
    return a if x.dtype == object else like(a, x)
