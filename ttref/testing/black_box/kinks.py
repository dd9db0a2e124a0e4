"""Kinks and jumps: the slopes to the right and to the left differ, however short the step.

Where f is smooth their difference shrinks with the step. On a kink it stays, and on a jump it
grows.
"""

from collections.abc import Sequence

STRAIGHT = 1e-2  # part of the slope by which both sides may differ, without a closer look
DEEP = 4  # scales
REGULAR = 0.1  # relative change that a kink allows
NOISY = 4  # times the bound on noise


def is_straight(
    slope: float, jump: float, noise: float, shorter: Sequence[float], noises: Sequence[float]
) -> bool:
    """Whether f has no kink at a scale: both sides agree, or agree better at a shorter step.

    `shorter` has the jumps at shorter steps, and `noises` their bounds on noise.
    """
    if jump <= NOISY * noise + STRAIGHT * abs(slope):
        return True
    return any(
        other <= max(jump / 2, NOISY * error)
        for other, error in zip(shorter, noises, strict=True)
        if error * NOISY < jump
    )


def shows_kink(jumps: Sequence[float], noises: Sequence[float], slope: float) -> bool:
    """Whether the sides differ at the shortest step beyond noise, and no less than before."""
    shortest = jumps[0]
    if not shortest > NOISY * noises[0] + STRAIGHT * abs(slope):
        return False
    return len(jumps) == 1 or shortest > jumps[1] / 2


def rest_of_jump(steps: Sequence[float], jumps: Sequence[float]) -> float:
    """The jump at step 0, on the line through those at the two shortest steps."""
    if len(steps) < 2:
        return jumps[0]
    ratio = steps[0] / steps[1]
    return abs(jumps[0] - jumps[1] * ratio) / (1 - ratio)


def is_certain(steps: Sequence[float], jumps: Sequence[float], rounding: float) -> bool:
    """Whether the jumps at the four shortest steps are those of a kink, or of a jump of f.

    On a kink they stay, and on a jump they grow as the step shrinks, unless it is a `rounding`.
    Those of noise are irregular.
    """
    if len(steps) < DEEP or not min(jumps[:DEEP]) > 0:
        return False
    heights = [jump * step for jump, step in zip(jumps, steps, strict=True)]
    if _is_regular(heights) and min(heights[:DEEP]) > rounding:
        return True
    return _is_regular(jumps)


def _is_regular(values: Sequence[float]) -> bool:
    return max(values[:DEEP]) <= (1 + REGULAR) * min(values[:DEEP])
