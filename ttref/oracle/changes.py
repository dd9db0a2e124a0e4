"""What is wrong with one array, where all that it is computed from is right.

Each change says what makes an array that was found of the right one, on a case of integers. The one
that is found is exact: the array equals what the change makes of the right one, in every case.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from ttref.arithmetic.formats import unit_roundoff
from ttref.contracts import Array
from ttref.oracle.models import (
    AXES,
    Compute,
    backwards,
    describe_axes,
    fortran,
    permute_memory,
)
from ttref.oracle.observation import Results, compute
from ttref.testing.cases.case import Case

ROUNDINGS = 4  # of a product with a factor that is no power of two
COARSER = {"float32": 2.0**-24, "tf32 or float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Unit roundoffs of formats in which a layer may compute without saying so."""


class Leaf(NamedTuple):
    """One array of a tensor in one case."""

    name: str
    found: Array
    right: Array  # what the model of the layer computes
    case: Case
    results: Results  # of the model, all of them
    compute: Compute = compute  # the model


class Change(NamedTuple):
    """What is wrong with a tensor."""

    words: str  # the end of a sentence that begins with the tensor
    expect: Callable[[Leaf], Array] | None = None  # what is found then; None: not known
    certain: bool = True  # whether the words follow from what was found


MISSING = Change("is not computed in the shape and the dtype that it should have")
ZERO = Change("is zero", lambda leaf: 0 * leaf.right)
DIFFERS = Change("is a multiple of what it should be, by a factor that differs")
UNKNOWN = Change("is wrong in a way that no change of storage, factor or sign explains")


def changes(tensor: str, dtype: str) -> Iterator[Change]:
    """The changes that may be wrong with a tensor, the usual ones first."""
    yield Change("has the wrong sign", lambda leaf: -leaf.right)
    if tensor == "y":
        yield Change("lacks the bias", lambda leaf: leaf.right - _bias(leaf))
        yield Change("has the bias twice", lambda leaf: leaf.right + _bias(leaf))
        yield Change("has the bias with the wrong sign", lambda leaf: leaf.right - 2 * _bias(leaf))
        yield Change("has the bias in another order", _with_permuted_bias)
        yield Change("went through relu", lambda leaf: np.maximum(leaf.right, 0))
        yield Change(
            "is the mean over the rows of the batch in every row",
            lambda leaf: np.broadcast_to(leaf.right.mean(axis=0), leaf.right.shape),
        )
    else:
        yield from _changes_of_gradients(tensor)
    if tensor == "cores":
        for axes in AXES:
            yield Change(f"has its axes {describe_axes(axes)}", partial(_permute, axes=axes))
        for axes in AXES:
            words = f"has its axes {describe_axes(axes)}, read back as the others"
            yield Change(words, partial(_read_back, axes=axes))
        yield Change("goes from last to first, where the shapes of the cores do", _in_reverse)
    if tensor in ("x", "y"):
        yield Change("has its modes in Fortran order", partial(_with_modes, move=fortran))
        yield Change("has its modes from last to first", partial(_with_modes, move=backwards))
    yield from _roundings(dtype)


def vague_changes(tensor: str) -> Iterator[Change]:
    """The changes that say less than a cause: which entries are wrong."""
    yield Change("is right in some entries, and zero in all others", _zero_in_part)
    if tensor != "cores":
        yield Change("has the right columns in another order", _of_sorted_columns)
    yield Change("is wrong in one entry alone", _but_for_one_entry)


def _bias(leaf: Leaf) -> Array:
    return np.asarray(leaf.case.inputs.get("bias", 0))


