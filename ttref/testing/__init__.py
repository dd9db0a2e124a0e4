"""Checks of operators: exact ones first, then certified ones, then differences."""

from ttref.testing.cases import CASES, Case
from ttref.testing.certificate import Certificate, certify
from ttref.testing.kinks import SUBGRADIENTS
from ttref.testing.ladder import check_op
from ttref.testing.mutants import MUTANTS, Mutant
from ttref.testing.report import Finding, Report
from ttref.testing.score import Score, ladder_checker, score
from ttref.testing.vjp import check_vjp

__all__ = [
    "CASES",
    "MUTANTS",
    "SUBGRADIENTS",
    "Case",
    "Certificate",
    "Finding",
    "Mutant",
    "Report",
    "Score",
    "certify",
    "check_op",
    "check_vjp",
    "ladder_checker",
    "score",
]
