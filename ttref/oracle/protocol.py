"""What stands between the oracle and a layer: two functions on NumPy arrays, and how it stores.

    forward(params, x)        -> y          params {"cores": [...], "bias": ...}, or without bias
    gradients(params, x, dy)  -> {"cores": [...], "bias": ..., "x": ...}

for ``y = x W + b``, x of shape (B, N), y and dy of shape (B, M), the cores as `layout` says. The
gradients are those of ``<dy, y>``, each stored like the array it belongs to. All arrays have one
dtype, of those that the adapter names.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import FORMATS, numpy_dtype
from ttref.arrays import check_shape
from ttref.checks import check_choice
from ttref.errors import ConventionError, DtypeError

# Axes of a canonical core (left rank, input mode, output mode, right rank) in the stored order.
LAYOUTS = {
    "canonical": (0, 1, 2, 3),
    "t3f": (0, 1, 2, 3),
    "scikit_tt": (0, 2, 1, 3),
    "tltorch": (0, 2, 1, 3),
    "torchtt": (0, 2, 1, 3),
}
READY = Path(__file__).with_name("adapters")


def same(v, *modes):
    """`v`: stored as it is."""
    return v


class Storage(NamedTuple):
    """How a system stores a problem: maps that move numbers, and change none.

    They are written in one direction only; `undo` finds the other by moving serial numbers.
    """

    words: str
    cores: Callable = same  # canonical cores -> a tuple of arrays
    x: Callable = same  # (x, in_modes) -> array
    y: Callable = same  # (y, out_modes) -> array


def by_axes(axes):
    """The storage of cores whose axes are permuted."""
    if axes == (0, 1, 2, 3):
        return Storage("canonical")
    return Storage(
        f"core axes are permuted {axes}",
        lambda cores: tuple(core.transpose(axes) for core in cores),
    )


def undo(move, moved, like):
    """What `move` turns into `moved`: a tree of the structure of `like`."""
    if move is same:
        return moved
    places = tree.ravel(move(tree.unravel(np.arange(tree.size(like)), like)))
    vector = np.empty_like(tree.ravel(moved))
    vector[places] = tree.ravel(moved)
    return tree.unravel(vector, like)


@dataclass(frozen=True)
class Adapter:
    """Somebody's TT layer, as the oracle sees it.

    Parameters
    ----------
    forward, gradients : callables
        As the module ``ttref.oracle.protocol`` says.
    layout : str, sequence of 4 ints, or Storage
        How cores are stored: a name in `LAYOUTS`; the axes of the canonical core
        ``(left rank, input mode, output mode, right rank)`` in the stored order; or any `Storage`.
    dtypes : sequence of str
        Formats to try: ``"float64"``, ``"float32"``, ``"float16"``, ``"bfloat16"``.
    bias : bool
        Whether the layer can have a bias.
    name : str

    Raises
    ------
    ConventionError
        If the layout or a dtype is not one of these, or a function is missing.
    """

    forward: Callable
    gradients: Callable
    layout: str | Sequence[int] | Storage = "canonical"
    dtypes: Sequence[str] = ("float32", "float64")
    bias: bool = True
    name: str = "adapter"

    def __post_init__(self):
        for function in ("forward", "gradients"):
            if not callable(getattr(self, function)):
                raise ConventionError(f"{self.name}: {function} is not a function")
        if isinstance(self.dtypes, str) or not self.dtypes:
            raise ConventionError(f"{self.name}: dtypes is {self.dtypes!r}, expected a list")
        for dtype in self.dtypes:
            check_choice(f"{self.name}: dtype", dtype, FORMATS)
        _ = self.storage

    @property
    def storage(self):
        """The layout as a `Storage`."""
        if isinstance(self.layout, Storage):
            return self.layout
        if isinstance(self.layout, str):
            check_choice(f"{self.name}: layout", self.layout, LAYOUTS)
            return by_axes(LAYOUTS[self.layout])
        if sorted(self.layout) != [0, 1, 2, 3]:
            raise ConventionError(
                f"{self.name}: layout is {self.layout!r}, expected a name or an order of the axes "
                "0, 1, 2, 3 (left rank, input mode, output mode, right rank)"
            )
        return by_axes(tuple(self.layout))

    def results(self, case, dtype, storage=None):
        """``{"y": ..., "cores.0": gradient, ...}`` that the layer gives on a case.

        Raises
        ------
        ConventionError, DtypeError, ShapeError
            If a function raises, or does not return what it should.
        """
        storage = storage or self.storage
        inputs = tree.map(lambda v: np.asarray(v, numpy_dtype(dtype)), case.inputs)
        dy = np.asarray(case.dy, numpy_dtype(dtype))
        moves = moves_of(storage, inputs["cores"])
        there = {name: moves[name](value) for name, value in inputs.items()}
        y = self._array("y", self._call("forward", there), dy, moves["y"])
        found = self._call("gradients", there, moves["y"](dy))
        if not isinstance(found, dict) or not there.keys() <= found.keys():
            got = f"the keys {list(found)}" if isinstance(found, dict) else type(found).__name__
            raise ConventionError(
                f"{self.name}: gradients returned {got}, expected a dict with {list(there)}"
            )
        gradients = {
            name: self._array(f"gradient of {name}", found[name], inputs[name], moves[name])
            for name in there
        }
        return {"y": y, **tree.flatten(gradients)}

    def _call(self, function, there, *dy):
        """What a function of the adapter returns; the arrays it is given are copies in C order."""
        params, dy = tree.map(lambda v: np.array(v, order="C"), (there, dy))
        x = params.pop("x")
        try:
            return getattr(self, function)(params, x, *dy)
        except Exception as error:
            shapes = ", ".join(f"{name} {v.shape}" for name, v in tree.flatten(there).items())
            raise ConventionError(
                f"{self.name}: {function} raised {type(error).__name__}: {error} (on {shapes})"
            ) from error

    def _array(self, what, found, like, move):
        """What the adapter returned, checked, in canonical storage."""
        expected = move(like)
        if isinstance(found, list):
            found = tuple(found)
        if _branches(found) != _branches(expected):
            raise ConventionError(
                f"{self.name}: {what} is {_branches(found)}, expected {_branches(expected)}"
            )
        found = tree.map(lambda wanted, value: self._checked(what, value, wanted), expected, found)
        return undo(move, found, like)

    def _checked(self, what, value, wanted):
        """One array, if it has the shape and the dtype that it should."""
        if not isinstance(value, np.ndarray | np.generic):
            raise DtypeError(
                f"{self.name}: {what} is a {type(value).__name__}, expected a NumPy array"
            )
        check_shape(f"{self.name}: {what}", value, wanted.shape)
        if value.dtype != wanted.dtype:
            raise DtypeError(
                f"{self.name}: {what} is {value.dtype}, expected {wanted.dtype} as it was given"
            )
        return value


def moves_of(storage, cores):
    """The maps of a storage, ``{name: array -> array}``, for a train of these cores."""
    in_modes, out_modes = ([core.shape[axis] for core in cores] for axis in (1, 2))
    return {
        "bias": same,
        "cores": storage.cores,
        "x": _with_modes(storage.x, in_modes),
        "y": _with_modes(storage.y, out_modes),
    }


def _branches(value):
    return f"a list of {len(value)}" if isinstance(value, tuple) else "an array"


def _with_modes(move, modes):
    return move if move is same else lambda v: move(v, modes)


def load(path):
    """The adapter in a Python file, or the ready one of that name.

    The file has the functions ``forward`` and ``gradients`` and, where they differ from the
    defaults of `Adapter`, ``layout``, ``dtypes``, ``bias`` and ``name``. At its top it can
    import modules beside it.

    Raises
    ------
    ConventionError
        If there is no such file, it cannot be imported, or a function is missing.
    """
    file = Path(path)
    if not file.is_file() and file.name == str(path):
        file = READY / f"{path}.py"
    if not file.is_file():
        ready = ", ".join(sorted(f.stem for f in READY.glob("[!_]*.py")))
        raise ConventionError(f"there is no file {path}; the adapters that are here are {ready}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ConventionError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # as Python does for a script
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConventionError(
            f"{file} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    for function in ("forward", "gradients"):
        if not hasattr(module, function):
            raise ConventionError(f"{file} has no function {function}")
    names = ("forward", "gradients", "layout", "dtypes", "bias", "name")
    given = {name: getattr(module, name) for name in names if hasattr(module, name)}
    return Adapter(**{"name": file.stem, **given})
