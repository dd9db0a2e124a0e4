"""Checks of operators: exact ones first, then certified ones, then differences."""

from ttref.testing.cases import CASES, Case
from ttref.testing.certificate import Certificate, certify
from ttref.testing.derivatives import hvp, jvp
from ttref.testing.flops import FlopCount, Operations, count_flops
from ttref.testing.ladder import check_op
from ttref.testing.mutants import MUTANTS, Mutant
from ttref.testing.report import Check, Failure, Finding, Report
from ttref.testing.scoring import Score, ladder_checker, score
from ttref.testing.subgradients import SUBGRADIENTS
from ttref.testing.vjp import check_vjp

__all__ = [
    "CASES",
    "MUTANTS",
    "SUBGRADIENTS",
    "Case",
    "Certificate",
    "Check",
    "Failure",
    "Finding",
    "FlopCount",
    "Mutant",
    "Operations",
    "Report",
    "Score",
    "certify",
    "check_op",
    "check_vjp",
    "count_flops",
    "hvp",
    "jvp",
    "ladder_checker",
    "score",
]
