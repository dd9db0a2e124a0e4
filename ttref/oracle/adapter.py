"""What stands between the oracle and a layer: two functions on NumPy arrays, and how it stores.

    forward(params, x)        -> y          params {"cores": [...], "bias": ...}, or without bias
    gradients(params, x, dy)  -> {"cores": [...], "bias": ..., "x": ...}

for ``y = x W + b``, x of shape (B, N), y and dy of shape (B, M), and the cores as `layout` says.
The gradients are those of ``<dy, y>``, each stored like the array it belongs to. All arrays have
one dtype, of those that the adapter names.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import FORMATS, numpy_dtype
from ttref.arrays import check_shape
from ttref.checks import check_choice, suggest
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, DtypeError
from ttref.oracle.layouts import LAYOUTS, Move, Storage, moves_of, permute_axes, undo
from ttref.paths import expand_home
from ttref.testing.cases.case import Case, Params

FUNCTIONS = ("forward", "gradients")
OPTIONS = ("layout", "dtypes", "bias", "name")
READY = Path(__file__).with_name("adapters")


@dataclass(frozen=True)
class Adapter:
    """Somebody's TT layer, as the oracle sees it.

    Parameters
    ----------
    forward, gradients : callables
        As the module ``ttref.oracle.adapter`` says.
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

    forward: Callable[[Params, Array], Array]
    gradients: Callable[[Params, Array, Array], Params]
    layout: str | Sequence[int] | Storage = "canonical"
    dtypes: Sequence[str] = ("float32", "float64")
    bias: bool = True
    name: str = "adapter"

    def __post_init__(self) -> None:
        for function in FUNCTIONS:
            if not callable(getattr(self, function)):
                raise ConventionError(f"{self.name}: {function} is not a function")
        if isinstance(self.dtypes, str) or not self.dtypes:
            raise ConventionError(f"{self.name}: dtypes is {self.dtypes!r}, expected a list")
        for dtype in self.dtypes:
            check_choice(f"{self.name}: dtype", dtype, FORMATS)
        _ = self.storage  # raises if the layout is unknown

    @property
    def storage(self) -> Storage:
        """The layout as a `Storage`."""
        if isinstance(self.layout, Storage):
            return self.layout
        if isinstance(self.layout, str):
            check_choice(f"{self.name}: layout", self.layout, LAYOUTS)
            return permute_axes(LAYOUTS[self.layout])
        if sorted(self.layout) != [0, 1, 2, 3]:
            raise ConventionError(
                f"{self.name}: layout is {self.layout!r}, expected a name or an order of the axes "
                "0, 1, 2, 3 (left rank, input mode, output mode, right rank)"
            )
        return permute_axes(tuple(self.layout))

    def results(self, case: Case, dtype: str, storage: Storage | None = None) -> dict[str, Array]:
        """Run the layer on a case: ``{"y": ..., "cores.0": gradient, ...}``, stored canonically.

        Parameters
        ----------
        case : Case
            Of the operator ``tt_linear``.
        dtype : str
            The format in which the layer gets its arrays.
        storage : Storage, optional
            In place of the adapter's own.

        Raises
        ------
        ConventionError, DtypeError, ShapeError
            If a function raises, or does not return what it should.
        """
        # what the layer is given, in its own storage
        inputs = tree.map(lambda v: np.asarray(v, numpy_dtype(dtype)), case.inputs)
        dy = np.asarray(case.dy, numpy_dtype(dtype))
        moves = moves_of(storage or self.storage, inputs["cores"])
        stored = {name: moves[name](value) for name, value in inputs.items()}

        # what it returns, checked and brought back to canonical storage
        y = self._check_tree("y", self._call("forward", stored), dy, moves["y"])
        found = self._call("gradients", stored, moves["y"](dy))
        if not isinstance(found, dict) or not stored.keys() <= found.keys():
            got = f"the keys {list(found)}" if isinstance(found, dict) else type(found).__name__
            raise ConventionError(
                f"{self.name}: gradients returned {got}, expected a dict with {list(stored)}"
            )
        gradients = {
            name: self._check_tree(f"gradient of {name}", found[name], inputs[name], moves[name])
            for name in stored
        }
        return {"y": y, **tree.flatten(gradients)}

    def _call(self, function: str, stored: Params, *dy: Array) -> Any:
        """Call a function of the adapter, on copies of the arrays in C order."""
        params, cotangents = tree.map(lambda v: np.array(v, order="C"), (stored, dy))
        x = params.pop("x")
        try:
            return getattr(self, function)(params, x, *cotangents)
        except ModuleNotFoundError as error:
            raise ConventionError(
                f"{self.name}: {function} needs the module {error.name}, which is not installed "
                "here; install it, or run ttref where it is installed (docs/oracle.md)"
            ) from error
        except (Exception, SystemExit) as error:
            shapes = ", ".join(f"{name} {v.shape}" for name, v in tree.flatten(stored).items())
            raise ConventionError(
                f"{self.name}: {function} raised {type(error).__name__}: {error} (on {shapes})"
            ) from error

    def _check_tree(self, what: str, found: Any, like: Tree, move: Move) -> Tree:
        """Check what the adapter returned, and bring it to canonical storage."""
        expected = move(like)
        if isinstance(found, list):
            found = tuple(found)
        if _describe(found) != _describe(expected):
            raise ConventionError(
                f"{self.name}: {what} is {_describe(found)}, expected {_describe(expected)}"
            )
        found = tree.map(lambda wanted, value: self._check(what, value, wanted), expected, found)
        return undo(move, found, like)

    def _check(self, what: str, value: Any, wanted: Array) -> Array:
        """Raise unless one array has the shape and the dtype that it should have."""
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


def _describe(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, tuple) else "an array"


def load(path: str | Path) -> Adapter:
    """Load the adapter in a Python file, or the ready one of that name.

    The file has the functions ``forward`` and ``gradients`` and, where they differ from the
    defaults of `Adapter`, ``layout``, ``dtypes``, ``bias`` and ``name``. At its top it can
    import modules beside it.

    Raises
    ------
    ConventionError
        If there is no such file, it cannot be imported, or a function is missing.
    """
    file = _find(path)
    module = _import(file)
    for function in FUNCTIONS:
        if not hasattr(module, function):
            raise ConventionError(f"{file} has no function {function}")
    names = [name for name in (*FUNCTIONS, *OPTIONS) if hasattr(module, name)]
    given = {name: getattr(module, name) for name in names}
    return Adapter(**{"name": file.stem, **given})


def _find(path: str | Path) -> Path:
    """The file at a path, or that of a ready adapter."""
    file = expand_home(path)
    if not file.is_file() and file.name == str(path):
        file = READY / f"{path}.py"
    if not file.is_file():
        ready = sorted(f.stem for f in READY.glob("[!_]*.py"))
        raise ConventionError(
            f"there is no file {path}; the adapters that are here are {', '.join(ready)}"
            f"{suggest(str(path), ready)}"
        )
    return file


def _import(file: Path) -> ModuleType:
    """Import a file, with its folder in front of the search path, as Python does for a script."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ConventionError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConventionError(
            f"{file} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module
