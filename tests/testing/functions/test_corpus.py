import numpy as np
import pytest

from ttref import tree
from ttref.arithmetic import ball
from ttref.testing.functions import FUNCTIONS, KINDS
from ttref.testing.functions.corpus import all_vjps

if ball.available():
    from tests.testing.functions import proof

exact_only = pytest.mark.skipif(not ball.available(), reason="needs python-flint (extra exact)")
every = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)

# How far the float64 gradient may be from the exact one, relative to its largest entry, and where
# the condition or the precision of what is computed asks for more than a few roundings.
ROUNDING = 1e-11
ROUNDINGS = {
    "hilbert_solve": 1e-6,  # 2^-53 times the condition of 1.5e10
    "fixed_point_of_cosine": 1e-7,  # iterated to 1e-8
    "bisection": 1e-6,  # bisected to 1e-7
    "batch_norm_far_from_zero": 1e-9,  # 1e6 + x keeps x to 1e-10
    "squared_distance_of_float32": 1e-6,
    "sigmoid_of_float32": 1e-6,
    "dense_layer_of_float32": 1e-6,
}

# Relative errors of f: six digits are left by float32, and by most of what cancels; float16, and
# ``1 + x`` of 1e-12, leave three.
NOISE = 1e-5
NOISES = {"half_precision_inside": 2e-3, "log_of_one_plus": 1e-3}


def cotangent(function, args, seed=0):
    rng = np.random.default_rng(seed)
    return tree.map(lambda y: rng.standard_normal(np.shape(y))[()], function.f(*args))


def arrays(value):
    return [np.asarray(leaf) for leaf in tree.leaves(value) if leaf is not None]


@exact_only
@every
def test_the_right_vjp_equals_differences_in_400_bits(function):
    found = proof.prove(function)
    assert found.disagreement <= 1
    assert found.rounding <= ROUNDINGS.get(function.name, ROUNDING)


@exact_only
@every
def test_f_computes_in_400_bits_what_it_computes_in_floats(function):
    in_floats, precise = proof.values(function)
    tolerance = NOISES.get(function.name, NOISE)
    for found, expected in zip(in_floats, precise, strict=True):
        largest = np.max(np.abs(expected), initial=0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


@exact_only
@pytest.mark.parametrize("name", ["gelu", "solve", "layer_norm", "sort_rows", "cross_entropy"])
def test_the_proof_fails_for_wrong_vjps(name):
    function = FUNCTIONS[name]
    for wrong in function.wrong.values():
        assert proof.prove(function._replace(vjp=wrong.vjp)).disagreement > 1, wrong.note


@exact_only
@every
def test_every_wrong_vjp_sticks_out_of_what_noise_and_curvature_explain(function):
    for name, ratio in proof.evidence(function).items():
        assert ratio >= 16, name


@every
def test_a_vjp_gives_a_gradient_of_each_shape_and_dtype_or_none(function):
    args = function.draw_args()
    dy = cotangent(function, args)
    for name, vjp in all_vjps(function):
        gradients = vjp(dy, *args)
        assert isinstance(gradients, tuple), name
        assert len(gradients) == len(args) == len(function.names)
        for i, (gradient, arg) in enumerate(zip(gradients, args, strict=True)):
            if i not in function.argnums:
                assert gradient is None
                continue
            for g, a in zip(tree.leaves(gradient), tree.leaves(arg), strict=True):
                assert np.shape(g) == np.shape(a), name
                assert np.asarray(g).dtype == np.asarray(a).dtype, name
                assert np.all(np.isfinite(g)), name


@every
def test_f_and_its_vjps_keep_their_arguments_and_return_new_arrays(function):
    args = function.draw_args()
    dy = cotangent(function, args)
    before = [a.copy() for a in arrays((dy, *args))]
    for call in (lambda: function.f(*args), *[_bind(v, dy, args) for _, v in all_vjps(function)]):
        first = arrays(call())
        for result in first:
            assert not any(np.shares_memory(result, a) for a in arrays((dy, *args)))
        for again, result in zip(arrays(call()), first, strict=True):
            np.testing.assert_array_equal(again, result)
    for a, b in zip(arrays((dy, *args)), before, strict=True):
        np.testing.assert_array_equal(a, b)


def _bind(vjp, dy, args):
    return lambda: vjp(dy, *args)


@every
def test_a_wrong_vjp_is_off_by_five_in_1e5_of_some_entry_for_every_seed(function):
    for seed in range(5):
        args = function.draw_args(seed)
        dy = cotangent(function, args)
        right = arrays(function.vjp(dy, *args))
        for name, wrong in function.wrong.items():
            found = zip(arrays(wrong.vjp(dy, *args)), right, strict=True)
            assert any(np.any(abs(w - r) > 5e-5 * abs(r)) for w, r in found), (name, seed)


@every
def test_arguments_are_new_and_the_same_for_a_seed(function):
    first = function.draw_args(3)
    second = function.draw_args(3)
    for a, b in zip(arrays(first), arrays(second), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, b)


@every
def test_each_function_is_described_and_has_two_to_four_wrong_vjps(function):
    assert function.note
    assert function.kind in KINDS
    assert 2 <= len(function.wrong) <= 4
    for wrong in function.wrong.values():
        assert wrong.note
        assert wrong.note.endswith(".")


def test_the_corpus_has_the_numbers_that_its_documentation_states():
    assert len(FUNCTIONS) >= 240
    assert {function.kind for function in FUNCTIONS.values()} == set(KINDS)
