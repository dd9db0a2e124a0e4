"""``ttref info``: versions, devices, BLAS, and which extras are installed."""

import importlib.metadata
import os
import platform
from argparse import Namespace
from collections.abc import Mapping

import numpy as np

from ttref import __version__
from ttref.arrays import gpu_available
from ttref.cli.arguments import Subparsers
from ttref.tables import table

EXTRAS = {
    "cupy-cuda12x": "cuda12",
    "cupy-cuda13x": "cuda13",
    "python-flint": "exact",
    "matplotlib": "plot",
    "pooch": "data",
    "av": "video",
    "scikit-learn": "demo",
    "threadpoolctl": "threads",
    "hypothesis": "test",
    "torch": "witness",
    "jax": "witness",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "info",
        help="versions, devices, BLAS, optional packages",
        description="Print the versions, devices and BLAS that ttref runs on, and which optional "
        "packages are installed. Paste it into a bug report.",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print the table."""
    core = ("numpy", "scipy", "array-api-compat", "tqdm")
    rows = [
        ("ttref", __version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name) or "missing") for name in core),
        ("BLAS", _blas()),
        ("CPU", f"{_usable_cpus()} usable cores"),
        ("GPU", _gpu()),
        ("CuPy", _settings({"CUPY_TF32": "0", "CUPY_ACCELERATORS": "cub"})),
        *((name, _version(name) or f"- (extra {extra})") for name, extra in EXTRAS.items()),
    ]
    print(table(("", "found"), rows))
    return 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _blas() -> str:
    """NumPy's BLAS, and the settings that change its speed."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    names = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    settings = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return ", ".join([f"{blas['name']} {blas['version']}", *settings])


def _settings(defaults: Mapping[str, str]) -> str:
    """List environment variables, or the defaults of those that are not set."""
    return ", ".join(f"{k}={os.environ.get(k, f'{v} (default)')}" for k, v in defaults.items())


def _usable_cpus() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _gpu() -> str:
    if not gpu_available():
        return "none (CuPy and a CUDA device are needed)"
    import cupy

    names = (
        cupy.cuda.runtime.getDeviceProperties(k)["name"].decode()
        for k in range(cupy.cuda.runtime.getDeviceCount())
    )
    return ", ".join(names)
