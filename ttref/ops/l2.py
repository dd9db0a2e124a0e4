"""L2 penalty: ``sum_p rate_p * sum(p ** 2)`` over named parameters (Keras's l2: no factor 1/2)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ttref import border, tree
from ttref.arrays import describe, namespace, number_for
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError


class Cache(NamedTuple):
    """What ``backward`` reads."""

    params: Tree
    rate_of: dict[str, Any]  # by the name of a leaf


@border.explained("params")
def forward(params: Tree, rates: Mapping[str, Any]) -> tuple[Array, Cache]:
    """Compute the penalty.

    Parameters
    ----------
    params : tree of arrays
    rates : dict from str to number
        Rate per parameter, by its name in the tree (``"0.cores.1"``) or by the name of a branch,
        which stands for all leaves below it (``"0.cores"``).

    Returns
    -------
    penalty : array, shape ()
    cache : Cache

    Raises
    ------
    ConventionError
        If a name is not in the tree, or two names cover the same leaf.
    """
    if not isinstance(rates, Mapping):
        raise ConventionError(f"rates is a {describe(rates)}, expected a dict from name to number")
    leaves = tree.flatten(params)
    rate_of = {}
    for name, rate in rates.items():
        covered = [leaf for leaf in leaves if leaf == name or leaf.startswith(name + ".")]
        if not covered:
            raise ConventionError(f"l2 names {name!r}, but the parameters are {', '.join(leaves)}")
        for leaf in covered:
            if leaf in rate_of:
                raise ConventionError(f"l2 covers parameter {leaf!r} twice")
            border.check_real(leaf, leaves[leaf], "the penalty")
            rate_of[leaf] = number_for(leaves[leaf], rate)
    terms = [r * namespace(leaves[p]).sum(leaves[p] * leaves[p]) for p, r in rate_of.items()]
    penalty = sum(terms[1:], start=terms[0]) if terms else 0
    return penalty, Cache(params, rate_of)


@border.backward
def backward(dpenalty: Array, cache: Cache) -> Tree:
    """Pull the cotangent of the penalty back to `dparams`, zero where no rate is given."""

    def pull_back(name: str, leaf: Array) -> Array:
        if name in cache.rate_of:
            return dpenalty * 2 * cache.rate_of[name] * leaf
        return namespace(leaf).zeros_like(leaf)

    leaves = tree.flatten(cache.params)
    gradients = iter([pull_back(name, leaf) for name, leaf in leaves.items()])
    return tree.map(lambda _: next(gradients), cache.params)
