"""How good a checker of vjps is on the corpus, and how many calls it needs.

A checker is any ``(f, vjp, args) -> verdict``: ``"right"``, ``"wrong"`` or ``"undecided"``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from ttref.checks import check_choice
from ttref.contracts import Tree
from ttref.tables import table
from ttref.testing.functions.corpus import FUNCTIONS, RIGHT, all_vjps
from ttref.testing.functions.function import VJP, F, Function, Gradients

WRONG = "wrong"
UNDECIDED = "undecided"
VERDICTS = (RIGHT, WRONG, UNDECIDED)

Checker: TypeAlias = Callable[[F, VJP, tuple[Any, ...]], str]
"""``(f, vjp, args) -> "right", "wrong" or "undecided"``."""


class Verdict(NamedTuple):
    """What a checker said of one vjp."""

    function: str
    kind: str  # of the function
    vjp: str  # "right", or the name of the wrong vjp
    said: str  # "right", "wrong" or "undecided"
    calls_of_f: int
    calls_of_vjp: int

    @property
    def is_miss(self) -> bool:
        """Whether a wrong vjp was called right."""
        return self.vjp != RIGHT and self.said == RIGHT

    @property
    def is_false_alarm(self) -> bool:
        """Whether the right vjp was called wrong."""
        return self.vjp == RIGHT and self.said == WRONG

    @property
    def is_undecided(self) -> bool:
        """Whether the checker left it open."""
        return self.said == UNDECIDED


class Score(NamedTuple):
    """What a checker said of each vjp of some functions.

    ``print(score)`` shows a row for each kind of function.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def misses(self) -> list[Verdict]:
        """The wrong vjps that were called right."""
        return [v for v in self.verdicts if v.is_miss]

    @property
    def false_alarms(self) -> list[Verdict]:
        """The right vjps that were called wrong."""
        return [v for v in self.verdicts if v.is_false_alarm]

    @property
    def undecided(self) -> list[Verdict]:
        """The vjps, right or wrong, of which the checker could not say."""
        return [v for v in self.verdicts if v.is_undecided]

    @property
    def calls_of_f(self) -> int:
        """Calls of all functions together."""
        return sum(v.calls_of_f for v in self.verdicts)

    @property
    def calls_of_vjp(self) -> int:
        """Calls of all vjps together."""
        return sum(v.calls_of_vjp for v in self.verdicts)

    def of_kind(self, kind: str) -> "Score":
        """The part of the score that belongs to one kind of function."""
        return Score(tuple(v for v in self.verdicts if v.kind == kind))

    def row(self) -> tuple[int, ...]:
        """Right vjps, wrong vjps, misses, false alarms, undecided, calls of f, and of the vjp."""
        right = sum(v.vjp == RIGHT for v in self.verdicts)
        counts = [self.misses, self.false_alarms, self.undecided]
        said = [len(count) for count in counts]
        calls = (self.calls_of_f, self.calls_of_vjp)
        return (right, len(self.verdicts) - right, *said, *calls)

    def __str__(self) -> str:
        kinds = dict.fromkeys(v.kind for v in self.verdicts)
        rows = [(kind, *self.of_kind(kind).row()) for kind in kinds]
        header = ("kind", "right", "wrong", "missed", "false alarms", "undecided", "f", "vjp")
        return table(header, [*rows, ("all", *self.row())])


def score(
    checker: Checker,
    functions: Mapping[str, Function] = FUNCTIONS,
    *,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Score:
    """Score a checker of vjps on functions with right and wrong ones.

    Parameters
    ----------
    checker : callable
        ``(f, vjp, args) -> verdict``, where `vjp` has the signature ``vjp(dy, *args)`` and returns
        a tuple with a gradient for each argument, or None for an argument that has none. The
        verdict is ``"right"``, ``"wrong"`` or ``"undecided"``.
    functions : mapping from str to Function
        All by default.
    seed : int
        Of the arguments.
    progress : callable
        Wraps an iterable, as ``tqdm`` does.

    Returns
    -------
    Score

    Raises
    ------
    ConventionError
        If a verdict is none of the three. What the checker raises is raised, with a note that says
        of which function and vjp it was asked.

    Examples
    --------
    A plain central difference along one direction, of functions of one array:

    >>> import numpy as np
    >>> from ttref.testing.functions import FUNCTIONS, score
    >>> def checker(f, vjp, args):
    ...     (x,) = args
    ...     rng = np.random.default_rng(0)
    ...     v = rng.standard_normal(x.shape)
    ...     dy = rng.standard_normal(np.shape(f(x)))
    ...     found = np.sum(vjp(dy, x)[0] * v)
    ...     expected = np.sum(dy * (f(x + 1e-6 * v) - f(x - 1e-6 * v))) / 2e-6
    ...     return "right" if abs(found - expected) <= 1e-4 * abs(expected) else "wrong"
    >>> names = ("gelu", "softmax", "log_of_one_plus")
    >>> print(score(checker, {name: FUNCTIONS[name] for name in names}))
    kind         right  wrong  missed  false alarms  undecided   f  vjp
    -----------  -----  -----  ------  ------------  ---------  --  ---
    activations      2      7       1             0          0  27    9
    noise            1      3       0             0          0  12    4
    all              3     10       1             0          0  39   13
    """
    pairs = [
        (function, name, vjp) for function in functions.values() for name, vjp in all_vjps(function)
    ]
    verdicts = [ask(checker, function, name, vjp, seed) for function, name, vjp in progress(pairs)]
    return Score(tuple(verdicts))


def ask(checker: Checker, function: Function, name: str, vjp: VJP, seed: int = 0) -> Verdict:
    """Ask a checker for its verdict on one vjp of a function, and count the calls."""
    f_calls = 0
    vjp_calls = 0

    def f(*args: Any) -> Tree:
        nonlocal f_calls
        f_calls += 1
        return function.f(*args)

    def counted_vjp(dy: Tree, *args: Any) -> Gradients:
        nonlocal vjp_calls
        vjp_calls += 1
        return vjp(dy, *args)

    try:
        said = checker(f, counted_vjp, function.draw_args(seed))
        check_choice("verdict", said, VERDICTS)
    except Exception as error:
        error.add_note(f"The checker was asked of {function.name}, vjp {name}.")
        raise
    return Verdict(function.name, function.kind, name, said, f_calls, vjp_calls)