def _changes_of_gradients(tensor: str) -> Iterator[Change]:
    """Gradients of another sum, or of a part of it."""
    if tensor != "x":
        yield Change("counts the first row of the batch only", _of_rows(slice(0, 1)))
        yield Change("counts the last row of the batch only", _of_rows(slice(-1, None)))
        yield Change("leaves out the first row of the batch", _of_rows(slice(1, None)))
        yield Change("leaves out the last row of the batch", _of_rows(slice(0, -1)))
    yield Change(
        "is the gradient of the sum of y, and not of <dy, y>",
        _of_case(lambda c: np.ones_like(c.dy)),
    )
    yield Change("is the gradient for dy that went through relu", _of_case(_masked))
    if tensor == "x":
        yield Change("is dy W in place of dy W^T", _without_transposing)


def _ask(leaf: Leaf, case: Case) -> Array:
    """What the model computes of the array on another case; what is right where it cannot."""
    found = leaf.compute(case)
    return leaf.right if found is None else found[leaf.name]


def _of_rows(rows: slice) -> Callable[[Leaf], Array]:
    """The gradient on some rows of the batch."""

    def expect(leaf: Leaf) -> Array:
        inputs = {**leaf.case.inputs, "x": leaf.case.inputs["x"][rows]}
        return _ask(leaf, leaf.case._replace(inputs=inputs, dy=leaf.case.dy[rows]))

    return expect


def _of_case(change: Callable[[Case], Array]) -> Callable[[Leaf], Array]:
    """The gradient for another dy."""
    return lambda leaf: _ask(leaf, leaf.case._replace(dy=change(leaf.case)))


def _masked(case: Case) -> Array:
    return np.asarray(case.dy * (compute(case)["y"] > 0))


def _without_transposing(leaf: Leaf) -> Array:
    """``dy W``, where x and y have as many columns."""
    if leaf.case.dy.shape != leaf.right.shape:
        return leaf.right
    inputs = {"cores": leaf.case.inputs["cores"], "x": leaf.case.dy}
    return compute(leaf.case._replace(inputs=inputs))["y"]


def _with_permuted_bias(leaf: Leaf) -> Array:
    """What was found, if a permuted bias stands in the place of the bias."""
    if "bias" not in leaf.case.inputs:
        return leaf.right
    added = leaf.found - leaf.right + _bias(leaf)
    same = np.array_equal(np.sort(added[0]), np.sort(_bias(leaf))) and (added == added[0]).all()
    return leaf.found if same else leaf.right


def _in_reverse(leaf: Leaf) -> Array:
    """The gradient of the core as far from the other end, where the shapes are the same."""
    shapes = [core.shape for core in leaf.case.inputs["cores"]]
    number = int(leaf.name.partition(".")[2])
    if shapes != shapes[::-1]:
        return leaf.right
    return leaf.results[f"cores.{len(shapes) - 1 - number}"]


def _permute(leaf: Leaf, axes: Sequence[int]) -> Array:
    return permute_memory(leaf.right, axes)


def _read_back(leaf: Leaf, axes: Sequence[int]) -> Array:
    """A core whose memory was taken for that of the permuted one."""
    shape = leaf.right.shape
    return leaf.right.reshape([shape[k] for k in axes]).transpose(np.argsort(axes))


def _with_modes(leaf: Leaf, move: Callable[[Array, Sequence[int]], Array]) -> Array:
    """The array with its columns in another order of the modes."""
    axis = 1 if leaf.name == "x" else 2
    return move(leaf.right, [core.shape[axis] for core in leaf.case.inputs["cores"]])


def _zero_in_part(leaf: Leaf) -> Array:
    return np.where(leaf.found == 0, 0, leaf.right)


def _of_sorted_columns(leaf: Leaf) -> Array:
    """What was found, if its columns are those of the right array."""
    found = np.atleast_2d(leaf.found)
    right = np.atleast_2d(leaf.right)
    same = np.array_equal(found[:, np.lexsort(found)], right[:, np.lexsort(right)])
    return leaf.found if same else leaf.right


def _but_for_one_entry(leaf: Leaf) -> Array:
    """What was found, if at most one entry is wrong."""
    return leaf.found if np.count_nonzero(leaf.found != leaf.right) <= 1 else leaf.right


