"""Sorting, ranking, pooling, and what is made of order."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Draw,
    Gradients,
    Parts,
    define,
    normal,
    scale,
    zero,
    zero_entry,
)

KIND = "sorting"


def apart(*shape: int) -> Draw:
    """Draws an array of numbers that are 0.2 apart, or a little more, in a random order."""

    def draw(rng: np.random.Generator) -> tuple[Array]:
        size = int(np.prod(shape))
        x = 0.25 * (np.arange(size) - size / 3) + rng.uniform(-0.02, 0.02, size)
        return (rng.permutation(x).reshape(shape),)

    return draw


@define(KIND)
def sort_rows() -> Parts:
    """Each row in ascending order."""

    def f(x: Array) -> Array:
        return np.sort(x, axis=1)

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        np.put_along_axis(dx, np.argsort(x, axis=1), dy, axis=1)
        return (dx,)

    def permuted_forth(dy: Array, x: Array) -> Gradients:
        """The gradient is permuted as x is, in place of back."""
        return (np.take_along_axis(dy, np.argsort(x, axis=1), axis=1),)

    def unsorted(dy: Array, x: Array) -> Gradients:
        """The order is forgotten."""
        return (dy + 0,)

    def descending(dy: Array, x: Array) -> Gradients:
        """The order is taken for descending."""
        return vjp(dy, -x)

    return Parts(f, apart(4, 7), vjp, (permuted_forth, unsorted, descending))


@define(KIND)
def median() -> Parts:
    """The median of six numbers: the mean of the third and the fourth."""

    def f(x: Array) -> Array:
        ordered = np.sort(x)
        return (ordered[2] + ordered[3]) / 2

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        dx[np.argsort(x)[2:4]] = dy / 2
        return (dx,)

    def lower(dy: Array, x: Array) -> Gradients:
        """Only the third number has a gradient."""
        dx = np.zeros_like(x)
        dx[np.argsort(x)[2]] = dy
        return (dx,)

    def of_mean(dy: Array, x: Array) -> Gradients:
        """The gradient of the mean."""
        return (np.full_like(x, dy / x.size),)

    return Parts(f, apart(6), vjp, (lower, of_mean, scale(vjp, 1.0001)))


@define(KIND)
def top_three_mean() -> Parts:
    """The mean of the three largest of each row."""

    def f(x: Array) -> Array:
        return np.mean(np.sort(x, axis=1)[:, -3:], axis=1)

    def vjp(dy: Array, x: Array) -> Gradients:
        third = np.sort(x, axis=1)[:, -3:-2]
        return (np.where(x >= third, dy[:, np.newaxis] / 3, 0.0),)

    def two(dy: Array, x: Array) -> Gradients:
        """The third largest has no gradient."""
        third = np.sort(x, axis=1)[:, -3:-2]
        return (np.where(x > third, dy[:, np.newaxis] / 3, 0.0),)

    def smallest(dy: Array, x: Array) -> Gradients:
        """The three smallest have the gradient."""
        return vjp(dy, -x)

    def not_averaged(dy: Array, x: Array) -> Gradients:
        """The division by 3 is missing."""
        return (3 * vjp(dy, x)[0],)

    return Parts(f, apart(2, 6), vjp, (two, smallest, not_averaged))


@define(KIND)
def max_pool() -> Parts:
    """The largest of each 2 x 2 block of an image."""

    def blocks(x: Array) -> Array:
        return x.reshape(2, 2, 3, 2).transpose(0, 2, 1, 3).reshape(2, 3, 4)

    def image(b: Array) -> Array:
        return b.reshape(2, 3, 2, 2).transpose(0, 2, 1, 3).reshape(4, 6)

    def f(x: Array) -> Array:
        return np.max(blocks(x), axis=-1)

    def vjp(dy: Array, x: Array) -> Gradients:
        inside = blocks(x)
        is_largest = inside == np.max(inside, axis=-1, keepdims=True)
        return (image(np.where(is_largest, dy[..., np.newaxis], 0.0)),)

    def first_place(dy: Array, x: Array) -> Gradients:
        """The gradient goes to the first entry of each block."""
        inside = np.zeros_like(blocks(x))
        inside[..., 0] = dy
        return (image(inside),)

    def averaged(dy: Array, x: Array) -> Gradients:
        """The gradient of the mean of each block."""
        return (image(np.repeat(dy[..., np.newaxis], 4, axis=-1) / 4),)

    def not_folded(dy: Array, x: Array) -> Gradients:
        """The blocks are put back row by row."""
        inside = blocks(x)
        is_largest = inside == np.max(inside, axis=-1, keepdims=True)
        return (np.where(is_largest, dy[..., np.newaxis], 0.0).reshape(4, 6),)

    return Parts(f, apart(4, 6), vjp, (first_place, averaged, not_folded))


@define(KIND)
def overlapping_max_pool() -> Parts:
    """The largest of each window of 3, at a stride of 1."""

    def windows(x: Array) -> Array:
        return np.stack([x[:-2], x[1:-1], x[2:]])

    def f(x: Array) -> Array:
        return np.max(windows(x), axis=0)

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        places = np.argmax(windows(x), axis=0) + np.arange(len(dy))
        for place, d in zip(places, dy, strict=True):
            dx[place] += d
        return (dx,)

    def overwritten(dy: Array, x: Array) -> Gradients:
        """An entry that is the largest of several windows gets one of them."""
        dx = np.zeros_like(x)
        dx[np.argmax(windows(x), axis=0) + np.arange(len(dy))] = dy
        return (dx,)

    def centred(dy: Array, x: Array) -> Gradients:
        """The gradient goes to the middle of each window."""
        dx = np.zeros_like(x)
        dx[1:-1] = dy
        return (dx,)

    return Parts(f, apart(10), vjp, (overwritten, centred, scale(vjp, 1.0001)))


@define(KIND)
def average_pool() -> Parts:
    """The mean of each window of 4, at a stride of 2."""

    def f(x: Array) -> Array:
        return np.stack([np.mean(x[:, k : k + 4], axis=1) for k in range(0, 7, 2)], axis=1)

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        for place in range(dy.shape[1]):
            dx[:, 2 * place : 2 * place + 4] += dy[:, place : place + 1] / 4
        return (dx,)

    def last_window(dy: Array, x: Array) -> Gradients:
        """Overlaps are overwritten in place of added."""
        dx = np.zeros_like(x)
        for place in range(dy.shape[1]):
            dx[:, 2 * place : 2 * place + 4] = dy[:, place : place + 1] / 4
        return (dx,)

    def stride_of_one(dy: Array, x: Array) -> Gradients:
        """The stride is taken for 1."""
        dx = np.zeros_like(x)
        for place in range(dy.shape[1]):
            dx[:, place : place + 4] += dy[:, place : place + 1] / 4
        return (dx,)

    return Parts(f, normal((2, 10)), vjp, (last_window, stride_of_one, scale(vjp, 1.0001)))


@define(KIND)
def running_maximum() -> Parts:
    """The largest entry up to each place."""

    def f(x: Array) -> Array:
        return np.maximum.accumulate(x)

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        top = 0
        for place, d in enumerate(dy):
            if x[place] > x[top]:
                top = place
            dx[top] += d
        return (dx,)

    def records_only(dy: Array, x: Array) -> Gradients:
        """Only the places of new records count."""
        return (np.where(x == np.maximum.accumulate(x), dy, 0.0),)

    def from_the_right(dy: Array, x: Array) -> Gradients:
        """The maximum runs from the other end."""
        return (vjp(dy[::-1], x[::-1])[0][::-1] + 0,)

    return Parts(f, apart(9), vjp, (records_only, from_the_right, zero(vjp)))


@define(KIND)
def range_of_columns() -> Parts:
    """``max - min`` of each column."""

    def f(x: Array) -> Array:
        return np.max(x, axis=0) - np.min(x, axis=0)

    def vjp(dy: Array, x: Array) -> Gradients:
        is_largest = x == np.max(x, axis=0)
        is_smallest = x == np.min(x, axis=0)
        return (np.where(is_largest, dy, 0.0) - np.where(is_smallest, dy, 0.0),)

    def added(dy: Array, x: Array) -> Gradients:
        """The gradient of the minimum has the wrong sign."""
        return (np.abs(np.sign(vjp(dy, x)[0])) * dy,)

    def without_minimum(dy: Array, x: Array) -> Gradients:
        """The minimum is taken for a constant."""
        return (np.where(x == np.max(x, axis=0), dy, 0.0),)

    return Parts(f, apart(5, 3), vjp, (added, without_minimum, scale(vjp, 1.0001)))


@define(KIND)
def weighted_ranks() -> Parts:
    """``sum(k x_(k))`` of the ordered entries: a statistic of the order."""

    def f(x: Array) -> Array:
        return np.sum(np.arange(1.0, 12.0) * np.sort(x))

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy * (np.argsort(np.argsort(x)) + 1.0),)

    def order_in_place_of_rank(dy: Array, x: Array) -> Gradients:
        """The places of the order in place of the ranks."""
        return (dy * (np.argsort(x) + 1.0),)

    def from_zero(dy: Array, x: Array) -> Gradients:
        """Ranks are counted from 0."""
        return (dy * np.argsort(np.argsort(x)),)

    return Parts(f, apart(11), vjp, (order_in_place_of_rank, from_zero, zero_entry(vjp, 1)))


@define(KIND)
def quantile() -> Parts:
    """The quantile 0.3 of eight numbers, between the third and the fourth."""

    def f(x: Array) -> Array:
        ordered = np.sort(x)
        return ordered[2] + 0.1 * (ordered[3] - ordered[2])

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        order = np.argsort(x)
        dx[order[2]] = dy * 0.9
        dx[order[3]] = dy * 0.1
        return (dx,)

    def exchanged(dy: Array, x: Array) -> Gradients:
        """The two weights are exchanged."""
        dx = np.zeros_like(x)
        order = np.argsort(x)
        dx[order[2]] = dy * 0.1
        dx[order[3]] = dy * 0.9
        return (dx,)

    def nearest(dy: Array, x: Array) -> Gradients:
        """Only the nearest number has a gradient."""
        dx = np.zeros_like(x)
        dx[np.argsort(x)[2]] = dy
        return (dx,)

    return Parts(f, apart(8), vjp, (exchanged, nearest, scale(vjp, 1.0003)))


@define(KIND)
def distances_of_all_pairs() -> Parts:
    """``sum(|x_i - x_j|)`` over all pairs."""

    def f(x: Array) -> Array:
        return np.sum(np.abs(x[:, np.newaxis] - x)) / 2

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy * np.sum(np.sign(x[:, np.newaxis] - x), axis=1),)

    def half(dy: Array, x: Array) -> Gradients:
        """Each pair counts half."""
        return (vjp(dy, x)[0] / 2,)

    def other_axis(dy: Array, x: Array) -> Gradients:
        """The sum runs over the other axis, which changes the sign."""
        return (dy * np.sum(np.sign(x[:, np.newaxis] - x), axis=0),)

    return Parts(f, apart(6), vjp, (half, other_axis, zero_entry(vjp, 3)))
