"""Optimisers: ``state = init(params)``, then ``params, state = step(params, grads, state)``.

They are pure functions of their arguments, and work on all parameters at once, as one vector in
the order of `tree.ravel`, which is what velocities and moments are kept as.

The arithmetic is in the order of torch.optim, so that both agree to the last few units of
roundoff: `weight_decay` is added to the gradient (L2 regularisation with a factor 1/2, not
decoupled decay), and Adam's `eps` is added after the bias correction of the second moment's root.
"""

from dataclasses import dataclass

from ttref import tree
from ttref.arrays import check_number, namespace, plain
from ttref.errors import ConventionError, DtypeError, ShapeError


@dataclass(frozen=True)
class SGD:
    """Gradient descent with momentum (Polyak 1964; Nesterov's form as in Sutskever et al. 2013).

    ``v <- momentum v + g``, ``p <- p - lr v``; with `nesterov`, ``p <- p - lr (g + momentum v)``.

    Parameters
    ----------
    lr : float or schedule
        A schedule maps the number of steps taken to a rate.
    momentum, weight_decay : float
    nesterov : bool
    """

    lr: object
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self):
        _make_plain(self, fractions=("momentum",), others=("weight_decay",))
        if self.nesterov and not self.momentum:
            raise ConventionError("nesterov=True needs a positive momentum")

    def init(self, params):
        """State before the first step: the step count, and zero velocities if there is momentum."""
        return {
            "step": 0,
            "velocity": tree.ravel(tree.zeros_like(params)) if self.momentum else None,
        }

    def step(self, params, grads, state):
        """``(params, state)`` after one step."""
        lr, mu, velocity = rate_at(self.lr, state["step"]), self.momentum, state["velocity"]
        p, update = _flat(params, grads, self.weight_decay)
        if mu:
            velocity = mu * velocity + update
            update = update + mu * velocity if self.nesterov else velocity
        return tree.unravel(p - lr * update, params), {
            "step": state["step"] + 1,
            "velocity": velocity,
        }


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction (Kingma and Ba 2015).

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``, and at step t
    ``p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)``.

    Parameters
    ----------
    lr : float or schedule
    beta1, beta2, eps, weight_decay : float
    """

    lr: object = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self):
        check_number("eps", self.eps, "a positive number", lambda v: v > 0)
        _make_plain(self, fractions=("beta1", "beta2"), others=("weight_decay", "eps"))

    def init(self, params):
        """State before the first step: the step count and zero moments."""
        zeros = tree.ravel(tree.zeros_like(params))
        return {"step": 0, "m": zeros, "v": zeros}

    def step(self, params, grads, state):
        """``(params, state)`` after one step."""
        t = state["step"] + 1
        beta1, beta2, eps = self.beta1, self.beta2, self.eps
        size = rate_at(self.lr, state["step"]) / (1 - beta1**t)
        correction = (1 - beta2**t) ** 0.5
        p, g = _flat(params, grads, self.weight_decay)
        m = state["m"] + (1 - beta1) * (g - state["m"])
        v = beta2 * state["v"] + (1 - beta2) * g * g
        p = p - size * m / (namespace(v).sqrt(v) / correction + eps)
        return tree.unravel(p, params), {"step": t, "m": m, "v": v}


@dataclass(frozen=True)
class EMA:
    """Moving average of the weights, started at the weights: ``a <- decay a + (1 - decay) p``."""

    decay: float

    def __post_init__(self):
        _make_plain(self, fractions=("decay",))

    def update(self, average, params):
        """The average after one more step; `params` itself is the average before the first."""
        decay = self.decay
        return tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)


def clip_by_global_norm(grads, max_norm):
    """Scale `grads` so that the norm of all leaves together is at most `max_norm`.

    Returns
    -------
    grads : tree of arrays
    norm : array, shape ()
        Before clipping.
    """
    check_number("max_norm", max_norm, "a positive number", lambda v: v > 0)
    leaves = tree.leaves(grads)
    xp = namespace(*leaves)
    norm = xp.sqrt(sum(xp.sum(g * g) for g in leaves))
    if max_norm > float(xp.finfo(norm.dtype).max):
        return grads, norm
    factor = plain(max_norm) / xp.maximum(norm, plain(max_norm))  # 1 within the bound
    return tree.map(lambda g: g * factor, grads), norm


def rate_at(lr, step):
    """The learning rate after `step` steps."""
    return plain(_check_lr(lr(step))) if callable(lr) else lr


def _flat(params, grads, weight_decay):
    """Parameters, and gradients of the loss plus ``weight_decay / 2 * sum(p ** 2)``, as vectors."""

    def matching(p, g):
        if g.shape != p.shape:
            raise ShapeError(
                f"a gradient has shape {tuple(g.shape)}, its parameter {tuple(p.shape)}"
            )
        if g.dtype != p.dtype:
            raise DtypeError(f"a gradient has dtype {g.dtype}, its parameter {p.dtype}")
        return g

    p, g = tree.ravel(params), tree.ravel(tree.map(matching, params, grads))
    return p, g + weight_decay * p if weight_decay else g


def _make_plain(optimizer, fractions=(), others=()):
    """Check the hyper-parameters, and make them plain numbers, which never widen a dtype."""
    for name in fractions:
        check_number(name, getattr(optimizer, name), "a number in [0, 1)", lambda v: 0 <= v < 1)
    for name in others:
        check_number(name, getattr(optimizer, name), "a number >= 0", lambda v: v >= 0)
    rate = [] if callable(getattr(optimizer, "lr", callable)) else ["lr"]
    if rate:
        _check_lr(optimizer.lr)
    for name in (*fractions, *others, *rate):
        object.__setattr__(optimizer, name, plain(getattr(optimizer, name)))


def _check_lr(lr):
    return check_number("lr", lr, "a number >= 0 or a schedule", lambda v: v >= 0)
