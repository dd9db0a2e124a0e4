"""Whatever stands in the user's file, a layer computes what the reference computes."""

import copy
import json
import math
import random
import warnings

import numpy as np
import pytest

from ttref import fast, ops, tree
from ttref.errors import ConventionError
from ttref.fast.tt_plan.plan import Plan, Problem, best_plan, plan_key
from ttref.layers import TTDense
from ttref.machine.costs import SHIPPED
from ttref.machine.measurements import read_measurements

MODES = (2, 3, 2)
RANKS = (1, 2, 2, 1)
BATCH = 4
PROBLEM = Problem(MODES, MODES, RANKS, BATCH)
LAYER = TTDense(MODES, MODES, RANKS)
KEY = plan_key(PROBLEM)


def integers(seed, shape):
    return np.random.default_rng(seed).integers(-2, 3, shape).astype("float32")


PARAMS = {
    "cores": tuple(integers(k, (RANKS[k], n, n, RANKS[k + 1])) for k, n in enumerate(MODES)),
    "bias": integers(3, (12,)),
}
X = integers(4, (BATCH, 12))
DY = integers(5, (BATCH, 12))


def compute(layer):
    y, cache = layer.forward(PARAMS, X)
    return tree.leaves((y, *layer.backward(DY, cache)))


EXPECTED = compute(ops.tt_linear)


def is_exact():
    """Whether the layer's results are those of the reference; no integer is rounded."""
    found = compute(LAYER)
    return all(np.array_equal(a, b) for a, b in zip(found, EXPECTED, strict=True))


@pytest.mark.parametrize(
    "entry",
    [
        [[], True, 1],
        [[[0, 1]], True, 1],
        [[[0, 1], [1, 2]], True, 1],
        [[[0, 2], [2, 4]], True, 1],
        [[[0, 3]], True, 2],
        [[[0, 3]], 0, 1],
        None,
    ],
)
def test_a_plan_that_does_not_fit_is_not_used(own_cache, entry):
    own_cache(plans={KEY: entry})
    with pytest.warns(UserWarning) as warned:
        assert is_exact()
        best_plan.cache_clear()
        assert is_exact()
    assert len(warned) == 1


def test_a_plan_of_other_cores_is_named(own_cache):
    own_cache(plans={KEY: [[[0, 2]], True, 1]})
    with pytest.warns(UserWarning, match=r"has a plan that does not fit, \(\(2, 3, 2\), .*; tt"):
        best_plan(PROBLEM)


@pytest.mark.parametrize(
    "plan",
    [
        Plan((), True),
        Plan(((0, 2),), True),
        Plan(((0, 1), (2, 3)), True),
        Plan(((0, 3),), 1),
        Plan(((0, 3),), True, 0),
        Plan([[0, 3]], True),
    ],
)
def test_a_plan_that_a_caller_gives_must_fit_too(plan):
    expected = "^plan is Plan.*, expected a tuple of groups that cut the 3 cores, such as"
    with pytest.raises(ConventionError, match=expected):
        fast.tt_linear.forward(PARAMS, X, plan)


ODD = [
    *(0, 1, 2, 3, 7, -1, 10**9, 10**400, 0.5, 1e-320, 1e308, math.inf, -math.inf, math.nan),
    *(True, False, None, "", "1", "\x1b[31m", "a" * 1000, [], {}, [[]], [0], [[0, 3]], [[0, 1]]),
]


def mutate(document, draw):
    """A copy of the document with a change somewhere: another value, one less, one more."""
    changed = copy.deepcopy(document)
    node = changed
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = draw.choice(keys)
        if not isinstance(node[key], dict | list) or not node[key] or draw.random() < 0.2:
            break
        node = node[key]
    change = draw.choice(["replace", "replace", "delete", "add", "scale"])
    if change == "delete":
        del node[key]
    elif change == "add" and isinstance(node, list):
        node.insert(draw.randrange(len(node) + 1), draw.choice(ODD))
    elif change == "scale" and isinstance(node[key], float):
        node[key] *= 10 ** draw.uniform(-9, 9)
    else:
        node[key] = draw.choice(ODD)
    return changed


def garble(text, draw):
    """The text with some characters replaced, taken out or put in, or cut off."""
    at = draw.randrange(len(text))
    length = draw.randrange(4)
    inserted = "".join(draw.choices('[]{}",:0123456789-eE.tfn\\\x00\x1b\ud800é', k=length))
    return draw.choice(
        [
            text[:at],
            text[:at] + inserted + text[at + draw.randrange(4) :],
            text[:at] + text[at + 1 :],
        ]
    )


@pytest.mark.parametrize("amount", [300, pytest.param(6000, marks=pytest.mark.slow)])
def test_whatever_is_changed_in_the_file_results_stay_right(own_cache, tmp_path, amount):
    shipped = read_measurements(SHIPPED).machines["cpu float32"]._asdict()
    tables = {name: list(shipped[name]) for name in ("products", "products_across")}
    plan = [[[0, 1], [1, 3]], True, 1]
    document = {"machines": {"cpu float32": shipped | tables}, "plans": {KEY: plan, "other": plan}}
    draw = random.Random(0)
    warned = 0
    for k in range(amount):
        # half of the changes are in the plans, as the tables are long
        part = "plans" if k % 2 else draw.choice(["plans", "machines"])
        changed = {**document, part: mutate({part: document[part]}, draw).get(part)}
        text = json.dumps(changed)
        text = garble(text, draw) if k % 5 == 0 else text
        own_cache("")
        (tmp_path / "machine.json").write_bytes(text.encode(errors="surrogatepass"))
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            assert is_exact(), text[-300:]
        assert len(found) <= 1, text[-300:]
        warned += len(found)
    assert warned > amount / 3
