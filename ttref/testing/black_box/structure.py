"""Arguments and results of a user's function: trees whose leaves lie in one vector of floats.

A leaf is an array of any library, a NumPy scalar or a Python number. Entries of complex leaves come
as two real ones, the real parts before the imaginary parts. What is no float (labels, masks,
options) is copied and passed on.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device, is_array_api_obj

from ttref.arithmetic.formats import FORMATS, unit_roundoff
from ttref.arrays import holds_objects, namespace, to_numpy
from ttref.contracts import Array, Dtype, Tree
from ttref.tree import BRANCH

REAL_PARTS = {"complex64": "float32", "complex128": "float64", "cfloat": "float32"}


class Leaf(NamedTuple):
    """A leaf with gradient, and where its entries are."""

    name: str
    argument: int  # position of the argument, or of the result, that it is in
    like: Any  # the array, or the number, as it was given
    start: int  # of its entries in the vector
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array; () of a number."""
        return tuple(getattr(self.like, "shape", ()))

    @property
    def is_complex(self) -> bool:
        """Whether the entries are complex."""
        return kind_of(self.like) == "complex"

    def entry(self, position: int) -> tuple[tuple[int, ...], str]:
        """The index of the entry at a position of the vector, and which part of it that is."""
        size = math.prod(self.shape)
        part, place = divmod(position - self.start, size)
        index = tuple(int(k) for k in np.unravel_index(place, self.shape))
        return index, ("real part", "imaginary part")[part] if self.is_complex else ""


def dtype_name(x: Any) -> str:
    """The name of the dtype of an array or a number, ``"float32"`` say."""
    if isinstance(x, float):
        return "float64"
    if isinstance(x, complex):
        return "complex128"
    return str(getattr(x, "dtype", type(x).__name__)).rpartition(".")[2]


def kind_of(x: Any) -> str:
    """``"real"`` or ``"complex"`` of floats; ``""`` of anything else."""
    is_number = isinstance(x, float | complex)
    if not is_number and (not is_array_api_obj(x) or holds_objects(x)):
        return ""
    name = dtype_name(x)
    if name.startswith("complex") or name == "clongdouble":
        return "complex"
    return "real" if name.startswith(("float", "bfloat", "longdouble")) else ""


def unit_of(x: Any) -> float:
    """The unit roundoff of a leaf."""
    name = dtype_name(x)
    name = REAL_PARTS.get(name, name)
    if name in FORMATS:
        return unit_roundoff(name)
    return float(np.finfo(np.longdouble).eps) / 2


