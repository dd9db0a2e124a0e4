"""Mutants of moves, flips and contrast of images."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import functions as F
from ttref import ops
from ttref.contracts import Array, Cache
from ttref.testing.cases.case import Params
from ttref.testing.mutants.elementwise import spoil_dx
from ttref.testing.mutants.mutant import Pair, make_mutants

crop = ops.crop_flip
contrast = ops.contrast


def contrast_without_mean(dy: Array, cache: Cache) -> Array:
    """``factor dy``: the term of the mean is left out."""
    return cache.factor * dy


def contrast_about_mean_over(axes: tuple[int, ...]) -> Pair:
    """Contrast about the mean over these axes; its own adjoint, too."""

    def scaled(x: Array, factor: Array) -> Array:
        count = np.prod([x.shape[axis] for axis in axes])
        total = np.sum(x, axis=axes, keepdims=True)
        mean = F.divide(total, int(count))
        return mean + factor * (x - mean)

    def forward(params: Params, x: Array, factor: Array) -> tuple[Array, Cache]:
        factor = np.reshape(factor, (len(x), 1, 1, 1))
        return scaled(x, factor), (factor,)

    return Pair(forward, lambda dy, cache: ({}, scaled(dy, *cache)))


def change_moves(change: Callable[..., Any]) -> Pair:
    """`crop_flip` by other moves and flips."""
    return Pair(
        lambda params, x, moves, flips: crop.forward(params, x, *change(moves, flips)),
        crop.backward,
    )


def change_moves_back(change: Callable[..., Any]) -> Pair:
    """`crop_flip` whose gradient is pulled back by other moves and flips."""

    def backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
        moves, flips = change(cache.moves, cache.flips)
        return crop.backward(dy, cache._replace(moves=moves, flips=flips))

    return Pair(crop.forward, backward)


def around(params: Params, x: Array, moves: Array, flips: Array) -> tuple[Array, Cache]:
    """What leaves the image on one side comes in on the other."""
    images = []
    for image, move, flip in zip(x, moves, flips, strict=True):
        down, right = move
        source = image[:, ::-1] if flip else image
        images.append(np.roll(source, (-down, right if flip else -right), (0, 1)))
    return np.stack(images), (moves, flips)


def around_backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
    """Its derivative."""
    images = []
    for image, move, flip in zip(dy, *cache, strict=True):
        down, right = move
        rolled_back = np.roll(image, (down, -right if flip else right), (0, 1))
        images.append(rolled_back[:, ::-1] if flip else rolled_back)
    return {}, np.stack(images)


MUTANTS = [
    *make_mutants(
        "crop_flip",
        "gradient",
        {
            "moves_again": ("moves again instead of back", change_moves_back(lambda m, f: (-m, f))),
            "flips_missing": ("not flipped back", change_moves_back(lambda m, f: (m, 0 * f))),
            "moves_missing": ("not moved back", change_moves_back(lambda m, f: (0 * m, f))),
        },
    ),
    *make_mutants(
        "crop_flip",
        "consistent",
        {
            "sign": ("moved the other way", change_moves(lambda m, f: (-m, f))),
            "axes": ("rows and columns exchanged", change_moves(lambda m, f: (m[:, ::-1], f))),
            "around": ("pixels come in again on the other side", Pair(around, around_backward)),
        },
    ),
    *make_mutants(
        "contrast",
        "gradient",
        {"mean_term": ("dx = factor dy", spoil_dx(contrast, contrast_without_mean))},
    ),
    *make_mutants(
        "contrast",
        "consistent",
        {
            "mean_of_channels": (
                "about the mean of all channels",
                contrast_about_mean_over((1, 2, 3)),
            ),
            "mean_of_rows": ("about the mean of each column", contrast_about_mean_over((1,))),
        },
    ),
]
