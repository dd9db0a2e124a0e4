"""Rungs on how an operator behaves: the same bits again, no argument written, any memory layout.

Ownership: arrays are values, and nobody writes into an array that he has not made. What forward
keeps, and y and dx, may be views of the inputs and of dy (an identity returns its x). Only the
gradients of parameters belong to the caller, who may add to them in place: they share memory with
nothing.
"""

from collections.abc import Callable

import numpy as np

from ttref import tree
from ttref.arithmetic import running
from ttref.contracts import Array
from ttref.testing import accuracy
from ttref.testing.cases.case import Case
from ttref.testing.report import Failure, Finding

DTYPE = "float64"
DATA = ("x", "prediction")  # inputs that are no parameters


def determinism(case: Case, rng: np.random.Generator) -> list[Finding]:
    """A second call gives the same bits, and a call between leaves the first results alone."""
    case = accuracy.as_floats(case)
    first = accuracy.results(case)
    kept = {leaf: value.copy() for leaf, value in first.items()}
    accuracy.results(case._replace(inputs=tree.map(lambda x: 2 * x, case.inputs)))
    overwritten = {leaf for leaf in kept if not same_bits(first[leaf], kept[leaf])}
    second = accuracy.results(case)

    def failure(leaf: str) -> Failure | None:
        if leaf in overwritten:
            return Failure(f"{leaf} is overwritten by a later call", case=case)
        if not same_bits(second[leaf], kept[leaf]):
            return Failure(f"{leaf} differs from call to call", case=case)
        return None

    return [Finding(leaf, failure(leaf)) for leaf in kept]


def purity(case: Case, rng: np.random.Generator) -> list[Finding]:
    """No argument is written, and read-only arguments are taken (an error is a failure, too)."""
    case = accuracy.as_floats(case)
    given = arguments(case)
    kept = {name: x.copy() for name, x in given.items()}
    accuracy.results(case)
    findings = [
        Finding(name, None if same_bits(x, kept[name]) else Failure(f"{name} is written into"))
        for name, x in given.items()
    ]
    if not any(finding.failure for finding in findings):
        for x in given.values():
            x.flags.writeable = False
        accuracy.results(case)
    return findings


def ownership(case: Case, rng: np.random.Generator) -> list[Finding]:
    """Gradients of parameters share no memory with arguments or other results."""
    case = accuracy.as_floats(case)
    results = accuracy.results(case)
    given = arguments(case)

    def failure(leaf: str) -> Failure | None:
        others = {f"result {name}": value for name, value in results.items() if name != leaf}
        shared = [
            name for name, x in (given | others).items() if np.shares_memory(x, results[leaf])
        ]
        if not shared:
            return None
        return Failure(f"the gradient of {leaf} shares memory with {', '.join(shared)}")

    return [Finding(leaf, failure(leaf)) for leaf in results if leaf not in ("y", *DATA)]


def layouts(case: Case, rng: np.random.Generator) -> list[Finding]:
    """Fortran order, negative and double strides give what C order gives.

    On integers that is ``==``. Where functions are transcendental or divide on the way, libraries
    have other loops for other strides, and each result may be off by the bound of its running
    error analysis.
    """
    case = accuracy.as_floats(case)
    expected = accuracy.results(case)
    allowed = dict.fromkeys(expected, 0)
    if not (case.is_exact and case.lattice):
        bounds = accuracy.results(case, lambda x: running.lift(x, DTYPE))
        allowed = {leaf: 2 * running.tolerance(bound, DTYPE) for leaf, bound in bounds.items()}
    findings = []
    for name, layout in LAYOUTS.items():
        for leaf, value in accuracy.results(case, layout).items():
            equal = value.shape == expected[leaf].shape and bool(
                np.all(np.abs(value - expected[leaf]) <= allowed[leaf])
            )
            findings.append(
                Finding(leaf, None if equal else Failure(f"{leaf} differs with {name}"))
            )
    return findings


def _fortran(x: Array) -> Array:
    return np.array(x, order="F")


def _negative_strides(x: Array) -> Array:
    return np.flip(np.flip(x).copy())


def _double_strides(x: Array) -> Array:
    return np.repeat(x[..., None], 2, axis=-1)[..., 0]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran order": _fortran,
    "negative strides": _negative_strides,
    "double strides": _double_strides,
}


def rows(case: Case, rng: np.random.Generator) -> list[Finding]:
    """Each row alone gives its y and its dx, and their gradients add up; no rows, to zero."""
    if not case.rows:
        return []
    case = accuracy.as_floats(case)
    whole = accuracy.results(case)
    singles = [accuracy.results(_take_rows(case, slice(b, b + 1))) for b in range(len(case.dy))]
    none = accuracy.results(_take_rows(case, slice(0)))

    def failure(leaf: str) -> Failure | None:
        # y and dx have rows; gradients of parameters are sums over them
        parts = [single[leaf] for single in singles]
        by_rows = leaf in ("y", "x")
        together = np.concatenate(parts) if by_rows else sum(parts[1:], start=parts[0])
        if not np.array_equal(together, whole[leaf]):
            return Failure(f"{leaf} of the batch is not that of its rows", case=case)
        expected = whole[leaf][:0] if by_rows else 0 * whole[leaf]
        if not np.array_equal(none[leaf], expected):
            return Failure(f"{leaf} of no rows is {none[leaf]!r:.60}", case=case)
        return None

    return [Finding(leaf, failure(leaf)) for leaf in whole]


def arguments(case: Case) -> dict[str, Array]:
    """``{name: array}`` of what the operator is given."""
    given = tree.flatten(case.inputs)
    return given if case.dy is None else given | {"dy": case.dy}


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays are the same to the last bit, zeros' signs and NaNs included."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _take_rows(case: Case, which: slice) -> Case:
    inputs = case.inputs | {"x": case.inputs["x"][which]}
    return case._replace(inputs=inputs, dy=case.dy[which])
