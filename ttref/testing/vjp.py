"""`check_vjp`: anybody's ``(f, vjp)``, without a definition of what f should be.

The verdict is about f at the arguments that it is given. `ttref.testing.black_box` has the parts.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from ttref.arrays import describe
from ttref.checks import check_choice, check_not_negative
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, DtypeError
from ttref.rng import generator
from ttref.testing.black_box.behaviour import Observed, observe
from ttref.testing.black_box.examine import ONE_BY_ONE, Examiner
from ttref.testing.black_box.lines import Prober
from ttref.testing.black_box.pair import Pair
from ttref.testing.black_box.search import Limits, Searcher, limits_for
from ttref.testing.black_box.structure import dtype_name, unit_of, unit_of_values
from ttref.testing.black_box.verdict import RIGHT, WRONG, ArgumentReport, VjpReport
from ttref.testing.report import Check, Failure, Target

LEAST_CALLS = 128  # of f, for arguments of very few entries
CALLS_PER_ENTRY = {"low": 3, "normal": 4, "high": 40}
MOST_CALLS = {"low": 400, "normal": 1500, "high": 100000}  # where entries are seen in groups
LINEARITY = 1e-4  # relative, of sums of gradients: what roundings never explain
WIDE = 64  # units of roundoff by which f in float64 may differ from f as it was given

Progress = Callable[[Iterable], Iterable]


def check_vjp(
    f: Callable[..., Tree],
    vjp: Callable[..., Sequence[Tree]],
    args: Sequence[Tree],
    *,
    names: Sequence[str] | None = None,
    argnums: Sequence[int] | None = None,
    noise: float | None = None,
    exclude_kinks: bool = False,
    effort: str = "normal",
    seed: int = 0,
    progress: Progress | None = None,
) -> VjpReport:
    """Check that ``vjp`` pulls cotangents back through ``f``, at the given arguments.

    Parameters
    ----------
    f : callable
        ``f(*args) -> y``: an array, a number, or a tree (dicts, tuples, lists) of them.
    vjp : callable
        ``vjp(dy, *args) -> gradients``, where `dy` has the structure of y (None for results that
        are no floats). One gradient for each argument, of its structure and shapes, or one for each
        of `argnums`; None stands for no gradient. Complex gradients are
        ``dL/d(re) + i dL/d(im)``, and so is `dy`, as in torch.
    args : sequence
        Arrays of any library, numbers, or trees of them. Those that hold no floats (labels, masks,
        options) have no gradient.
    names : sequence of str, optional
        Of the arguments, for the report.
    argnums : sequence of int, optional
        The arguments that have a gradient; all that hold floats by default.
    noise : float, optional
        Bound on the absolute error of the entries of y. It is measured if it is not stated.
    exclude_kinks : bool
        Judge without the entries on which f has a kink. Otherwise they leave their argument
        undecided.
    effort : {"normal", "low", "high"}
        How many calls are made. With ``"normal"``, f is called at most 4 times, and vjp once, for
        each entry of the arguments and of y; but 128 and 8 times are always allowed. With
        ``"low"``, small gradients are examined in groups of entries; with ``"high"``, large ones
        entry by entry.
    seed : int
        Of the weights of the entries of y.
    progress : callable, optional
        Wraps an iterable of lines, as ``tqdm`` does, which is taken by default: it shows after a
        second.

    Returns
    -------
    VjpReport
        It is true if the verdict is "right". See its `arguments`, `failures`, `undecided`.

    Raises
    ------
    ConventionError, DtypeError, ShapeError
        If `args` is no tuple, holds no floats, f returns none, or vjp returns another number of
        gradients. What f and vjp raise at the given arguments is raised as it is.

    Notes
    -----
    Nothing can be said of errors that f and vjp share: what f should be is not known here.

    Examples
    --------
    >>> report = check_vjp(
    ...     lambda x, w: x @ w,
    ...     lambda dy, x, w: (dy @ w.T, x.T @ dy),
    ...     (np.ones((2, 3)), np.ones((3, 4))),
    ...     names=("x", "w"),
    ... )
    >>> assert report
    """
    check_choice("effort", effort, CALLS_PER_ENTRY)
    if noise is not None:
        check_not_negative("noise", noise)
    rng = generator(seed)
    pair = Pair(f, vjp, args, _check_names(args, names), _check_argnums(args, argnums))
    if not pair.arguments.leaves:
        raise DtypeError("args hold no floats that have a gradient")
    if progress is None:
        from tqdm import tqdm

        progress = partial(tqdm, desc="check_vjp", unit="line", leave=False, delay=1)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        report = _check(pair, noise, effort, rng, progress)
    report.name = getattr(f, "__name__", type(f).__name__)
    if exclude_kinks:
        _exclude_kinks(report)
    return report


def _check(
    pair: Pair, noise: float | None, effort: str, rng: np.random.Generator, progress: Progress
) -> VjpReport:
    """Observe conduct, and examine each gradient."""
    scales = entry_scales(pair)
    seen = observe(pair, scales, effort, rng)
    report = VjpReport("", failures=dict(seen.failures), restless=seen.restless)
    gradients = _gradients(pair, seen, report)
    errors = _errors(pair, seen, gradients, rng)
    # what f is evaluated in
    unit, y = _choose_precision(pair, seen.y)
    unit = max(unit, 0.0 if pair.wide else seen.unit)
    floor = seen.projection.magnitude(seen.drift)
    if noise is not None:
        floor = noise * seen.projection.magnitude(np.ones_like(y))
        report.restless = report.restless if np.max(seen.drift, initial=0) > 2 * noise else ""
    prober = Prober(pair, seen.projection, y, unit, floor)
    limits = _limits(pair, gradients)
    searcher = Searcher(prober, limits, np.zeros(seen.projection.count), 0, noise is not None)
    examiner = Examiner(searcher, gradients, errors, scales, effort, rng)
    # leaf by leaf
    leaves = [leaf for leaf in pair.arguments.leaves if leaf.name not in pair.absent]
    budget = max(LEAST_CALLS, CALLS_PER_ENTRY[effort] * pair.arguments.size)
    if pair.arguments.size > ONE_BY_ONE[effort]:
        budget = min(budget, MOST_CALLS[effort])
    for number, leaf in enumerate(leaves):
        if leaf.name in pair.problems:
            continue
        later = sum(examiner.count_first_calls(other) for other in leaves[number:])
        share = (budget - pair.calls["f"] - later) // (len(leaves) - number)
        argument = examiner.examine(leaf, max(share, 8), progress)
        report.arguments[leaf.name] = argument
        _fail(report, argument)
    # the rest
    for name, problem in pair.problems.items():
        report.failures[Target(Check("structure"), name)] = Failure(problem)
    _require_finite(report, seen.y)
    report.skipped = examiner.skipped
    report.notes = [*seen.notes, *pair.notes]
    report.notes += [f"vjp gives no gradient for {name}" for name in sorted(pair.absent)]
    report.calls = {"f": pair.calls["f"], "vjp": pair.calls["vjp"]}
    return report


def _fail(report: VjpReport, argument: ArgumentReport) -> None:
    """Add the failure of an argument that is wrong."""
    if argument.verdict != WRONG or argument.worst is None:
        return
    worst = argument.worst.judgement
    part = f"the {argument.worst.part} of " if argument.worst.part else ""
    report.failures[Target(Check(worst.check), argument.name)] = Failure(
        f"{part}the cotangent of {argument.name}",
        worst.found,
        worst.expected,
        index=argument.worst.index,
        error=worst.error,
        allowed=worst.allowed,
    )


def _gradients(pair: Pair, seen: Observed, report: VjpReport) -> np.ndarray:
    """The gradients of each group of cotangents; vjp is linear, so their sum is that of all."""
    projection = seen.projection
    if projection.count == 1:
        return seen.gradient[np.newaxis]
    rows = [pair.gradient(projection.cotangent(k), pair.x) for k in range(projection.count)]
    gradients = np.stack(rows)
    off = np.abs(np.sum(gradients, axis=0) - seen.gradient)
    size = np.sum(np.abs(gradients), axis=0)
    unit = float(np.max(pair.arguments.unit(), initial=0))
    wrong = off > max(LINEARITY, 64 * unit) * np.max(size[np.isfinite(size)], initial=0)
    for leaf in pair.arguments.leaves:
        if wrong[leaf.start : leaf.stop].any():
            report.failures[Target(Check("linearity"), leaf.name)] = Failure(
                f"the cotangent of {leaf.name} is not linear in dy: that of a sum is not the sum"
            )
    return gradients


def _errors(
    pair: Pair, seen: Observed, gradients: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What roundings of vjp explain: how it moves when every entry moves by its roundoff."""
    unit = pair.arguments.unit()
    beside = pair.snap(pair.x * (1 + 2 * unit * rng.choice([-1, 1], pair.x.size)))
    try:
        moved = np.abs(pair.gradient(seen.projection.weights, beside) - seen.gradient)
    except Exception:  # outside of the domain
        moved = np.zeros_like(seen.gradient)
    moved = np.where(np.isfinite(moved), moved, 0)
    sizes = np.abs(gradients)
    for leaf in pair.arguments.leaves:
        part = slice(leaf.start, leaf.stop)
        if leaf.start < leaf.stop and unit[leaf.start] > 2.0**-53:  # sums of few digits
            sizes[:, part] = np.max(sizes[:, part], where=np.isfinite(sizes[:, part]), initial=0)
    return 4 * moved + 16 * unit * sizes


