"""Why results are wrong: another storage, or a change of a tensor, that makes them exact.

Every `Storage` of `storages` is tried on cases of integers, simplest first. With the one that
leaves the fewest tensors wrong, the tensors that are still wrong go through `changes`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from ttref.contracts import Array
from ttref.errors import TTRefError
from ttref.oracle import truth
from ttref.oracle.adapter import Adapter
from ttref.oracle.layouts import Cores, Storage, undo
from ttref.testing.cases.case import Case
from ttref.testing.report import group

AXES = tuple(permutations(range(4)))[1:]
MEANINGS: dict[tuple[int, ...], str] = {
    (0, 2, 1, 3): ", modes exchanged",
    (3, 1, 2, 0): ", ranks exchanged",
}


class Change(NamedTuple):
    """What is wrong with a tensor, and what makes it right."""

    words: str  # the end of a sentence that begins with the tensor
    apply: Callable[[Array, Case], Array] | None = None  # (found, case) -> right; None: unknown


class Fault(NamedTuple):
    """A tensor that is wrong, and why."""

    tensor: str
    change: Change

    def __str__(self) -> str:
        return f"{self.tensor} {self.change.words}"


@dataclass(frozen=True)
class Diagnosis:
    """What makes the results exact.

    Attributes
    ----------
    storage : Storage or None
        With which the fewest tensors are wrong; None if that is the one that the adapter declares.
    exact : tuple of str
        The tensors that are right with it.
    faults : tuple of Fault
        The tensors that are wrong with it.
    """

    storage: Storage | None
    exact: tuple[str, ...]
    faults: tuple[Fault, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The diagnosis in words."""
        given = "" if self.storage is None else f" if {self.storage.words}"
        if not self.faults:
            return [f"everything is exact{given}"]
        wrong = [f"{fault}{given}" for fault in self.faults]
        return [f"{', '.join(self.exact)}: exact{given}", *wrong] if self.exact else wrong

    def __str__(self) -> str:
        return "\n".join(self.sentences)


MISSING = Change("is not computed in the shape and the dtype that it should have")
ZERO = Change("is zero")
UNKNOWN = Change("is wrong in a way that no change of storage, factor or sign explains")


def diagnose(adapter: Adapter, dtype: str, cases: Sequence[Case]) -> Diagnosis:
    """Find what makes the results of a layer exact.

    Parameters
    ----------
    adapter : Adapter
    dtype : str
    cases : sequence of Case
        Of `truth.draw_integers` in `dtype`.

    Returns
    -------
    Diagnosis
    """
    wanted = [truth.compute_exactly(case) for case in cases]
    given = _find_given(adapter, dtype, cases)
    wanted = [
        {leaf: value for leaf, value in leaves.items() if group(leaf) in given} for leaves in wanted
    ]
    tensors = list(dict.fromkeys(group(leaf) for leaves in wanted for leaf in leaves))

    # the storage that leaves the fewest tensors wrong
    declared = adapter.storage
    best = declared
    wrong = tensors
    for storage in storages(declared) if adapter.run is None else (declared,):
        attempts = (_attempt(adapter, dtype, case, storage) for case in cases)
        still = _find_wrong(attempts, wanted, tensors, len(wrong))
        if len(still) < len(wrong):
            best = storage
            wrong = still
        if not wrong:
            break

    # the change of each tensor that is still wrong
    faults = []
    if wrong:
        found = [_attempt(adapter, dtype, case, best) for case in cases]
        faults = [Fault(tensor, _explain(tensor, cases, found, wanted)) for tensor in wrong]
    exact = tuple(tensor for tensor in tensors if tensor not in wrong)
    return Diagnosis(None if best is declared else best, exact, tuple(faults))


def storages(declared: Storage) -> Iterator[Storage]:
    """The declared storage, then those that differ from it in one thing, in two, and so on."""
    yield declared
    as_declared = Storage("")
    permuted = [as_declared, *_permuted_axes()]
    reversed_order = [as_declared, Storage("cores go from last to first", cores=_reverse)]
    flows = [
        as_declared,
        Storage("the modes of x are in Fortran order", x=_fortran),
        Storage("the modes of y are in Fortran order", y=_fortran),
        Storage("the modes of x, y are in Fortran order", x=_fortran, y=_fortran),
    ]
    for differences in sorted(product(permuted, reversed_order, flows), key=_count):
        if _count(differences):
            yield _combine(declared, differences)


def _count(differences: Sequence[Storage]) -> int:
    return sum(bool(storage.words) for storage in differences)


