"""Optimisers: ``state = init(params)``, then ``params, state = step(params, grads, state)``.

They are pure functions of their arguments, and work on all parameters at once, as one vector in
the order of `tree.ravel`, which is what velocities and moments are kept as. `advance` is the same
step on such vectors, written into them where the library's arrays can be written, as in `fit`,
which calls nothing else: ``p, state = advance(p, g, state)`` uses up all three. Both give the same
bits. All that `advance` takes of the step's number are the ``rates(step)``, which may come as a
vector instead: a recorded CUDA graph finds those of its step there. On CuPy, `advance` is one
launch.

The conventions are those of torch.optim, so that both agree to the last few units of roundoff:
`weight_decay` is added to the gradient (L2 regularisation with a factor 1/2, not decoupled decay),
and Adam's `eps` is added after the bias correction of the second moment's root.
"""

from dataclasses import dataclass

from array_api_compat import is_numpy_array

from ttref import tree
from ttref.arrays import namespace, plain
from ttref.checks import check_number
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.machine import cuda_kernels, threads

BLOCK = 2**16  # numbers: stays near a core; shorter, and threads wait for Python's lock
WORTH_THREADS = 4  # blocks


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
        after = {"step": state["step"] + 1, "velocity": velocity}
        return tree.unravel(p - lr * update, params), after

    def rates(self, step):
        """What depends on the step after `step` others: the learning rate."""
        return (rate_at(self.lr, step),)

    def advance(self, p, g, state, rates=None):
        """`step` on vectors, which it uses up; with the `rates` in a vector, or of the step."""
        velocity, decay = state["velocity"], self.weight_decay
        if cuda_kernels.on_cupy(p):
            rates = _on_device(rates, self, state, p)
            if self.momentum:
                settings = decay, self.momentum, self.nesterov
                cuda_kernels.kernel("momentum")(g, rates, *settings, p, velocity)
            else:
                cuda_kernels.kernel("descend")(g, rates, decay, p)
        else:
            rates = self.rates(state["step"]) if rates is None else rates
            p, velocity = _in_blocks(self._advance, rates, p, velocity, g)
        return p, {"step": state["step"] + 1, "velocity": velocity}

    def _advance(self, rates, p, velocity, g):
        lr, mu = rates[0], self.momentum
        if self.weight_decay:
            g += self.weight_decay * p
        if mu:
            velocity *= mu
            velocity += g
            g = g + mu * velocity if self.nesterov else velocity
        p -= lr * g
        return p, velocity


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction (Kingma and Ba 2015).

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``, and at step t
    ``p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)``, computed with root
    and eps multiplied by ``sqrt(1 - beta2^t)``, as at the end of the paper's section 2.

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
        zeros = tree.zeros_like(params)
        return {"step": 0, "m": tree.ravel(zeros), "v": tree.ravel(zeros)}

    def step(self, params, grads, state):
        """``(params, state)`` after one step."""
        beta1, beta2, (size, eps) = self.beta1, self.beta2, self.rates(state["step"])
        p, g = _flat(params, grads, self.weight_decay)
        m = state["m"] + (1 - beta1) * (g - state["m"])
        v = beta2 * state["v"] + (1 - beta2) * g * g
        p = p - size * m / (namespace(v).sqrt(v) + eps)
        return tree.unravel(p, params), {"step": state["step"] + 1, "m": m, "v": v}

    def advance(self, p, g, state, rates=None):
        """`step` on vectors, which it uses up; with the `rates` in a vector, or of the step."""
        m, v = state["m"], state["v"]
        if cuda_kernels.on_cupy(p):
            settings = self.weight_decay, 1 - self.beta1, self.beta2, 1 - self.beta2
            rates = _on_device(rates, self, state, p)
            cuda_kernels.kernel("adam")(g, rates, *settings, p, m, v)
        else:
            rates = self.rates(state["step"]) if rates is None else rates
            p, m, v = _in_blocks(self._advance, rates, p, m, v, g)
        return p, {"step": state["step"] + 1, "m": m, "v": v}

    def rates(self, step):
        """What depends on the step after `step` others: the factor of m, and eps."""
        correction = (1 - self.beta2 ** (step + 1)) ** 0.5
        size = rate_at(self.lr, step) * correction / (1 - self.beta1 ** (step + 1))
        return size, self.eps * correction

    def _advance(self, rates, p, m, v, g):
        size, eps = rates[0], rates[1]
        if self.weight_decay:
            g += self.weight_decay * p
        change = g - m
        change *= 1 - self.beta1
        m += change
        v *= self.beta2
        change = (1 - self.beta2) * g
        change *= g
        v += change
        root = namespace(v).sqrt(v)
        root += eps
        change = size * m
        change /= root
        p -= change
        return p, m, v


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

    def advance(self, average, p):
        """`update` of the vector `average`, which it uses up."""
        if cuda_kernels.on_cupy(p):
            cuda_kernels.kernel("average")(p, self.decay, 1 - self.decay, average)
            return average
        return _in_blocks(self._advance, None, average, p)[0]

    def _advance(self, rates, average, p):
        average *= self.decay
        average += (1 - self.decay) * p
        return (average,)


