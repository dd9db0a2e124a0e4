"""Checks of operators: exact ones first, then certified ones, then differences."""

from ttref.testing.cases import CASES, Case
from ttref.testing.ladder import check_op
from ttref.testing.report import Finding, Report

__all__ = ["CASES", "Case", "Finding", "Report", "check_op"]
