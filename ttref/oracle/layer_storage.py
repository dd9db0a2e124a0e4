"""In which storage the functions of an adapter run, if they fail on the one that was declared."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from itertools import permutations, product
from typing import Any

import numpy as np

from ttref.errors import TTRefError
from ttref.oracle.adapter import Answer
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.oracle.specs import Problem, Spec, judge_floats
from ttref.oracle.specs.alternatives import find_options
from ttref.oracle.specs.base import run
from ttref.rng import generator

PROBLEMS = 4  # on which a storage is tried
MOST_TRIED = 200  # storages

STORAGES: dict[str, tuple[Any, ...]] = {
    "kernel": ("in out", "out in"),
    "recurrent": ("in out", "out in"),
    "time": ("BTN", "TBN"),
    "bias": ("one", "two", "none"),
    "images": ("NHWC", "NCHW"),
    "axes": ("NHWC", "NCHW", "BTC", "BCT", "BC"),
    "labels": ("integers", "probabilities"),
    "return_sequences": (True, False),
}
"""Values of options that change shapes or names of arrays."""


def find_storage(adapter: LayerAdapter) -> str:
    """Find the options with which the functions of an adapter run.

    Parameters
    ----------
    adapter : LayerAdapter
        One of which a function fails on all problems.

    Returns
    -------
    str
        The end of a sentence; empty if nothing was found.
    """
    for options in _storages(adapter.spec):
        try:
            other = replace(adapter, options={**adapter.options, **options})
            answers = _ask(other)
        except TTRefError:
            continue
        if not any(answer.results for _, _, answer in answers):
            continue
        words = " and ".join(f"{name} = {value!r}" for name, value in options.items())
        if all(_is_right(other.spec, *one) for one in answers):
            return f"; everything is right with {words}"
        more = find_options(other.spec, answers)
        return f"; the functions run with {words}" + (f", and then {more}" if more else "")
    return ""


def _storages(spec: Spec) -> Iterator[Mapping[str, Any]]:
    """Changes of options, those of few options first."""
    names = []
    values = []
    for option in fields(spec):
        own = getattr(spec, option.name)
        if option.name == "layout" or (option.name == "kernel" and len(str(own)) == 4):
            letters = "HWIO" if option.name == "kernel" else range(4)
            orders = [tuple(order) for order in permutations(letters)]
            known: tuple[Any, ...] = tuple(
                "".join(map(str, order)) if option.name == "kernel" else order for order in orders
            )
        elif own in STORAGES.get(option.name, ()):
            known = STORAGES[option.name]
        else:
            continue
        names.append(option.name)
        values.append((own, *[value for value in known if value != own]))
    owns = [value[0] for value in values]
    changes = [
        {name: v for name, v, own in zip(names, chosen, owns, strict=True) if v != own}
        for chosen in product(*values)
    ]
    yield from sorted([c for c in changes if c], key=len)[:MOST_TRIED]


def _ask(adapter: LayerAdapter) -> list[tuple[Problem, str, Answer]]:
    """The answers on a few problems; raise the first error of a function."""
    rng = generator(0)
    dtype = adapter.dtypes[0]
    answers = []
    for _ in range(PROBLEMS):
        problem = adapter.limit(adapter.spec.draw(rng, dtype, adapter.without))
        with np.errstate(all="ignore"):
            expected = run(adapter.spec, problem)
        answer = adapter.answer(problem, expected)
        for error in (*answer.errors.values(), *answer.unfit.values()):
            raise error
        answers.append((problem, dtype, answer))
    return answers


def _is_right(spec: Spec, problem: Problem, dtype: str, answer: Answer) -> bool:
    findings = judge_floats(spec, problem, answer.results, dtype)
    return all(f.failure is None for f in findings if f.tensor in answer.results)