def clip_by_global_norm(grads, max_norm):
    """Scale `grads` so that the norm of all leaves together is at most `max_norm`.

    Returns
    -------
    grads : tree of arrays
    norm : array, shape ()
        Before clipping.
    """
    check_number("max_norm", max_norm, "a positive number", lambda v: v > 0)
    norm, factor = clipping(tree.ravel(grads), max_norm)
    return tree.map(lambda g: g * factor, grads), norm


def clipping(g, max_norm):
    """Norm of the vector `g`, and the factor, at most 1, that brings it within `max_norm`."""
    xp = namespace(g)
    norm = xp.sqrt(xp.sum(g * g))
    if max_norm > float(xp.finfo(norm.dtype).max):
        return norm, 1
    return norm, plain(max_norm) / xp.maximum(norm, plain(max_norm))


def ravel_gradients(grads, params):
    """The gradients as one vector, in the order of the parameters, if they fit these.

    Raises
    ------
    ShapeError, DtypeError
        If they do not.
    """
    parts = []

    def take(p, g):
        if g.shape != p.shape:
            raise ShapeError(
                f"a gradient has shape {tuple(g.shape)}, its parameter {tuple(p.shape)}"
            )
        if g.dtype != p.dtype:
            raise DtypeError(f"a gradient has dtype {g.dtype}, its parameter {p.dtype}")
        parts.append(g)

    tree.map(take, params, grads)
    return namespace(*parts).concat(parts, axis=None)


def rate_at(lr, step):
    """The learning rate after `step` steps."""
    return plain(_check_lr(lr(step))) if callable(lr) else lr


def _flat(params, grads, weight_decay):
    """Parameters, and gradients of the loss plus ``weight_decay / 2 * sum(p ** 2)``, as vectors."""
    p, g = tree.ravel(params), ravel_gradients(grads, params)
    return p, g + weight_decay * p if weight_decay else g


def _on_device(rates, optimizer, state, p):
    """The `rates`, or those of the step, as a vector like `p`."""
    if rates is None:
        rates = namespace(p).asarray(optimizer.rates(state["step"]), dtype=p.dtype)
    return rates


def _in_blocks(update, rates, p, *vectors):
    """``update(rates, p, *vectors)``, block by block on the CPU, on its threads.

    Of the vectors, some of which may be None, all but the last come back.
    """
    if p.shape[0] <= BLOCK or not is_numpy_array(p):
        return update(rates, p, *vectors)

    def advance(start):
        block = slice(start, start + BLOCK)
        update(rates, p[block], *[v if v is None else v[block] for v in vectors])

    starts = range(0, p.shape[0], BLOCK)
    each = threads.run if len(starts) >= WORTH_THREADS else map
    list(each(advance, starts))
    return p, *vectors[:-1]


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
