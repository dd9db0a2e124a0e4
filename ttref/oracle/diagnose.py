"""Why results are wrong: the change of storage, or of one tensor, that makes them exact.

Every `Storage` of `storages` is tried on lattice cases, simplest first. With the one that leaves
the fewest tensors wrong, the tensors that still are go through `changes`.
"""

from collections.abc import Callable
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from ttref.errors import TTRefError
from ttref.oracle import truth
from ttref.oracle.protocol import Storage, same, undo
from ttref.testing.report import group

AXES = tuple(permutations(range(4)))[1:]
MEANINGS = {"(0, 2, 1, 3)": ", modes exchanged", "(3, 1, 2, 0)": ", ranks exchanged"}


class Change(NamedTuple):
    """What a tensor has to go through to be right."""

    words: str
    apply: Callable  # (found leaf, case) -> array


def diagnose(adapter, dtype, cases):
    """What makes the results exact on lattice cases.

    Parameters
    ----------
    adapter : Adapter
    dtype : str
    cases : list of Case
        On the lattice of `dtype`.

    Returns
    -------
    list of str
        Sentences; the one that begins with "everything" stands alone.
    """
    wanted = [truth.exactly(case) for case in cases]
    tensors = list(dict.fromkeys(group(leaf) for leaves in wanted for leaf in leaves))
    declared = adapter.storage
    best, wrong = declared, tensors
    for storage in storages(declared):
        attempts = (_attempt(adapter, dtype, case, storage) for case in cases)
        still = _wrong(attempts, wanted, tensors, len(wrong))
        if len(still) < len(wrong):
            best, wrong = storage, still
        if not wrong:
            break
    given = f" if {best.words}" if best is not declared else ""
    if not wrong:
        return [f"everything is exact{given}"]
    found = [_attempt(adapter, dtype, case, best) for case in cases]
    sentences = [f"{tensor} {_fault(tensor, cases, found, wanted)}{given}" for tensor in wrong]
    right = ", ".join(tensor for tensor in tensors if tensor not in wrong)
    return [f"{right}: exact{given}", *sentences] if right else sentences


def storages(declared):
    """The declared storage, then what differs from it by one thing, by two, and so on."""
    yield declared
    orders = [("", same), ("cores go from last to first", lambda cores: cores[::-1])]
    flows = [("", same, same)]
    flows += [
        ("the modes of x are in Fortran order", _fortran, same),
        ("the modes of y are in Fortran order", same, _fortran),
        ("the modes of x, y are in Fortran order", _fortran, _fortran),
    ]
    options = product([("", same), *_core_moves()], orders, flows)
    for moves in sorted(options, key=lambda moves: sum(bool(move[0]) for move in moves)):
        (axes, permute), (order, arrange), (flow, x, y) = moves
        words = " and ".join(filter(None, (axes, order, flow)))
        if words:
            yield Storage(
                words,
                lambda cores, f=permute, g=arrange: g(f(declared.cores(cores))),
                lambda v, modes, f=x: f(declared.x(v, modes), modes),
                lambda v, modes, f=y: f(declared.y(v, modes), modes),
            )


def changes(tensor):
    """What a tensor may have to go through."""
    yield Change("must be multiplied by the batch size", lambda v, case: v * len(case.dy))
    yield Change("must be divided by the batch size", lambda v, case: v / len(case.dy))
    yield Change("has the wrong sign", lambda v, case: -v)
    yield Change("is twice too large", lambda v, case: v / 2)
    yield Change("is half of what it should be", lambda v, case: v * 2)
    if tensor == "y":
        yield Change("lacks the bias", lambda v, case: v + case.inputs.get("bias", 0))
        yield Change("has the bias twice", lambda v, case: v - case.inputs.get("bias", 0))
    if tensor == "cores":
        for axes in AXES:
            words, move = f"has its axes {_permuted(axes)}", _in_memory(axes)
            yield Change(words, lambda v, case, move=move: undo(move, v, v))


def _core_moves():
    """Permuted axes: as shapes too, or of the memory only, where a layer has shapes of its own."""
    for axes in AXES:
        words, in_memory = f"core axes are {_permuted(axes)}", _in_memory(axes)
        yield words, lambda cores, p=axes: tuple(core.transpose(p) for core in cores)
        yield f"{words}, in shapes as declared", lambda cores, f=in_memory: tuple(map(f, cores))


def _permuted(axes):
    return f"permuted {axes}{MEANINGS.get(str(axes), '')}"


def _in_memory(axes):
    return lambda core: core.transpose(axes).reshape(core.shape)


def _fortran(v, modes):
    """Rows of `v` with the first mode the fastest."""
    axes = (0, *range(len(modes), 0, -1))
    return v.reshape(len(v), *modes).transpose(axes).reshape(v.shape)


def _attempt(adapter, dtype, case, storage):
    """The results in some storage as float64; None where the adapter cannot take it."""
    try:
        results = adapter.results(case, dtype, storage)
    except TTRefError:
        return None
    return {leaf: value.astype(float) for leaf, value in results.items()}


def _wrong(attempts, wanted, tensors, enough):
    """The tensors that are wrong in some case; gives up when there are `enough` of them."""
    wrong: set = set()
    for results, expected in zip(attempts, wanted, strict=True):
        if results is None:
            return tensors
        unequal = (leaf for leaf in expected if not np.array_equal(results[leaf], expected[leaf]))
        wrong.update(map(group, unequal))
        if len(wrong) >= enough:
            break
    return [tensor for tensor in tensors if tensor in wrong]


def _fault(tensor, cases, found, wanted):
    """In words, what is wrong with a tensor."""
    leaves = [
        (results[leaf], expected[leaf], case)
        for case, results, expected in zip(cases, found, wanted, strict=True)
        if results is not None
        for leaf in expected
        if group(leaf) == tensor
    ]
    if not leaves:
        return "is not computed"
    if not any(value.any() for value, _, _ in leaves):
        return "is zero"
    for change in changes(tensor):
        if all(np.array_equal(change.apply(value, case), right) for value, right, case in leaves):
            return change.words
    return "is wrong in a way that no change of storage, factor or sign explains"
