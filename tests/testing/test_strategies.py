"""Strategies: what they draw, and that what fails shrinks to its smallest shape."""

import subprocess
import sys
from collections import Counter
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import InvalidArgument

from ttref import ops, tree
from ttref.arithmetic import ball
from ttref.errors import ConventionError
from ttref.testing import CASES, profiles, strategies
from ttref.testing.exact import adjoint, definition
from ttref.tt import TTMatrix

SEARCH = settings(
    max_examples=2000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def smallest(op, rung):
    """The shapes of the smallest case in which a rung refuses an operator for tt_linear."""

    def refused(case):
        return any(finding.failure for finding in rung(case, np.random.default_rng(0)))

    case = find(strategies.problems("tt_linear", op), refused, settings=SEARCH)
    return {leaf: x.shape for leaf, x in tree.flatten(case.inputs).items()}


def on_changed_cores(change):
    """tt_linear with each core changed, in forward and in backward alike."""

    def forward(params, x):
        return ops.tt_linear.forward({**params, "cores": tuple(map(change, params["cores"]))}, x)

    def backward(dy, cache):
        dparams, dx = ops.tt_linear.backward(dy, cache)
        return {**dparams, "cores": tuple(map(change, dparams["cores"]))}, dx

    return SimpleNamespace(forward=forward, backward=backward)


def swap_modes(core):
    """Input and output mode exchanged, where that fits."""
    return core.transpose(0, 2, 1, 3) if core.shape[1] == core.shape[2] else core


def swap_bonds(core):
    """Left and right bond exchanged, where that fits."""
    return core.transpose(3, 1, 2, 0) if core.shape[0] == core.shape[3] else core


def without_bias(params, x):
    y, cache = ops.tt_linear.forward(params, x)
    return (y - params["bias"] if "bias" in params else y), cache


def bias_of_one_row(dy, cache):
    dparams, dx = ops.tt_linear.backward(dy, cache)
    return (dparams | {"bias": dy[0]} if "bias" in dparams else dparams), dx


def test_swapped_modes_shrink_to_one_two_by_two_core():
    found = smallest(on_changed_cores(swap_modes), definition)
    assert found == {"cores.0": (1, 2, 2, 1), "x": (1, 2)}


def test_swapped_bonds_shrink_to_three_cores_of_one_entry_modes_and_rank_two():
    found = smallest(on_changed_cores(swap_bonds), definition)
    assert found == {
        "cores.0": (1, 1, 1, 2),
        "cores.1": (2, 1, 1, 2),
        "cores.2": (2, 1, 1, 1),
        "x": (1, 1),
    }


def test_a_missing_bias_shrinks_to_single_numbers():
    op = SimpleNamespace(forward=without_bias, backward=ops.tt_linear.backward)
    assert smallest(op, definition) == {"cores.0": (1, 1, 1, 1), "bias": (1,), "x": (1, 1)}


def test_a_missing_sum_over_the_batch_shrinks_to_a_batch_of_two():
    op = SimpleNamespace(forward=ops.tt_linear.forward, backward=bias_of_one_row)
    assert smallest(op, adjoint) == {"cores.0": (1, 1, 1, 1), "bias": (1,), "x": (2, 1)}


@pytest.mark.parametrize("name", CASES)
def test_the_real_operators_pass_on_whole_problems(name):
    @settings(max_examples=10)
    @given(strategies.problems(name))
    def climb(case):
        if not case.is_exact and not ball.available():
            pytest.skip("python-flint is not installed (extra exact)")
        strategies.assert_right(case)

    climb()


def test_assert_right_names_the_rung_and_the_tensor():
    @settings(SEARCH, phases=[Phase.generate])
    @given(strategies.problems("tt_linear", on_changed_cores(swap_modes)))
    def climb(case):
        strategies.assert_right(case)

    with pytest.raises(AssertionError, match=r"definition of y: .*expected"):
        climb()


def test_only_many_examples_look_for_large_errors():
    """`target` refuses to be called outside a hypothesis test, and so shows that it was."""
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    case = CASES["softmax"](lambda low, high: high, np.random.default_rng(0))
    before = settings.get_current_profile_name()
    try:
        strategies.assert_right(case, "certified")
        profiles.load("nightly")
        with pytest.raises(InvalidArgument, match="target"):
            strategies.assert_right(case, "certified")
    finally:
        settings.load_profile(before)


def test_profiles_set_the_examples_and_ci_repeats_itself():
    before = settings.get_current_profile_name()
    try:
        profiles.load("nightly")
        assert settings.default.max_examples >= 2000
        profiles.load("ci")
        assert settings.default.derandomize
        with pytest.raises(ConventionError, match="profile is 'weekly', expected one of 'dev', 'c"):
            profiles.load("weekly")
    finally:
        settings.load_profile(before)


def test_the_checks_can_be_imported_without_the_optional_packages():
    missing = ("hypothesis", "flint", "torch", "jax", "matplotlib", "pytest")
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); import ttref.testing, ttref.cli"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_problem_is_refused():
    with pytest.raises(ConventionError, match="operator is 'nonsense', expected one of 'linear'"):
        find(strategies.problems("nonsense"), bool, settings=SEARCH)


