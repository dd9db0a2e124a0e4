"""One step of SGD and of Adam."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ttref import contracts
from ttref import functions as F
from ttref.arithmetic.rational import as_fraction
from ttref.arrays import holds_objects
from ttref.checks import check_choice, check_count, check_finite_positive
from ttref.contracts import Array, Tree
from ttref.optim import SGD, Adam
from ttref.oracle.specs.axes import Signature, Sizes
from ttref.oracle.specs.base import Spec

MOST_HALVINGS = 2**12  # the largest denominator of a rate on the lattice
EPS_AT = ("corrected", "uncorrected")


@dataclass(frozen=True, kw_only=True)
class Step(Spec):
    """What both optimisers share: the results are vectors of the length of p, without gradients."""

    pulled: ClassVar[tuple[str, ...]] = ()

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        return {}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return {"P": int(rng.integers(2, 8))}


@dataclass(frozen=True, kw_only=True)
class SGDStep(Step):
    """One step of `ttref.optim.SGD`: ``v <- momentum v + g``, ``p <- p - lr v``.

    Parameters
    ----------
    lr, momentum, weight_decay : number
    nesterov : bool
    """

    kind: ClassVar[str] = "sgd"

    lr: float = 0.125
    momentum: float = 0
    nesterov: bool = False
    weight_decay: float = 0

    def __post_init__(self) -> None:
        check_finite_positive("lr", self.lr)
        SGD(self.lr, self.momentum, self.nesterov, self.weight_decay)

    @property
    def params(self) -> Signature:
        return {"p": "P"}

    @property
    def inputs(self) -> Signature:
        return {"gradient": "P"} | ({"velocity": "P"} if self.momentum else {})

    @property
    def lattice(self) -> bool:
        rates = (self.lr, self.momentum, self.weight_decay)
        return max(Fraction(rate).denominator for rate in rates) <= MOST_HALVINGS

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        p = _as_fractions(params["p"])
        velocity = inputs.get("velocity")
        optimizer = SGD(self.lr, self.momentum, self.nesterov, self.weight_decay)
        if p.size and isinstance(p.flat[0], int | Fraction):
            rates: list[Any] = [
                Fraction(rate) for rate in (self.lr, self.momentum, self.weight_decay)
            ]
            optimizer = SGD(rates[0], rates[1], self.nesterov, rates[2])
        gradient = _as_fractions(inputs["gradient"])
        velocity = None if velocity is None else _as_fractions(velocity)
        state = {"step": 0, "velocity": None if velocity is None else np.array(velocity)}
        p, state = optimizer.advance(np.array(p), np.array(gradient), state, (optimizer.lr,))
        results = {"p": p}
        return results | ({"velocity": state["velocity"]} if self.momentum else {}), None


@dataclass(frozen=True, kw_only=True)
class AdamStep(Step):
    """One step of Adam (Kingma and Ba 2015), as of `ttref.optim.Adam`.

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``, and at step t
    ``p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)``. The rates are the floats
    that are given, exactly.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay : number
    step : int
        t, from 1 on.
    eps_at : str
        ``"corrected"``: eps is added to the corrected root, as above (torch); ``"uncorrected"``: to
        ``sqrt(v)``, and the step is ``lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)``
        (TensorFlow, Keras).
    """

    kind: ClassVar[str] = "adam"

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0
    step: int = 1
    eps_at: str = "corrected"

    def __post_init__(self) -> None:
        check_finite_positive("lr", self.lr)
        check_count("step", self.step)
        check_choice("eps_at", self.eps_at, EPS_AT)
        Adam(self.lr, self.beta1, self.beta2, self.eps, self.weight_decay)

    @property
    def params(self) -> Signature:
        return {"p": "P"}

    @property
    def inputs(self) -> Signature:
        return {"gradient": "P", "m": "P", "v": "P"}

    @property
    def irrational(self) -> str:
        return "the square root"

    @property
    def lattice(self) -> bool:
        return False

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        p = np.array(params["p"])
        optimizer = Adam(self.lr, self.beta1, self.beta2, self.eps, self.weight_decay)
        state = {"step": self.step - 1, "m": np.array(inputs["m"]), "v": np.array(inputs["v"])}
        rates = self._rates(p)
        p, state = optimizer.advance(p, np.array(inputs["gradient"]), state, rates)
        return {"p": p, "m": state["m"], "v": state["v"]}, None

    def _rates(self, p: Array) -> tuple[Any, Any]:
        """The factor of m, and what is added to the root, as numbers of the kind of `p`."""
        one = p[:1] * 0 + 1
        correction = F.sqrt(one - self._power(one, self.beta2))
        size = one * self.lr * correction / (one - self._power(one, self.beta1))
        eps = one * self.eps * (correction if self.eps_at == "corrected" else one)
        if holds_objects(p):
            return size[0], eps[0]
        return float(size[0]), float(eps[0])

    def _power(self, one: Array, beta: float) -> Array:
        """``beta^t``."""
        power = one
        for _ in range(self.step):
            power = power * beta
        return power

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        drawn = rng.standard_normal(shape)
        return drawn * drawn if name == "v" else drawn


def _as_fractions(x: Array) -> Array:
    """Rational numbers as fractions, with which the rates can be multiplied; others as they are."""
    if not x.size or not hasattr(x.flat[0], "q"):
        return x
    return np.asarray(np.frompyfunc(as_fraction, 1, 1)(np.asarray(x)), dtype=object)
