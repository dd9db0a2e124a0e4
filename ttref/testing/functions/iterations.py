"""Functions that iterate: Newton's method, fixed points, steps of equations, recurrences.

What iterates until a tolerance takes it as the keyword `tolerance`; its vjp is that of the limit.
"""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    entrywise,
    negate,
    normal,
    scale,
    uniform,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "iterations"


@define(KIND)
def cube_root_by_newton() -> Parts:
    """The cube root, by steps of Newton until they are smaller than 1e-10."""

    def f(x: Array, *, tolerance: float = 1e-10) -> Array:
        y = np.ones_like(x)
        change = y
        while np.max(np.abs(change)) > tolerance:
            change = (y - x / (y * y)) / 3
            y = y - change
        return y

    def vjp(dy: Array, x: Array, *, tolerance: float = 1e-10) -> Gradients:
        return (dy / (3 * f(x, tolerance=tolerance) ** 2),)

    def of_square_root(dy: Array, x: Array) -> Gradients:
        """The power of the result is 1."""
        return (dy / (3 * f(x)),)

    def first_step(dy: Array, x: Array) -> Gradients:
        """The derivative of one step from 1."""
        return (dy / 3 + 0 * x,)

    wrong = (of_square_root, first_step, scale(vjp, 1.0001))
    return Parts(f, uniform(0.5, 4, (6,)), vjp, wrong)


@define(KIND)
def fixed_point_of_cosine() -> Parts:
    """The solution of ``y = cos(a y)``, iterated until the change is smaller than 1e-8."""

    def f(a: Array, *, tolerance: float = 1e-8) -> Array:
        y = 0 * a
        following = np.cos(a * y)
        while np.max(np.abs(following - y)) > tolerance:
            y = following
            following = np.cos(a * y)
        return following

    def vjp(dy: Array, a: Array, *, tolerance: float = 1e-8) -> Gradients:
        y = f(a, tolerance=tolerance)
        sine = np.sin(a * y)
        return (-dy * y * sine / (1 + a * sine),)

    def one_step(dy: Array, a: Array) -> Gradients:
        """The result on the right is taken for a constant."""
        y = f(a)
        return (-dy * y * np.sin(a * y),)

    def sign_of_denominator(dy: Array, a: Array) -> Gradients:
        """The denominator is ``1 - a sin(a y)``."""
        y = f(a)
        sine = np.sin(a * y)
        return (-dy * y * sine / (1 - a * sine),)

    wrong = (one_step, sign_of_denominator, scale(vjp, 1.01))
    return Parts(f, uniform(0.4, 0.9, (5,)), vjp, wrong)


@define(KIND)
def kepler_equation() -> Parts:
    """The eccentric anomaly E of ``E - e sin(E) = m``, by eight steps of Newton."""

    def f(m: Array, e: Array) -> Array:
        anomaly = m + e * np.sin(m)
        for _ in range(8):
            residual = anomaly - e * np.sin(anomaly) - m
            anomaly = anomaly - residual / (1 - e * np.cos(anomaly))
        return anomaly

    def vjp(dy: Array, m: Array, e: Array) -> Gradients:
        anomaly = f(m, e)
        dm = dy / (1 - e * np.cos(anomaly))
        return dm, dm * np.sin(anomaly)

    def circular(dy: Array, m: Array, e: Array) -> Gradients:
        """The orbit is taken for a circle in the gradient of m."""
        return dy + 0, vjp(dy, m, e)[1]

    def sine_of_mean(dy: Array, m: Array, e: Array) -> Gradients:
        """The second gradient has the sine of the mean anomaly."""
        dm, _ = vjp(dy, m, e)
        return dm, dm * np.sin(m)

    wrong = (circular, sine_of_mean, scale(vjp, 1.0001, arg=1))
    return Parts(f, uniform(0.1, 0.6, (6,), (6,)), vjp, wrong)


