"""What a layer has made of a case of integers, beside what is right."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ttref.contracts import Array
from ttref.oracle import truth
from ttref.oracle.adapter import Answer
from ttref.testing.cases.case import Case
from ttref.testing.report import group

Results = dict[str, Array]
"""Arrays by name: ``y``, ``cores.0``, ..., ``bias``, ``x``."""


class Observation(NamedTuple):
    """A case, what was found, and what is right; arrays of float64 that hold integers."""

    case: Case
    found: Results
    right: Results

    def wrong(self, expected: Results) -> set[str]:
        """The tensors (cores together) of which something was found that is not expected."""
        return {
            group(leaf)
            for leaf, value in self.found.items()
            if not np.array_equal(value, expected[leaf])
        }


def observe(cases: Iterable[Case], answers: Iterable[Answer]) -> list[Observation]:
    """The observations of the cases that were answered at all."""
    return [
        Observation(case, as_floats(answer.results), compute(case))
        for case, answer in zip(cases, answers, strict=True)
        if answer.results
    ]


def compute(case: Case) -> Results:
    """What is right."""
    return as_floats(truth.compute_exactly(case))


def as_floats(results: Results) -> Results:
    """The same numbers as float64."""
    return {leaf: value.astype(float) for leaf, value in results.items()}
