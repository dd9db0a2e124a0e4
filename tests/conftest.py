"""Fixtures: array backends, the real data, and hypothesis profiles."""

import importlib
import importlib.util
import json
import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ttref import arrays
from ttref.fast.tt_plan import plan, work
from ttref.machine import costs, measurements, products
from ttref.testing import profiles

profiles.load("ci" if os.environ.get("CI") else "dev")

# A shell lets the jobs that it runs in the background ignore Ctrl-C, and their children too. Tests
# of Ctrl-C need a process that does not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Backend:
    """An array library and a kind of number: how to make arrays of it, and how to read them."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.exact = kind in ("int", "Fraction")
        self.xp = {
            "numpy": "array_api_compat.numpy",
            "strict": "array_api_strict",
            "torch": "array_api_compat.torch",
            "jax": "jax.numpy",
            "cupy": "array_api_compat.cupy",
        }[name]
        self.xp = importlib.import_module(self.xp)
        if name == "jax":
            importlib.import_module("jax").config.update("jax_enable_x64", True)

    @property
    def dtype(self):
        return object if self.exact else getattr(self.xp, self.kind)

    def array(self, values):
        """Integers (nested lists or a NumPy array) as an array of this kind."""
        values = np.asarray(values)
        if self.kind == "Fraction":
            return np.asarray(np.frompyfunc(lambda v: Fraction(int(v)), 1, 1)(values), dtype=object)
        if self.kind == "int":
            return values.astype(object)
        return self.xp.asarray(values.astype(self.kind))

    def integers(self, values):
        """Labels and the like: machine integers in this library."""
        return self.xp.asarray(np.asarray(values))

    def __repr__(self):
        return f"{self.name}-{self.kind}"


FLOATS = ("float32", "float64")


def _parameters(*pairs):
    """Parameters for the pairs, and for every kind of float of the other libraries."""
    pairs += tuple((name, kind) for name in ("strict", "torch", "jax", "cupy") for kind in FLOATS)
    marks = {"torch": pytest.mark.witness, "jax": pytest.mark.witness, "cupy": pytest.mark.gpu}
    return [pytest.param(p, id="-".join(p), marks=marks.get(p[0], ())) for p in pairs]


def _backend(name, kind):
    if name == "cupy" and not arrays.gpu_available():
        pytest.skip("no GPU: CuPy and a CUDA device are needed")
    if name in ("torch", "jax") and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (extra witness)")
    return Backend(name, kind)


@pytest.fixture(params=_parameters(*(("numpy", kind) for kind in (*FLOATS, "int", "Fraction"))))
def backend(request):
    """Every array library that is here, with every kind of number it has."""
    return _backend(*request.param)


@pytest.fixture(params=_parameters(*(("numpy", kind) for kind in FLOATS)))
def float_backend(request):
    """The same, with floating-point numbers only."""
    return _backend(*request.param)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of the real data sets."""
    folder = os.environ.get("TTREF_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("REAL DATA NOT TESTED: set TTREF_DATA to the folder of the data sets")
    return Path(folder)


def forget():
    measured = costs.machine, measurements.read_measurements
    plans = plan.best_plan, plan.merging_seconds, work.plan_work
    choices = products.rows_of_block, products.choose_slices
    for cached in (*measured, *plans, *choices):
        cached.cache_clear()
    measurements._warned.clear()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Write ``machine.json`` of these sections, or this text, where the planner looks for it."""
    monkeypatch.setenv("TTREF_CACHE", str(tmp_path))

    def write(text=None, **sections):
        text = json.dumps({"machines": {}, "plans": {}} | sections) if text is None else text
        (tmp_path / "machine.json").write_text(text)
        forget()

    forget()
    yield write
    monkeypatch.undo()
    forget()