@define(KIND)
def logistic_growth() -> Parts:
    """Twenty steps of Euler of ``y' = r y (1 - y)``, of the start and the rate."""

    def path(y: Array, r: Array) -> list[Array]:
        states = [y]
        for _ in range(20):
            states.append(states[-1] + 0.1 * r * states[-1] * (1 - states[-1]))
        return states

    def f(y: Array, r: Array) -> Array:
        return path(y, r)[-1]

    def vjp(dy: Array, y: Array, r: Array) -> Gradients:
        dr = 0 * dy
        for state in path(y, r)[-2::-1]:
            dr = dr + 0.1 * dy * state * (1 - state)
            dy = dy * (1 + 0.1 * r * (1 - 2 * state))
        return dy, dr

    def last_step_only(dy: Array, y: Array, r: Array) -> Gradients:
        """The rate has a gradient at the last step only."""
        before = path(y, r)[-2]
        return vjp(dy, y, r)[0], 0.1 * dy * before * (1 - before)

    def identity_forgotten(dy: Array, y: Array, r: Array) -> Gradients:
        """The factor of each step lacks the 1."""
        dr = vjp(dy, y, r)[1]
        for state in path(y, r)[-2::-1]:
            dy = dy * (0.1 * r * (1 - 2 * state))
        return dy, dr

    def of_solution(dy: Array, y: Array, r: Array) -> Gradients:
        """The gradient of the exact solution, which f approximates."""
        growth = np.exp(2 * r)
        below = 1 + y * (growth - 1)
        return dy * growth / below**2, dy * 2 * y * (1 - y) * growth / below**2

    wrong = (last_step_only, identity_forgotten, of_solution)
    return Parts(f, uniform(0.1, 0.7, (4,), (4,)), vjp, wrong)


@define(KIND)
def pendulum_by_leapfrog() -> Parts:
    """The angle and the speed of a pendulum after ten leapfrog steps."""
    h = 0.1

    def path(angle: Array, speed: Array) -> list[tuple[Array, Array]]:
        states = [(angle, speed)]
        for _ in range(10):
            half = speed - h / 2 * np.sin(angle)
            angle = angle + h * half
            speed = half - h / 2 * np.sin(angle)
            states.append((angle, speed))
        return states

    def f(angle: Array, speed: Array) -> tuple[Array, Array]:
        return path(angle, speed)[-1]

    def pull_back(
        dy: tuple[Array, Array], angle: Array, speed: Array, second_kick: float
    ) -> Gradients:
        dangle, dspeed = dy
        states = path(angle, speed)
        for k in range(10, 0, -1):
            end = states[k][0]
            begin = states[k - 1][0]
            dangle = dangle - second_kick * h / 2 * np.cos(end) * dspeed
            dspeed = dspeed + h * dangle
            dangle = dangle - h / 2 * np.cos(begin) * dspeed
        return dangle, dspeed

    def vjp(dy: tuple[Array, Array], angle: Array, speed: Array) -> Gradients:
        return pull_back(dy, angle, speed, 1.0)

    def one_kick(dy: tuple[Array, Array], angle: Array, speed: Array) -> Gradients:
        """The second kick of each step is forgotten."""
        return pull_back(dy, angle, speed, 0.0)

    def speed_ignored(dy: tuple[Array, Array], angle: Array, speed: Array) -> Gradients:
        """The cotangent of the second output is ignored."""
        return pull_back((dy[0], 0 * dy[1]), angle, speed, 1.0)

    return Parts(f, normal((3,), (3,)), vjp, (one_kick, speed_ignored, scale(vjp, 1.0001)))


