"""Functions with a kink close to their arguments, or close to some of many."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    entrywise,
    negate,
    scale,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "kinks"


@define(KIND)
def absolute_error_close_to_kink() -> Parts:
    """``mean(|p - t|)``, one of whose differences is 1e-7."""

    def f(p: Array, t: Array) -> Array:
        return np.mean(np.abs(p - t))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        dp = dy * np.sign(p - t) / p.size
        return dp, -dp

    def not_averaged(dy: Array, p: Array, t: Array) -> Gradients:
        """The division by the number of entries is missing."""
        dp = dy * np.sign(p - t)
        return dp, -dp

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        t = rng.standard_normal(6)
        return t + rng.permutation([1e-7, 0.4, -0.7, 0.2, -1.1, 0.9]), t

    return Parts(f, draw, vjp, (not_averaged, negate(vjp), zero_entry(vjp, 1)))


@define(KIND)
def many_absolute_differences() -> Parts:
    """``sum(|x - t|)`` over 300 000 entries, some of which are close to their kink."""
    size = 300_000

    def f(x: Array, t: Array) -> Array:
        return np.sum(np.abs(x - t))

    def vjp(dy: Array, x: Array, t: Array) -> Gradients:
        dx = dy * np.sign(x - t)
        return dx, -dx

    def signs_forgotten(dy: Array, x: Array, t: Array) -> Gradients:
        """The sign is missing."""
        dx = dy * np.ones_like(x)
        return dx, -dx

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(size), rng.standard_normal(size)

    wrong = (signs_forgotten, negate(vjp), scale(vjp, 1.001, arg=1))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def many_rectifiers() -> Parts:
    """``sum(w max(x, 0))`` over 40 000 entries."""
    size = 40_000

    def f(x: Array, w: Array) -> Array:
        return np.sum(w * np.maximum(x, 0))

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        return dy * np.where(x > 0, w, 0.0), dy * np.maximum(x, 0)

    def always_on(dy: Array, x: Array, w: Array) -> Gradients:
        """Negative entries have a gradient, too."""
        return dy * w, dy * np.maximum(x, 0)

    def linear(dy: Array, x: Array, w: Array) -> Gradients:
        """The gradient of the weights is that for ``w x``."""
        return dy * np.where(x > 0, w, 0.0), dy * x

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(size), rng.standard_normal(size)

    return Parts(f, draw, vjp, (always_on, linear, scale(vjp, 1.001)))


def close(distance: float, n: int = 5) -> Array:
    """Numbers at both sides of 0, the closest ones at a distance."""
    return distance * np.asarray([1, -1, 30, -300, 1e4][:n])


@define(KIND)
def rectifier_close_to_kink() -> Parts:
    """``max(x, 0)`` at 1e-8 and beyond."""

    def f(x: Array) -> Array:
        return np.maximum(x, 0)

    def slope(x: Array) -> Array:
        return np.where(x > 0, 1.0, 0.0)

    def half(x: Array) -> Array:
        """The slope is 1/2 on both sides, as if all entries were on the kink."""
        return np.full_like(x, 0.5)

    def reversed_branch(x: Array) -> Array:
        """The slope is 1 where x is negative."""
        return np.where(x > 0, 0.0, 1.0)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.permutation(close(1e-8)),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(half), wrong_slope(reversed_branch), zero(vjp)))


@define(KIND)
def clip_close_to_end() -> Parts:
    """``x clip(x, -1, 1)`` at 1 - 1e-9 and 1 + 1e-9."""

    def f(x: Array) -> Array:
        return x * np.clip(x, -1.0, 1.0)

    def slope(x: Array) -> Array:
        return np.where(np.abs(x) < 1, 2 * x, np.sign(x))

    def never_clipped(x: Array) -> Array:
        """The clip is forgotten."""
        return 2 * x

    def always_clipped(x: Array) -> Array:
        """Entries inside are taken for clipped."""
        return np.clip(x, -1.0, 1.0)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.asarray([1 - 1e-9, 1 + 1e-9, -1 + 1e-9, -1 - 1e-9, 0.5]),)

    vjp = entrywise(slope)
    wrong = (wrong_slope(never_clipped), wrong_slope(always_clipped), zero_entry(vjp, 0))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def nearly_tied_maximum() -> Parts:
    """``max(x)``, where the second largest is 1e-6 smaller."""

    def f(x: Array) -> Array:
        return np.max(x)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (np.where(x == np.max(x), dy, 0.0),)

    def the_second(dy: Array, x: Array) -> Gradients:
        """The second largest gets the gradient."""
        second = np.sort(x)[-2]
        return (np.where(x == second, dy, 0.0),)

    def shared(dy: Array, x: Array) -> Gradients:
        """Both get half of the gradient."""
        return (np.where(x >= np.sort(x)[-2], dy / 2, 0.0),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        top = rng.uniform(1, 2)
        return (rng.permutation([top, top - 1e-6, top - 1, top - 2]),)

    return Parts(f, draw, vjp, (the_second, shared, zero(vjp)))


@define(KIND)
def nearly_tied_order() -> Parts:
    """The ordered entries, two of which are 1e-7 apart."""

    def f(x: Array) -> Array:
        return np.sort(x) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        order = np.argsort(x)
        dx = np.zeros_like(x)
        dx[order] = dy * 2 * x[order]
        return (dx,)

    def exchanged(dy: Array, x: Array) -> Gradients:
        """The two that are close are exchanged."""
        order = np.argsort(x)
        order[1:3] = order[2:0:-1].copy()
        dx = np.zeros_like(x)
        dx[order] = dy * 2 * np.sort(x)
        return (dx,)

    def permuted_forth(dy: Array, x: Array) -> Gradients:
        """The gradient is permuted as x is, in place of back."""
        order = np.argsort(x)
        return ((dy * 2 * x[order])[order],)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        middle = rng.uniform(0.9, 1.1)
        return (np.asarray([1.9, middle, 0.3, middle + 1e-7]),)

    return Parts(f, draw, vjp, (exchanged, permuted_forth, scale(vjp, 1.001)))


@define(KIND)
def huber_close_to_corner() -> Parts:
    """``r^2 / 2`` below 1 and ``2 r - 3/2`` above, whose slope jumps from 1 to 2 at 1."""

    def f(r: Array) -> Array:
        return np.where(r < 1, 0.5 * r * r, 2 * r - 1.5)

    def slope(r: Array) -> Array:
        return np.where(r < 1, r, 2.0)

    def without_jump(r: Array) -> Array:
        """The slope above is 1, as for the loss of Huber."""
        return np.where(r < 1, r, 1.0)

    def quadratic(r: Array) -> Array:
        """The linear branch is missing."""
        return r + 0

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (1 + np.asarray([1e-5, -1e-5, 1e-6, -1e-7, 0.5]),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(without_jump), wrong_slope(quadratic), negate(vjp)))


@define(KIND)
def hinge_close_to_margin() -> Parts:
    """``sum(max(0, 1 - t p))``, some of whose margins are within 1e-6 of 1."""

    def f(p: Array, t: Array) -> Array:
        return np.sum(np.maximum(0, 1 - t * p))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        return np.where(t * p < 1, -dy * t, 0.0), None

    def always(dy: Array, p: Array, t: Array) -> Gradients:
        """Samples beyond the margin have a gradient, too."""
        return -dy * t, None

    def unsigned(dy: Array, p: Array, t: Array) -> Gradients:
        """The class is forgotten."""
        return np.where(t * p < 1, -dy, 0.0), None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        t = np.asarray([1, -1, 1, -1, 1, -1])
        return (1 + np.asarray([1e-6, -1e-6, 1e-5, 1e-7, -0.7, 0.8])) * t, t

    return Parts(f, draw, vjp, (always, unsigned, zero_entry(vjp, 1)), argnums=(0,))


@define(KIND)
def root_close_to_zero() -> Parts:
    """``sqrt(x)`` at 1e-10, beyond which it is not defined."""

    def f(x: Array) -> Array:
        return np.sqrt(x)

    def slope(x: Array) -> Array:
        return 0.5 / np.sqrt(x)

    def with_epsilon(x: Array) -> Array:
        """The root is guarded by 1e-8."""
        return 0.5 / (np.sqrt(x) + 1e-8)

    def without_half(x: Array) -> Array:
        """The factor 1/2 is missing."""
        return 1 / np.sqrt(x)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(1e-10, 1e-9, 4),)

    vjp = entrywise(slope)
    wrong = (wrong_slope(with_epsilon), wrong_slope(without_half), scale(vjp, 1.0001))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def jump_close_by() -> Parts:
    """``(x % 1)^2`` at 1e-6 from integers, where f jumps."""

    def f(x: Array) -> Array:
        return (x % 1) ** 2

    def slope(x: Array) -> Array:
        return 2 * (x % 1)

    def of_square(x: Array) -> Array:
        """The slope of ``x^2``."""
        return 2 * x

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.asarray([3 - 1e-6, 2.4, -1 - 1e-5, 0.7]) + rng.uniform(-1e-7, 1e-7, 4),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(of_square), zero(vjp), scale(vjp, 1.001)))


@define(KIND)
def interpolation_close_to_knot() -> Parts:
    """A table at 0, 1, ..., 5, interpolated at 1e-6 from some of its knots."""

    def f(table: Array, x: Array) -> Array:
        left = np.floor(x).astype(int)
        weight = x - left
        return table[left] * (1 - weight) + table[left + 1] * weight

    def vjp(dy: Array, table: Array, x: Array) -> Gradients:
        left = np.floor(x).astype(int)
        weight = (x - left)[:, np.newaxis]
        hats = np.eye(6)[left] * (1 - weight) + np.eye(6)[left + 1] * weight
        return dy @ hats, dy * (table[left + 1] - table[left])

    def nearest_slope(dy: Array, table: Array, x: Array) -> Gradients:
        """The slope is that of the central difference at the nearest knot."""
        near = np.round(x).astype(int)
        dx = dy * (table[np.minimum(near + 1, 5)] - table[np.maximum(near - 1, 0)]) / 2
        return vjp(dy, table, x)[0], dx

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        x = np.asarray([1 + 1e-6, 2 - 1e-6, 3.4, 4 + 1e-5, 0.3])
        return rng.standard_normal(6), x

    wrong = (nearest_slope, zero(vjp), scale(vjp, 1.001, arg=1))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def many_maxima_of_pairs() -> Parts:
    """``sum(max(a, b))`` over 20 000 pairs."""
    size = 20_000

    def f(a: Array, b: Array) -> Array:
        return np.sum(np.maximum(a, b))

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        return np.where(a > b, dy, 0.0), np.where(a > b, 0.0, dy)

    def shared(dy: Array, a: Array, b: Array) -> Gradients:
        """Both of a pair get half of the gradient."""
        return np.full_like(a, dy / 2), np.full_like(b, dy / 2)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(size), rng.standard_normal(size)

    return Parts(f, draw, vjp, (shared, zero(vjp), scale(vjp, 1.001)))


@define(KIND)
def network_of_rectifiers() -> Parts:
    """Two layers of 60 rectifiers: some are always close to their kink."""

    def f(x: Array, w: Array) -> Array:
        return np.sum(np.maximum(np.maximum(x @ w, 0) @ w.T, 0))

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        first = x @ w
        hidden = np.maximum(first, 0)
        dsecond = np.where(hidden @ w.T > 0, dy, 0.0)
        dfirst = np.where(first > 0, dsecond @ w, 0.0)
        return dfirst @ w.T, x.T @ dfirst + dsecond.T @ hidden

    def one_use_of_w(dy: Array, x: Array, w: Array) -> Gradients:
        """The second use of w is forgotten."""
        first = x @ w
        dsecond = np.where(np.maximum(first, 0) @ w.T > 0, dy, 0.0)
        dfirst = np.where(first > 0, dsecond @ w, 0.0)
        return dfirst @ w.T, x.T @ dfirst

    def first_always_on(dy: Array, x: Array, w: Array) -> Gradients:
        """The rectifiers of the first layer let every gradient through."""
        hidden = np.maximum(x @ w, 0)
        dsecond = np.where(hidden @ w.T > 0, dy, 0.0)
        return dsecond @ w @ w.T, vjp(dy, x, w)[1]

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal((6, 10)), rng.standard_normal((10, 60))

    return Parts(f, draw, vjp, (one_use_of_w, first_always_on, scale(vjp, 1.001)))
