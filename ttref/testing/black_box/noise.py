"""The noise of f, measured on a line.

Polynomials of degree 4 and 5 are fitted to seven values of f on a short piece of the line. What
they leave is noise, as high differences are in the tables of More and Wild (SISC 33, 2011). The
points are not equidistant, and no powers of two: otherwise roundings may all be alike, or linear.
This is done twice: on a piece as short as the shortest step, and on one that is long enough to see
an f that computes in float32, or iterates to a tolerance.
"""

import numpy as np

from ttref.testing.black_box.lines import Line, Prober

POINTS = (-3.1131, -1.9317, -1.1773, 0.8719, 2.2137, 2.9341)  # and 0
REACH = 3.2
DEGREES = (4, 5)
COARSE = 2.0**-8
FIRST = 0.65  # of the shortest step at which f was seen
SAFETY = 3
COARSER = 2.0**7  # where f did not move at all
ROUNDING = 2.0**-20  # noise beyond it, relative to all sizes in sight, is no rounding
LASTING = 8  # times the second difference at the shortest step
SMOOTH = 10  # how much less a degree more has to leave to be believed


def measure_noise(prober: Prober, line: Line, coarse: bool) -> None:
    """Keep with the line the noise of f along it; at a longer spacing, too, if `coarse`."""
    noise, moved = _table(prober, line, FIRST * line.scales[0].t)
    if coarse or not moved.all():
        found, moved_far = _table(prober, line, COARSE)
        small = found <= _largest_rounding(prober, line)
        noise = np.where((~moved | coarse) & small, np.maximum(noise, found), noise)
        moved |= moved_far
    _, largest = prober.bounds(line)
    spacing = COARSE * COARSER
    expected = line.claimed != 0
    while spacing * REACH <= largest and largest > 1 and not moved[expected].all():
        found, moved_far = _table(prober, line, spacing)
        small = found <= _largest_rounding(prober, line)
        noise = np.where(~moved & moved_far & small, found, noise)
        moved |= moved_far
        spacing *= COARSER
    line.noise = np.maximum(noise, line.lasting)


def find_lasting_noise(prober: Prober, line: Line) -> None:
    """Keep with the line noise that is as large on a long piece as at the shortest step.

    There both sides of a kink differ much more on a long piece.
    """
    shortest = line.scales[0]
    found, _ = _table(prober, line, COARSE)
    small = found <= _largest_rounding(prober, line)
    lasts = found <= LASTING * shortest.jump * shortest.t
    line.lasting = np.where(small & lasts, np.maximum(found, line.lasting), line.lasting)


def _largest_rounding(prober: Prober, line: Line) -> float:
    x = np.abs(prober.pair.x[line.positions])
    y = np.abs(prober.y[np.isfinite(prober.y)])
    return ROUNDING * max(1.0, float(np.max(x)), float(np.max(y, initial=0)))


def _table(prober: Prober, line: Line, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on the noise of each group, and whether it moved at all."""
    total = prober.projection.total
    moves = np.stack([total(prober.values(line, k * spacing) - prober.y) for k in POINTS])
    moved = (moves != 0).any(axis=0)
    values = np.concatenate([np.zeros_like(moves[:1]), moves])
    points = np.asarray([0.0, *POINTS]) / REACH
    by_degree = [_residue(points, values, degree) for degree in DEGREES]
    noise = np.where(by_degree[1] < by_degree[0] / SMOOTH, by_degree[1], by_degree[0])
    return np.where(np.isfinite(noise), SAFETY * noise, 0), moved


def _residue(points: np.ndarray, values: np.ndarray, degree: int) -> np.ndarray:
    """The size of what a polynomial leaves, per degree of freedom."""
    basis, _ = np.linalg.qr(np.vander(points, degree + 1))
    left = values - basis @ (basis.T @ values)
    return np.sqrt(np.sum(left**2, axis=0) / (points.size - degree - 1))
