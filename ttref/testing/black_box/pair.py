"""`Pair`: a user's f and vjp as functions of vectors; it counts the calls."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttref.arrays import describe
from ttref.contracts import Array, Tree
from ttref.errors import DtypeError, ShapeError
from ttref.testing.black_box.structure import Layout, Leaf, dtype_name, kind_of, to_host, to_vector
from ttref.tree import BRANCH


class Pair:
    """f and vjp at the given arguments.

    Attributes
    ----------
    x : vector
        The entries that have a gradient.
    calls : dict
        How often f and vjp were called.
    problems : dict from str to str
        Leaves whose gradient has another shape, or no numbers, and what is wrong with it.
    notes : dict
        What is worth a remark: gradients of another precision. Its values are not used.
    """

    def __init__(
        self,
        f: Callable[..., Tree],
        vjp: Callable[..., Sequence[Tree]],
        args: Sequence[Tree],
        names: Sequence[str],
        argnums: Sequence[int] | None,
    ) -> None:
        self._f = f
        self._vjp = vjp
        self._argnums = argnums
        self.names = tuple(names)
        self.arguments = Layout(tuple(args), names, argnums or range(len(args)))
        self.x = self.arguments.pack(tuple(args))
        self.calls = {"f": 0, "vjp": 0}
        self.problems: dict[str, str] = {}
        self.notes: dict[str, None] = {}
        self.absent: set[str] = set()
        self.results: Layout | None = None
        self.wide = False  # whether f is given the arguments in float64

    def call_f(self, args: Sequence[Tree]) -> Tree:
        """``f(*args)``, counted."""
        self.calls["f"] += 1
        return self._f(*args)

    def call_vjp(self, dy: Tree, args: Sequence[Tree]) -> Sequence[Tree]:
        """``vjp(dy, *args)``, counted, as a sequence."""
        self.calls["vjp"] += 1
        found = self._vjp(dy, *args)
        if len(self.names) == 1 and not isinstance(found, tuple | list | dict):
            return (found,)
        chosen = len(self._argnums or self.names)
        if not isinstance(found, tuple | list) or len(found) not in (chosen, len(self.names)):
            got = len(found) if isinstance(found, tuple | list) else describe(found)
            raise ShapeError(f"vjp returns {got}, expected a tuple of {chosen} arrays")
        return found

    def read_results(self, y: Tree) -> np.ndarray:
        """The vector of the results; the first ones set their structure."""
        if self.results is None:
            self.results = Layout((y,), ("y",), (0,))
            if not self.results.leaves:
                raise DtypeError(f"f returns {describe(y)}, expected floats")
        return self.results.pack((y,))

    def value(self, x: np.ndarray) -> np.ndarray:
        """The vector of results at `x`; of NaNs, where f raises."""
        assert self.results is not None
        dtype = float if self.wide else None
        try:
            return self.read_results(self.call_f(self.arguments.place(x, dtype)))
        except Exception:  # outside of the domain of f
            return np.full(self.results.size, np.nan)

    def snap(self, x: np.ndarray) -> np.ndarray:
        """The vector, rounded to the formats of the arguments that f is given."""
        if self.wide or self.arguments.largest_unit <= 2.0**-53:
            return x
        return self.arguments.pack(self.arguments.place(x, others=_drop))

    def cotangent(self, dy: np.ndarray) -> Tree:
        """The tree of a vector of cotangents; None for results that are no floats."""
        assert self.results is not None
        (tree,) = self.results.place(dy, others=_drop)
        return tree

    def gradient(self, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The vector of gradients; NaN where a leaf has none, or one of another shape."""
        args = self.arguments.place(x)
        return self.read_gradient(self.call_vjp(self.cotangent(dy), args))

    def read_gradient(self, found: Sequence[Tree]) -> np.ndarray:
        """The vector of gradients that vjp returned."""
        numbers: Sequence[int] = range(len(self.names))
        if self._argnums and len(found) != len(self.names):
            numbers = self._argnums
        by_leaf: dict[str, Any] = {}
        for number, gradient in zip(numbers, found, strict=True):
            by_leaf |= self._match(self.names[number], self.arguments.tree[number], gradient)
        vector = np.full(self.arguments.size, np.nan, self.x.dtype)
        for leaf in self.arguments.leaves:
            gradient = by_leaf.get(leaf.name)
            if gradient is None:
                self.absent.add(leaf.name)
            elif self._accepts(leaf, gradient):
                entries = to_vector(to_host(gradient))
                if leaf.is_complex and entries.size < leaf.stop - leaf.start:
                    entries = np.concatenate([entries, np.zeros_like(entries)])
                vector[leaf.start : leaf.stop] = entries
        return vector

    def _match(self, name: str, arg: Tree, gradient: Tree) -> dict[str, Any]:
        """Gradients by the name of their leaf; None stands for all leaves of a branch."""
        if gradient is None:
            return {}
        if not isinstance(arg, BRANCH):
            return {name: gradient}
        branches = dict(arg if isinstance(arg, dict) else enumerate(arg))
        if isinstance(gradient, BRANCH):
            found = dict(gradient if isinstance(gradient, dict) else enumerate(gradient))
        else:
            found = {}
        if not found.keys() <= branches.keys() or (branches and not found):
            self.problems[name] = f"the cotangent of {name} has another structure than {name}"
            return {}
        matched: dict[str, Any] = {}
        for key, branch in found.items():
            matched |= self._match(f"{name}.{key}", branches[key], branch)
        return matched

    def _accepts(self, leaf: Leaf, gradient: Any) -> bool:
        """Whether the gradient is of the shape of the leaf; otherwise the problem is kept."""
        shape = tuple(np.shape(gradient))
        what = f"the cotangent of {leaf.name}"
        if shape != leaf.shape:
            self.problems[leaf.name] = f"{what} has shape {shape}, expected {leaf.shape}"
        elif kind_of(gradient) == "complex" and not leaf.is_complex:
            self.problems[leaf.name] = f"{what} is complex, and {leaf.name} is real"
        else:
            if dtype_name(gradient) != dtype_name(leaf.like):
                words = f"{what} is {dtype_name(gradient)}, and {leaf.name}"
                self.notes[f"{words} is {dtype_name(leaf.like)}"] = None
            return True
        return False


def _drop(leaf: Array) -> None:
    """Nothing in place of a leaf without gradient."""
