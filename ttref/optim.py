"""Optimisers: ``state = init(params)``, then ``params, state = step(params, grads, state)``.

`step` is a pure function: its arguments stay as they are. `advance` is the same step on vectors,
``p, state = advance(p, g, state)``, in the order of `tree.ravel`, in which velocities and moments
are kept too. It writes into all of them where the library's arrays can be written, so it is what
`fit` calls, and `step` is `advance` on copies. On CuPy, `advance` is one launch.

All that depends on the number of the step are the ``rates(step)``. `advance` also takes them as a
vector: a recorded CUDA graph finds the rates of its step there.

The conventions are those of torch.optim, so both agree to the last few units of roundoff:
`weight_decay` is added to the gradient (L2 regularisation with a factor 1/2, not decoupled decay),
and Adam's `eps` is added after the bias correction of the second moment's root.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, TypeAlias, TypeVar

from array_api_compat import is_array_api_obj

from ttref import tree
from ttref.arrays import is_floating, namespace, number_for, plain
from ttref.checks import (
    check_finite_not_negative,
    check_finite_positive,
    check_flag,
    check_number,
    check_positive,
    check_rate,
    is_finite_not_negative,
    suggest_call,
)
from ttref.contracts import Array, OptimizerState, Schedule, Tree
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.machine import cuda_kernels
from ttref.machine.blocks import update_in_blocks, worth_cutting

Rates: TypeAlias = Sequence[float] | Array
"""What `rates` gives, or a vector of the same numbers."""

Rule = TypeVar("Rule", "SGD", "Adam", "EMA")


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

    lr: float | Schedule
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _make_plain(self, fractions=("momentum",), others=("weight_decay",))
        check_flag("nesterov", self.nesterov)
        if self.nesterov and not self.momentum:
            raise ConventionError("nesterov=True needs a positive momentum")

    def init(self, params: Tree) -> OptimizerState:
        """State before the first step: the step count, and zero velocities if there is momentum."""
        velocity = tree.ravel(tree.zeros_like(params)) if self.momentum else None
        return {"step": 0, "velocity": velocity}

    def step(self, params: Tree, grads: Tree, state: OptimizerState) -> tuple[Tree, OptimizerState]:
        """Take one step from `params`; the arguments stay as they are.

        Parameters
        ----------
        params, grads : trees of arrays, of the same structure, shapes and dtype
        state : dict
            That of `init`, or of the step before.

        Returns
        -------
        params : tree of arrays
        state : dict

        Raises
        ------
        ShapeError, DtypeError
            If the gradients do not fit the parameters.
        """
        return _step_on_copies(self, params, grads, state)

    def rates(self, step: int) -> tuple[float, ...]:
        """What depends on the number of steps taken before, `step`: the learning rate."""
        return (rate_at(self.lr, step),)

    def advance(
        self, p: Array, g: Array, state: OptimizerState, rates: Rates | None = None
    ) -> tuple[Array, OptimizerState]:
        """Take one step on vectors of all parameters; may overwrite `p`, `g` and `state`'s.

        Parameters
        ----------
        p, g : array, shape (P,)
            Parameters and their gradient, in the order of `tree.ravel`.
        state : dict
        rates : array, shape (1,), optional
            By default ``rates(state["step"])``.

        Returns
        -------
        p : array, shape (P,)
        state : dict
        """
        form = _form_for(p, self)
        velocity = state["velocity"]
        if cuda_kernels.on_cupy(p):
            rates = _on_device(rates, form, state, p)
            if form.momentum:
                settings = (form.weight_decay, form.momentum, form.nesterov)
                cuda_kernels.kernel("momentum")(g, rates, *settings, p, velocity)
            else:
                cuda_kernels.kernel("descend")(g, rates, form.weight_decay, p)
        else:
            rates = form.rates(state["step"]) if rates is None else rates
            p, velocity = _in_blocks(form._advance, rates, p, velocity, g)
        return p, {"step": state["step"] + 1, "velocity": velocity}

    def _advance(self, rates: Rates, p: Array, velocity: Array, g: Array) -> tuple[Array, Array]:
        """One step in place; `velocity` is None without momentum."""
        lr = number_for(p, rates[0])
        if self.weight_decay:
            g += self.weight_decay * p
        if self.momentum:
            velocity *= self.momentum
            velocity += g
            g = g + self.momentum * velocity if self.nesterov else velocity
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

    lr: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_finite_positive("eps", self.eps)
        _make_plain(self, fractions=("beta1", "beta2"), others=("weight_decay", "eps"))

    def init(self, params: Tree) -> OptimizerState:
        """State before the first step: the step count and zero moments.

        Raises
        ------
        ConventionError
            If `eps` is 0 in the parameters' dtype: then a gradient of 0 would make 0 / 0.
        """
        zeros = tree.zeros_like(params)
        self._check_eps(zeros)
        return {"step": 0, "m": tree.ravel(zeros), "v": tree.ravel(zeros)}

    def _check_eps(self, zeros: Tree) -> None:
        """Raise `ConventionError` if `eps` of the first step is 0 in a dtype of the tree."""
        smallest = self.eps * (1 - self.beta2) ** 0.5
        for leaf in tree.leaves(zeros):
            if is_floating(leaf):
                info = namespace(leaf).finfo(leaf.dtype)
                if smallest <= float(info.smallest_normal) * float(info.eps) / 2:
                    raise ConventionError(
                        f"eps={self.eps} of Adam is 0 in {leaf.dtype}, where a gradient of 0 would "
                        "make 0 / 0; use eps=1e-3, SGD or float32"
                    )

    def step(self, params: Tree, grads: Tree, state: OptimizerState) -> tuple[Tree, OptimizerState]:
        """Take one step from `params`, as `SGD.step`; the arguments stay as they are."""
        return _step_on_copies(self, params, grads, state)

    def rates(self, step: int) -> tuple[float, ...]:
        """What depends on the number of steps taken before: the factor of m, and eps."""
        correction = (1 - self.beta2 ** (step + 1)) ** 0.5
        size = rate_at(self.lr, step) * correction / (1 - self.beta1 ** (step + 1))
        return size, self.eps * correction

    def advance(
        self, p: Array, g: Array, state: OptimizerState, rates: Rates | None = None
    ) -> tuple[Array, OptimizerState]:
        """Take one step on vectors of all parameters, as `SGD.advance`; may overwrite them.

        `rates`, if given, has shape (2,).
        """
        form = _form_for(p, self)
        m = state["m"]
        v = state["v"]
        if cuda_kernels.on_cupy(p):
            settings = (form.weight_decay, 1 - form.beta1, form.beta2, 1 - form.beta2)
            rates = _on_device(rates, form, state, p)
            cuda_kernels.kernel("adam")(g, rates, *settings, p, m, v)
        else:
            rates = form.rates(state["step"]) if rates is None else rates
            p, m, v = _in_blocks(form._advance, rates, p, m, v, g)
        return p, {"step": state["step"] + 1, "m": m, "v": v}

    def _advance(
        self, rates: Rates, p: Array, m: Array, v: Array, g: Array
    ) -> tuple[Array, Array, Array]:
        size = rates[0]
        eps = rates[1]
        if self.weight_decay:
            g += self.weight_decay * p
        # m <- m + (1 - beta1) (g - m)
        change = g - m
        change *= 1 - self.beta1
        m += change
        # v <- beta2 v + (1 - beta2) g^2
        v *= self.beta2
        change = (1 - self.beta2) * g
        change *= g
        v += change
        # p <- p - size m / (sqrt(v) + eps)
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

    def __post_init__(self) -> None:
        _make_plain(self, fractions=("decay",))

    def update(self, average: Tree, params: Tree) -> Tree:
        """The average after one more step, a tree like `average`; the arguments stay as they are.

        The average before the first step is `params` itself.
        """
        vector = self.advance(
            tree.ravel(average), _ravel_like(average, params, "a parameter", "average")
        )
        return tree.unravel(vector, average)

    def advance(self, average: Array, p: Array) -> Array:
        """`update` of the vector `average`, shape (P,), which it may overwrite."""
        form = _form_for(p, self)
        if cuda_kernels.on_cupy(p):
            cuda_kernels.kernel("average")(p, form.decay, 1 - form.decay, average)
            return average
        return _in_blocks(form._advance, None, average, p)[0]

    def _advance(self, rates: None, average: Array, p: Array) -> tuple[Array]:
        average *= self.decay
        average += (1 - self.decay) * p
        return (average,)


def clip_by_global_norm(grads: Tree, max_norm: float) -> tuple[Tree, Array]:
    """Scale `grads` so that the norm of all leaves together is at most `max_norm`.

    Parameters
    ----------
    grads : tree of arrays
    max_norm : float
        Positive; may be infinite.

    Returns
    -------
    grads : tree of arrays
    norm : array, shape ()
        Before clipping.

    Raises
    ------
    ConventionError
        If `max_norm` is not a positive number.
    """
    check_positive("max_norm", max_norm)
    norm, factor = clipping(tree.ravel(grads), max_norm)

    def scale(g: Array) -> Array:
        return g * factor

    return tree.map(scale, grads), norm


def clipping(g: Array, max_norm: float) -> tuple[Array, Array | int]:
    """Norm of the vector `g`, and the factor, at most 1, that brings it within `max_norm`."""
    xp = namespace(g)
    norm = xp.sqrt(xp.sum(g * g))
    if max_norm > float(xp.finfo(norm.dtype).max):
        return norm, 1
    most = number_for(norm, plain(max_norm))
    return norm, most / xp.maximum(norm, most)


def ravel_gradients(grads: Tree, params: Tree) -> Array:
    """The gradients as one new vector, in the order of the parameters, if they fit these.

    Raises
    ------
    ShapeError, DtypeError
        If they do not.
    """
    return _ravel_like(params, grads, "a gradient", "parameter")


def copy_state(state: OptimizerState) -> OptimizerState:
    """The same state of an optimiser, with vectors of its own."""
    return {
        name: namespace(value).asarray(value, copy=True) if is_array_api_obj(value) else value
        for name, value in state.items()
    }


def rate_at(lr: float | Schedule, step: int) -> float:
    """The learning rate after `step` steps."""
    return plain(_check_lr(lr(step))) if callable(lr) else lr


def _step_on_copies(
    optimizer: "SGD | Adam", params: Tree, grads: Tree, state: OptimizerState
) -> tuple[Tree, OptimizerState]:
    p = tree.ravel(params)
    g = ravel_gradients(grads, params)
    p, state = optimizer.advance(p, g, copy_state(state))
    return tree.unravel(p, params), state


def _ravel_like(like: Tree, other: Tree, leaf: str, like_leaf: str) -> Array:
    """The tree `other` as one new vector, in the order of the tree `like`, if both fit.

    The last two arguments say what a leaf of each is.
    """
    parts = []

    def take(expected: Array, found: Array) -> None:
        if found.shape != expected.shape:
            raise ShapeError(
                f"{leaf} has shape {tuple(found.shape)}, its {like_leaf} {tuple(expected.shape)}"
            )
        if found.dtype != expected.dtype:
            raise DtypeError(f"{leaf} has dtype {found.dtype}, its {like_leaf} {expected.dtype}")
        parts.append(found)

    tree.map(take, like, other)
    return namespace(*parts).concat(parts, axis=None)


def _on_device(
    rates: Rates | None, optimizer: "SGD | Adam", state: OptimizerState, p: Array
) -> Array:
    """The `rates`, or those of the step, as a vector like `p`."""
    if rates is None:
        rates = namespace(p).asarray(optimizer.rates(state["step"]), dtype=p.dtype)
    return rates


def _in_blocks(
    update: Callable[..., tuple[Any, ...]],
    rates: Rates | None,
    p: Array,
    *vectors: Array | None,
) -> tuple[Any, ...]:
    """``update(rates, p, *vectors)``, which NumPy computes in blocks, on several threads.

    Some of the vectors may be None. The result is p and all vectors but the last.
    """
    if not worth_cutting(p):
        return update(rates, p, *vectors)
    update_in_blocks(partial(update, rates), p, *vectors)
    return p, *vectors[:-1]


def _form_for(p: Array, optimizer: Rule) -> Rule:
    """The optimiser whose numbers meet the entries of `p`: fractions are floats for floats."""
    if not any(isinstance(value, Fraction) for value in vars(optimizer).values()):
        return optimizer
    numbers = {name: number_for(p, value) for name, value in vars(optimizer).items()}
    return type(optimizer)(**numbers)


def _make_plain(
    optimizer: "SGD | Adam | EMA", fractions: Sequence[str] = (), others: Sequence[str] = ()
) -> None:
    """Check the hyper-parameters, and make them plain numbers, which never widen a dtype."""
    for name in fractions:
        check_rate(name, getattr(optimizer, name))
    for name in others:
        check_finite_not_negative(name, getattr(optimizer, name))
    names = [*fractions, *others]
    if not isinstance(optimizer, EMA) and not _is_schedule(optimizer.lr):
        _check_lr(optimizer.lr)
        names.append("lr")
    for name in names:
        object.__setattr__(optimizer, name, plain(getattr(optimizer, name)))


def _is_schedule(lr: Any) -> bool:
    """Whether `lr` can be called for the rate; a class cannot."""
    return callable(lr) and not isinstance(lr, type)


def _check_lr(lr: Any) -> Any:
    expected = f"a number >= 0 or a schedule, not infinity{suggest_call(lr)}"
    return check_number("lr", lr, expected, is_finite_not_negative)
