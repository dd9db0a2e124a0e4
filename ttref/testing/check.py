"""`check_op`: an operator against its definition and against itself, exactly, on random cases.

For every case and every input:

definition   ``forward`` equals the definition, evaluated entry by entry, ``==`` on integers.
adjoint      ``<dy, J v> == <J^T dy, v>``: J v by dual numbers through ``forward``, J^T dy from
             ``backward``, v on one input at a time, so that the sum hides nothing.
float32/64   the floating-point result and every gradient keep the dtype, and equal the exact value
             rounded once: on integers so small that every partial sum is exact (a pass over
             absolute values bounds them) correct code rounds in the last division, if at all.

Together the first two prove the gradient right up to the chance that a wrong one vanishes on the
drawn direction: no tolerance, no step size.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ttref import tree
from ttref.arrays import check_choice
from ttref.numbers.dual import lift, tangent
from ttref.rng import generator
from ttref.tables import table
from ttref.testing.cases import CASES, integers


@dataclass
class Report:
    """Counts per check and tensor, and the first failure of each."""

    name: str
    cases: dict = field(default_factory=dict)  # (check, tensor) -> cases seen
    wrong: dict = field(default_factory=dict)  # (check, tensor) -> cases failed
    first: dict = field(default_factory=dict)  # (check, tensor) -> the first failure, in words

    def add(self, check, tensor, failure):
        """Count a case; `failure` says what is wrong, or is None."""
        key = check, tensor
        self.cases[key] = self.cases.get(key, 0) + 1
        self.wrong.setdefault(key, 0)
        if failure is not None:
            self.wrong[key] += 1
            self.first.setdefault(key, failure)

    @property
    def ok(self):
        """Whether there were cases, and none failed."""
        return bool(self.cases) and not any(self.wrong.values())

    def rows(self):
        """Dicts of operator, check, tensor, cases, wrong, first failure."""
        keys = ("operator", "check", "tensor", "cases", "wrong", "first")
        return [
            dict(zip(keys, (self.name, *k, n, self.wrong[k], self.first.get(k)), strict=True))
            for k, n in sorted(self.cases.items())
        ]

    def __str__(self):
        return table(
            ("operator", "check", "tensor", "cases", "wrong", "first failure"),
            [tuple(row.values()) for row in self.rows()],
        )


def check_op(name, examples=200, seed=0, op=None, progress=None):
    """Check an operator on random cases.

    Parameters
    ----------
    name : str
        One of `CASES`.
    examples : int
        Number of cases.
    seed : int
    op : operator, optional
        Something with the contract of the operator `name`, to be checked in its place.
    progress : callable, optional
        Wraps the iterable of cases, as ``tqdm`` does.

    Returns
    -------
    Report

    Examples
    --------
    >>> check_op("tt_linear", examples=20).ok
    True
    """
    check_choice("operator", name, CASES)
    rng, report = generator(seed), Report(name)
    for _ in (progress or iter)(range(examples)):
        case = CASES[name](rng) if op is None else CASES[name](rng, op)
        check_case(case, rng, report)
    return report


def check_case(case, rng, report):
    """Make every check on one case."""
    shapes = {k: v.shape for k, v in tree.flatten(case.inputs).items()}
    y, cache = case.forward(case.inputs)
    y = np.asarray(y, dtype=object)
    report.add("definition", "y", _difference(y, case.definition(case.inputs), shapes))
    gradients = tree.flatten(case.backward(case.dy, cache))
    for leaf, primal in tree.flatten(case.inputs).items():
        gradient = np.asarray(gradients[leaf], dtype=object)
        v = integers(rng, primal.shape)
        failure = None
        if gradient.shape != primal.shape:
            failure = f"gradient of {leaf} has shape {gradient.shape}; {_words(shapes)}"
        else:
            pushed = _inner(case.dy, _tangent_map(case, leaf, v))
            pulled = _inner(gradient, v)
            if pushed != pulled:
                failure = f"{leaf}: <dy, Jv> = {pushed}, <J^T dy, v> = {pulled}; {_words(shapes)}"
        report.add("adjoint", _group(leaf), failure)
    for dtype, precision in (("float32", 24), ("float64", 53)):
        if _bound(case) < 2**precision:
            _check_dtype(case, dtype, y, gradients, shapes, report)


def _tangent_map(case, leaf, v):
    """J v for a direction `v` on the input `leaf` alone."""
    directions = {k: 0 * x for k, x in tree.flatten(case.inputs).items()} | {leaf: v}
    values = iter(directions.values())
    lifted = tree.map(lambda x: lift(x, next(values)), case.inputs)
    return tangent(case.forward(lifted)[0])


def _bound(case):
    """No partial sum of the case exceeds this: the largest number on absolute values."""
    absolute = case._replace(inputs=tree.map(abs, case.inputs), dy=abs(case.dy))
    y, cache = absolute.forward(absolute.inputs)
    found = tree.leaves((y, absolute.backward(absolute.dy, cache)))
    return max(abs(v) for leaf in found for v in np.asarray(leaf, dtype=object).flat)


def _inner(a, b):
    return np.asarray(a * b, dtype=object).sum()


def _check_dtype(case, dtype, y, gradients, shapes, report):
    rounded = tree.map(lambda x: x.astype(dtype), case.inputs)
    y_float, cache = case.forward(rounded)
    found = tree.flatten(case.backward(case.dy.astype(dtype), cache))
    expected = {"y": y, **gradients}
    for leaf, value in {"y": y_float, **found}.items():
        exact = np.asarray(expected[leaf], dtype=object)
        if value.dtype != dtype:
            failure = f"{leaf} has dtype {value.dtype}; {_words(shapes)}"
        else:
            failure = _difference(value, _round(exact, dtype), shapes)
        report.add(dtype, _group(leaf), failure)


def _round(exact, dtype):
    """Exact numbers rounded once; going by float64 does no harm to quotients of small ints."""
    return np.asarray(np.frompyfunc(lambda v: float(Fraction(v)), 1, 1)(exact)).astype(dtype)


def _difference(found, expected, shapes):
    """Words for the first entry that differs; None if all are equal."""
    found = np.asarray(found)
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}; {_words(shapes)}"
    wrong = np.argwhere(found != expected)
    if not len(wrong):
        return None
    where = tuple(int(k) for k in wrong[0])
    return f"{found[where]} at {where}, expected {expected[where]}; {_words(shapes)}"


def _words(shapes):
    return "inputs " + ", ".join(f"{name} {tuple(map(int, s))}" for name, s in shapes.items())


def _group(leaf):
    """The part of a name under which its failures are counted: ``cores`` of ``cores.0``."""
    return leaf.partition(".")[0]
