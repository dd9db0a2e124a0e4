"""Augmentation of images in training; nothing happens outside of it."""

from dataclasses import dataclass
from math import inf
from numbers import Real

from array_api_compat import device

from ttref import ops
from ttref.arrays import namespace
from ttref.checks import check_count
from ttref.errors import ConventionError
from ttref.layers.base import Layer


@dataclass(frozen=True)
class Augment(Layer):
    """Pad and crop, flip left to right, and change the contrast, each image by its own numbers.

    Parameters
    ----------
    pad : int
        Zeros around the image, of which a window of the old size is cut at random.
    flip : bool
        Whether every other image, at random, is mirrored.
    contrast : pair of floats, optional
        Bounds of the uniform factor of contrast, about each channel's mean.

    Notes
    -----
    Crop, flip, contrast is the order. Numbers come from the generator of the step, drawn on the
    CPU: per batch first the moves, then the flips, then the factors.
    """

    pad: int = 4
    flip: bool = True
    contrast: tuple[float, float] | None = None

    def __post_init__(self):
        if self.pad != 0:
            check_count("pad", self.pad)
        if self.contrast is not None and not _are_bounds(self.contrast):
            raise ConventionError(
                f"contrast is {self.contrast!r}, expected two numbers, 0 <= low <= high"
            )

    def __str__(self):
        return f"Augment(pad {self.pad}, flip {self.flip}, contrast {self.contrast})"

    def forward(self, params, x, train=False, rng=None):
        if not train:
            return x, None
        if rng is None:
            raise ConventionError("augmentation in training needs rng, a numpy.random.Generator")
        xp, B = namespace(x), x.shape[0]
        moves = rng.integers(-self.pad, self.pad + 1, (B, 2))
        flips = rng.integers(0, 2, B) * self.flip
        moves, flips = (xp.asarray(a, device=device(x)) for a in (moves, flips))
        y, moved = ops.crop_flip.forward(params, x, moves, flips)
        if self.contrast is None:
            return y, (moved, None)
        factor = xp.asarray(rng.uniform(*self.contrast, B), dtype=x.dtype, device=device(x))
        y, scaled = ops.contrast.forward(params, y, factor)
        return y, (moved, scaled)

    def backward(self, dy, cache, input_gradient=True):
        if cache is None:
            return {}, dy
        moved, scaled = cache
        if scaled is not None:
            _, dy = ops.contrast.backward(dy, scaled)
        return ops.crop_flip.backward(dy, moved)


def _are_bounds(contrast):
    return (
        isinstance(contrast, tuple | list)
        and len(contrast) == 2
        and all(isinstance(v, Real) for v in contrast)
        and 0 <= contrast[0] <= contrast[1] < inf
    )
