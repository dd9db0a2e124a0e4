"""The complex step, which no noise of differences disturbs: ``Im f(x + i h v) / h``.

It is right where f is analytic, and silently wrong through a modulus, a norm or a real part. So it
only speaks of slopes that differences cannot tell, and only where it agrees with all that they can.
Its roundings are sampled by steps h of other digits (Squire and Trapp 1998).
"""

import warnings

import numpy as np

from ttref import border
from ttref.errors import UndecidableError
from ttref.testing.black_box.lines import Line, Prober
from ttref.testing.black_box.search import FACTOR, Limits
from ttref.testing.black_box.structure import kind_of, walk
from ttref.testing.black_box.verdict import RIGHT, WRONG, Judgement

STEPS = (2.0**-130, 1.37 * 2.0**-131, 1.79 * 2.0**-132)
CLOSE = 1e-9  # relative error of a complex step that agrees
SAMPLES = 64  # times the spread of its roundings is allowed
CHECK = "complex step"


class ComplexStep:
    """Slopes of f by the complex step.

    Raises
    ------
    UndecidableError
        If an argument is complex already, or no array of NumPy.
    """

    def __init__(self, prober: Prober) -> None:
        self.prober = prober
        for leaf in prober.pair.arguments.leaves:
            if leaf.is_complex or not isinstance(leaf.like, np.ndarray | np.generic | float):
                raise UndecidableError("it is for real arrays of NumPy")

    def slope(self, line: Line, step: float = STEPS[0]) -> np.ndarray:
        """The slope of each group; `UndecidableError` if f takes no complex arrays."""
        pair = self.prober.pair
        x = pair.x.astype(complex)
        x[line.positions] += 1j * step * line.v
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            try:
                with border.complex_steps():
                    y = pair.call_f(pair.arguments.place(x, complex))
                imaginary = [np.imag(v).ravel() for _, v in walk(y) if kind_of(v) == "complex"]
                real = any(kind_of(v) == "real" for _, v in walk(y))
            except Exception as error:
                raise UndecidableError(f"f takes no complex arrays: {error}") from None
        found = np.concatenate([np.zeros(0), *imaginary])
        if real or found.size != self.prober.y.size:
            raise UndecidableError("f of complex arrays is real")
        return self.prober.projection.total(found) / step

    def require_agreement(self, line: Line, known: np.ndarray, limits: Limits) -> None:
        """Raise `UndecidableError` unless it agrees with slopes that differences confirm."""
        found = self.slope(line)[known]
        expected = line.claimed[known]
        noise = self.prober.error(line, line.scales[0])[known]
        allowed = line.error[known] + noise + limits.enough * np.abs(expected)
        if not (np.abs(found - expected) <= allowed).all():
            raise UndecidableError("it disagrees with differences: f is not analytic")

    def judge(self, line: Line, group: int, before: Judgement, limits: Limits) -> Judgement:
        """Judge a slope that differences leave open; `before` is what they say."""
        claimed = float(line.claimed[group])
        error = float(line.error[group])
        first = float(self.slope(line)[group])
        if not np.isfinite(first):
            return before
        if np.isfinite(before.expected) and not (
            abs(first - before.expected) <= FACTOR * before.allowed
        ):
            return before
        close = error + max(CLOSE, limits.agree / 16) * abs(claimed)
        if first != 0 and abs(first - claimed) <= close:
            return Judgement(RIGHT, claimed, first, close, CHECK)
        # what its own roundings, and the noise of f, explain
        others = [float(self.slope(line, step)[group]) for step in STEPS[1:]]
        spread = max(abs(other - first) for other in others)
        noise = 0.0 if line.noise is None else float(line.noise[group])
        allowed = error + SAMPLES * spread + noise
        slack = limits.agree * max(abs(claimed), abs(first))
        is_proof = first != 0 and abs(first - claimed) > FACTOR * allowed + slack
        if is_proof:
            return Judgement(WRONG, claimed, first, allowed, CHECK)
        if first != 0 and abs(first - claimed) <= allowed <= limits.enough * abs(claimed):
            return Judgement(RIGHT, claimed, first, allowed, CHECK)
        return before
