"""Figures of the code of a Python package: how dense it is, how far it is typed, how it is cut.

python scripts/code_figures.py [FOLDER]     ttref by default
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
CALLERS_OF_MACHINE = ("optim", "train", "layers", "fast")


class Module(NamedTuple):
    """A file of the package."""

    path: Path
    lines: int
    tree: ast.Module


def main(arguments: list[str]) -> None:
    """Print the figures of a folder."""
    for words, value in figures(Path(arguments[0] if arguments else "ttref")).items():
        print(f"{words:<40} {value}")


def figures(folder: Path) -> dict[str, object]:
    """What is counted, in words, and the number."""
    modules = list(read(folder))
    nodes = [node for module in modules for node in ast.walk(module.tree)]
    functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
    lines = sum(module.lines for module in modules)
    packed = sum(is_packed(node) for node in nodes)
    nested = sum(is_nested(node) for node in nodes)
    typed = [is_typed(p) for f in public_functions(folder, modules) for p in parameters(f)]
    lengths = sorted(length(function) for function in functions)
    found: dict[str, object] = {
        "files": len(modules),
        "lines": lines,
        "packed assignments per 1000 lines": f"{1000 * packed / lines:.2f}",
        "nested unpackings per 1000 lines": f"{1000 * nested / lines:.2f}",
        "typed parameters of public functions": f"{100 * sum(typed) / max(1, len(typed)):.1f} %",
        "lines of the median function": lengths[len(lengths) // 2],
        "lines of the longest function": lengths[-1],
    }
    for part in CALLERS_OF_MACHINE:
        count = sum(imports_from(module, "ttref.machine") for module in of(part, folder, modules))
        found[f"modules of {part} that import machine"] = count
    return found


def public_functions(folder: Path, modules: list[Module]) -> list[Function]:
    """The public functions of a package, but for mutants, which are operators changed at will."""
    return [
        node
        for module in modules
        if "mutants" not in module.path.relative_to(folder).parts
        for node in ast.walk(module.tree)
        if isinstance(node, FUNCTIONS) and is_public(node)
    ]


def read(folder: Path) -> Iterator[Module]:
    """The modules of a package."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text()
        yield Module(path, len(text.splitlines()), ast.parse(text))


def is_packed(node: ast.AST) -> bool:
    """Whether it assigns several values of their own at once: ``a, b = x, y``."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def is_nested(node: ast.AST) -> bool:
    """Whether it unpacks a value within a value: ``(a, b), c = x``."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.For | ast.comprehension):
        targets = [node.target]
    else:
        return False
    return any(
        isinstance(inner, ast.Tuple)
        for target in targets
        if isinstance(target, ast.Tuple)
        for inner in target.elts
    )


def parameters(function: Function) -> list[ast.arg]:
    """All parameters but self and cls."""
    found = function.args
    extra = [a for a in (found.vararg, found.kwarg) if a is not None]
    every = [*found.posonlyargs, *found.args, *found.kwonlyargs, *extra]
    return [a for a in every if a.arg not in ("self", "cls")]


def is_typed(parameter: ast.arg) -> bool:
    """Whether it has an annotation."""
    return parameter.annotation is not None


def is_public(function: Function) -> bool:
    """Whether its name has no leading underscore, or is one of Python's own."""
    return not function.name.startswith("_") or function.name.startswith("__")


def length(function: Function) -> int:
    """Lines of the body without the docstring."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def of(part: str, folder: Path, modules: list[Module]) -> list[Module]:
    """The modules in a folder of the package, or the one of that name."""
    return [m for m in modules if m.path.relative_to(folder).with_suffix("").parts[0] == part]


def imports_from(module: Module, package: str) -> bool:
    """Whether a module imports from a package."""
    return any(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package)
        for node in ast.walk(module.tree)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
