"""Score checkers of gradients on functions that people write, and write docs/checkers.md.

Every checker is asked of each right and each wrong vjp of `ttref.testing.functions`, at the same
arguments: `check_vjp`, a plain central difference along one direction, and the checks of other
packages (scripts/peers.py), which get f and its vjp as a custom function of single arrays. A
package that is not installed is left out, and the page says so; its scores of an earlier run stay.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from corpus_page import write_page
from peers import PEERS, Backward, Forward, IsRight, versions_of
from tqdm import tqdm

from ttref import tree
from ttref.contracts import Tree
from ttref.testing import check_vjp
from ttref.testing.functions import FUNCTIONS, Score, score
from ttref.testing.functions.function import VJP, F
from ttref.testing.functions.scoring import Checker

RECORD = Path("docs/checkers.json")
LARGEST = 2000  # numbers in the arguments: whoever probes entry by entry is not asked of more
STEP = 1e-6  # of the plain difference
TOLERANCE = 1e-4  # of the plain difference, relative
NOT_ASKED = "not asked"
REFUSED = "refused"

Answer = dict[str, Any]
"""What is recorded of one checker."""


class NotAsked(Exception):
    """The function is outside what the checker takes."""


def ttref_checker(f: F, vjp: VJP, args: Sequence[Tree]) -> str:
    """Ask `check_vjp`."""
    return check_vjp(f, vjp, args).verdict.lower()


def plain_difference(forward: Forward, backward: Backward, inputs: list[np.ndarray]) -> bool:
    """Compare with a central difference along one direction, as people write it."""
    rng = np.random.default_rng(0)
    direction = [rng.standard_normal(x.shape) for x in inputs]
    dy = rng.standard_normal(forward(*inputs).shape)

    def along(step: float) -> Any:
        moved = [x + step * v for x, v in zip(inputs, direction, strict=True)]
        return np.sum(dy * forward(*moved))

    gradients = backward(dy, *inputs)
    found = sum(np.sum(g * v) for g, v in zip(gradients, direction, strict=True))
    expected = (along(STEP) - along(-STEP)) / (2 * STEP)
    return bool(abs(found - expected) <= TOLERANCE * abs(expected))


def by_arrays(is_right: IsRight, record: list[str], largest: float) -> Checker:
    """Make a checker of vjps of one that takes functions of single arrays.

    What it does not take, or raises at, is undecided; `record` gets the reason. It is not asked
    about arguments of more than `largest` numbers.
    """

    def checker(f: F, vjp: VJP, args: Sequence[Tree]) -> str:
        try:
            forward, backward, inputs = on_arrays(f, vjp, args)
            if sum(x.size for x in inputs) > largest:
                raise NotAsked("large arguments")
            return "right" if is_right(forward, backward, inputs) else "wrong"
        except NotAsked:
            record.append(NOT_ASKED)
        except Exception:  # whatever another package raises
            record.append(REFUSED)
        return "undecided"

    return checker


def on_arrays(f: F, vjp: VJP, args: Sequence[Tree]) -> tuple[Forward, Backward, list[np.ndarray]]:
    """Make ``(forward, backward, inputs)``: functions of the arrays that have a gradient.

    Results are joined into one vector. This calls f and vjp once, to see what has a gradient.
    """
    y = f(*args)
    gradients = tree.flatten(tuple(vjp(tree.map(cotangent_of_ones, y), *args)))
    given = tree.flatten(tuple(args))
    chosen = [name for name, leaf in given.items() if has_gradient(name, leaf, gradients)]
    inputs = [np.array(given[name]) for name in chosen]
    if any(np.iscomplexobj(leaf) for leaf in (*inputs, *tree.leaves(y))):
        raise NotAsked("complex numbers")

    def rebuild(arrays: Sequence[np.ndarray]) -> Tree:
        new = dict(zip(chosen, arrays, strict=True))
        values = iter([new.get(name, leaf) for name, leaf in given.items()])
        return tree.map(lambda leaf: like(next(values), leaf), tuple(args))

    def forward(*arrays: np.ndarray) -> np.ndarray:
        floats = [v for v in map(np.asarray, tree.leaves(f(*rebuild(arrays)))) if is_float(v)]
        return np.array(floats[0]) if len(floats) == 1 else np.concatenate([*map(np.ravel, floats)])

    def backward(dy: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
        found = tree.flatten(tuple(vjp(split(dy, y), *rebuild(arrays))))
        return [
            np.array(found[name], dtype=x.dtype) for name, x in zip(chosen, arrays, strict=True)
        ]

    return forward, backward, inputs


def is_float(leaf: Any) -> bool:
    """Whether a leaf holds numbers that vary."""
    return np.issubdtype(np.asarray(leaf).dtype, np.inexact)


def cotangent_of_ones(leaf: Any) -> Any:
    """Ones in the shape of a result; None for a result that is no float."""
    return np.ones_like(leaf) if is_float(leaf) else None


def has_gradient(name: str, leaf: Any, gradients: dict[str, Any]) -> bool:
    """Whether an argument has a gradient."""
    return is_float(leaf) and gradients.get(name) is not None


def like(value: Any, leaf: Any) -> Any:
    """A number where there was a number."""
    return type(leaf)(value) if isinstance(leaf, float) else value


def split(dy: np.ndarray, y: Tree) -> Tree:
    """Cut the vector of all results into the structure of `y`."""
    flat = np.ravel(dy)
    first = 0

    def cut(leaf: Any) -> Any:
        nonlocal first
        if not is_float(leaf):
            return None
        start = first
        first += np.size(leaf)
        part = flat[start:first].reshape(np.shape(leaf)).astype(np.asarray(leaf).dtype)
        return part if np.shape(leaf) else part[()]

    return tree.map(cut, y)


def answer(name: str) -> Answer:
    """Score one checker: what the page tells of it."""
    reasons: list[str] = []
    if name == "ttref":
        checker = ttref_checker
    elif name == "plain difference":
        checker = by_arrays(plain_difference, reasons, math.inf)
    else:
        checker = by_arrays(PEERS[name][1](), reasons, LARGEST)
    np.random.seed(0)  # noqa: NPY002 (HIPS autograd draws from there)
    start = time.perf_counter()
    with np.errstate(all="ignore"):
        found = score(checker, progress=lambda it: tqdm(it, name))
    return {
        "checker": name,
        "seconds": round(time.perf_counter() - start),
        "all": found.row(),
        "kinds": {kind: found.of_kind(kind).row() for kind in kinds_of(found)},
        "misses": [f"{v.function}, {v.vjp}" for v in found.misses],
        "false alarms": [v.function for v in found.false_alarms],
        "not asked": reasons.count(NOT_ASKED),
        "refused": reasons.count(REFUSED),
    }


def kinds_of(found: Score) -> list[str]:
    """The kinds of functions that a score has, in their order."""
    return list(dict.fromkeys(v.kind for v in found.verdicts))


CHECKERS = ("ttref", "plain difference", *PEERS)


def answers(names: Sequence[str]) -> Iterator[Answer]:
    """Score the checkers of these names, two at a time; each answer comes when it is there."""
    context = get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(answer, name) for name in names]):
            yield done.result()


def save(found: Answer, versions: dict[str, str]) -> None:
    """Put an answer into the record, in the place of an older one of the same checker."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"answers": [], "versions": {}}
    by_name = {a["checker"]: a for a in [*record["answers"], found]}
    kept = [by_name[name] for name in CHECKERS if name in by_name]
    news = {"answers": kept, "versions": record["versions"] | versions}
    RECORD.write_text(json.dumps(news, indent=1) + "\n")


def main() -> None:
    """Score, and write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", metavar="CHECKER", choices=CHECKERS, help=", ".join(CHECKERS))
    add("--page", action="store_true", help="write the page from what is recorded")
    options = parser.parse_args()
    missing = [name for name in PEERS if find_spec(PEERS[name][0]) is None]
    chosen = [name for name in options.only or CHECKERS if name not in missing]
    for name in missing:
        print(f"NOT SCORED: {name} needs {PEERS[name][0]}, which is not installed")
    if not options.page:
        versions = versions_of(name for name in chosen if name in PEERS)
        for found in answers(chosen):
            save(found, versions)
    settings = {"functions": len(FUNCTIONS), "largest": LARGEST}
    write_page(json.loads(RECORD.read_text()), settings, list(PEERS))


if __name__ == "__main__":
    main()
