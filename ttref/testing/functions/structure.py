"""Functions of several arguments, scalars, trees and integers, and of several results."""

import numpy as np

from ttref.contracts import Array, Tree
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    negate,
    normal,
    scale,
    zero,
    zero_entry,
)

KIND = "structure"


@define(KIND)
def two_layers() -> Parts:
    """A network with its parameters in a dict of dicts."""

    def f(params: Tree, x: Array) -> Array:
        h = np.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        return h @ params["out"]["kernel"]

    def vjp(dy: Array, params: Tree, x: Array) -> Gradients:
        h = np.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        dz = (dy @ params["out"]["kernel"].T) * (1 - h * h)
        hidden = {"kernel": x.T @ dz, "bias": np.sum(dz, axis=0)}
        dparams = {"hidden": hidden, "out": {"kernel": h.T @ dy}}
        return dparams, dz @ params["hidden"]["kernel"].T

    def bias_of_first_sample(dy: Array, params: Tree, x: Array) -> Gradients:
        """The gradient of the bias lacks the sum over the batch."""
        dparams, dx = vjp(dy, params, x)
        first = vjp(dy[:1], params, x[:1])[0]["hidden"]["bias"]
        return {**dparams, "hidden": {**dparams["hidden"], "bias": first}}, dx

    def linear(dy: Array, params: Tree, x: Array) -> Gradients:
        """The derivative of tanh is missing in the gradient of x."""
        dparams, _ = vjp(dy, params, x)
        return dparams, dy @ params["out"]["kernel"].T @ params["hidden"]["kernel"].T

    def draw(rng: np.random.Generator) -> tuple[Tree, Array]:
        hidden = {"kernel": rng.standard_normal((3, 4)), "bias": rng.standard_normal(4)}
        params = {"hidden": hidden, "out": {"kernel": rng.standard_normal((4, 2))}}
        return params, rng.standard_normal((5, 3))

    return Parts(f, draw, vjp, (bias_of_first_sample, linear, scale(vjp, 1.0001)))


@define(KIND)
def mean_and_variance() -> Parts:
    """A tuple of two results."""

    def f(x: Array) -> tuple[Array, Array]:
        mean = np.mean(x, axis=0)
        return mean, np.mean((x - mean) ** 2, axis=0)

    def vjp(dy: tuple[Array, Array], x: Array) -> Gradients:
        dmean, dvariance = dy
        centred = x - np.mean(x, axis=0)
        return ((dmean + 2 * dvariance * centred) / len(x),)

    def first_only(dy: tuple[Array, Array], x: Array) -> Gradients:
        """The second result is ignored."""
        return (np.zeros_like(x) + dy[0] / len(x),)

    def unbiased(dy: tuple[Array, Array], x: Array) -> Gradients:
        """The variance is divided by ``B - 1``."""
        centred = x - np.mean(x, axis=0)
        return (dy[0] / len(x) + 2 * dy[1] * centred / (len(x) - 1),)

    def exchanged(dy: tuple[Array, Array], x: Array) -> Gradients:
        """The two cotangents are exchanged."""
        return vjp((dy[1], dy[0]), x)

    return Parts(f, normal((5, 3)), vjp, (first_only, unbiased, exchanged))


@define(KIND)
def statistics_by_name() -> Parts:
    """A dict of results of different shapes: one number, and one array."""

    def f(x: Array) -> dict[str, Array]:
        return {"total": np.sum(x**3), "squares": x * x}

    def vjp(dy: dict[str, Array], x: Array) -> Gradients:
        return (3 * dy["total"] * x * x + 2 * dy["squares"] * x,)

    def total_ignored(dy: dict[str, Array], x: Array) -> Gradients:
        """The number is ignored."""
        return (2 * dy["squares"] * x,)

    def squares_ignored(dy: dict[str, Array], x: Array) -> Gradients:
        """The array is ignored."""
        return (3 * dy["total"] * x * x,)

    return Parts(f, normal((2, 3)), vjp, (total_ignored, squares_ignored, zero_entry(vjp, 4)))


