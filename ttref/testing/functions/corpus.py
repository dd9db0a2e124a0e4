"""All functions of the corpus."""

from ttref.testing.functions import (
    activations,
    indexing,
    iterations,
    kinks,
    linear_algebra,
    losses,
    noise,
    norms,
    on_kinks,
    piecewise,
    scales,
    signal_processing,
    single_precision,
    sorting,
    special_functions,
    structure,
)
from ttref.testing.functions.function import VJP, Function

_MODULES = (
    activations,
    losses,
    norms,
    indexing,
    sorting,
    piecewise,
    linear_algebra,
    special_functions,
    signal_processing,
    iterations,
    single_precision,
    noise,
    scales,
    kinks,
    on_kinks,
    structure,
)

KINDS = tuple(module.KIND for module in _MODULES)
"""The kinds of functions, in their order."""

FUNCTIONS: dict[str, Function] = {
    found.name: found
    for module in _MODULES
    for found in vars(module).values()
    if isinstance(found, Function)
}
"""Every function of the corpus by its name."""

RIGHT = "right"
"""The name of the right vjp among those of a function."""


def all_vjps(function: Function) -> list[tuple[str, VJP]]:
    """``(name, vjp)`` of the right vjp of a function and of each wrong one."""
    wrong = [(name, spoiled.vjp) for name, spoiled in function.wrong.items()]
    return [(RIGHT, function.vjp), *wrong]