def _roundings(dtype: str) -> Iterator[Change]:
    """A result, or all that goes in, in a coarser format than it was given."""
    for name, unit in COARSER.items():
        if unit <= unit_roundoff(dtype):
            continue
        yield Change(f"is rounded to {name}", partial(_rounded, unit=unit))
        yield Change(
            f"is computed of arrays that were rounded to {name}", partial(_of_rounded, unit=unit)
        )


def round_to(x: Array, unit: float) -> Array:
    """Numbers rounded to the nearest of those with a unit roundoff, ties to even."""
    mantissa, exponent = np.frexp(np.asarray(x, float))
    return np.asarray(np.ldexp(np.rint(mantissa / unit) * unit, exponent))


def _rounded(leaf: Leaf, unit: float) -> Array:
    return round_to(leaf.right, unit)


def _of_rounded(leaf: Leaf, unit: float) -> Array:
    """The result of rounded inputs, and of a rounded dy."""

    def rounded(v: Array) -> Array:
        return round_to(v, unit).astype(int)

    inputs = {
        name: tuple(map(rounded, v)) if isinstance(v, tuple) else rounded(v)
        for name, v in leaf.case.inputs.items()
    }
    return _ask(leaf, leaf.case._replace(inputs=inputs, dy=rounded(leaf.case.dy)))


# Factors


def quantities(case: Case) -> dict[str, Fraction]:
    """Numbers by which a gradient may be multiplied by mistake."""
    cores = case.inputs["cores"]
    B = len(case.dy)
    N = case.inputs["x"].shape[1]
    M = case.dy.shape[1]
    inner = [core.shape[3] for core in cores[:-1]]
    named = {
        "the batch size": B,
        "the number of outputs": M,
        "the number of inputs": N,
        "the batch size times the number of outputs": B * M,
        "the batch size times the number of inputs": B * N,
        "the number of cores": len(cores),
        "the product of the ranks": prod(inner),
        "the largest rank": max(inner, default=1),
    }
    return {words: Fraction(value) for words, value in named.items()}


def find_factor(leaves: Sequence[Leaf], dtype: str) -> Change | None:
    """The factor by which all arrays are too large, or too small, if there is one in each case."""
    factors = [_factor(leaf, dtype) for leaf in leaves if leaf.right.any()]
    cases = [quantities(leaf.case) for leaf in leaves if leaf.right.any()]
    if not factors or None in factors or set(factors) == {1}:
        return None
    for name in cases[0]:
        values = [case[name] for case in cases]
        if len(set(values)) == 1:
            continue
        for times in (1, 2):
            if factors == [times / value for value in values]:
                return Change(f"must be multiplied by {'half ' * (times == 2)}{name}", _keep)
            if factors == [times * value for value in values]:
                return Change(f"must be divided by {'twice ' * (times == 2)}{name}", _keep)
    if len(set(factors)) > 1:
        return DIFFERS
    factor = factors[0]
    known = {Fraction(2): "is twice too large", Fraction(1, 2): "is half of what it should be"}
    return Change(known.get(factor or Fraction(1), f"is {factor} times what it should be"), _keep)


def _keep(leaf: Leaf) -> Array:
    """What was found: the factor was taken from it."""
    return leaf.found


def _factor(leaf: Leaf, dtype: str) -> Fraction | None:
    """The number by which the right array is multiplied; None if there is none."""
    where = np.unravel_index(int(np.argmax(np.abs(leaf.right))), leaf.right.shape)
    right = Fraction(float(leaf.right[where]))
    found = leaf.found[where]
    if not np.isfinite(leaf.found).all() or not found:
        return None
    factor = (Fraction(float(found)) / right).limit_denominator(10**6)
    allowed = ROUNDINGS * unit_roundoff(dtype) * np.abs(leaf.found)
    near = np.abs(leaf.found - float(factor) * leaf.right) <= allowed
    return factor if near.all() else None