@define(KIND)
def runge_kutta() -> Parts:
    """One step of the classical method of order four for ``y' = w tanh(y)``."""
    h = 0.3

    def stages(y: Array, w: Array) -> list[Array]:
        points = [y]
        for weight in (0.5, 0.5, 1.0):
            points.append(y + weight * h * (w @ np.tanh(points[-1])))
        return points

    def f(y: Array, w: Array) -> Array:
        k = [w @ np.tanh(point) for point in stages(y, w)]
        return y + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])

    def pull_back(dy: Array, y: Array, w: Array, carries: tuple[float, ...]) -> Gradients:
        points = stages(y, w)
        dw = np.zeros_like(w)
        total = dy
        carried = 0 * dy
        for j in (3, 2, 1, 0):
            dk = h * (1, 2, 2, 1)[j] / 6 * dy + carries[j] * h * carried
            dw = dw + np.outer(dk, np.tanh(points[j]))
            carried = (w.T @ dk) * (1 - np.tanh(points[j]) ** 2)
            total = total + carried
        return total, dw

    def vjp(dy: Array, y: Array, w: Array) -> Gradients:
        return pull_back(dy, y, w, (0.5, 0.5, 1.0, 0.0))

    def stages_independent(dy: Array, y: Array, w: Array) -> Gradients:
        """Each stage is differentiated as if it did not depend on the one before."""
        return pull_back(dy, y, w, (0.0, 0.0, 0.0, 0.0))

    def last_weight(dy: Array, y: Array, w: Array) -> Gradients:
        """The last stage is taken to begin at half a step."""
        return pull_back(dy, y, w, (0.5, 0.5, 0.5, 0.0))

    wrong = (stages_independent, last_weight, scale(vjp, 1.0001, arg=1))
    return Parts(f, normal((3,), (3, 3)), vjp, wrong)


@define(KIND)
def recurrent_network() -> Parts:
    """The last state of ``h = tanh(x_t w + h u)`` after five steps, for each sample."""

    def states(x: Array, w: Array, u: Array) -> list[Array]:
        found = [0 * (x[:, 0] @ w)]
        for t in range(x.shape[1]):
            found.append(np.tanh(x[:, t] @ w + found[-1] @ u))
        return found

    def f(x: Array, w: Array, u: Array) -> Array:
        return states(x, w, u)[-1]

    def pull_back(
        dy: Array, x: Array, w: Array, u: Array, steps: int = 5, late: int = 0
    ) -> Gradients:
        h = states(x, w, u)
        dx = np.zeros_like(x)
        dw = np.zeros_like(w)
        du = np.zeros_like(u)
        for t in range(4, 4 - steps, -1):
            dz = dy * (1 - h[t + 1] ** 2)
            dx[:, t] = dz @ w.T
            dw = dw + x[:, t].T @ dz
            du = du + h[t + late].T @ dz
            dy = dz @ u.T
        return dx, dw, du

    def vjp(dy: Array, x: Array, w: Array, u: Array) -> Gradients:
        return pull_back(dy, x, w, u)

    def truncated(dy: Array, x: Array, w: Array, u: Array) -> Gradients:
        """The first two steps have no gradient."""
        return pull_back(dy, x, w, u, steps=3)

    def state_after(dy: Array, x: Array, w: Array, u: Array) -> Gradients:
        """The gradient of u is made with the state after each step."""
        return pull_back(dy, x, w, u, late=1)

    def transposed_state(dy: Array, x: Array, w: Array, u: Array) -> Gradients:
        """The gradient of x is carried back by a matrix that is not transposed."""
        return vjp(dy, x, w, u.T)[0], *vjp(dy, x, w, u)[1:]

    wrong = (truncated, state_after, transposed_state, scale(vjp, 1.0001, arg=2))
    return Parts(f, normal((2, 5, 3), (3, 4), (4, 4), scale=0.7), vjp, wrong)


@define(KIND)
def gradient_descent() -> Parts:
    """The result of ten steps of gradient descent on ``(y - t)^2 + y^4 / 4``, of t and the rate."""

    def path(t: Array, rate: Array) -> list[Array]:
        points = [0 * t]
        for _ in range(10):
            y = points[-1]
            points.append(y - rate * (2 * (y - t) + y**3))
        return points

    def f(t: Array, rate: Array) -> Array:
        return path(t, rate)[-1]

    def vjp(dy: Array, t: Array, rate: Array) -> Gradients:
        dt = 0 * dy
        drate = 0 * np.sum(dy)
        for y in path(t, rate)[-2::-1]:
            dt = dt + 2 * rate * dy
            drate = drate - np.sum(dy * (2 * (y - t) + y**3))
            dy = dy * (1 - rate * (2 + 3 * y * y))
        return dt, drate

    def of_minimum(dy: Array, t: Array, rate: Array) -> Gradients:
        """The gradient of the minimum, which the steps have not reached."""
        y = f(t, rate)
        return dy * 2 / (2 + 3 * y * y), 0 * np.sum(dy)

    def one_entry_of_rate(dy: Array, t: Array, rate: Array) -> Gradients:
        """The gradient of the rate lacks the sum over the entries."""
        only = np.zeros_like(dy)
        only[0] = dy[0]
        return vjp(dy, t, rate)[0], vjp(only, t, rate)[1]

    def draw(rng: np.random.Generator) -> tuple[Array, float]:
        return rng.uniform(0.3, 1.5, 4), 0.08

    return Parts(f, draw, vjp, (of_minimum, one_entry_of_rate, scale(vjp, 1.0002)))


