"""Score checkers of gradients on the mutants of ttref, and write docs/kill_matrix.md.

Every checker gets the same operators and, for each, cases of the same makers. ttref's own climbs
the ladder of `check_op`; torch.autograd.gradcheck (slow and fast), jax.test_util.check_grads, HIPS
autograd's check_grads and tf.test.compute_gradient get forward and backward as a custom function on
arrays of normal random numbers, with their default tolerances, reverse mode, first order. A peer
that is not installed is left out, and the page says so. Checkers run in processes of their own; one
that needs an environment of its own is scored there with --only, and joins the record.
"""

import argparse
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from kill_matrix_page import FORMATS, write_page
from peers import PEERS, TENSORFLOW_ERROR, Backward, Forward, IsRight, versions_of
from tqdm import tqdm

from ttref import tree
from ttref.rng import generator
from ttref.testing.accuracy import draw_floats
from ttref.testing.cases import CASES, Case, from_generator
from ttref.testing.ladder import DTYPES, LEVELS, Rung, attempt, rungs
from ttref.testing.mutants import MUTANTS
from ttref.testing.origin import Origin
from ttref.testing.report import Finding, Inapplicable
from ttref.testing.scoring import OPTIMIZERS, ladder_checker, score

RECORD = Path("docs/kill_matrix.json")
SEEDS = range(2)
EXAMPLES = 25  # for each seed: a mutant gets 2 x 25 cases
CHUNK = 200  # cases of the right operators between two reports of progress
CHUNKS = Path("runs/false_alarms")  # where a campaign that was interrupted goes on
COUNTS = ("cases", "comparisons", "undecided", "alarms", "seconds")
LINEAR = ("linear", "tt_linear", "fast.tt_linear", "Dense", "TTDense", "Sequential")
OTHERS = tuple(name for name in CASES if name not in (*LINEAR, *OPTIMIZERS))

Checker: TypeAlias = Callable[[Any, str, int, str], bool | None]
"""``checker(op, operator, seed, dtype)``, as `ttref.testing.score` takes it."""

Record: TypeAlias = dict[str, Any]
"""A part of docs/kill_matrix.json."""


ORDER = ("ttref", *PEERS)


def peer_checker(is_right: IsRight) -> Checker:
    """Make the checker that asks a peer about cases on floats until one is wrong."""

    def checker(op: Any, operator: str, seed: int, dtype: str) -> bool | None:
        rng = generator(seed)
        draw = from_generator(rng)
        np.random.seed(seed)  # noqa: NPY002 (HIPS autograd draws from there)
        for _ in range(EXAMPLES):
            case = CASES[operator](draw, rng, op)
            if case.backward is None:
                return None
            if not is_right(*on_arrays(draw_floats(case, rng, dtype))):
                return True
        return False

    return checker


