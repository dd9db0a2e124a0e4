"""L2 penalty: ``sum_p rate_p * sum(p ** 2)`` over named parameters (Keras's l2: no factor 1/2)."""

from ttref import tree
from ttref.arrays import namespace
from ttref.errors import ConventionError


def forward(params, rates):
    """The penalty, and what ``backward`` reads.

    Parameters
    ----------
    params : tree of arrays
    rates : dict from str to number
        Rate per parameter, by its name in the tree (``"0.cores.1"``) or by the name of a branch,
        which stands for all leaves below it (``"0.cores"``).

    Returns
    -------
    penalty : array, shape ()
    cache : (params, dict from leaf name to rate)

    Raises
    ------
    ConventionError
        If a name is not in the tree, or two names cover the same leaf.
    """
    leaves = tree.flatten(params)
    rate_of = {}
    for name, rate in rates.items():
        covered = [leaf for leaf in leaves if leaf == name or leaf.startswith(name + ".")]
        if not covered:
            raise ConventionError(f"l2 names {name!r}, but the parameters are {', '.join(leaves)}")
        for leaf in covered:
            if leaf in rate_of:
                raise ConventionError(f"l2 covers parameter {leaf!r} twice")
            rate_of[leaf] = rate
    terms = [r * namespace(leaves[p]).sum(leaves[p] * leaves[p]) for p, r in rate_of.items()]
    return sum(terms[1:], start=terms[0]) if terms else 0, (params, rate_of)


def backward(dpenalty, cache):
    """Pull the cotangent of the penalty back to `dparams`, zero where no rate is given."""
    params, rate_of = cache
    gradients = iter(
        dpenalty * 2 * rate_of[name] * leaf if name in rate_of else namespace(leaf).zeros_like(leaf)
        for name, leaf in tree.flatten(params).items()
    )
    return tree.map(lambda _: next(gradients), params)
