"""Mutants of the optimisers: each another rule for one step."""

from collections.abc import Callable
from typing import Any

from ttref import tree
from ttref.arrays import namespace
from ttref.contracts import Array, Tree
from ttref.optim import SGD, Adam
from ttref.testing.cases.case import Params
from ttref.testing.mutants.mutant import make_mutants


def sgd(rule: Callable[..., Any]) -> type:
    """SGD by the rule ``p, v = rule(settings, p, g, v)``."""

    class Wrong(SGD):
        """Velocities are kept whether or not there is momentum."""

        def init(self, params: Params) -> dict[str, Any]:
            """State before the first step."""
            return {"velocity": tree.ravel(tree.zeros_like(params))}

        def step(
            self, params: Params, grads: Tree, state: dict[str, Any]
        ) -> tuple[Tree, dict[str, Any]]:
            """``(params, state)`` after one step."""
            p, v = rule(self, tree.ravel(params), tree.ravel(grads), state["velocity"])
            return tree.unravel(p, params), {"velocity": v}

    return Wrong


def adam(rule: Callable[..., Any]) -> type:
    """Adam by the rule ``p, m, v = rule(settings, p, g, m, v, t)``, t from 1."""

    class Wrong(Adam):
        """The same state."""

        def step(
            self, params: Params, grads: Tree, state: dict[str, Any]
        ) -> tuple[Tree, dict[str, Any]]:
            """``(params, state)`` after one step."""
            t = state["step"] + 1
            p = tree.ravel(params)
            g = tree.ravel(grads)
            p, m, v = rule(self, p, g, state["m"], state["v"], t)
            return tree.unravel(p, params), {"step": t, "m": m, "v": v}

    return Wrong


def descend(
    s: Any,
    p: Array,
    g: Array,
    v: Array,
    decay: float | None = None,
    gain: float = 1,
    look: Array | None = None,
) -> tuple[Array, Array]:
    """One step of SGD as it should be, but for what is given."""
    g = g + (s.weight_decay if decay is None else decay) * p
    moved = s.momentum * v + gain * g
    update = g + s.momentum * (moved if look is None else look) if s.nesterov else moved
    return p - s.lr * update, moved


