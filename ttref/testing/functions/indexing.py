"""Indexing, gathering, scattering, padding, concatenating and changing the order of axes."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    negate,
    normal,
    scale,
    transpose,
    zero,
    zero_entry,
)

KIND = "indexing"


@define(KIND)
def embedding() -> Parts:
    """Rows of a table, some of them several times."""

    def f(table: Array, words: Array) -> Array:
        return table[words]

    def vjp(dy: Array, table: Array, words: Array) -> Gradients:
        dtable = np.zeros_like(table)
        for row, word in zip(dy, words, strict=True):
            dtable[word] += row
        return dtable, None

    def overwritten(dy: Array, table: Array, words: Array) -> Gradients:
        """Of a word that occurs several times, only the last one counts."""
        dtable = np.zeros_like(table)
        dtable[words] = dy
        return dtable, None

    def next_word(dy: Array, table: Array, words: Array) -> Gradients:
        """Words are counted from 1."""
        return vjp(dy, table, (words + 1) % len(table))

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal((5, 3)), np.asarray([4, 1, 1, 0, 4, 1])

    return Parts(f, draw, vjp, (overwritten, next_word, zero_entry(vjp, 0)), argnums=(0,))


@define(KIND)
def scatter_add() -> Parts:
    """``y = zeros(5)``, to whose places `where` the values are added."""

    def f(values: Array, where: Array) -> Array:
        return np.eye(5)[where].T @ values

    def vjp(dy: Array, values: Array, where: Array) -> Gradients:
        return dy[where] + 0, None

    def averaged(dy: Array, values: Array, where: Array) -> Gradients:
        """The gradient is divided by the number of values at the place."""
        return dy[where] / np.bincount(where, minlength=5)[where], None

    def first_only(dy: Array, values: Array, where: Array) -> Gradients:
        """Of several values at a place, only the first has a gradient."""
        is_first = np.zeros(len(where))
        is_first[np.unique(where, return_index=True)[1]] = 1
        return dy[where] * is_first, None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(8), np.asarray([0, 2, 2, 1, 4, 0, 2, 3])

    return Parts(f, draw, vjp, (averaged, first_only, scale(vjp, 1.0001)), argnums=(0,))


@define(KIND)
def segment_mean() -> Parts:
    """The mean of the rows of each of three segments."""

    def f(x: Array, segments: Array) -> Array:
        counts = np.bincount(segments, minlength=3)
        return np.eye(3)[segments].T @ x / counts[:, np.newaxis]

    def vjp(dy: Array, x: Array, segments: Array) -> Gradients:
        counts = np.bincount(segments, minlength=3)
        return dy[segments] / counts[segments][:, np.newaxis], None

    def summed(dy: Array, x: Array, segments: Array) -> Gradients:
        """The division by the number of rows is missing."""
        return dy[segments] + 0, None

    def evenly(dy: Array, x: Array, segments: Array) -> Gradients:
        """All segments are taken to have the same number of rows."""
        return dy[segments] * 3 / len(x), None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal((7, 2)), np.asarray([0, 0, 1, 2, 2, 2, 2])

    return Parts(f, draw, vjp, (summed, evenly, zero_entry(vjp, 4)), argnums=(0,))


@define(KIND)
def strided_slice() -> Parts:
    """``x[1::2, ::-1]``."""

    def f(x: Array) -> Array:
        return x[1::2, ::-1] + 0

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        dx[1::2, ::-1] = dy
        return (dx,)

    def not_reversed(dy: Array, x: Array) -> Gradients:
        """The second axis is not reversed."""
        dx = np.zeros_like(x)
        dx[1::2] = dy
        return (dx,)

    def even_rows(dy: Array, x: Array) -> Gradients:
        """The rows 0, 2, 4 in place of 1, 3, 5."""
        return (np.roll(vjp(dy, x)[0], -1, axis=0),)

    return Parts(f, normal((6, 4)), vjp, (not_reversed, even_rows, scale(vjp, 1.0001)))


@define(KIND)
def pad_with_zeros() -> Parts:
    """A border of zeros, one to the left and two to the right."""

    def f(x: Array) -> Array:
        return np.pad(x, ((0, 0), (1, 2)))

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy[:, 1:-2] + 0,)

    def shifted(dy: Array, x: Array) -> Gradients:
        """The border to the left is taken for two wide."""
        return (dy[:, 2:-1] + 0,)

    def not_shifted(dy: Array, x: Array) -> Gradients:
        """The border to the left is forgotten."""
        return (dy[:, :-3] + 0,)

    return Parts(f, normal((3, 5)), vjp, (shifted, not_shifted, zero_entry(vjp, 14)))


@define(KIND)
def pad_by_reflection() -> Parts:
    """Two entries at each end, reflected."""

    def f(x: Array) -> Array:
        return np.concatenate([x[2:0:-1], x, x[-2:-4:-1]])

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = dy[2:-2] + 0
        dx[2:0:-1] += dy[:2]
        dx[-2:-4:-1] += dy[-2:]
        return (dx,)

    def border_dropped(dy: Array, x: Array) -> Gradients:
        """The gradient of the border is dropped."""
        return (dy[2:-2] + 0,)

    def symmetric(dy: Array, x: Array) -> Gradients:
        """The reflection repeats the entry at the end."""
        dx = dy[2:-2] + 0
        dx[1::-1] += dy[:2]
        dx[:-3:-1] += dy[-2:]
        return (dx,)

    return Parts(f, normal((8,)), vjp, (border_dropped, symmetric, scale(vjp, 1.0002)))


@define(KIND)
def concatenate() -> Parts:
    """Two arrays side by side, the second twice."""

    def f(a: Array, b: Array) -> Array:
        return np.concatenate([b, a, b], axis=1)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        n = b.shape[1]
        return dy[:, n:-n] + 0, dy[:, :n] + dy[:, -n:]

    def once(dy: Array, a: Array, b: Array) -> Gradients:
        """The second copy of b is forgotten."""
        n = b.shape[1]
        return dy[:, n:-n] + 0, dy[:, :n] + 0

    def in_order(dy: Array, a: Array, b: Array) -> Gradients:
        """The gradients are cut as if a came first."""
        m = a.shape[1]
        n = b.shape[1]
        return dy[:, :m] + 0, dy[:, m : m + n] + dy[:, -n:]

    return Parts(f, normal((2, 4), (2, 3)), vjp, (once, in_order, negate(vjp, 1)))


@define(KIND)
def transpose_and_multiply() -> Parts:
    """``x^T`` times a constant matrix of places, of a square x."""

    def f(x: Array) -> Array:
        return x.T * np.arange(1.0, 17.0).reshape(4, 4)

    def vjp(dy: Array, x: Array) -> Gradients:
        return ((dy * np.arange(1.0, 17.0).reshape(4, 4)).T + 0,)

    def weights_transposed(dy: Array, x: Array) -> Gradients:
        """The constant is not transposed with the rest."""
        return (dy.T * np.arange(1.0, 17.0).reshape(4, 4),)

    wrong = (transpose(vjp), weights_transposed, scale(vjp, 1.0001))
    return Parts(f, normal((4, 4)), vjp, wrong)


@define(KIND)
def diagonal() -> Parts:
    """The squares of the diagonal of a matrix."""

    def f(x: Array) -> Array:
        return np.diagonal(x) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        return (np.diag(2 * dy * np.diagonal(x)),)

    def antidiagonal(dy: Array, x: Array) -> Gradients:
        """The gradient stands on the other diagonal."""
        return (vjp(dy, x)[0][:, ::-1] + 0,)

    def full(dy: Array, x: Array) -> Gradients:
        """All entries of a row have a gradient."""
        return (2 * dy[:, np.newaxis] * x,)

    return Parts(f, normal((5, 5)), vjp, (antidiagonal, full, zero_entry(vjp, 12)))


@define(KIND)
def masked_mean() -> Parts:
    """The mean of the entries where a mask is set."""

    def f(x: Array, mask: Array) -> Array:
        return np.sum(np.where(mask, x, 0.0)) / np.sum(mask)

    def vjp(dy: Array, x: Array, mask: Array) -> Gradients:
        return np.where(mask, dy / np.sum(mask), 0.0), None

    def over_all(dy: Array, x: Array, mask: Array) -> Gradients:
        """The division is by the number of all entries."""
        return np.where(mask, dy / mask.size, 0.0), None

    def unmasked(dy: Array, x: Array, mask: Array) -> Gradients:
        """The mask is forgotten."""
        return np.full_like(x, dy / np.sum(mask)), None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal((3, 4)), rng.permutation(np.arange(12) < 7).reshape(3, 4)

    return Parts(f, draw, vjp, (over_all, unmasked, scale(vjp, 1.0001)), argnums=(0,))


@define(KIND)
def roll_difference() -> Parts:
    """``(x - roll(x, 1))^2``."""

    def f(x: Array) -> Array:
        return (x - np.roll(x, 1)) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        inner = 2 * dy * (x - np.roll(x, 1))
        return (inner - np.roll(inner, -1),)

    def rolled_forth(dy: Array, x: Array) -> Gradients:
        """The gradient is rolled in the direction of x."""
        inner = 2 * dy * (x - np.roll(x, 1))
        return (inner - np.roll(inner, 1),)

    def not_rolled(dy: Array, x: Array) -> Gradients:
        """The neighbour is taken for a constant."""
        return (2 * dy * (x - np.roll(x, 1)),)

    def without_wrap(dy: Array, x: Array) -> Gradients:
        """The last entry is not a neighbour of the first one."""
        inner = 2 * dy * (x - np.roll(x, 1))
        dx = inner - np.roll(inner, -1)
        dx[-1] = inner[-1]
        return (dx,)

    return Parts(f, normal((9,)), vjp, (rolled_forth, not_rolled, without_wrap))


@define(KIND)
def triangular_part() -> Parts:
    """``tril(x) tril(x)^T``."""

    def f(x: Array) -> Array:
        return np.tril(x) @ np.tril(x).T

    def vjp(dy: Array, x: Array) -> Gradients:
        return (np.tril((dy + dy.T) @ np.tril(x)),)

    def not_cut(dy: Array, x: Array) -> Gradients:
        """The upper part has a gradient, too."""
        return ((dy + dy.T) @ np.tril(x),)

    def symmetric_assumed(dy: Array, x: Array) -> Gradients:
        """The gradient of the product is taken for symmetric."""
        return (np.tril(2 * dy @ np.tril(x)),)

    def without_diagonal(dy: Array, x: Array) -> Gradients:
        """The diagonal has no gradient."""
        return (np.tril(vjp(dy, x)[0], -1),)

    return Parts(f, normal((4, 4)), vjp, (not_cut, symmetric_assumed, without_diagonal))


@define(KIND)
def one_entry() -> Parts:
    """``x[2, 1]``, a number."""

    def f(x: Array) -> Array:
        return x[2, 1] * 1

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        dx[2, 1] = dy
        return (dx,)

    def of_transpose(dy: Array, x: Array) -> Gradients:
        """The indices are exchanged."""
        dx = np.zeros_like(x)
        dx[1, 2] = dy
        return (dx,)

    return Parts(f, normal((3, 4)), vjp, (of_transpose, zero(vjp), scale(vjp, 1.0001)))


@define(KIND)
def outer_sum() -> Parts:
    """``tanh(a_i + b_j)``, a broadcast of two vectors."""

    def f(a: Array, b: Array) -> Array:
        return np.tanh(a[:, np.newaxis] + b)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        inner = dy * (1 - f(a, b) ** 2)
        return np.sum(inner, axis=1), np.sum(inner, axis=0)

    def first_row(dy: Array, a: Array, b: Array) -> Gradients:
        """The gradient of b lacks the sum over the rows."""
        inner = dy * (1 - f(a, b) ** 2)
        return np.sum(inner, axis=1), inner[0] + 0

    def averaged(dy: Array, a: Array, b: Array) -> Gradients:
        """The gradient of a is a mean over the columns."""
        inner = dy * (1 - f(a, b) ** 2)
        return np.mean(inner, axis=1), np.sum(inner, axis=0)

    wrong = (first_row, averaged, scale(vjp, 1.0001, arg=1))
    return Parts(f, normal((4,), (3,)), vjp, wrong)