def _combine(declared: Storage, differences: Sequence[Storage]) -> Storage:
    """The storage that is declared, changed by each of the differences in turn."""

    def cores(v: Cores) -> Cores:
        for storage in (declared, *differences):
            v = storage.cores(v)
        return v

    def x(v: Array, modes: Sequence[int]) -> Array:
        for storage in (declared, *differences):
            v = storage.x(v, modes)
        return v

    def y(v: Array, modes: Sequence[int]) -> Array:
        for storage in (declared, *differences):
            v = storage.y(v, modes)
        return v

    words = " and ".join(storage.words for storage in differences if storage.words)
    return Storage(words, cores, x, y)


def _permuted_axes() -> Iterator[Storage]:
    """Permuted axes of cores: of their shapes too, or of the memory alone.

    The latter is for layers that reshape the cores to shapes of their own.
    """
    for axes in AXES:
        words = f"core axes are {_describe(axes)}"
        yield Storage(words, cores=_transposed(axes))
        yield Storage(f"{words}, in shapes as declared", cores=_reread(axes))


def _describe(axes: tuple[int, ...]) -> str:
    return f"permuted {axes}{MEANINGS.get(axes, '')}"


def _transposed(axes: Sequence[int]) -> Callable[[Cores], Cores]:
    return lambda cores: tuple(core.transpose(axes) for core in cores)


def _reread(axes: Sequence[int]) -> Callable[[Cores], Cores]:
    return lambda cores: tuple(_permute_memory(core, axes) for core in cores)


def _permute_memory(core: Array, axes: Sequence[int]) -> Array:
    return core.transpose(axes).reshape(core.shape)


def _reverse(cores: Cores) -> Cores:
    return cores[::-1]


def _fortran(v: Array, modes: Sequence[int]) -> Array:
    """Store the rows of `v` with the first mode as the fastest."""
    axes = (0, *range(len(modes), 0, -1))
    return v.reshape(len(v), *modes).transpose(axes).reshape(v.shape)


def changes(tensor: str) -> Iterator[Change]:
    """The changes that may make a tensor right."""
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
            yield Change(f"has its axes {_describe(axes)}", _undo_permutation(axes))


def _undo_permutation(axes: Sequence[int]) -> Callable[[Array, Case], Array]:
    return lambda v, case: undo(lambda core: _permute_memory(core, axes), v, v)


def _attempt(adapter: Adapter, dtype: str, case: Case, storage: Storage) -> dict[str, Array] | None:
    """The results with some storage, as float64; None where the adapter cannot take it.

    What has another shape or dtype than it should have is left out.
    """
    try:
        answer = adapter.answer(case, dtype, storage)
    except TTRefError:
        return None
    return None if answer.errors else _as_floats(answer.results)


def _as_floats(results: dict[str, Array]) -> dict[str, Array]:
    return {leaf: value.astype(float) for leaf, value in results.items()}


def _find_given(adapter: Adapter, dtype: str, cases: Sequence[Case]) -> set[str]:
    """The tensors that the adapter gives, whatever they hold; all where it gives nothing."""
    missing: set[str] = set()
    for case in cases:
        missing.update(adapter.answer(case, dtype).missing)
    return {"y", "cores", "bias", "x"} - missing


def _find_wrong(
    attempts: Iterable[dict[str, Array] | None],
    wanted: Sequence[dict[str, Array]],
    tensors: list[str],
    enough: int,
) -> list[str]:
    """The tensors that are wrong in some case; the search ends when there are `enough` of them."""
    wrong: set[str] = set()
    for results, expected in zip(attempts, wanted, strict=True):
        if results is None:
            return tensors
        unequal = (
            leaf
            for leaf in expected
            if leaf not in results or not np.array_equal(results[leaf], expected[leaf])
        )
        wrong.update(map(group, unequal))
        if len(wrong) >= enough:
            break
    return [tensor for tensor in tensors if tensor in wrong]


class _Leaf(NamedTuple):
    """One array of a tensor in one case."""

    found: Array
    right: Array
    case: Case


def _explain(
    tensor: str,
    cases: Sequence[Case],
    found: Sequence[dict[str, Array] | None],
    wanted: Sequence[dict[str, Array]],
) -> Change:
    """Find the change that makes a tensor right in every case."""
    leaves = [
        _Leaf(results[name], expected[name], case)
        for case, results, expected in zip(cases, found, wanted, strict=True)
        if results is not None
        for name in expected
        if group(name) == tensor and name in results
    ]
    if not leaves:
        return MISSING
    if not any(leaf.found.any() for leaf in leaves):
        return ZERO
    return next((change for change in changes(tensor) if _explains(change, leaves)), UNKNOWN)


def _explains(change: Change, leaves: Sequence[_Leaf]) -> bool:
    """Whether a change makes every array right."""
    if change.apply is None:
        return False
    return all(np.array_equal(change.apply(leaf.found, leaf.case), leaf.right) for leaf in leaves)