def forgetful(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """Velocity not kept."""
    p, _ = descend(s, p, g, v)
    return p, v * 0


def plain_for_nesterov(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """Nesterov's step as the plain one."""
    v = s.momentum * v + g + s.weight_decay * p
    return p - s.lr * v, v


def nesterov_without_gradient(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """``momentum v`` for ``g + momentum v``."""
    _, v = descend(s, p, g, v)
    return p - s.lr * (s.momentum * v if s.nesterov else v), v


def decoupled(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """Decay beside the velocity, not in it."""
    moved, v = descend(s, p, g, v, decay=0)
    return moved - s.lr * s.weight_decay * p, v


def look_from_old_velocity(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """Nesterov's step with the velocity before, not after."""
    return descend(s, p, g, v, look=v)


def dampened(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """The gradient times ``1 - momentum``."""
    return descend(s, p, g, v, gain=1 - s.momentum)


def grow(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """Decay with the wrong sign."""
    return descend(s, p, g, v, decay=-s.weight_decay)


def decay_twice(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """Decay without the factor 1/2 of the penalty."""
    return descend(s, p, g, v, decay=2 * s.weight_decay)


def ascend(s: Any, p: Array, g: Array, v: Array) -> tuple[Array, Array]:
    """A step up, not down."""
    return descend(s, p, -g, v, -s.weight_decay)


def overwrite_params(optimizer: Any) -> type:
    """The optimiser, but the parameters that come back are those that came in, overwritten."""

    def step(
        self: Any, params: Params, grads: Tree, state: dict[str, Any]
    ) -> tuple[Tree, dict[str, Any]]:
        found, state = optimizer.step(self, params, grads, state)
        for p, value in zip(tree.leaves(params), tree.leaves(found), strict=True):
            p[...] = value
        return params, state

    return type(optimizer.__name__, (optimizer,), {"step": step})


def adam_step(
    s: Any,
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    root: Callable[..., Any] | None = None,
    betas: Any = None,
) -> tuple[Array, Array, Array]:
    """One step of Adam as it should be, but for `root` of (v, correction, eps) and betas."""
    beta1, beta2 = betas or (s.beta1, s.beta2)
    g = g + s.weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    correction = 1 - beta2**t
    below = (root or eps_outside)(v, correction, s.eps)
    return p - s.lr / (1 - beta1**t) * m / below, m, v


def _sqrt(v: Array) -> Array:
    return namespace(v).sqrt(v)


def eps_outside(v: Array, correction: Any, eps: float) -> Array:
    """As it should be."""
    return _sqrt(v) / correction**0.5 + eps


def eps_inside(v: Array, correction: Any, eps: float) -> Array:
    """Eps inside of the root."""
    return _sqrt(v / correction + eps)


def eps_before(v: Array, correction: Any, eps: float) -> Array:
    """Eps added before the correction."""
    return (_sqrt(v) + eps) / correction**0.5


def without_root(v: Array, correction: Any, eps: float) -> Array:
    """The second moment for its root."""
    return v / correction + eps


def uncorrected(
    s: Any, p: Array, g: Array, m: Array, v: Array, t: int
) -> tuple[Array, Array, Array]:
    """No bias correction: as if after infinitely many steps."""
    _, m, v = adam_step(s, p, g, m, v, t)
    return p - s.lr * m / (_sqrt(v) + s.eps), m, v


def corrected_late(
    s: Any, p: Array, g: Array, m: Array, v: Array, t: int
) -> tuple[Array, Array, Array]:
    """The correction of the step after."""
    return adam_step(s, p, g, m, v, t + 1)


def decayed_beside(
    s: Any, p: Array, g: Array, m: Array, v: Array, t: int
) -> tuple[Array, Array, Array]:
    """AdamW: decay beside the moments, not in them."""
    step, m, v = adam_step(s, 0 * p, g, m, v, t)
    return p - s.lr * s.weight_decay * p + step, m, v


def second_of_first(
    s: Any, p: Array, g: Array, m: Array, v: Array, t: int
) -> tuple[Array, Array, Array]:
    """The second moment of m, not of g."""
    g = g + s.weight_decay * p
    m = s.beta1 * m + (1 - s.beta1) * g
    v = s.beta2 * v + (1 - s.beta2) * m * m
    return p - s.lr / (1 - s.beta1**t) * m / eps_outside(v, 1 - s.beta2**t, s.eps), m, v


def replace_root(root: Callable[..., Any] | None) -> type:
    """Adam that divides by ``root(v, correction, eps)``."""
    return adam(lambda s, p, g, m, v, t: adam_step(s, p, g, m, v, t, root))


def replace_betas(betas: Any) -> type:
    """Adam with other betas."""
    return adam(lambda s, p, g, m, v, t: adam_step(s, p, g, m, v, t, betas=betas(s)))


MUTANTS = [
    *make_mutants(
        "SGD",
        "forward",
        {
            "forgetful": ("velocity not kept", sgd(forgetful)),
            "nesterov_plain": ("Nesterov's step the plain one", sgd(plain_for_nesterov)),
            "nesterov_gradient": ("mu v for g + mu v", sgd(nesterov_without_gradient)),
            "nesterov_velocity": (
                "g + mu v with the velocity before",
                sgd(look_from_old_velocity),
            ),
            "dampened": (
                "v <- mu v + (1 - mu) g",
                sgd(dampened),
            ),
            "decay_decoupled": ("decay beside the velocity", sgd(decoupled)),
            "decay_sign": (
                "g - decay p",
                sgd(grow),
            ),
            "decay_twice": (
                "g + 2 decay p, without the factor 1/2",
                sgd(decay_twice),
            ),
            "ascent": ("p + lr v", sgd(ascend)),
            "in_place": ("writes its argument", overwrite_params(SGD)),
        },
    ),
    *make_mutants(
        "Adam",
        "forward",
        {
            "uncorrected": ("no bias correction", adam(uncorrected)),
            "corrected_late": ("the step count one ahead", adam(corrected_late)),
            "eps_inside": (
                "sqrt(v + eps)",
                replace_root(eps_inside),
            ),
            "eps_before": (
                "eps added before the correction",
                replace_root(eps_before),
            ),
            "no_root": (
                "v for its root",
                replace_root(without_root),
            ),
            "betas_swapped": ("beta2 for beta1", replace_betas(lambda s: (s.beta2, s.beta1))),
            "one_beta": ("beta1 for both", replace_betas(lambda s: (s.beta1, s.beta1))),
            "decay_decoupled": ("AdamW's decay", adam(decayed_beside)),
            "second_of_first": ("m^2 for g^2 in v", adam(second_of_first)),
            "in_place": ("writes its argument", overwrite_params(Adam)),
        },
    ),
]
