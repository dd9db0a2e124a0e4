"""Load an adapter: run a Python file, with the user's rights, and take what it defines."""

import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ttref.checks import suggest
from ttref.errors import ConventionError, blaming, describe_error
from ttref.oracle.adapter import FUNCTIONS, OPTIONS, Adapter
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.paths import expand_home

READY = Path(__file__).with_name("adapters")
KIT = Path(__file__).with_name("standalone.py")  # answers cases without ttref
MISSING = object()
DECLARED = ("layer", "forward", "gradients", "options", "dtypes", "name")


def load(path: str | Path) -> Adapter | LayerAdapter:
    """Load the adapter in a Python file, or the ready one of that name.

    The file has the function ``forward``, as a rule ``gradients``, and, where they differ from the
    defaults of `Adapter`, its options. With the name ``layer``, and as a rule ``options``, it is a
    `LayerAdapter`. At its top it can import modules beside it.

    Raises
    ------
    ConventionError
        If there is no such file, it cannot be imported, or it has no function ``forward``.
    """
    file = _find(path)
    given: dict[str, Any] = {"name": file.stem}
    with np.errstate():  # whatever the file sets, it sets for itself
        module = _import(file)
        is_declared = "layer" in vars(module)
        for name in DECLARED if is_declared else (*FUNCTIONS, *OPTIONS):
            with blaming(f"{file}: {name}"):
                found = getattr(module, name, MISSING)
            if found is not MISSING:
                given[name] = found
            elif name == "forward":
                raise ConventionError(f"{file} has no function {name}")
    return LayerAdapter(**given) if is_declared else Adapter(**given)


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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too
        raise ConventionError(f"{file} cannot be imported: {describe_error(error)}") from error
    finally:
        with suppress(ValueError):  # the file may have changed the path
            sys.path.remove(str(file.parent))
    return module
