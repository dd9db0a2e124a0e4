"""Layers that are wrong as a whole: what each would compute, forward and backward, in integers.

A model is the right layer on other numbers, or with something more or less at its end. Its gradient
is the exact derivative of its own forward. So if a layer computes what a model computes, the model
is what is wrong with it, and its backward pass is right.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
    for storage in (*_storages_of_some_cores(declared), *_storages_where_shapes_allow(declared)):
        yield _reading(declared, storage)
    for words, change in ENDS.items():
        yield Model(f"if {words}", change(compute))
    for words, mask in MASKS.items():
        yield Model(f"if {words}", partial(_masked, mask=mask))
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
        Storage("the modes of x are in Fortran order", x=fortran),
        Storage("the modes of y are in Fortran order", y=fortran),
        Storage("the modes of x, y are in Fortran order", x=fortran, y=fortran),
        Storage("the modes of x are taken from last to first", x=backwards),
        Storage("the modes of y are taken from last to first", y=backwards),
        Storage("the modes of x, y are taken from last to first", x=backwards, y=backwards),
        Storage(
            "the modes of x are in Fortran order, those of y are taken from last to first",
            x=fortran,
            y=backwards,
        ),
        Storage(
            "the modes of x are taken from last to first, those of y are in Fortran order",
            x=backwards,
            y=fortran,
        ),
        Storage("x is stored as (N, B)", x=_columns_first),
        Storage("y is stored as (M, B)", y=_columns_first),
    ]
    for differences in sorted(product(permuted, reversed_order, flows), key=_count):
        if _count(differences):
            yield _combine(declared, differences)


def _count(differences: Sequence[Storage]) -> int:
    return sum(bool(storage.words) for storage in differences)


def _combine(declared: Storage, differences: Sequence[Storage]) -> Storage:
    """The storage that is declared, changed by each of the differences in turn."""

    def cores(v: Cores) -> Cores:
        has_axes = all(core.ndim == 4 for core in declared.cores(v))
        # differences are of arrays with four axes: of what is stored, or else of what it is made of
        for storage in (declared, *differences) if has_axes else (*differences, declared):
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


def _storages_where_shapes_allow(declared: Storage) -> Iterator[Storage]:
    """Mistakes that raise no error only where two sizes are equal."""

    def transpose_square(cores: Cores) -> Cores:
        return tuple(c.swapaxes(1, 2) if c.shape[1] == c.shape[2] else c for c in cores)

    def exchange_first(cores: Cores) -> Cores:
        alike = len(cores) > 1 and cores[0].shape == cores[1].shape
        return (cores[1], cores[0], *cores[2:]) if alike else cores

    def reverse_alike(cores: Cores) -> Cores:
        shapes = [core.shape for core in cores]
        return cores[::-1] if shapes == shapes[::-1] else cores

    for words, move in (
        ("cores with two equal modes are transposed", transpose_square),
        ("the first two cores are exchanged, where they have one shape", exchange_first),
        ("cores go from last to first, where their shapes do", reverse_alike),
    ):
        yield _combine(declared, [Storage(words, cores=move)])


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


def fortran(v: Array, modes: Sequence[int]) -> Array:
    """Store the rows of `v` with the first mode as the fastest."""
    axes = (0, *range(len(modes), 0, -1))
    return v.reshape(len(v), *modes).transpose(axes).reshape(v.shape)


def backwards(v: Array, modes: Sequence[int]) -> Array:
    """Store the rows of `v` as if their modes were in the order from last to first."""
    return fortran(v, modes[::-1])


def _columns_first(v: Array, modes: Sequence[int]) -> Array:
    """Store `v` with the rows as the fastest axis, in the shape that it has."""
    return v.T.reshape(v.shape)


def _reading(declared: Storage, storage: Storage) -> Model:
    """The right layer of somebody who takes what is stored as declared for the other storage."""

    def compute_there(case: Case) -> Results | None:
        tensors = {**case.inputs, "y": case.dy}
        stated = moves_of(declared, case.inputs["cores"])
        taken = moves_of(storage, case.inputs["cores"])
        stored = {name: stated[name](value) for name, value in tensors.items()}
        # A layer that cannot take such shapes has raised an error, or does something else.
        try:
            moved = {name: taken[name](value) for name, value in tensors.items()}
        except ValueError:  # of axes that are not there, or have another size
            return None
        if not all(_same_shapes(stored[name], moved[name]) for name in tensors):
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


def _masked(case: Case, mask: Callable[[Array], Array]) -> Results:
    """What a layer computes that leaves some entries of the cores out."""
    cores = case.inputs["cores"]
    masks = [np.broadcast_to(mask(core), core.shape) for core in cores]
    kept = tuple([core * own for core, own in zip(cores, masks, strict=True)])
    results = compute(case._replace(inputs={**case.inputs, "cores": kept}))
    return results | {f"cores.{k}": results[f"cores.{k}"] * own for k, own in enumerate(masks)}


def _diagonal(core: Array) -> Array:
    """Entries with equal ranks a = b; all where one of the ranks is 1."""
    if 1 in (core.shape[0], core.shape[3]):
        return np.ones((1, 1, 1, 1), int)
    return np.eye(core.shape[0], core.shape[3], dtype=int)[:, None, None, :]


def _all_but_last(core: Array) -> Array:
    """Entries whose right rank is not the last one; a rank of 1 stays."""
    return np.asarray(np.arange(core.shape[3]) < max(1, core.shape[3] - 1), dtype=int)


def _first(core: Array) -> Array:
    """Entries whose right rank is the first one."""
    return np.asarray(np.arange(core.shape[3]) == 0, dtype=int)


MASKS = {
    "only the diagonal of the ranks counts": _diagonal,
    "the last value of each rank is left out": _all_but_last,
    "only the first value of each rank counts": _first,
}


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
