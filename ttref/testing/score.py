"""How good a checker of gradients is: what it finds, and how often it cries wolf.

A checker is any ``(op, operator, seed, dtype) -> bool``: True if it found something wrong, None if
it cannot check such an operator. Here `op` has the contract of the operator of that name in
`CASES`, which makes its problems. ttref's own checker is `ladder_checker`.
"""

from typing import NamedTuple

from ttref import tree
from ttref.checks import check_choice
from ttref.rng import generator
from ttref.testing.cases import CASES, from_generator
from ttref.testing.ladder import attempt, rungs
from ttref.testing.mutants import MUTANTS
from ttref.testing.mutants.mutant import Pair

LAST_DECADE = {"float64": 15, "float32": 7}  # 1 + 10^-k is 1 beyond
OPTIMIZERS = ("SGD", "Adam")  # no gradient of theirs to plant an error in


class Score(NamedTuple):
    """What a checker did; None stands for what it could not check."""

    kills: dict  # mutant -> whether it was found
    alarms: dict  # operator -> for each seed, whether the right operator was found wrong
    power: dict  # (operator, decade) -> fraction found of gradients off by 1 + 10^-decade

    @property
    def killed(self):
        """Fraction of the mutants that were found, of those that it could check."""
        return _mean(self.kills.values())

    @property
    def survivors(self):
        """Names of the mutants that it took for right."""
        return [name for name, found in self.kills.items() if found is False]

    @property
    def false_alarms(self):
        """Fraction of the checks of right operators that found something wrong."""
        return _mean(alarm for alarms in self.alarms.values() for alarm in alarms)

    def curve(self, operators):
        """``{decade: fraction found}`` over some operators."""
        decades = sorted({decade for _, decade in self.power})
        return {k: _mean(self.power.get((name, k)) for name in operators) for k in decades}

    def smallest(self, operators):
        """The last decade to which every planted error was found."""
        found = 0
        for decade, fraction in self.curve(operators).items():
            if fraction != 1:
                break
            found = decade
        return found


def score(
    checker,
    operators=tuple(CASES),
    *,
    mutants=None,
    dtype="float64",
    seeds=range(3),
    progress=iter,
):
    """Score a checker on the mutants, on the right operators, and on planted errors.

    Parameters
    ----------
    checker : callable
        ``(op, operator, seed, dtype) -> bool or None``.
    operators : sequence of str
        Names in `CASES`.
    mutants : sequence of Mutant, optional
        Those of the operators by default. A mutant is found if it is for any of the seeds.
    dtype : str
        float32 or float64.
    seeds : sequence of int
    progress : callable
        Wraps an iterable, as ``tqdm`` does.

    Returns
    -------
    Score

    Examples
    --------
    >>> found = score(ladder_checker(examples=30), ("linear",), seeds=[0])
    >>> found.killed, found.false_alarms, found.smallest(["linear"])
    (1.0, 0.0, 15)
    """
    check_choice("dtype", dtype, LAST_DECADE)
    for name in operators:
        check_choice("operator", name, CASES)
    if mutants is None:
        mutants = [m for m in MUTANTS.values() if m.operator in operators]
    kills = {
        m.name: _any(checker(m.op, m.operator, seed, dtype) for seed in seeds)
        for m in progress(mutants)
    }
    alarms = {
        name: [checker(real(name), name, seed, dtype) for seed in seeds]
        for name in progress(operators)
    }
    power: dict = {}
    for name in progress([name for name in operators if name not in OPTIMIZERS]):
        found: float | None = 1
        for decade in range(1, LAST_DECADE[dtype] + 1):
            if found:  # where nothing was found, nothing smaller is
                suspects = [planted(real(name), leaf, decade) for leaf in (0, -1)]
                found = _mean(checker(op, name, s, dtype) for op in suspects for s in seeds)
            power[name, decade] = found
    return Score(kills, alarms, power)


def ladder_checker(level="certified", examples=100):
    """The checker of this package: cases up the ladder until something is wrong."""

    def checker(op, operator, seed, dtype):
        rng = generator(seed)
        draw, climbed = from_generator(rng), rungs(level, (dtype,)).values()
        for _ in range(examples):
            case = CASES[operator](draw, rng, op)
            if any(f.failure for rung in climbed for f in attempt(rung, case, rng)):
                return True
        return False

    return checker


def real(name):
    """The right operator of that name."""
    return CASES[name].operator


def planted(op, leaf, decade):
    """`op` with one gradient of its own, 0 the first and -1 the last, off by a factor on floats.

    The factor is ``1 + 10^-decade``; on exact numbers `op` is right, so nothing but the floats can
    give the error away.
    """

    def spoil(g):
        return g if g.dtype == object else g * g.dtype.type(1 + 10.0**-decade)

    def spoiled(gradients):
        leaves = tree.leaves(gradients)
        chosen = iter(k == leaf % len(leaves) for k in range(len(leaves)))
        return tree.map(lambda g: spoil(g) if next(chosen) else g, gradients)

    real_backward, is_class = op.backward, isinstance(op, type)

    def backward(*arguments):
        return spoiled(real_backward(*arguments))

    if is_class:
        return type(op.__name__, (op,), {"backward": backward})
    return Pair(op.forward, backward)


def _known(found):
    return [f for f in found if f is not None]


def _any(found):
    """Whether any is True; None if none is known. Stops at the first True."""
    found = iter(found)
    first = next(found, None)
    return first if first is None else first or any(found)


def _mean(found):
    known = _known(found)
    return sum(known) / len(known) if known else None