def products(v: Array, s: Array) -> list[Array]:
    """The vectors v, s v, s^2 v, ..., s^6 v."""
    vectors = [v]
    for _ in range(6):
        vectors.append(s @ vectors[-1])
    return vectors


@define(KIND)
def power_iteration() -> Parts:
    """``v a v / v v`` after six products of a symmetric matrix with v, for a start v."""

    def f(v: Array, a: Array) -> Array:
        w = products(v, a + a.T)[-1]
        return w @ a @ w / (w @ w)

    def pull_back(dy: Array, v: Array, a: Array, steps: int) -> Gradients:
        s = a + a.T
        vectors = products(v, s)
        w = vectors[-1]
        square = w @ w
        da = dy * np.outer(w, w) / square
        dw = dy * (s @ w - 2 * (w @ a @ w / square) * w) / square
        for before in vectors[-2::-1][:steps]:
            ds = np.outer(dw, before)
            da = da + ds + ds.T
            dw = s @ dw
        return dw, da

    def vjp(dy: Array, v: Array, a: Array) -> Gradients:
        return pull_back(dy, v, a, 6)

    def quotient_only(dy: Array, v: Array, a: Array) -> Gradients:
        """The vector of the quotient is taken for a constant in the gradient of a."""
        return vjp(dy, v, a)[0], pull_back(dy, v, a, 0)[1]

    def one_product(dy: Array, v: Array, a: Array) -> Gradients:
        """The gradient passes through the last product only."""
        return pull_back(dy, v, a, 1)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.uniform(0.5, 1.5, 4), 0.3 * rng.standard_normal((4, 4)) + 0.5 * np.eye(4)

    wrong = (quotient_only, one_product, scale(vjp, 1.0001, arg=1))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def arithmetic_geometric_mean() -> Parts:
    """The mean that arithmetic and geometric means have in common, to 1e-14, of ``1`` and x."""

    def f(x: Array, *, tolerance: float = 1e-14) -> Array:
        a = np.ones_like(x)
        b = x
        while np.max(np.abs(a - b)) > tolerance:
            mean = (a + b) / 2
            b = np.sqrt(a * b)
            a = mean
        return a

    def vjp(dy: Array, x: Array) -> Gradients:
        a = np.ones_like(x)
        b = x
        da = np.zeros_like(x)
        db = np.ones_like(x)
        for _ in range(10):
            root = np.sqrt(a * b)
            droot = (b * da + a * db) / (2 * root)
            a = (a + b) / 2
            da = (da + db) / 2
            b = root
            db = droot
        return (dy * da,)

    def of_arithmetic_mean(dy: Array, x: Array) -> Gradients:
        """The slope of the arithmetic mean."""
        return (dy / 2 + 0 * x,)

    def of_geometric_mean(dy: Array, x: Array) -> Gradients:
        """The slope of the geometric mean."""
        return (dy / (2 * np.sqrt(x)),)

    wrong = (of_arithmetic_mean, of_geometric_mean, scale(vjp, 1.0001))
    return Parts(f, uniform(0.2, 3, (5,)), vjp, wrong)


