"""Why results are wrong: what makes them exact, and where the fault is.

The layer is asked cases of integers, and probes of some of them (`ttref.oracle.probes`). What was
found is compared with what wrong layers would compute (`ttref.oracle.models`), simplest first. With
the one that leaves the fewest tensors wrong, the arrays that are still wrong are compared with
changes of the right ones (`ttref.oracle.changes`). Nothing but equality counts, in every case.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from ttref.errors import TTRefError
from ttref.oracle.adapter import Adapter
from ttref.oracle.changes import (
    DIFFERS,
    MISSING,
    UNKNOWN,
    ZERO,
    Change,
    Leaf,
    changes,
    find_factor,
    vague_changes,
)
from ttref.oracle.layouts import Storage
from ttref.oracle.models import Compute, Model, models, storages
from ttref.oracle.observation import Observation, Results, as_floats, compute, observe
from ttref.oracle.probes import (
    AFFINE,
    INDEPENDENT,
    UNSTABLE,
    Reading,
    draw_small,
    make_probes,
)
from ttref.rng import generator
from ttref.testing.cases.case import Case
from ttref.testing.report import group

PROBED = 3  # cases with probes
FEWEST = 3  # cases in which a cause has to show, to be stated as certain


class Fault(NamedTuple):
    """A tensor that is wrong, and why."""

    tensor: str
    change: Change

    def __str__(self) -> str:
        return f"{self.tensor} {self.change.words}"


@dataclass(frozen=True)
class Diagnosis:
    """What makes the results exact.

    Attributes
    ----------
    model : Model or None
        With which the fewest tensors are wrong; None if that is the right layer, stored as the
        adapter declares.
    exact : tuple of str
        The tensors that are right with it.
    faults : tuple of Fault
        The tensors that are wrong with it.
    facts : tuple of str
        What the probes tell, in sentences.
    following : tuple of str
        Tensors that are wrong because of what the facts say.
    is_complete : bool
        Whether causes were looked for; otherwise there are facts alone.
    """

    model: Model | None
    exact: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    facts: tuple[str, ...] = ()
    following: tuple[str, ...] = ()
    is_complete: bool = True

    @property
    def storage(self) -> Storage | None:
        """The storage with which everything would be exact, if that is what is wrong."""
        return None if self.model is None else self.model.storage

    @property
    def causes(self) -> list[str]:
        """What makes the results exact, in words, and what is wrong with each other tensor."""
        given = "" if self.model is None else f" {self.model.words}"
        if not self.is_complete:
            return []
        if not (self.faults or self.following):
            return [f"everything is exact{given}"]
        causes = [f"{fault}{given}" for fault in self.faults]
        if self.exact:
            causes.insert(0, f"{', '.join(self.exact)}: exact{given}")
        return causes

    @property
    def sentences(self) -> list[str]:
        """The diagnosis in words: first the causes, then what the probes tell."""
        return [*self.causes, *self.facts]

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def diagnose(adapter: Adapter, dtype: str, cases: Sequence[Case]) -> Diagnosis:
    """Find what makes the results of a layer exact.

    Parameters
    ----------
    adapter : Adapter
    dtype : str
    cases : sequence of Case
        Of `truth.draw_integers` in `dtype`.

    Returns
    -------
    Diagnosis
    """
    # the cases, and the probes of some of them, in one go
    rng = generator(0)
    small = (draw_small(case, rng, dtype) for case in cases if len(case.inputs["cores"]) > 1)
    probed = [case for case in small if case is not None][:PROBED]
    probes = make_probes(probed, rng)
    asked = [*cases, *(probe.case for probe in probes)]
    answers = list(adapter.answer_all((case, dtype) for case in asked))
    first = len(cases)

    # a layer that cannot take what it is given, but takes it stored in another way
    if any(answer.errors for answer in answers[:first]) and adapter.run is None:
        found = _search_storage(adapter, dtype, cases)
        if found is not None:
            return found

    # the cause, and what the probes tell
    diagnosis = explain(observe(cases, answers[:first]), adapter.storage, dtype)
    unfit = dict.fromkeys(tensor for answer in answers[:first] for tensor in answer.unfit)
    faults = (*diagnosis.faults, *[Fault(tensor, MISSING) for tensor in unfit])
    exact = tuple([tensor for tensor in diagnosis.exact if tensor not in unfit])
    diagnosis = Diagnosis(diagnosis.model, exact, faults)
    results = [as_floats(answer.results) for answer in answers[first:]]
    if not all("y" in one for one in results):
        return diagnosis
    reading = Reading(probed, probes, results)
    facts = tuple(_describe(reading, diagnosis))
    # what has no cause of its own: numbers that do not repeat, and gradients of a wrong y
    derivatives = reading.derivatives()
    following = reading.unstable
    if any(fault.tensor == "y" for fault in diagnosis.faults) and all(derivatives.values()):
        following |= derivatives.keys() - {"y"}
    faults = tuple(
        fault
        for fault in diagnosis.faults
        if fault.tensor not in following or fault.change not in (UNKNOWN, DIFFERS)
    )
    wrong = {fault.tensor for fault in diagnosis.faults} - {fault.tensor for fault in faults}
    return replace(diagnosis, faults=faults, facts=facts, following=tuple(sorted(wrong)))


def explain(observations: Sequence[Observation], declared: Storage, dtype: str) -> Diagnosis:
    """Find what makes results exact that were computed anywhere, from these alone.

    Parameters
    ----------
    observations : sequence of Observation
        On cases of integers.
    declared : Storage
        How the layer says that it stores a problem.
    dtype : str

    Returns
    -------
    Diagnosis
    """
    tensors = _tensors(observations)
    best: Model | None = None
    wrong = _wrong(observations)
    if "y" in wrong or ("y" not in tensors and wrong):
        for model in models(declared):
            still = _wrong_with(model, observations, tensors, len(wrong))
            if len(still) < len(wrong) and "y" not in still:
                best = model
                wrong = still
            if not wrong:
                break
    known = compute if best is None else best.compute
    expected = [known(observation.case) for observation in observations]
    faults = [
        fault
        for tensor in wrong
        for fault in _explain(tensor, observations, expected, dtype, declared, known)
    ]
    exact = tuple([tensor for tensor in tensors if tensor not in wrong])
    return Diagnosis(best, exact, tuple(faults))


def _wrong_with(
    model: Model, observations: Sequence[Observation], tensors: list[str], enough: int
) -> list[str]:
    """The tensors that are not what a model computes; the search ends when there are `enough`."""
    wrong: set[str] = set()
    for observation in observations:
        expected = model.compute(observation.case)
        if expected is None:
            return tensors
        wrong |= observation.wrong(expected)
        if len(wrong) >= enough:
            break
    return [tensor for tensor in tensors if tensor in wrong]


def _explain(
    tensor: str,
    observations: Sequence[Observation],
    expected: Sequence[Results | None],
    dtype: str,
    declared: Storage,
    model: Compute = compute,
) -> Iterator[Fault]:
    """What is wrong with a tensor, or with each of its arrays that are wrong in another way."""
    leaves = [
        Leaf(name, found, right[name], observation.case, right, model)
        for observation, right in zip(observations, expected, strict=True)
        if right is not None
        for name, found in observation.found.items()
        if group(name) == tensor
    ]
    # one change of the whole tensor, or of the cores at some places
    change = _find_change(leaves, changes(tensor, dtype), dtype)
    parts: dict[str, list[Leaf]] = {}
    if tensor == "cores" and change in (UNKNOWN, DIFFERS):
        for leaf in leaves:
            parts.setdefault(_place(leaf), []).append(leaf)
    found = {
        place: _find_change(part, changes(tensor, dtype), dtype)
        for place, part in parts.items()
        if any(map(_is_wrong, part))
    }
    if any(part not in (UNKNOWN, DIFFERS) for part in found.values()):
        for place, part in found.items():
            yield Fault(f"{tensor}: {place}", part)
        return

    # less than a cause, or the tensor of another layer
    if change is UNKNOWN:
        change = _find_change(leaves, vague_changes(tensor), dtype)
    if change is UNKNOWN:
        change = _find_model(leaves, declared) or UNKNOWN
    yield Fault(tensor, change)


def _place(leaf: Leaf) -> str:
    """Where a core is."""
    number = int(leaf.name.partition(".")[2])
    last = len(leaf.case.inputs["cores"]) - 1
    if last == 0:
        return "the only core"
    names = {0: "the first core", last: "the last core"}
    return names.get(number, f"core {number + 1}")


def _is_wrong(leaf: Leaf) -> bool:
    return not np.array_equal(leaf.found, leaf.right)


def _find_change(leaves: Sequence[Leaf], tried: Iterable[Change], dtype: str) -> Change:
    """The first of some changes that makes all arrays what was found, or a factor."""
    if not leaves:
        return MISSING
    if not any(leaf.found.any() for leaf in leaves):
        return ZERO
    for change in tried:
        if _explains(change, leaves):
            telling = sum(_is_wrong(leaf) for leaf in leaves)
            return change if telling >= FEWEST else _doubt(change)
    return find_factor(leaves, dtype) or UNKNOWN


def _find_model(leaves: Sequence[Leaf], declared: Storage) -> Change | None:
    """The wrong layer that computes this tensor, and right ones besides."""
    for model in models(declared):
        telling = 0
        for leaf in leaves:
            expected = model.compute(leaf.case)
            if expected is None or not np.array_equal(expected[leaf.name], leaf.found):
                break
            telling += _is_wrong(leaf)
        else:
            change = Change(f"is what it would be {model.words}")
            return change if telling >= FEWEST else _doubt(change)
    return None


def _doubt(change: Change) -> Change:
    """The change, which too few cases tell from others."""
    return change._replace(words=f"probably {change.words}", certain=False)


def _explains(change: Change, leaves: Sequence[Leaf]) -> bool:
    """Whether every array is what the change makes of the right one."""
    if change.expect is None:
        return False
    return all(np.array_equal(change.expect(leaf), leaf.found) for leaf in leaves)


def _describe(reading: Reading, diagnosis: Diagnosis) -> Iterator[str]:
    """What the probes tell, in sentences."""
    unstable = reading.unstable
    for words, tensors in reading.findings().items():
        if words not in UNSTABLE and unstable & (tensors | {"y"}):
            continue
        named = ", ".join(sorted(tensors))
        if words in (AFFINE, INDEPENDENT):
            yield f"{words.removesuffix(' an array')} {named}"
        else:
            yield f"{words} ({named})"
    derivatives = reading.derivatives()
    exact = {t: derivatives[t] for t in derivatives if not unstable & {t, "y"}}
    forward = {fault.tensor for fault in diagnosis.faults} | (
        {"y"} if diagnosis.model is not None else set()
    )
    wrong = sorted(tensor for tensor, is_exact in exact.items() if not is_exact)
    if "y" in forward and not reading.shows_a_wrong_forward:
        return
    if wrong and "y" in forward and not set(wrong) - set(diagnosis.exact):
        yield "the gradients are right, and not the derivative of this forward: see the forward"
    elif wrong:
        named = ", ".join(wrong)
        yield f"the gradient of {named} is not the derivative of this forward: see the backward"
    elif exact and "y" in forward:
        yield "the gradients are the exact derivative of this forward: see the forward"


def _search_storage(adapter: Adapter, dtype: str, cases: Sequence[Case]) -> Diagnosis | None:
    """Ask the layer cases stored in other ways, and find the one that leaves the least wrong."""
    best: tuple[list[str], Storage, list[Observation]] | None = None
    for storage in storages(adapter.storage):
        found: list[Observation] = []
        for case in cases:
            try:
                answer = adapter.answer(case, dtype, storage)
            except TTRefError:
                break
            if answer.errors or answer.unfit:
                break
            found += observe([case], [answer])
            if best is not None and len(_wrong(found[-1:])) >= len(best[0]):
                break
        else:
            wrong = _wrong(found)
            if best is None or len(wrong) < len(best[0]):
                best = (wrong, storage, found)
            if not wrong:
                break
    if best is None:
        return None
    wrong, storage, found = best
    model = None if storage is adapter.storage else Model(f"if {storage.words}", _unknown, storage)
    right = [observation.right for observation in found]
    faults = [fault for tensor in wrong for fault in _explain(tensor, found, right, dtype, storage)]
    exact = tuple([tensor for tensor in _tensors(found) if tensor not in wrong])
    return Diagnosis(model, exact, tuple(faults))


def _unknown(case: Case) -> None:
    """What a layer computes that cannot take what it is given: nothing."""


def _wrong(observations: Sequence[Observation]) -> list[str]:
    """The tensors that are wrong in some case."""
    wrong = set().union(*(observation.wrong(observation.right) for observation in observations))
    return [tensor for tensor in _tensors(observations) if tensor in wrong]


def _tensors(observations: Sequence[Observation]) -> list[str]:
    """The tensors that were found."""
    named = chain.from_iterable(observation.found for observation in observations)
    return list(dict.fromkeys(map(group, named)))