def on_arrays(case: Case) -> tuple[Forward, Backward, list[np.ndarray]]:
    """Make ``(forward, backward, inputs)`` of a case: functions of single arrays, not of trees."""
    leaves = tree.flatten(case.inputs)

    def run(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        given = iter(arrays)
        return case.forward(tree.map(lambda _: next(given), case.inputs))

    def forward(*arrays: np.ndarray) -> np.ndarray:
        return np.array(run(arrays)[0], order="C")

    def backward(dy: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
        gradients = tree.flatten(case.backward(dy, run(arrays)[1]))
        return [np.array(gradients[name], order="C") for name in leaves]

    return forward, backward, list(leaves.values())


def make_checker(name: str) -> Checker:
    """Make the checker of that name, with the settings of the page."""
    if name == "ttref":
        return ladder_checker("certified", EXAMPLES)
    _, make_check = PEERS[name]
    return peer_checker(make_check())


def summary(job: tuple[str, str]) -> Record:
    """Score one checker on one format: what the page tells of it."""
    name, dtype = job
    checker = make_checker(name)
    start = time.perf_counter()
    found = score(
        checker, dtype=dtype, seeds=SEEDS, progress=lambda it: tqdm(it, f"{name} {dtype}")
    )
    return {
        "checker": name,
        "dtype": dtype,
        "seconds": round(time.perf_counter() - start),
        "kills": found.kills,
        "false alarms": found.false_alarms,
        "linear": found.curve(LINEAR),
        "others": found.curve(OTHERS),
        "smallest": {"linear": found.smallest(LINEAR), "others": found.smallest(OTHERS)},
    }


def score_missing(job: tuple[str, str]) -> Record:
    """The recorded score of one checker on one format, with the mutants that it lacks."""
    name, dtype = job
    recorded = json.loads(RECORD.read_text())["scores"]
    known = next(s for s in recorded if (s["checker"], s["dtype"]) == job)
    missing = [mutant for mutant in MUTANTS.values() if mutant.name not in known["kills"]]
    found = score(make_checker(name), (), mutants=missing, dtype=dtype, seeds=SEEDS)
    kills = known["kills"] | found.kills
    return known | {"kills": {mutant: kills[mutant] for mutant in MUTANTS}}


def false_alarms(count: int, level: str, seeds: Sequence[int]) -> Record:
    """Run the right operators on `count` cases of each seed, on two cores.

    What is done is kept in a file of `CHUNKS`. After Ctrl-C, the same call goes on from there.
    """
    jobs = [
        (seed, first, min(CHUNK, count - first), level)
        for seed in seeds
        for first in range(0, count, CHUNK)
    ]
    file = CHUNKS / f"{level}-{count}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = {}
    if file.exists():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        done = {tuple(line["job"]): line for line in lines}
    left = [job for job in jobs if job not in done]
    progress = tqdm(
        total=len(seeds) * count, unit="case", initial=sum(j[2] for j in jobs if j in done)
    )
    context = get_context("spawn")
    with (
        ProcessPoolExecutor(2, context, initializer=ignore_interrupts) as pool,
        file.open("a") as log,
    ):
        for future in as_completed([pool.submit(false_alarms_in, job) for job in left]):
            found = future.result()
            done[tuple(found["job"])] = found
            log.write(json.dumps(found) + "\n")
            log.flush()
            progress.update(found["cases"])
    file.unlink()
    return summarise([done[job] for job in jobs]) | {"level": level, "seeds": list(seeds)}


def summarise(chunks: Sequence[Record]) -> Record:
    """Add up what was counted; of the processor's time, the sum."""
    total: Record = {key: sum(chunk[key] for chunk in chunks) for key in COUNTS}
    families: dict[str, Counter[str]] = {}
    for chunk in chunks:
        for name, counts in chunk["families"].items():
            families.setdefault(name, Counter()).update(counts)
    first = [sentence for chunk in chunks for sentence in chunk["first"]]
    return total | {"families": families, "first": first[:5]}


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def false_alarms_in(job: tuple[int, int, int, str]) -> Record:
    """Count over some consecutive cases of a seed, of the operators in turn."""
    seed, first_case, count, level = job
    start = time.process_time()
    names = list(CASES)
    climbed = rungs(level, DTYPES)
    families: dict[str, Counter[str]] = {name: Counter() for name in names}
    wrong = []
    for k in range(first_case, first_case + count):
        name = names[k % len(names)]
        origin = Origin(name, seed, k // len(names))
        case = origin.make_case(CASES[name])
        for check, rung in climbed.items():
            findings = attempt_or_skip(rung, case, origin.generator(str(check)))
            families[name].update(
                cases=0,
                comparisons=len(findings),
                undecided=sum(f.undecided for f in findings),
                alarms=sum(f.failure is not None for f in findings),
            )
            options = f" --level {level}"
            wrong += [
                f"{origin.command(options)}: {check}: {f.failure}" for f in findings if f.failure
            ]
        families[name]["cases"] += 1
    counts = {key: sum(found[key] for found in families.values()) for key in COUNTS[:-1]}
    seconds = time.process_time() - start
    return {"job": job, "families": families, "first": wrong, "seconds": seconds} | counts


def attempt_or_skip(rung: Rung, case: Case, rng: np.random.Generator) -> list[Finding]:
    """The findings of a rung; none if it has no question for the operator."""
    try:
        return attempt(rung, case, rng)
    except Inapplicable:
        return []


def main() -> None:
    """Score, or count false alarms, and write the record and the page of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--false-alarms", type=int, metavar="N", help="only this: N cases of the right operators")
    add("--level", choices=LEVELS, default="certified", help="of these (certified)")
    add("--seeds", type=int, nargs="+", default=[0], help="of these; N cases each (0)")
    add("--only", nargs="+", metavar="CHECKER", help=f"of ttref, {', '.join(PEERS)}")
    add("--missing", action="store_true", help="only the mutants that the record lacks")
    add("--page", action="store_true", help="write the page from what is recorded")
    options = parser.parse_args()
    if options.false_alarms:
        save({"false alarms": [false_alarms(options.false_alarms, options.level, options.seeds)]})
    elif not options.page:
        run = score_missing if options.missing else summary
        for result in scores(options.only or list(ORDER), run):
            save(result)
    settings: Record = {"peers": list(PEERS), "linear": ", ".join(LINEAR)}
    settings |= {"seeds": len(SEEDS), "examples": EXAMPLES, "tensorflow_error": TENSORFLOW_ERROR}
    write_page(json.loads(RECORD.read_text()), settings)


def scores(names: Sequence[str], run: Callable[[tuple[str, str]], Record]) -> Iterator[Record]:
    """Score the checkers of these names, two at a time; each result comes when it is done.

    `run` is `summary` or `score_missing`.
    """
    missing = [name for name in PEERS if find_spec(PEERS[name][0]) is None]
    for name in missing:
        print(f"NOT SCORED: {name} needs {PEERS[name][0]}, which is not installed")
    jobs = [(name, dtype) for dtype in FORMATS for name in names if name not in missing]
    versions = versions_of(name for name in PEERS if name not in missing)
    context = get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(run, job) for job in jobs]):
            yield {
                "scores": [done.result()],
                "versions": versions,
            }


def save(news: Record) -> None:
    """Put new results into the record, in the place of those that they replace."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"scores": []}
    by_job = {(s["dtype"], s["checker"]): s for s in record["scores"] + news.get("scores", [])}
    jobs = [(dtype, name) for dtype in FORMATS for name in ORDER]
    news["scores"] = [by_job[job] for job in jobs if job in by_job]
    # campaigns of another level or of other seeds stay
    campaigns = news.get("false alarms", [])
    others = [
        old
        for old in record.get("false alarms", [])
        if all((old["level"], old["seeds"]) != (new["level"], new["seeds"]) for new in campaigns)
    ]
    news["false alarms"] = others + campaigns
    news["versions"] = record.get("versions", {}) | news.get("versions", {})
    RECORD.write_text(json.dumps(record | news, indent=1) + "\n")


if __name__ == "__main__":
    main()
