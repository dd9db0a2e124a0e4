"""Learning rates as functions of the number of steps taken so far (0 at the first step).

Every schedule is a frozen dataclass: its repr shows all of its settings. Any other function from
the number of steps to a rate is a schedule too (`ttref.contracts.Schedule`).
"""

import math
from dataclasses import dataclass

from ttref.checks import (
    check_count,
    check_finite_not_negative,
    check_finite_positive,
    check_flag,
    check_number,
)
from ttref.errors import ConventionError


@dataclass(frozen=True)
class Constant:
    """Always `rate`."""

    rate: float

    def __post_init__(self) -> None:
        check_finite_not_negative("rate", self.rate)

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        return self.rate


@dataclass(frozen=True)
class Step:
    """``rates[k]`` from ``boundaries[k - 1]`` (included) to ``boundaries[k]`` (excluded).

    >>> [Step((1.0, 0.1), (2,))(t) for t in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """

    rates: tuple[float, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        # Lists become tuples, so that equal schedules are equal.
        for name in ("rates", "boundaries"):
            values = getattr(self, name)
            if not isinstance(values, tuple | list):
                raise ConventionError(f"{name} is {values!r}, expected a sequence")
            object.__setattr__(self, name, tuple(values))
        for rate in self.rates:
            check_finite_not_negative("rate", rate)
        for boundary in self.boundaries:
            check_finite_not_negative("boundary", boundary)
        # One rate before each boundary, and one after the last.
        is_increasing = list(self.boundaries) == sorted(set(self.boundaries))
        if len(self.rates) != len(self.boundaries) + 1 or not is_increasing:
            raise ConventionError(
                f"{len(self.rates)} rates and boundaries {self.boundaries}; expected increasing "
                "boundaries, one fewer than rates"
            )

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        passed = sum(step >= boundary for boundary in self.boundaries)
        return self.rates[passed]


@dataclass(frozen=True)
class Exponential:
    """``rate * decay ** (step / period)``; with `staircase`, the exponent is rounded down.

    >>> Exponential(0.06, 0.64, 2000)(1999)
    0.06
    """

    rate: float
    decay: float
    period: float
    staircase: bool = True

    def __post_init__(self) -> None:
        check_finite_positive("rate", self.rate)
        check_finite_positive("decay", self.decay)
        check_finite_positive("period", self.period)
        check_flag("staircase", self.staircase)

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        exponent = step // self.period if self.staircase else step / self.period
        return self.rate * self.decay**exponent


@dataclass(frozen=True)
class Logspace:
    """`count` rates from ``10 ** start`` to ``10 ** stop``, each for `period` steps.

    The exponents are evenly spaced, as in MATLAB's logspace; the last rate stays. TensorNet trains
    with ``Logspace(-2, -5, 45, period=steps_per_epoch)``.
    """

    start: float
    stop: float
    count: int
    period: float = 1

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            check_number(name, getattr(self, name), "an exponent from -300 to 300", _is_exponent)
        check_count("count", self.count)
        check_finite_positive("period", self.period)

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        k = min(step // self.period, self.count - 1)
        exponent = self.start + (self.stop - self.start) * k / max(1, self.count - 1)
        return 10**exponent


def _is_exponent(value: float) -> bool:
    return abs(value) <= 300


@dataclass(frozen=True)
class Cosine:
    """From `rate` to `final` in `steps` steps on half a cosine (Loshchilov and Hutter 2017)."""

    rate: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_finite_positive("rate", self.rate)
        check_finite_positive("steps", self.steps)
        check_finite_not_negative("final", self.final)

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        done = min(step, self.steps) / self.steps
        return self.final + (self.rate - self.final) * (1 + math.cos(math.pi * done)) / 2
