"""A corpus for checkers of gradients: functions that people write, with right and wrong vjps.

Each module is a kind. `FUNCTIONS` has them all by name; `score` runs a checker over them.
"""

from ttref.testing.functions.corpus import FUNCTIONS, KINDS
from ttref.testing.functions.function import Function, Wrong
from ttref.testing.functions.scoring import Score, Verdict, score

__all__ = ["FUNCTIONS", "KINDS", "Function", "Score", "Verdict", "Wrong", "score"]
