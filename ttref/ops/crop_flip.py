"""Pad, crop and flip: each image moved by some pixels, zeros coming in, and mirrored or not.

    y[n, h, w] = x[n, h + down[n], w' + right[n]],  w' = W - 1 - w where the image is flipped

Padding by p and cropping at a random corner is a move by -p to p pixels. The numbers are inputs,
so the operator is linear and deterministic; its adjoint moves back.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.ops import windows


class Cache(NamedTuple):
    """What ``backward`` reads."""

    moves: Any  # integers (B, 2): rows down, columns to the right
    flips: Any  # integers (B,): 1 where the image is mirrored, else 0
    x_shape: tuple  # (B, H, W, C)


@border.forward("params", "x")
def forward(params: Params, x: Array, moves: Array, flips: Array) -> tuple[Array, Cache]:
    """Move and mirror images (B, H, W, C) by integers `moves` (B, 2) and `flips` (B,), 0 or 1."""
    windows.check_images(x)
    check_shape("moves", moves, (x.shape[0], 2))
    check_shape("flips", flips, x.shape[:1])
    width = x.shape[2]
    columns = _line(moves, width) + flips[:, None] * (width - 1 - 2 * _line(moves, width))
    y = _look_up(x, _line(moves, x.shape[1]) + moves[:, :1], columns + moves[:, 1:])
    return y, Cache(moves, flips, x.shape)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.x_shape)
    moves = cache.moves
    width = cache.x_shape[2]
    columns = _line(moves, width) - moves[:, 1:]
    columns = columns + cache.flips[:, None] * (width - 1 - 2 * columns)
    return {}, _look_up(dy, _line(moves, cache.x_shape[1]) - moves[:, :1], columns)


def _line(like: Array, size: int) -> Array:
    """0 to size - 1, shape (1, size)."""
    xp = namespace(like)
    return xp.reshape(xp.arange(size, dtype=like.dtype), (1, size))


def _look_up(x: Array, rows: Array, columns: Array) -> Array:
    """``x[n, rows[n, h], columns[n, w]]``, zero outside of the image."""
    xp = namespace(x)
    B, H, W, C = x.shape
    # the flat index of each pixel that is looked up; one past the last stands for zero
    rows = rows[:, :, None]
    columns = columns[:, None, :]
    inside = (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W)
    images = xp.reshape(_line(rows, B), (B, 1, 1))
    pixels = xp.where(inside, (images * H + rows) * W + columns, B * H * W)
    flat = xp.reshape(x, (B * H * W, C))
    flat = xp.concat([flat, xp.zeros_like(flat[:1, :])], axis=0)
    return xp.reshape(xp.take(flat, xp.reshape(pixels, (B * H * W,)), axis=0), x.shape)
