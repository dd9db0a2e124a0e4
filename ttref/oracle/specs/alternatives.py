"""Other options of a declared layer with which what was found is right.

Whoever declares gates in another order, or a reset before in place of after the product, is told
the options with which all results are within their bounds. They are looked for among changes of one
option, then of two.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ttref.contracts import Array
from ttref.errors import TTRefError
from ttref.oracle.specs.base import Problem, Spec, run
from ttref.oracle.specs.judging import judge_floats

NEAR = 0.02  # relative distance up to which a result is looked at closely
MOST_CHANGES = 2

VALUES: dict[str, tuple[Any, ...]] = {
    "activation": ("tanh", "relu", "identity", "sigmoid", "hard_sigmoid", "hard_sigmoid_sixth"),
    "recurrent_activation": ("sigmoid", "hard_sigmoid", "hard_sigmoid_sixth"),
    "reset": ("before", "after"),
    "at_padding": ("repeat", "zero"),
    "go_backwards": (False, True),
    "outputs": ("processing", "time"),
    "forget_bias": (0, 1),
    "gates_in": ("columns", "last"),
    "count_padding": (False, True),
    "reduction": ("mean", "sum"),
    "nesterov": (False, True),
    "eps_at": ("corrected", "uncorrected"),
    "epsilon": (1e-3, 1e-5, 1e-2, 1e-6, 1e-8),
    "padding": ("SAME", "VALID"),
    "kernel": ("in out", "out in"),
    "recurrent": ("in out", "out in"),
}
"""Values that an option may have, of those options that change no shape."""


def find_options(spec: Spec, answers: Sequence[tuple[Problem, str, Any]]) -> str:
    """Find options with which answers are right.

    Parameters
    ----------
    spec : Spec
        As it was declared.
    answers : sequence of (Problem, str, Answer)
        Problems of floats, their formats, and what was found.

    Returns
    -------
    str
        A sentence; empty if there are no such options.
    """
    useful = [one for one in answers if one[2].results]
    if not useful:
        return ""
    changes = list(_changes(spec))
    for count in range(1, MOST_CHANGES + 1):
        found = []
        for chosen in combinations(changes, count):
            names = [name for name, _ in chosen]
            if len(set(names)) == count:
                other = _replaced(spec, dict(chosen))
                if other is not None and _fits(other, useful):
                    found.append(" and ".join(f"{name} = {value!r}" for name, value in chosen))
        if found:
            return f"everything is right with {', or with '.join(found)}"
    return ""


def _changes(spec: Spec) -> Iterator[tuple[str, Any]]:
    """Options with another value than they have."""
    for option in fields(spec):
        own = getattr(spec, option.name)
        if option.name == "gates":
            orders = ["".join(letters) for letters in permutations(own)]
            yield from (("gates", order) for order in orders if order != own)
        elif own in VALUES.get(option.name, ()):
            for value in VALUES[option.name]:
                if value != own:
                    yield option.name, value
        elif option.name == "padding" and isinstance(own, tuple):
            yield "padding", tuple(pair[::-1] for pair in own)
            yield "padding", own[::-1]


def _replaced(spec: Spec, options: Mapping[str, Any]) -> Spec | None:
    """The layer with other options; None if they do not go together."""
    try:
        return replace(spec, **options)
    except TTRefError:
        return None


def _fits(spec: Spec, answers: Sequence[tuple[Problem, str, Any]]) -> bool:
    """Whether all answers are right for a layer: first roughly, then by their bounds."""
    try:
        if not all(_is_near(spec, problem, answer.results) for problem, _, answer in answers):
            return False
        findings = [
            finding
            for problem, dtype, answer in answers
            for finding in judge_floats(spec, problem, answer.results, dtype)
            if finding.tensor in answer.results
        ]
    except TTRefError:  # of arrays that this layer does not take
        return False
    decided = any(not finding.undecided for finding in findings)
    return decided and all(finding.failure is None for finding in findings)


def _is_near(spec: Spec, problem: Problem, results: Mapping[str, Array]) -> bool:
    spec.check(problem)
    with np.errstate(all="ignore"):
        expected = run(spec, problem)
    for name, found in results.items():
        if name not in expected or expected[name].shape != found.shape:
            return False
        right = expected[name].astype(float)
        scale = np.abs(right).max(initial=0)
        if not (np.abs(found.astype(float) - right) <= NEAR * scale + 1e-12).all():
            return False
    return True