@define(KIND)
def three_numbers() -> Parts:
    """``a sin(b) + c^2 b`` of three numbers, which are no arrays."""

    def f(a: float, b: float, c: float) -> Array:
        return a * np.sin(b) + c * c * b

    def vjp(dy: float, a: float, b: float, c: float) -> Gradients:
        return dy * np.sin(b), dy * (a * np.cos(b) + c * c), 2 * dy * c * b

    def one_term(dy: float, a: float, b: float, c: float) -> Gradients:
        """The second term is missing in the gradient of b."""
        da, _, dc = vjp(dy, a, b, c)
        return da, dy * a * np.cos(b), dc

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        a, b, c = rng.uniform(0.5, 1.5, 3)
        return float(a), float(b), float(c)

    wrong = (one_term, negate(vjp, 2), scale(vjp, 1.0001), zero(vjp, 1))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def array_of_no_axes() -> Parts:
    """``exp(-x^2)`` of an array of no axes."""

    def f(x: Array) -> Array:
        return np.exp(-x * x)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (np.asarray(-2 * dy * x * np.exp(-x * x)),)

    def without_x(dy: Array, x: Array) -> Gradients:
        """The inner derivative lacks x."""
        return (np.asarray(-2 * dy * np.exp(-x * x)),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.asarray(rng.uniform(0.3, 0.8)),)

    return Parts(f, draw, vjp, (without_x, negate(vjp), scale(vjp, 1.0001)))


@define(KIND)
def unused_argument() -> Parts:
    """``sin(x)``, whose second argument is not used and has the gradient 0."""

    def f(x: Array, unused: Array) -> Array:
        return np.sin(x)

    def vjp(dy: Array, x: Array, unused: Array) -> Gradients:
        return dy * np.cos(x), np.zeros_like(unused)

    def used(dy: Array, x: Array, unused: Array) -> Gradients:
        """The second gradient is that of the first one."""
        dx, _ = vjp(dy, x, unused)
        return dx, dx + 0

    def one_entry_used(dy: Array, x: Array, unused: Array) -> Gradients:
        """One entry of the second gradient is 0.001."""
        dunused = np.zeros_like(unused)
        dunused[1] = 0.001
        return dy * np.cos(x), dunused

    return Parts(f, normal((4,), (4,)), vjp, (used, one_entry_used, zero(vjp)))


@define(KIND)
def constant_function() -> Parts:
    """Ones of the shape of x."""

    def f(x: Array) -> Array:
        return np.ones_like(x)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (np.zeros_like(x),)

    def passed_on(dy: Array, x: Array) -> Gradients:
        """The gradient is passed on."""
        return (dy + 0,)

    def small(dy: Array, x: Array) -> Gradients:
        """The gradient is 1e-4 of what came in."""
        return (1e-4 * dy,)

    return Parts(f, normal((3, 2)), vjp, (passed_on, small))


@define(KIND)
def lookup_with_options() -> Parts:
    """Rows of a table times gains, of which labels and a mask have no gradient."""

    def f(table: Array, labels: Array, gains: Array, mask: Array) -> Array:
        return np.where(mask, np.sum(table[labels], axis=1) * gains, 0.0)

    def vjp(dy: Array, table: Array, labels: Array, gains: Array, mask: Array) -> Gradients:
        inner = np.where(mask, dy, 0.0)
        dtable = np.zeros_like(table)
        for weight, label in zip(inner * gains, labels, strict=True):
            dtable[label] += weight
        return dtable, None, inner * np.sum(table[labels], axis=1), None

    def unmasked(dy: Array, table: Array, labels: Array, gains: Array, mask: Array) -> Gradients:
        """The mask is forgotten."""
        return vjp(dy, table, labels, gains, np.ones_like(mask))

    def gains_forgotten(
        dy: Array, table: Array, labels: Array, gains: Array, mask: Array
    ) -> Gradients:
        """The gains are forgotten in the gradient of the table."""
        dgains = vjp(dy, table, labels, gains, mask)[2]
        return vjp(dy, table, labels, np.ones_like(gains), mask)[0], None, dgains, None

    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        mask = np.asarray([True, False, True, True, False])
        return rng.standard_normal((4, 3)), rng.integers(0, 4, 5), rng.standard_normal(5), mask

    wrong = (unmasked, gains_forgotten, scale(vjp, 1.0001, arg=2))
    return Parts(f, draw, vjp, wrong, argnums=(0, 2))


