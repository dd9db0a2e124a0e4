"""How good a checker of gradients is: what it finds, and how often it raises a false alarm.

A checker is any ``(op, operator, seed, dtype) -> bool``: True if it found something wrong, None if
it cannot check such an operator. Here `op` has the contract of the operator of that name in
`CASES`, which makes its problems. ttref's own checker is `ladder_checker`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ttref import tree
from ttref.checks import check_choice
from ttref.contracts import Array, Tree
from ttref.testing.cases import CASES
from ttref.testing.cases.case import Subject
from ttref.testing.ladder import attempt, rungs
from ttref.testing.mutants import MUTANTS
from ttref.testing.mutants.mutant import Mutant, Pair
from ttref.testing.origin import Origin

LAST_DECADE = {"float64": 15, "float32": 7}  # 1 + 10^-k is 1 beyond
OPTIMIZERS = ("SGD", "Adam")  # no gradient of theirs to plant an error in

Checker: TypeAlias = Callable[[Subject, str, int, str], bool | None]
"""``(op, operator, seed, dtype) -> bool or None``."""


class Score(NamedTuple):
    """What a checker did; None stands for what it could not check."""

    kills: dict[str, bool | None]  # mutant -> whether it was found
    alarms: dict[str, list[bool | None]]  # operator -> for each seed, whether it was found wrong
    power: dict[tuple[str, int], float | None]  # (operator, decade) -> fraction found of gradients
    # that are off by 1 + 10^-decade

    @property
    def killed(self) -> float | None:
        """Fraction of the mutants that were found, of those that it could check."""
        return _mean(self.kills.values())

    @property
    def survivors(self) -> list[str]:
        """Names of the mutants that it took for right."""
        return [name for name, found in self.kills.items() if found is False]

    @property
    def false_alarms(self) -> float | None:
        """Fraction of the checks of right operators that found something wrong."""
        return _mean(alarm for alarms in self.alarms.values() for alarm in alarms)

    def curve(self, operators: Sequence[str]) -> dict[int, float | None]:
        """``{decade: fraction found}`` over some operators."""
        decades = sorted({decade for _, decade in self.power})
        return {k: _mean(self.power.get((name, k)) for name in operators) for k in decades}

    def smallest(self, operators: Sequence[str]) -> int:
        """The last decade to which every planted error was found."""
        found = 0
        for decade, fraction in self.curve(operators).items():
            if fraction != 1:
                break
            found = decade
        return found


def score(
    checker: Checker,
    operators: Sequence[str] = tuple(CASES),
    *,
    mutants: Sequence[Mutant] | None = None,
    dtype: str = "float64",
    seeds: Sequence[int] = range(3),
    progress: Callable[[Iterable], Iterable] = iter,
) -> Score:
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

    Raises
    ------
    ConventionError
        If there is no operator of a name, or no such dtype.

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
    power: dict[tuple[str, int], float | None] = {}
    for name in progress([name for name in operators if name not in OPTIMIZERS]):
        found: float | None = 1
        for decade in range(1, LAST_DECADE[dtype] + 1):
            if found:  # where nothing was found, nothing smaller is
                suspects = [plant_in_gradient(real(name), leaf, decade) for leaf in (0, -1)]
                found = _mean(checker(op, name, s, dtype) for op in suspects for s in seeds)
            power[name, decade] = found
    return Score(kills, alarms, power)


def ladder_checker(level: str = "certified", examples: int = 100) -> Checker:
    """The checker of this package: cases up the ladder until something is wrong."""

    def checker(op: Subject, operator: str, seed: int, dtype: str) -> bool:
        climbed = rungs(level, (dtype,)).items()
        for number in range(examples):
            origin = Origin(operator, seed, number)
            case = origin.make_case(CASES[operator], op)
            for check, rung in climbed:
                findings = attempt(rung, case, origin.generator(str(check)))
                if any(finding.failure for finding in findings):
                    return True
        return False

    return checker


def real(name: str) -> Subject:
    """The right operator of that name."""
    return CASES[name].operator


def plant_in_gradient(op: Subject, leaf: int, decade: int) -> Subject:
    """`op` with one gradient of its own, 0 the first and -1 the last, off by a factor on floats.

    The factor is ``1 + 10^-decade``; on exact numbers `op` is right, so nothing but the floats can
    give the error away.
    """

    def spoil(g: Array) -> Array:
        return g if g.dtype == object else g * g.dtype.type(1 + 10.0**-decade)

    def spoil_one(gradients: Tree) -> Tree:
        leaves = tree.leaves(gradients)
        is_chosen = iter([k == leaf % len(leaves) for k in range(len(leaves))])
        return tree.map(lambda g: spoil(g) if next(is_chosen) else g, gradients)

    real_backward = op.backward

    def backward(*arguments: Any) -> Tree:
        return spoil_one(real_backward(*arguments))

    if isinstance(op, type):
        return type(op.__name__, (op,), {"backward": backward})
    return Pair(op.forward, backward)


def _known(found: Iterable[float | None]) -> list[float]:
    return [f for f in found if f is not None]


def _any(found: Iterator[bool | None]) -> bool | None:
    """Whether any is True; None if none is known. Stops at the first True."""
    first = next(found, None)
    return first if first is None else first or any(found)


def _mean(found: Iterable[float | None]) -> float | None:
    known = _known(found)
    return sum(known) / len(known) if known else None
