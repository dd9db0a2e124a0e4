"""The structure: imports point down, `import ttref` is light, code is typed and not dense."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

import ttref
from tests.amounts import amounts
from ttref import ops
from ttref.testing import CASES, check_op

ROOT = Path(ttref.__file__).parent

FLOORS = {
    **dict.fromkeys(
        ("errors", "checks", "contracts", "arrays", "border", "functions", "tree", "memory"), 0
    ),
    **dict.fromkeys(("identity", "paths", "rng", "storage", "tables"), 0),
    **dict.fromkeys(("arithmetic", "machine", "tt"), 1),
    **dict.fromkeys(("ops", "datasets"), 2),
    **dict.fromkeys(("cells", "scan", "fast"), 3),
    **dict.fromkeys(("layers", "optim", "schedules", "losses"), 4),
    **dict.fromkeys(("train", "testing", "compress", "convert"), 5),
    **dict.fromkeys(("experiments", "oracle", "tuning"), 6),
    **dict.fromkeys(("cli", "__main__"), 7),
    "__init__": 8,
}

# What operators may ask of an array namespace: functions of the Array API standard that also work
# on object arrays of exact numbers, and `where` over conditions that were decided already.
WHITELIST = {
    *("reshape", "permute_dims", "expand_dims", "matmul", "tensordot", "sum", "max", "min"),
    *("argmax", "arange", "where", "ones_like", "zeros_like", "isdtype", "inf"),
    *("concat", "stack", "take", "asarray", "eye"),
}


def modules():
    """``(name, path)`` of every module; the first part of the name is on a floor."""
    for path in sorted(ROOT.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imported_packages(path):
    """The packages and modules on the floors that a module imports from, anywhere in its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "ttref":
                package = name.split(".")[1]
                yield package if package in FLOORS else "__init__"


def test_every_module_has_a_floor():
    assert {name.split(".")[0] for name, _ in modules()} == set(FLOORS)


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_imports_point_down(name, path):
    floor = FLOORS[name.split(".")[0]]
    for package in imported_packages(path):
        if package == "__init__":  # the version
            continue
        assert FLOORS[package] <= floor, (
            f"{name} on floor {floor} imports {package} on {FLOORS[package]}"
        )


def test_packages_do_not_import_each_other_in_a_circle():
    graph = {package: set() for package in FLOORS}
    for name, path in modules():
        package = name.split(".")[0]
        graph[package] |= set(imported_packages(path)) - {package, "__init__"}
    done = set()
    while graph:
        free = {package for package, needed in graph.items() if needed <= done}
        assert free, f"a circle among {sorted(graph)}"
        done |= free
        graph = {package: needed for package, needed in graph.items() if package not in free}


def test_only_the_command_line_imports_tuning():
    for name, path in modules():
        if name.split(".")[0] not in ("cli", "tuning"):
            assert "tuning" not in imported_packages(path), name


def test_functions_are_typed_short_and_not_dense():
    figures = run_path(str(ROOT.parent / "scripts" / "code_figures.py"))["figures"](ROOT)
    assert figures["typed parameters of public functions"] == "100.0 %"  # mypy has the others
    assert figures["lines of the longest function"] <= 45
    assert figures["packed assignments per 1000 lines"] == "0.00"
    assert figures["nested unpackings per 1000 lines"] == "0.00"


SHARED_BY_OPERATORS = {"ttref.ops.windows", "ttref.ops.weighting"}


def test_operators_import_each_other_whole_and_never_each_others_cache():
    for path in (ROOT / "ops").glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        named = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        parts_of_operators = {module for module in named if module.startswith("ttref.ops.")}
        if path.stem != "__init__":
            assert parts_of_operators <= SHARED_BY_OPERATORS, path


def submodules():
    """``(package, name)`` of every module that is part of a package."""
    for module in pkgutil.walk_packages(ttref.__path__, "ttref."):
        package, _, name = module.name.rpartition(".")
        yield package, name


@pytest.mark.parametrize(("package", "name"), list(submodules()))
def test_no_module_has_the_name_of_something_else_that_its_package_exports(package, name):
    """``from package import name`` and ``import package.name`` are one thing."""
    init = ast.parse(Path(importlib.import_module(package).__file__).read_text())
    for node in ast.walk(init):
        if isinstance(node, ast.ImportFrom) and node.module != package:
            assert name not in {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert name != node.name
    if name != "__main__":
        module = importlib.import_module(f"{package}.{name}")
        assert getattr(sys.modules[package], name) is module


def test_import_ttref_loads_numpy_and_array_api_compat_only():
    def loaded_by(names):
        code = f"import sys, {names}; print(*{{m.partition('.')[0] for m in sys.modules}})"
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return set(found.stdout.split()) - set(sys.stdlib_module_names)

    assert loaded_by("ttref") - loaded_by("array_api_compat.numpy") == {"ttref"}


GENERIC = [*(ROOT / "ops").glob("*.py"), *(ROOT / "cells").glob("*.py"), ROOT / "scan.py"]


@pytest.mark.parametrize("path", sorted(GENERIC), ids=lambda p: p.stem)
def test_operators_are_written_for_every_kind_of_number(path):
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            assert not {n.split(".")[0] for n in names} & {"numpy", "cupy", "torch", "jax"}, where
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), f"{where}: float literal"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"astype", "einsum", "linalg", "T", "device", "shape_"}, where
        if isinstance(node, ast.AugAssign):
            assert isinstance(node.target, ast.Name), f"{where}: in-place work"


class Proxy:
    """An array namespace that has the whitelist only."""

    def __init__(self, xp):
        self.xp = xp

    def __getattr__(self, name):
        if name not in WHITELIST:
            raise AssertionError(f"operators must not use xp.{name}")
        return getattr(self.xp, name)


@pytest.fixture
def proxied(monkeypatch):
    """All operators, seeing the whitelist only."""
    for path in GENERIC:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = sys.modules[f"ttref.{name.removesuffix('.__init__')}"]
        if hasattr(module, "namespace"):
            real = module.namespace
            monkeypatch.setattr(module, "namespace", lambda *a, real=real: Proxy(real(*a)))


@amounts(4, many=20)
@pytest.mark.parametrize("name", CASES)
def test_operators_keep_to_the_whitelist(proxied, name, amount):
    report = check_op(name, **amount)
    assert report.ok, report.failures


def test_soft_labels_keep_to_the_whitelist(proxied):
    z, mask = np.asarray([[1.0, 2.0, -1.0]]), np.asarray([1, 1, 0])
    target = np.asarray([[0.5, 0.5, 0.0]])
    for loss in (ops.softmax_cross_entropy, ops.binary_cross_entropy):
        _, cache = loss.forward(z, target, np.asarray([2.0]), mask)
        loss.backward(1, cache)


def test_the_proxy_refuses_what_is_not_on_the_whitelist():
    with pytest.raises(AssertionError, match=r"must not use xp\.einsum"):
        _ = Proxy(np).einsum