@define(KIND)
def state_of_cell() -> Parts:
    """One step of an LSTM cell, of a state ``(h, c)`` to the next one."""

    def gates(x: Array, state: tuple[Array, Array], w: Array) -> list[Array]:
        z = np.concatenate([x, state[0]], axis=1) @ w
        i, o, u = np.split(z, 3, axis=1)
        return [1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-o)), np.tanh(u)]

    def f(x: Array, state: tuple[Array, Array], w: Array) -> tuple[Array, Array]:
        i, o, u = gates(x, state, w)
        c = (1 - i) * state[1] + i * u
        return o * np.tanh(c), c

    def vjp(dy: tuple[Array, Array], x: Array, state: tuple[Array, Array], w: Array) -> Gradients:
        i, o, u = gates(x, state, w)
        t = np.tanh((1 - i) * state[1] + i * u)
        dc = dy[1] + dy[0] * o * (1 - t * t)
        di = dc * (u - state[1]) * i * (1 - i)
        do = dy[0] * t * o * (1 - o)
        dz = np.concatenate([di, do, dc * i * (1 - u * u)], axis=1)
        inputs = np.concatenate([x, state[0]], axis=1)
        dinputs = dz @ w.T
        n = x.shape[1]
        return dinputs[:, :n] + 0, (dinputs[:, n:] + 0, dc * (1 - i)), inputs.T @ dz

    def cell_alone(
        dy: tuple[Array, Array], x: Array, state: tuple[Array, Array], w: Array
    ) -> Gradients:
        """The cotangent of the next c is ignored."""
        return vjp((dy[0], 0 * dy[1]), x, state, w)

    def gates_not_coupled(
        dy: tuple[Array, Array], x: Array, state: tuple[Array, Array], w: Array
    ) -> Gradients:
        """The gradient of c is multiplied by the input gate."""
        dx, dstate, dw = vjp(dy, x, state, w)
        i = gates(x, state, w)[0]
        return dx, (dstate[0], dstate[1] * i / (1 - i)), dw

    def draw(rng: np.random.Generator) -> tuple[Array, tuple[Array, Array], Array]:
        state = (rng.standard_normal((2, 2)), rng.standard_normal((2, 2)))
        return rng.standard_normal((2, 3)), state, rng.standard_normal((5, 6))

    wrong = (cell_alone, gates_not_coupled, scale(vjp, 1.0001, arg=2))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def rotation_by_angle() -> Parts:
    """Points, rotated by one angle, which is a number, about a centre."""

    def turn(angle: float) -> Array:
        return np.stack(
            [np.stack([np.cos(angle), -np.sin(angle)]), np.stack([np.sin(angle), np.cos(angle)])]
        )

    def f(points: Array, angle: float, centre: Array) -> Array:
        return (points - centre) @ turn(angle).T + centre

    def vjp(dy: Array, points: Array, angle: float, centre: Array) -> Gradients:
        moved = (points - centre) @ turn(angle + np.pi / 2).T
        dpoints = dy @ turn(angle)
        return dpoints, np.sum(dy * moved), np.sum(dy - dpoints, axis=0)

    def turned_forth(dy: Array, points: Array, angle: float, centre: Array) -> Gradients:
        """The gradient of the points is rotated in the same sense."""
        return dy @ turn(angle).T, *vjp(dy, points, angle, centre)[1:]

    def centre_fixed(dy: Array, points: Array, angle: float, centre: Array) -> Gradients:
        """The gradient of the centre lacks what the rotation subtracts."""
        dpoints, dangle, _ = vjp(dy, points, angle, centre)
        return dpoints, dangle, np.sum(dy, axis=0)

    def draw(rng: np.random.Generator) -> tuple[Array, float, Array]:
        return rng.standard_normal((5, 2)), 0.7, rng.standard_normal(2)

    return Parts(f, draw, vjp, (turned_forth, centre_fixed, scale(vjp, 1.0002, arg=1)))


@define(KIND)
def list_of_factors() -> Parts:
    """The product of a tuple of matrices, whose number is open."""

    def f(factors: tuple[Array, ...]) -> Array:
        product = factors[0]
        for factor in factors[1:]:
            product = product @ factor
        return product

    def vjp(dy: Array, factors: tuple[Array, ...]) -> Gradients:
        gradients = []
        for k in range(len(factors)):
            left = f(factors[:k]).T if k else np.eye(len(dy))
            right = f(factors[k + 1 :]).T if factors[k + 1 :] else np.eye(dy.shape[1])
            gradients.append(left @ dy @ right)
        return (tuple(gradients),)

    def last_reversed(dy: Array, factors: tuple[Array, ...]) -> Gradients:
        """The last gradient has the factors on its left in reverse order."""
        (gradients,) = vjp(dy, factors)
        left = factors[1].T @ factors[0].T
        return ((*gradients[:-1], left.T @ dy),)

    def first_only(dy: Array, factors: tuple[Array, ...]) -> Gradients:
        """Only the first factor has a gradient."""
        (gradients,) = vjp(dy, factors)
        return ((gradients[0], *[0 * g for g in gradients[1:]]),)

    def draw(rng: np.random.Generator) -> tuple[tuple[Array, ...]]:
        return (tuple(rng.standard_normal((3, 3)) for _ in range(3)),)

    return Parts(f, draw, vjp, (last_reversed, first_only, scale(vjp, 1.0001)))