def _choose_precision(pair: Pair, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Whether f takes the arguments in float64; the roundoff of y, and y."""
    assert pair.results is not None
    unit = max(unit_of(leaf.like) for leaf in pair.results.leaves)
    units = pair.arguments.unit()
    if (units <= 2.0**-53).all():
        return unit, y
    try:
        args = pair.arguments.place(pair.x, float)
        chosen = pair.arguments.select(args)
        is_double = all(dtype_name(x) == "float64" for x in chosen)
        y_tree = pair.call_f(args)
        wide = pair.results.pack((y_tree,))
    except Exception:  # f takes arguments of its own format only
        return unit, y
    tolerance = WIDE * float(np.max(units)) * max(float(np.max(np.abs(y), initial=0)), 1e-30)
    if not is_double or not (np.abs(wide - y) <= tolerance)[np.isfinite(y)].all():
        return unit, y
    pair.wide = True
    return max(map(unit_of, pair.results.select((y_tree,)))), wide


def _limits(pair: Pair, gradients: np.ndarray) -> Limits:
    """The limits of agreement, by the precision in which gradients were computed."""
    assert pair.results is not None
    unit = max(pair.arguments.largest_unit, *map(unit_of, _likes(pair)))
    return limits_for(max(unit, unit_of_values(gradients.ravel())))


def _likes(pair: Pair) -> list[Array]:
    assert pair.results is not None
    return [leaf.like for leaf in pair.results.leaves] * 2


def entry_scales(pair: Pair) -> np.ndarray:
    """A first guess of the scale on which f varies with each entry, a power of two.

    It is the size of the entry, but neither larger than the spread of the entries of its leaf (of
    numbers 1e6 + 1 and 1e6 - 1 it is 1), nor less than 1/64 of it.
    """
    scales = np.ones(pair.arguments.size)
    for leaf in pair.arguments.leaves:
        x = pair.x[leaf.start : leaf.stop].astype(float)
        size = np.where(np.isfinite(x), np.abs(x), 0)
        largest = float(np.max(size, initial=0)) or 1.0
        spread = float(np.std(x / largest)) * largest
        if not 0 < spread < np.inf:
            size = np.where(size > 0, size, largest)
        else:
            size = np.clip(size, spread / 64, spread)
        scales[leaf.start : leaf.stop] = 2.0 ** np.clip(np.round(np.log2(size)), -1000, 1000)
    return scales


def _require_finite(report: VjpReport, y: np.ndarray) -> None:
    """Results that are not finite leave everything undecided."""
    if not np.isfinite(y).all():
        for argument in report.arguments.values():
            if argument.verdict == RIGHT:
                argument.verdict = "undecided"
                argument.reason = "f is not finite at the given arguments"


def _exclude_kinks(report: VjpReport) -> None:
    """Arguments of which only entries on kinks are undecided are right."""
    for argument in report.arguments.values():
        if argument.verdict == "undecided" and argument.kinks and argument.only_kinks:
            argument.verdict = RIGHT
            argument.reason = ""


def _check_names(args: Sequence[Tree], names: Sequence[str] | None) -> tuple[str, ...]:
    if not isinstance(args, tuple | list) or not args:
        raise ConventionError(f"args is {describe(args)}, expected a tuple of arguments")
    names = tuple(names or (f"argument {k}" for k in range(len(args))))
    if len(names) != len(args) or len(set(names)) != len(names) or "." in "".join(names):
        raise ConventionError(
            f"names are {names}, expected {len(args)} different ones without a dot"
        )
    return names


def _check_argnums(args: Sequence[Tree], argnums: Sequence[int] | None) -> tuple[int, ...] | None:
    if argnums is None:
        return None
    numbers = tuple(argnums) if isinstance(argnums, tuple | list) else (argnums,)
    known = [isinstance(k, int) and 0 <= k < len(args) for k in numbers]
    if not numbers or not all(known) or len(set(numbers)) < len(numbers):
        raise ConventionError(f"argnums is {argnums!r}, expected positions below {len(args)}")
    return numbers
