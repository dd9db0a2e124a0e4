"""Trees: maps, names, vectors and back, and the trees that do not fit each other."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref import tree
from ttref.arrays import to_numpy
from ttref.errors import DtypeError, ShapeError

KEYS = st.text("abcä ", min_size=1, max_size=3)


def branches(children):
    return st.dictionaries(KEYS, children, max_size=3) | st.lists(children, max_size=3).map(tuple)


NUMBERS = st.recursive(st.integers(-9, 9), branches, max_leaves=8)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
ARRAYS = st.recursive(SHAPES.map(lambda shape: np.zeros(shape)), branches, max_leaves=8).filter(
    lambda t: len(tree.leaves(t)) > 0
)


@given(NUMBERS)
def test_mapping_keeps_the_structure_and_meets_every_leaf_in_order(t):
    seen = []
    same = tree.map(lambda leaf: seen.append(leaf) or leaf, t)
    assert same == t
    assert seen == tree.leaves(t) == list(tree.flatten(t).values())


@given(NUMBERS)
def test_adding_a_tree_to_itself_doubles_every_leaf(t):
    assert tree.add(t, t) == tree.map(lambda leaf: 2 * leaf, t)


@given(ARRAYS)
def test_zeros_and_ones_have_the_shapes_of_the_leaves(like):
    for fill, value in ((tree.zeros_like, 0), (tree.ones_like, 1)):
        filled = fill(like)
        assert tree.flatten(filled).keys() == tree.flatten(like).keys()
        for leaf, its in zip(tree.leaves(filled), tree.leaves(like), strict=True):
            assert (leaf.shape, leaf.dtype) == (its.shape, its.dtype)
            assert np.all(leaf == value)


@given(NUMBERS)
def test_names_lead_to_their_leaves(t):
    for name, leaf in tree.flatten(t).items():
        node = t
        for key in name.split(".") if name else ():
            node = node[key] if isinstance(node, dict) else node[int(key)]
        assert node == leaf


@pytest.mark.parametrize("shape", [(3,), (1, 3), ()], ids=str)
def test_a_vector_shares_no_memory_with_the_leaves(float_backend, shape):
    leaf = float_backend.array(np.ones(shape))
    vector = tree.ravel({"one": leaf})
    vector += 1  # of a library whose arrays cannot be written, a new array
    assert np.all(to_numpy(leaf) == 1) and np.all(to_numpy(vector) == 2)


@given(ARRAYS, st.integers(0, 2**32 - 1))
def test_a_vector_goes_back_to_the_tree_it_came_from(like, seed):
    rng = np.random.default_rng(seed)
    t = tree.map(lambda leaf: rng.standard_normal(leaf.shape), like)
    vector = tree.ravel(t)
    assert vector.shape == (tree.size(t),)
    back = tree.unravel(vector, like)
    assert tree.flatten(back).keys() == tree.flatten(t).keys()
    for a, b in zip(tree.leaves(back), tree.leaves(t), strict=True):
        assert a.shape == b.shape and np.array_equal(a, b)


def test_a_vector_holds_the_leaves_in_order_and_each_in_c_order():
    t = ({"b": np.asarray([[1, 2], [3, 4]]).T, "a": np.asarray(5)}, {}, (np.asarray([6, 7]),))
    assert tree.ravel(t).tolist() == [1, 3, 2, 4, 5, 6, 7]
    assert tree.size(t) == 7
    assert list(tree.flatten(t)) == ["0.b", "0.a", "2.0"]


def test_an_array_by_itself_is_a_tree():
    assert tree.flatten(np.asarray(3)) == {"": 3}
    assert tree.ravel(np.asarray([[1, 2]])).tolist() == [1, 2]
    assert tree.leaves({}) == [] and tree.size(({}, ())) == 0


def test_lists_come_back_as_tuples():
    assert tree.map(lambda leaf: leaf + 1, [1, [2, {"a": [3]}]]) == (2, (3, {"a": (4,)}))
    assert tree.add([1, 2], (3, 4)) == (4, 6)


def test_dicts_are_matched_by_name_whatever_their_order():
    assert tree.add({"a": 1, "b": 10}, {"b": 20, "a": 2}) == {"a": 3, "b": 30}


def test_zeros_replace_even_a_nan():
    zeros = tree.zeros_like({"a": np.asarray([np.nan, np.inf], "float32"), "b": (np.ones((2, 1)),)})
    assert zeros["a"].tolist() == [0, 0] and zeros["b"][0].tolist() == [[0], [0]]
    assert zeros["a"].dtype == "float32"


def test_rationals_stay_rationals():
    t = {"a": np.asarray([Fraction(1, 3), Fraction(2, 3)], dtype=object)}
    assert tree.unravel(tree.ravel(t), t)["a"].tolist() == [Fraction(1, 3), Fraction(2, 3)]


def test_vectors_and_back_work_on_every_array_library(backend):
    t = {"a": backend.array([[1, 2], [3, 4]]), "b": (backend.array(5), backend.array([6]))}
    vector = tree.ravel(t)
    assert vector.dtype == backend.dtype
    assert to_numpy(vector).tolist() == [1, 2, 3, 4, 5, 6]
    back = tree.unravel(vector, tree.zeros_like(t))
    assert to_numpy(back["a"]).tolist() == [[1, 2], [3, 4]]
    assert [to_numpy(leaf).tolist() for leaf in back["b"]] == [5, [6]]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"a": 1}, {"b": 1}, "a dict of '?a'? in one is a dict of '?b'? in the other"),
        (
            {"a": 1, "b": 2},
            {"a": 1},
            "a dict of '?a'?, '?b'? in one is a dict of '?a'? in the other",
        ),
        ((1, 2), (1, 2, 3), "2 branches in one is 3 branches in the other"),
        (1, (1,), "an array in one is 1 branches in the other"),
        ((1,), 1, "1 branches in one is an array in the other"),
        ({"a": 1}, 1, "a dict of '?a'? in one is an array in the other"),
        ({"a": 1}, (1,), "a dict of '?a'? in one is 1 branches in the other"),
        ({"x": (1, {"a": 1})}, {"x": (1, {"b": 1})}, "a dict of '?a'? in one is a dict of '?b'?"),
    ],
    ids=str,
)
def test_trees_that_differ_are_refused(one, other, message):
    with pytest.raises(ShapeError, match="trees differ: " + message):
        tree.add(one, other)


def test_the_tree_that_differs_is_the_one_described_among_several():
    with pytest.raises(ShapeError, match="2 branches in one is 1 branches in the other"):
        tree.map(lambda *leaves: 0, (1, 2), (3, 4), (5,))


@pytest.mark.parametrize(("one", "other"), [({1: 1}, {2: 1}), ({"a, b": 1}, {"a": 1, "b": 1})])
def test_trees_of_odd_keys_that_differ_are_refused(one, other):
    with pytest.raises(ShapeError, match="trees differ"):
        tree.add(one, other)


def test_leaves_of_several_dtypes_make_no_vector():
    t = (np.ones(1, "float32"), np.ones(1, "float64"), np.ones(1, "float32"))
    with pytest.raises(DtypeError, match=r"\['float32', 'float64', 'float32'\], expected one"):
        tree.ravel(t)


def test_a_vector_that_is_too_long_is_refused():
    with pytest.raises(ShapeError, match="the vector has 5 numbers, the tree 2"):
        tree.unravel(np.arange(5.0), {"a": np.ones(2)})


def test_a_tree_without_leaves_makes_no_vector():
    with pytest.raises(ShapeError, match="no leaves"):
        tree.ravel({})
