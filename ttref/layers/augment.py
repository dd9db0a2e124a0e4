"""Augmentation of images in training; nothing happens outside of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import device

from ttref import ops
from ttref.arrays import check_array, namespace, plain
from ttref.checks import check_flag, check_number
from ttref.contracts import Array, Cache, Tree
from ttref.errors import ConventionError
from ttref.layers.base import Layer
from ttref.rng import check_generator


@dataclass(frozen=True)
class Augment(Layer):
    """Pad and crop, flip left to right, and change the contrast, each image by its own numbers.

    Parameters
    ----------
    pad : int
        Zeros around the image, of which a window of the old size is cut at random.
    flip : bool
        Whether each image is mirrored with probability 1/2.
    contrast : pair of floats, optional
        Bounds of the uniform factor of contrast, about each channel's mean.

    Raises
    ------
    ConventionError
        If `pad` is no integer from 0, `flip` is not True or False, or `contrast` is no pair of
        bounds.

    Notes
    -----
    Crop, flip, contrast is the order. Numbers come from the generator of the step, drawn on the
    CPU: per batch first the moves, then the flips, then the factors.
    """

    pad: int = 4
    flip: bool = True
    contrast: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_flag("flip", self.flip)
        self._set(pad=int(check_number("pad", self.pad, "an integer >= 0", _is_natural)))
        if self.contrast is None:
            return
        if not _are_bounds(self.contrast):
            raise ConventionError(
                f"contrast is {self.contrast!r}, expected two numbers, 0 <= low <= high"
            )
        self._set(contrast=tuple(map(plain, self.contrast)))

    def __str__(self) -> str:
        return f"Augment(pad {self.pad}, flip {self.flip}, contrast {self.contrast})"

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        check_array("x", x)
        if not train:
            return x, None
        rng = check_generator(rng, "augmentation")
        xp = namespace(x)
        B = x.shape[0]

        # Crop and flip.
        moves = rng.integers(-self.pad, self.pad + 1, (B, 2))
        flips = rng.integers(0, 2, B) * self.flip
        moves, flips = (xp.asarray(a, device=device(x)) for a in (moves, flips))
        y, moved = ops.crop_flip.forward(params, x, moves, flips)
        if self.contrast is None:
            return y, (moved, None)

        # Contrast.
        low, high = self.contrast
        factor = xp.asarray(rng.uniform(low, high, B), dtype=x.dtype, device=device(x))
        y, scaled = ops.contrast.forward(params, y, factor)
        return y, (moved, scaled)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        if cache is None:
            return {}, dy
        moved, scaled = cache
        if scaled is not None:
            _, dy = ops.contrast.backward(dy, scaled)
        return ops.crop_flip.backward(dy, moved)


def _is_natural(value: Any) -> bool:
    return isinstance(value, int | np.integer) and bool(value >= 0)


def _are_bounds(contrast: Any) -> bool:
    return (
        isinstance(contrast, tuple | list)
        and len(contrast) == 2
        and all(isinstance(v, Real) and not isinstance(v, bool) for v in contrast)
        and 0 <= contrast[0] <= contrast[1] < inf
    )
