"""Exact checks of operators: every comparison is ``==``, on integers and rationals."""

from ttref.testing.cases import CASES, Case
from ttref.testing.check import Report, check_op

__all__ = ["CASES", "Case", "Report", "check_op"]