def walk(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves and their names, in the order of the tree."""
    if not isinstance(tree, BRANCH):
        yield name, tree
        return
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, branch in branches:
        yield from walk(branch, f"{name}.{key}" if name else str(key))


def rebuild(tree: Tree, leaves: Iterator[Any]) -> Tree:
    """The tree with other leaves, in its order; dicts, tuples and lists stay what they are."""
    if not isinstance(tree, BRANCH):
        return next(leaves)
    if isinstance(tree, dict):
        return {key: rebuild(branch, leaves) for key, branch in tree.items()}
    branches = [rebuild(branch, leaves) for branch in tree]
    if hasattr(tree, "_fields"):
        return type(tree)(*branches)
    return branches if isinstance(tree, list) else tuple(branches)


def to_host(x: Any) -> np.ndarray:
    """The numbers of a leaf in NumPy, in double precision or better."""
    if hasattr(x, "detach"):  # torch: NumPy takes neither its gradients nor its bfloat16
        x = x.detach().cpu()
        x = (x.float() if dtype_name(x) == "bfloat16" else x).resolve_conj().numpy()
    host = np.asarray(x) if isinstance(x, float | complex | np.generic) else to_numpy(x)
    if host.dtype.kind == "c":
        return host.astype(np.promote_types(host.dtype, complex))
    return host.astype(np.longdouble if host.dtype == np.longdouble else float)


def from_host(like: Any, host: np.ndarray, dtype: Dtype | None = None) -> Any:
    """A new leaf of the type, library, device and dtype of `like`, or of another `dtype`."""
    if isinstance(like, float | complex) and not isinstance(like, np.generic):
        return host.item()
    dtype = like.dtype if dtype is None else dtype
    if isinstance(like, np.generic):
        return host.astype(dtype)[()]
    if isinstance(like, np.ndarray):
        return np.array(host, dtype=dtype)
    return namespace(like).asarray(host.copy(), dtype=dtype, device=device(like))


def copy_leaf(x: Any) -> Any:
    """A copy, where such a thing can be copied."""
    if is_array_api_obj(x) and not isinstance(x, np.generic | np.ndarray):
        return namespace(x).asarray(x, copy=True)
    try:
        return copy.deepcopy(x)
    except Exception:  # a lock, an open file: it has no copy
        return x


def to_vector(host: np.ndarray) -> np.ndarray:
    """The entries of an array; of a complex one, real parts and then imaginary parts."""
    flat = host.ravel()
    return np.concatenate([flat.real, flat.imag]) if flat.dtype.kind == "c" else flat


class Layout:
    """Which leaves of a tree have gradients, and where their entries lie in a vector."""

    def __init__(self, tree: Sequence[Tree], names: Sequence[str], chosen: Sequence[int]) -> None:
        self.tree = tree
        self.leaves: list[Leaf] = []
        self.slots: list[Leaf | None] = []  # for all leaves, in their order
        start = 0
        for number, name, branch in zip(range(len(tree)), names, tree, strict=True):
            for path, like in walk(branch, name):
                leaf = None
                if number in chosen and kind_of(like):
                    size = math.prod(getattr(like, "shape", ()))
                    size *= 2 if kind_of(like) == "complex" else 1
                    leaf = Leaf(path, number, like, start, start + size)
                    start += size
                    self.leaves.append(leaf)
                self.slots.append(leaf)
        self.size = start
        self.largest_unit = max([unit_of(leaf.like) for leaf in self.leaves], default=0.0)

    def select(self, tree: Tree) -> list[Any]:
        """The leaves that have gradients, of a tree of this structure."""
        values = [value for _, value in walk(tree)]
        chosen = zip(self.slots, values, strict=True)
        return [value for leaf, value in chosen if leaf is not None]

    def pack(self, tree: Tree) -> np.ndarray:
        """The vector of the entries of a tree of this structure."""
        parts = [to_vector(to_host(value)) for value in self.select(tree)]
        vector = np.concatenate([np.zeros(0), *parts])
        if vector.size != self.size:
            raise ValueError(f"{vector.size} entries, expected {self.size}")
        return vector

    def place(self, vector: np.ndarray, dtype: Dtype | None = None, others: Any = copy_leaf) -> Any:
        """The tree of new leaves with the entries of a vector; `others` makes the rest."""
        likes = [like for _, like in walk(self.tree)]
        filled = (
            others(like) if leaf is None else self._leaf(leaf, vector, dtype)
            for leaf, like in zip(self.slots, likes, strict=True)
        )
        return rebuild(self.tree, filled)

    def _leaf(self, leaf: Leaf, vector: np.ndarray, dtype: Dtype | None) -> Any:
        entries = vector[leaf.start : leaf.stop]
        if leaf.is_complex:
            half = entries.size // 2
            entries = entries[:half] + 1j * entries[half:]
        return from_host(leaf.like, entries.reshape(leaf.shape), dtype)

    def leaf_at(self, position: int) -> Leaf:
        """The leaf that an entry is in."""
        return next(leaf for leaf in self.leaves if leaf.start <= position < leaf.stop)

    def unit(self) -> np.ndarray:
        """The unit roundoff of each entry."""
        return self.spread([unit_of(leaf.like) for leaf in self.leaves])

    def spread(self, values: Sequence[float]) -> np.ndarray:
        """One value for each leaf, repeated for its entries."""
        return np.repeat(
            np.asarray(values, float), [leaf.stop - leaf.start for leaf in self.leaves]
        )


def unit_of_values(*vectors: np.ndarray) -> float:
    """The unit roundoff of the format that all of these values fit in, as rounded ones do.

    Integers, and numbers of a few bits, fit in all formats and say nothing.
    """
    values = np.concatenate([v[np.isfinite(v) & (v != np.rint(v))].astype(float) for v in vectors])
    with np.errstate(all="ignore"):
        if not values.size or not np.array_equal(values.astype(np.float32), values):
            return 0.0
        few_bits, _ = np.frexp(values)
        if np.array_equal(np.rint(few_bits * 64), few_bits * 64):
            return 0.0
        in_half = np.array_equal(values.astype(np.float16), values)
    return 2.0**-11 if in_half else 2.0**-24


def same_bits(a: Array, b: Array) -> bool:
    """Whether two vectors are the same to the last bit, NaNs included."""
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=True))
