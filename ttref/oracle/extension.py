"""Larger problems with the same numbers, for layers that take less than every shape.

A core of ones at the end adds a mode of size 1, and zeros make ranks equal and modes larger. What
is computed on the larger problem, cut to the size of the smaller one, are the results of the
smaller one: a zero adds nothing, and nothing is rounded because of it.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from ttref.contracts import Array
from ttref.oracle.domain import Domain, Shapes
from ttref.testing.cases.case import Case, Params


def shapes_of(case: Case) -> Shapes:
    """The shapes of a problem of a TT layer."""
    cores = case.inputs["cores"]
    return Shapes(
        tuple([core.shape[1] for core in cores]),
        tuple([core.shape[2] for core in cores]),
        (1, *[core.shape[3] for core in cores]),
        len(case.dy),
        "bias" in case.inputs,
    )


def enlarge(shapes: Shapes, domain: Domain) -> Shapes:
    """The smallest shapes of the domain that hold `shapes`; these themselves if there are none."""
    enough = [d for d in domain.sizes("d") if d >= shapes.d]
    more = min(enough, default=shapes.d) - shapes.d
    inner = shapes.ranks[1:-1] + (1,) * more
    if domain.equal_ranks:
        inner = (max(inner, default=1),) * len(inner)
    least = domain.min_mode
    return shapes._replace(
        in_modes=tuple([max(n, least) for n in shapes.in_modes + (1,) * more]),
        out_modes=tuple([max(m, least) for m in shapes.out_modes + (1,) * more]),
        ranks=(1, *inner, 1),
    )


def extend(case: Case, larger: Shapes) -> Case:
    """The problem of the shapes `larger` with the numbers of `case`, and zeros and ones."""
    inputs = case.inputs
    own = shapes_of(case)
    found: Params = {"cores": _extend_cores(inputs["cores"], larger)}
    if "bias" in inputs:
        (found["bias"],) = _pad(inputs["bias"][None], own.out_modes, larger.out_modes)
    found["x"] = _pad(inputs["x"], own.in_modes, larger.in_modes)
    return case._replace(inputs=found, dy=_pad(case.dy, own.out_modes, larger.out_modes))


def cut(name: str, value: Array, case: Case, larger: Shapes) -> Array:
    """A result on the larger problem, cut to the size that it has in `case`."""
    own = shapes_of(case)
    if name == "x":
        return _cut(value, own.in_modes, larger.in_modes)
    if name == "y":
        return _cut(value, own.out_modes, larger.out_modes)
    if name == "bias":
        return np.asarray(_cut(value[None], own.out_modes, larger.out_modes)[0])
    like = case.inputs["cores"][int(name.partition(".")[2])]
    return np.asarray(value[tuple([slice(size) for size in like.shape])])


def is_part(name: str, case: Case) -> bool:
    """Whether the result of that name belongs to the smaller problem, and not to a core of ones."""
    group, _, number = name.partition(".")
    return group != "cores" or int(number) < len(case.inputs["cores"])


def _extend_cores(cores: Sequence[Array], larger: Shapes) -> tuple[Array, ...]:
    """The cores with zeros around them, and cores of ones behind them."""
    n, m, r, _, _ = larger
    found = []
    for k, shape in enumerate(zip(r[:-1], n, m, r[1:], strict=True)):
        core = np.zeros(shape, cores[0].dtype)
        own = cores[k] if k < len(cores) else np.ones((1, 1, 1, 1), cores[0].dtype)
        core[tuple([slice(size) for size in own.shape])] = own
        found.append(core)
    return tuple(found)


def _pad(v: Array, modes: Sequence[int], larger: Sequence[int]) -> Array:
    """Rows (B, prod(modes)) as rows (B, prod(larger)), with zeros in the new places."""
    padded = np.zeros((len(v), *larger), v.dtype)
    part = v.reshape(len(v), *modes, *[1] * (len(larger) - len(modes)))
    padded[(slice(None), *[slice(size) for size in part.shape[1:]])] = part
    return padded.reshape(len(v), prod(larger))


def _cut(v: Array, modes: Sequence[int], larger: Sequence[int]) -> Array:
    """What `_pad` made larger, as it was."""
    ones = [1] * (len(larger) - len(modes))
    part = v.reshape(len(v), *larger)[(slice(None), *[slice(size) for size in (*modes, *ones)])]
    return part.reshape(len(v), prod(modes))
