"""Layers that are wrong as a whole: what each would compute, forward and backward, in integers.

A model is the right layer on other numbers, or with something more or less at its end. Its gradient
is the exact derivative of its own forward. So if a layer computes what a model computes, the model
is what is wrong with it, and its backward pass is right.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.contracts import Array
from ttref.errors import blaming
from ttref.oracle.layouts import Cores, Storage, moves_of, undo
from ttref.oracle.observation import Results, compute
from ttref.testing.cases.case import Case

AXES = tuple(permutations(range(4)))[1:]
MEANINGS: dict[tuple[int, ...], str] = {
    (0, 2, 1, 3): ", modes exchanged",
    (3, 1, 2, 0): ", ranks exchanged",
}
SOME_CORES = {
    "the first core": slice(0, 1),
    "the last core": slice(-1, None),
    "all cores but the first": slice(1, None),
    "all cores but the last": slice(0, -1),
}


Compute: TypeAlias = Callable[[Case], Results | None]
"""What a layer computes on a case; None if it cannot take it."""


class Model(NamedTuple):
    """A layer that is wrong as a whole."""

    words: str  # the end of a sentence that begins with "everything is exact"
    compute: Compute
    storage: Storage | None = None  # with which the layer would be right


def models(declared: Storage) -> Iterator[Model]:
    """The models, those that differ from a right layer in one thing first.

    Parameters
    ----------
    declared : Storage
        How the layer says that it stores a problem.
    """
    simple = list(storages(declared))[1:]
    alone = [storage for storage in simple if " and " not in storage.words]
    for storage in alone:
        yield _reading(declared, storage)
    for storage in _storages_of_some_cores(declared):
        yield _reading(declared, storage)
    for words, change in ENDS.items():
        yield Model(f"if {words}", change(compute))
    yield Model("if only the diagonal of the ranks counts", _on_diagonal_ranks)
    for words, change in ENDS.items():
        for storage in alone:
            read = _reading(declared, storage)
            yield Model(f"{read.words} and {words}", change(read.compute))
    for storage in simple:
        if " and " in storage.words:
            yield _reading(declared, storage)


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
        words = f"core axes are {describe_axes(axes)}"
        yield Storage(words, cores=_transposed(axes))
        yield Storage(f"{words}, in shapes as declared", cores=_reread(axes))


def _storages_of_some_cores(declared: Storage) -> Iterator[Storage]:
    """Permuted axes of some cores, in shapes as declared."""
    for axes in AXES:
        for which, part in SOME_CORES.items():
            words = f"the axes of {which} are {describe_axes(axes)}, in shapes as declared"
            yield _combine(declared, [Storage(words, cores=_reread(axes, part))])


def describe_axes(axes: tuple[int, ...]) -> str:
    """Axes in words."""
    return f"permuted {axes}{MEANINGS.get(axes, '')}"


def _transposed(axes: Sequence[int]) -> Callable[[Cores], Cores]:
    return lambda cores: tuple(core.transpose(axes) for core in cores)


def _reread(axes: Sequence[int], part: slice = slice(None)) -> Callable[[Cores], Cores]:
    def move(cores: Cores) -> Cores:
        chosen = range(len(cores))[part]
        return tuple(
            permute_memory(core, axes) if k in chosen else core for k, core in enumerate(cores)
        )

    return move


def permute_memory(core: Array, axes: Sequence[int]) -> Array:
    """A core of the same shape, whose numbers lie as those of the permuted one."""
    return core.transpose(axes).reshape(core.shape)


def _reverse(cores: Cores) -> Cores:
    return cores[::-1]


def _fortran(v: Array, modes: Sequence[int]) -> Array:
    """Store the rows of `v` with the first mode as the fastest."""
    axes = (0, *range(len(modes), 0, -1))
    return v.reshape(len(v), *modes).transpose(axes).reshape(v.shape)


def _reading(declared: Storage, storage: Storage) -> Model:
    """The right layer of somebody who takes what is stored as declared for the other storage."""

    def compute_there(case: Case) -> Results | None:
        tensors = {**case.inputs, "y": case.dy}
        stated = moves_of(declared, case.inputs["cores"])
        taken = moves_of(storage, case.inputs["cores"])
        stored = {name: stated[name](value) for name, value in tensors.items()}
        # A layer that cannot take such shapes has raised an error, or does something else.
        for name, value in tensors.items():
            if not _same_shapes(stored[name], taken[name](value)):
                return None
        with blaming("the storage"):
            read = {name: undo(taken[name], stored[name], value) for name, value in tensors.items()}
            dy = read.pop("y")
            results = compute(case._replace(inputs=read, dy=dy))
            found = {"y": results["y"], **_tree_of(results, case)}
            back = {
                name: undo(stated[name], taken[name](value), tensors[name])
                for name, value in found.items()
            }
        return tree.flatten(back)

    return Model(f"if {storage.words}", compute_there, storage)


def _same_shapes(one: object, other: object) -> bool:
    pairs = zip(tree.leaves([one]), tree.leaves([other]), strict=False)
    return all(a.shape == b.shape for a, b in pairs)


def _tree_of(results: Results, case: Case) -> dict[str, object]:
    """Gradients as a tree like the inputs."""
    found: dict[str, object] = {name: results[name] for name in case.inputs if name != "cores"}
    count = len(case.inputs["cores"])
    return found | {"cores": tuple([results[f"cores.{k}"] for k in range(count)])}


def _on_diagonal_ranks(case: Case) -> Results | None:
    """Sums over one index in place of two: entries of a core with a != b do not count."""
    masks = []
    for core in case.inputs["cores"]:
        mask = np.zeros(core.shape, int)
        if 1 in (core.shape[0], core.shape[3]):
            mask[:] = 1
        for a in range(min(core.shape[0], core.shape[3])):
            mask[a, :, :, a] = 1
        masks.append(mask)
    kept = tuple([core * mask for core, mask in zip(case.inputs["cores"], masks, strict=True)])
    results = compute(case._replace(inputs={**case.inputs, "cores": kept}))
    return results | {f"cores.{k}": results[f"cores.{k}"] * mask for k, mask in enumerate(masks)}


def _leave_out_bias(base: Compute) -> Compute:
    def compute_there(case: Case) -> Results | None:
        found = base(case)
        if found is None or "bias" not in case.inputs:
            return found
        return found | {"y": found["y"] - case.inputs["bias"], "bias": 0 * found["bias"]}

    return compute_there


def _double_bias(base: Compute) -> Compute:
    def compute_there(case: Case) -> Results | None:
        found = base(case)
        if found is None or "bias" not in case.inputs:
            return found
        return found | {"y": found["y"] + case.inputs["bias"], "bias": 2 * found["bias"]}

    return compute_there


def _apply_relu(base: Compute) -> Compute:
    def compute_there(case: Case) -> Results | None:
        found = base(case)
        if found is None:
            return None
        masked = base(case._replace(dy=case.dy * (found["y"] > 0)))
        return None if masked is None else masked | {"y": np.maximum(found["y"], 0)}

    return compute_there


ENDS = {
    "the bias is left out": _leave_out_bias,
    "the bias is added twice": _double_bias,
    "relu is applied to y": _apply_relu,
}