@define(KIND)
def simpson_integral() -> Parts:
    """The integral of ``exp(-a t^2)`` from 0 to b by Simpson's rule with twenty panels."""
    weights = np.asarray([1.0, *([4.0, 2.0] * 10)[:-1], 1.0]) / 60

    def f(a: Array, b: Array) -> Array:
        t = b * np.linspace(0, 1, 21)
        return b * np.sum(weights * np.exp(-a * t * t))

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        unit = np.linspace(0, 1, 21)
        t = b * unit
        values = weights * np.exp(-a * t * t)
        da = -b * np.sum(values * t * t)
        db = np.sum(values) - 2 * a * b * np.sum(values * t * unit)
        return dy * da, dy * db

    def nodes_constant(dy: Array, a: Array, b: Array) -> Gradients:
        """The nodes are taken for constants in the gradient of b."""
        t = b * np.linspace(0, 1, 21)
        return vjp(dy, a, b)[0], dy * np.sum(weights * np.exp(-a * t * t))

    def without_width(dy: Array, a: Array, b: Array) -> Gradients:
        """The width of the panels is missing in the gradient of a."""
        da, db = vjp(dy, a, b)
        return da / b, db

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        return float(rng.uniform(0.5, 1.5)), float(rng.uniform(1.2, 2))

    wrong = (nodes_constant, without_width, negate(vjp), scale(vjp, 1.001, arg=1))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def bisection() -> Parts:
    """The root y of ``y + y^3 = x``, bisected to 1e-7: a staircase that climbs like the root."""

    def f(x: Array, *, tolerance: float = 1e-7) -> Array:
        low = np.full_like(x, -2)
        high = np.full_like(x, 2)
        width = 4.0
        while width > tolerance:
            middle = (low + high) / 2
            is_below = middle + middle**3 < x
            low = np.where(is_below, middle, low)
            high = np.where(is_below, high, middle)
            width = width / 2
        return (low + high) / 2

    def vjp(dy: Array, x: Array, *, tolerance: float = 1e-7) -> Gradients:
        return (dy / (1 + 3 * f(x, tolerance=tolerance) ** 2),)

    def without_one(dy: Array, x: Array) -> Gradients:
        """The linear term is not differentiated."""
        return (dy / (3 * f(x) ** 2),)

    wrong = (without_one, negate(vjp), scale(vjp, 1.1))
    return Parts(f, uniform(0.5, 3, (4,)), vjp, wrong)


@define(KIND)
def horner_scheme() -> Parts:
    """A polynomial of degree 5 by Horner's scheme, of its coefficients and x."""

    def f(c: Array, x: Array) -> Array:
        y = 0 * x
        for k in range(5, -1, -1):
            y = y * x + c[k]
        return y

    def vjp(dy: Array, c: Array, x: Array) -> Gradients:
        dc = np.stack([np.sum(dy * x**k) for k in range(6)])
        dx = sum((k * c[k] * x ** (k - 1) for k in range(1, 6)), 0 * x)
        return dc, dy * dx

    def reversed_order(dy: Array, c: Array, x: Array) -> Gradients:
        """The highest coefficient is taken for the first one."""
        dc, dx = vjp(dy, c, x)
        return dc[::-1] + 0, dx

    def not_derived(dy: Array, c: Array, x: Array) -> Gradients:
        """The factor k is missing."""
        dx = sum((c[k] * x ** (k - 1) for k in range(1, 6)), 0 * x)
        return vjp(dy, c, x)[0], dy * dx

    return Parts(f, normal((6,), (4,)), vjp, (reversed_order, not_derived, zero_entry(vjp, 5)))


@define(KIND)
def continued_fraction() -> Parts:
    """``x / (1 + x / (2 + x / (3 + ...)))``, of ten levels."""

    def f(x: Array) -> Array:
        y = 0 * x
        for k in range(10, 0, -1):
            y = x / (k + y)
        return y

    def slope(x: Array) -> Array:
        y = 0 * x
        dy = 0 * x
        for k in range(10, 0, -1):
            dy = 1 / (k + y) - x * dy / (k + y) ** 2
            y = x / (k + y)
        return dy

    def one_level(x: Array) -> Array:
        """The levels below are taken for constants."""
        return f(x) / x

    def sign_of_level(x: Array) -> Array:
        """The sign of the lower levels is wrong."""
        return 2 * f(x) / x - slope(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(one_level), wrong_slope(sign_of_level), scale(vjp, 1.0001), zero(vjp))
    return Parts(f, uniform(0.5, 3, (6,)), vjp, wrong)