@define(KIND)
def shared_scale() -> Parts:
    """``x s + s^2`` of an array and a number that is broadcast."""

    def f(x: Array, s: float) -> Array:
        return x * s + s * s

    def vjp(dy: Array, x: Array, s: float) -> Gradients:
        return dy * s, np.sum(dy * (x + 2 * s))

    def square_once(dy: Array, x: Array, s: float) -> Gradients:
        """The term of the square is not summed over the entries."""
        return dy * s, np.sum(dy * x) + 2 * s * dy[0]

    def averaged(dy: Array, x: Array, s: float) -> Gradients:
        """The gradient of the number is a mean."""
        return dy * s, np.mean(dy * (x + 2 * s))

    def draw(rng: np.random.Generator) -> tuple[Array, float]:
        return rng.standard_normal(6), 1.3

    return Parts(f, draw, vjp, (square_once, averaged, zero_entry(vjp, 5)))


@define(KIND)
def empty_batch() -> Parts:
    """``tanh(x) w`` of a batch of no samples."""

    def f(x: Array, w: Array) -> Array:
        return np.sum(w * w) + np.sum(np.tanh(x) @ w)

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        return dy * (1 - np.tanh(x) ** 2) * w, dy * (2 * w + np.sum(np.tanh(x), axis=0))

    def penalty_forgotten(dy: Array, x: Array, w: Array) -> Gradients:
        """The gradient of the squares is missing."""
        return vjp(dy, x, w)[0], dy * np.sum(np.tanh(x), axis=0)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return np.zeros((0, 3)), rng.standard_normal(3)

    return Parts(f, draw, vjp, (penalty_forgotten, scale(vjp, 1.0001, arg=1)))


@define(KIND)
def sample_of_fixed_seed() -> Parts:
    """``mean + exp(s) e`` with noise e of a seed that is fixed inside."""

    def noise(shape: tuple[int, ...]) -> Array:
        return np.random.default_rng(7).standard_normal(shape)

    def f(mean: Array, s: Array) -> Array:
        return mean + np.exp(s) * noise(mean.shape)

    def vjp(dy: Array, mean: Array, s: Array) -> Gradients:
        return dy + 0, dy * np.exp(s) * noise(mean.shape)

    def noise_forgotten(dy: Array, mean: Array, s: Array) -> Gradients:
        """The noise is forgotten in the second gradient."""
        return dy + 0, dy * np.exp(s)

    def other_noise(dy: Array, mean: Array, s: Array) -> Gradients:
        """The noise is drawn anew for the gradient, from another seed."""
        return dy + 0, dy * np.exp(s) * np.random.default_rng(8).standard_normal(mean.shape)

    return Parts(f, normal((5,), (5,)), vjp, (noise_forgotten, other_noise, zero(vjp)))


@define(KIND)
def dropout_of_fixed_mask() -> Parts:
    """``x m / 0.75`` with an integer mask of the columns that are kept."""

    def f(x: Array, mask: Array) -> Array:
        return x * mask / 0.75

    def vjp(dy: Array, x: Array, mask: Array) -> Gradients:
        return dy * mask / 0.75, None

    def not_scaled(dy: Array, x: Array, mask: Array) -> Gradients:
        """The division by the share that is kept is missing."""
        return dy * mask, None

    def unmasked(dy: Array, x: Array, mask: Array) -> Gradients:
        """The mask is forgotten."""
        return dy / 0.75, None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        mask = np.asarray([1, 1, 1, 0, 1, 1, 1, 0])  # of columns
        return rng.standard_normal((2, 8)), mask

    return Parts(f, draw, vjp, (not_scaled, unmasked, zero_entry(vjp, 0)), argnums=(0,))


@define(KIND)
def pair_of_losses() -> Parts:
    """A loss and a dict of an array and a tuple, of nested results."""

    def f(p: Array, t: Array) -> Tree:
        r = p - t
        return np.mean(r * r), {"residual": r, "norms": (np.sum(np.abs(r)), np.max(p))}

    def vjp(dy: Tree, p: Array, t: Array) -> Gradients:
        dloss, rest = dy
        dabsolute, dlargest = rest["norms"]
        r = p - t
        dr = 2 * dloss * r / p.size + rest["residual"] + dabsolute * np.sign(r)
        return dr + np.where(p == np.max(p), dlargest, 0.0), -dr

    def maximum_for_both(dy: Tree, p: Array, t: Array) -> Gradients:
        """The gradient of the maximum is subtracted from that of the target, too."""
        dp, _ = vjp(dy, p, t)
        return dp, -dp

    def residual_ignored(dy: Tree, p: Array, t: Array) -> Gradients:
        """The cotangent of the residual is ignored."""
        dloss, rest = dy
        return vjp((dloss, {**rest, "residual": 0 * rest["residual"]}), p, t)

    return Parts(f, normal((6,), (6,)), vjp, (maximum_for_both, residual_ignored, negate(vjp)))
