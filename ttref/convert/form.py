"""How a system stores the parameters of a layer: the contract, and what the forms share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ttref.arrays import check_numeric, namespace
from ttref.checks import suggest
from ttref.contracts import Array
from ttref.errors import ConventionError

Named: TypeAlias = dict[str, Array]
"""Arrays by the names that the system has for them."""


def keep(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Leave the names as they are."""
    return dict(stored)


@dataclass(frozen=True)
class Form:
    """How a system stores the parameters of one kind of layer.

    Parameters
    ----------
    names : callable
        From a layer to the names of its arrays, in the order of the system.
    read : callable
        From a layer and arrays by name to the parameters of ttref's layer.
    write : callable
        From a layer and its parameters to arrays by name.
    options : dict
        Options of ttref's layer of which the system has these values only.
    tidy : callable
        From what is stored to the same without prefixes of names, and without what is not needed.
    """

    names: Callable[[Any], Sequence[str]]
    read: Callable[[Any, Named], dict[str, Any]]
    write: Callable[[Any, dict[str, Any]], Named]
    options: Mapping[str, tuple] = field(default_factory=dict)
    tidy: Callable[[Mapping[str, Any]], dict[str, Any]] = keep


def named(stored: Any, names: Sequence[str]) -> Named:
    """What is stored, by these names: a dict, or a sequence in their order.

    Raises
    ------
    ConventionError
        If a name is missing or not known.
    """
    if not isinstance(stored, Mapping):
        values = list(stored)
        if len(values) != len(names):
            raise ConventionError(
                f"stored has {len(values)} arrays, expected {len(names)}: {', '.join(names)}"
            )
        stored = dict(zip(names, values, strict=True))
    unknown = [name for name in stored if name not in names]
    missing = [name for name in names if name not in stored]
    if unknown or missing:
        hint = suggest(unknown[0], missing) if unknown else ""
        raise ConventionError(
            f"stored has the names {', '.join(map(str, stored))}, expected {', '.join(names)}{hint}"
        )
    return {name: check_numeric(name, stored[name]) for name in names}


def transpose(matrix: Array) -> Array:
    """Exchange the two axes of a matrix."""
    return namespace(matrix).permute_dims(matrix, (1, 0))


def bias_if(layer: Any, name: str) -> list[str]:
    """The name of the bias, if the layer has one."""
    return [name] if layer.bias else []
