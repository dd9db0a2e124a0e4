"""A corpus for checkers of gradients: functions that people write, with right and wrong vjps.

Each module is a kind. `FUNCTIONS` has them all by name; `score` runs a checker over them.

A function is ``f(*args)``: arguments and results are numbers, arrays, or trees of them. A vjp is
``vjp(dy, *args)``, where `dy` has the structure of ``f(*args)``; it returns a tuple with a gradient
for each argument, or None for an argument that has none, such as labels. Neither writes into its
arguments nor returns parts of them. The arguments are made by a seeded generator, when asked.

Tests prove in numbers of 400 bits that each right vjp is right, and show for each wrong one that
the error exceeds what roundings of f and its curvature explain (tests/testing/functions).
"""

from ttref.testing.functions.corpus import FUNCTIONS, KINDS
from ttref.testing.functions.function import Function, Wrong
from ttref.testing.functions.scoring import Score, Verdict, score

__all__ = ["FUNCTIONS", "KINDS", "Function", "Score", "Verdict", "Wrong", "score"]