# What shows a bug, or hides it: each of these comes up in one of 50 trains at least.
FEATURES = {
    "square modes": lambda n, m, r: n == m and max(n) > 1,
    "equal ranks above 1": lambda n, m, r: len(r) > 3 and r[1] > 1 and len(set(r[1:-1])) == 1,
    "a rank above n m": lambda n, m, r: any(
        rank > min(prod(n[:k]) * prod(m[:k]), prod(n[k:]) * prod(m[k:])) for k, rank in enumerate(r)
    ),
    "size-1 modes": lambda n, m, r: 1 in n + m and len(n) > 1,
    "a mode of 5": lambda n, m, r: 5 in n + m,
    "all sizes different": lambda n, m, r: len({*n, *m, *r[1:-1]}) == 5,
    "one core": lambda n, m, r: len(n) == 1,
    "four cores": lambda n, m, r: len(n) == 4,
}


def test_every_kind_of_train_comes_up_often():
    seen = Counter()

    @settings(SEARCH, phases=[Phase.generate], max_examples=300)
    @given(strategies.structures())
    def draw(structure):
        seen.update(name for name, holds in FEATURES.items() if holds(*structure))

    draw()
    assert {name for name in FEATURES if seen[name] < 6} == set()


@given(strategies.modes(), strategies.ranks(), strategies.cores("float32"))
def test_modes_ranks_and_cores_fit_together(modes, ranks, cores):
    n, m = modes
    assert len(n) == len(m) and ranks[0] == ranks[-1] == 1
    assert all(core.dtype == "float32" for core in cores)
    W = TTMatrix(cores)
    assert prod(W.shape) <= 3**6  # three cores of 3 by 3
    assert max(map(abs, (v for core in cores for v in core.flat))) <= 3


@given(strategies.sequences())
def test_sequences_have_a_mask_of_their_steps(sequence):
    x, mask = sequence
    assert x.ndim == 3 and x.dtype == object
    assert mask.shape == x.shape[:2] and mask.dtype == bool


@pytest.mark.parametrize(
    "holds",
    [
        lambda mask: mask.all(),
        lambda mask: not mask.any(axis=1).all(),  # nothing but padding
        lambda mask: mask[0, 0] and not mask[0, 1:].any() and mask.shape[1] > 2,
        lambda mask: not mask[0, 0] and mask[0, -1],  # padding comes first
    ],
    ids=["none", "all", "end", "start"],
)
def test_padding_takes_every_form(holds):
    find(strategies.sequences(), lambda sequence: holds(sequence[1]), settings=SEARCH)


@given(strategies.images("float64"))
def test_images_are_small_integers(x):
    assert x.ndim == 4 and 1 <= x.size <= 2 * 5 * 5 * 3
    assert (x == np.round(x)).all() and np.abs(x).max() <= 3
