"""Each layout against what its system computes with it, on trains of which all sizes differ."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from tests.convert.originals import DENSE
from ttref import TTMatrix, tt
from ttref.convert import SYSTEMS, from_canonical, join_halves, to_canonical
from ttref.errors import ConventionError, DtypeError, RankError, ShapeError

SHAPES = {
    1: ((3,), (2,), (1, 1)),
    2: ((3, 5), (4, 2), (1, 6, 1)),
    3: ((2, 5, 3), (4, 1, 6), (1, 7, 8, 1)),
    4: ((2, 1, 5, 3), (3, 4, 1, 2), (1, 5, 6, 4, 1)),
}
EQUAL = ((4, 4, 4), (3, 3, 3), (1, 2, 2, 1))  # what tn_keras holds
OVER_ALL_MODES = ("comera", "loretta")
NAMES = [name for name in SYSTEMS if name not in OVER_ALL_MODES]


def draw(shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape)


def train(structure):
    n, m, r = structure
    shapes = zip(r[:-1], n, m, r[1:], strict=True)
    return [draw(shape, seed) for seed, shape in enumerate(shapes)]


def train_over_all_modes(n, m, ranks):
    sizes = (*n, *m)
    return [draw((ranks[k], sizes[k], ranks[k + 1]), k) for k in range(len(sizes))]


def own_order(system, structure):
    """Modes and ranks as the system counts them."""
    return tuple(s[::-1] for s in structure) if system == "tensornet-matlab" else structure


def equal_trees(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal_trees(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal_trees, a, b))
    return np.shape(a) == np.shape(b) and bool(np.all(a == b))


def holds(system, structure):
    n, m, r = structure
    return not SYSTEMS[system].refuse(tt.check.Structure(n, m, r))


CASES = [
    (system, structure)
    for system in NAMES
    for structure in (*SHAPES.values(), EQUAL)
    if holds(system, structure)
]


def test_every_system_has_an_original_and_a_case():
    assert DENSE.keys() == SYSTEMS.keys()
    assert {system for system, _ in CASES} == set(NAMES)


@pytest.mark.parametrize(("system", "structure"), CASES)
def test_what_is_written_is_the_same_matrix_in_the_system(system, structure):
    cores = train(structure)
    stored = from_canonical(system, cores)
    found = DENSE[system](stored, *own_order(system, structure))
    assert np.array_equal(found, TTMatrix(cores).full())


@pytest.mark.parametrize(("system", "structure"), CASES)
def test_what_is_read_is_the_same_matrix_and_is_written_back_the_same(system, structure):
    """The stored arrays are drawn in the shapes of the system, not made by `from_canonical`."""
    order = own_order(system, structure)
    stored = stored_train(system, *order)
    cores = to_canonical(system, stored, *order)
    assert np.array_equal(TTMatrix(cores).full(), DENSE[system](stored, *order))
    assert equal_trees(from_canonical(system, cores), stored)
    again = to_canonical(system, from_canonical(system, cores), *order)
    assert equal_trees(list(again), list(cores))


def stored_train(system, n, m, r):
    """Random arrays of the shapes that the system's constructor makes."""
    d = len(n)
    parts = [(r[k], n[k], m[k], r[k + 1]) for k in range(d)]
    length = sum(map(math.prod, parts))
    if system in ("canonical", "t3f", "t3nsor"):
        shapes = [(a, j, i, b) for a, j, i, b in parts]
    elif system in ("t3nsor-transposed", "torchtt", "tltorch", "scikit_tt"):
        shapes = [(a, i, j, b) for a, j, i, b in parts]
    elif system == "tednet":
        shapes = [(j, i, a, b) for a, j, i, b in parts]
        shapes[0] = (n[0], m[0], r[1])
        shapes[-1] = (n[-1], m[-1], r[-2])
    elif system == "tn_keras":
        shapes = [(j, a, b, i) for a, j, i, b in parts]
        shapes[0] = (n[0], r[1], m[0])
        shapes[-1] = (n[-1], r[-2], m[-1])
    elif system == "tensornet-tf":
        shapes = [(i * b, a * j) for a, j, i, b in parts]
    elif system == "torch-mpo":
        shapes = [(a * i, b * j) for a, j, i, b in parts]
    elif system == "fbtt":
        shapes = [(1, j, a * i * b) for a, j, i, b in parts]
    elif system == "tensornet-matlab":
        ps = tuple(1 + sum(map(math.prod, parts[:k])) for k in range(d + 1))
        return {"core": draw((length, 1)), "n": m, "m": n, "r": r, "ps": ps}
    else:
        return draw(length)
    return [draw(shape, seed) for seed, shape in enumerate(shapes)]


OVER_ALL = [
    ((3,), (2,), (1, 4, 1)),
    ((3, 5), (4, 2), (1, 2, 6, 3, 1)),
    (*EQUAL[:2], (1, 2, 3, 5, 2, 3, 1)),
]
OVER_ALL.append(((2, 5, 3), (4, 1, 6), (1, 2, 3, 2, 4, 3, 1)))
OVER_ALL.append(((2, 1, 5, 3), (3, 4, 1, 2), (1, 2, 3, 2, 4, 3, 2, 2, 1)))


@pytest.mark.parametrize("system", OVER_ALL_MODES)
@pytest.mark.parametrize("structure", OVER_ALL)
def test_a_train_over_all_modes_is_the_same_matrix_in_both_forms(system, structure):
    n, m, r = structure
    stored = train_over_all_modes(n, m, r)
    cores = to_canonical(system, stored, n, m, r)
    expected = DENSE[system](stored, *structure)
    assert np.array_equal(TTMatrix(cores).full(), expected)
    assert equal_trees(from_canonical(system, cores), stored)
    assert [core.shape[3] for core in cores] == list(r[1:])  # no rank changes
    joined = TTMatrix(join_halves(cores))
    assert np.array_equal(joined.full(), expected)
    assert (joined.in_modes, joined.out_modes) == (n, m)
    d = len(n)
    assert joined.ranks == (1, *(r[k] * r[d] * r[d + k] for k in range(1, d)), 1)


def test_a_train_of_a_matrix_in_the_form_of_all_modes_comes_from_its_dense_form():
    W = TTMatrix(train(SHAPES[2])).full().astype(float)
    cores = tt.from_dense(W, (3, 5, 1, 1), (1, 1, 4, 2)).cores
    stored = from_canonical("loretta", cores)
    assert [core.shape for core in stored] == [(1, 3, 3), (3, 5, 8), (8, 4, 2), (2, 2, 1)]
    with pytest.raises(ShapeError, match=r"expected output modes of 1 in the first half .*from_d"):
        from_canonical("loretta", train(SHAPES[2]))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_library_and_dtype_is_kept(system, float_backend):
    if system in OVER_ALL_MODES:
        n, m, r = OVER_ALL[2]
        cores = to_canonical(system, train_over_all_modes(n, m, r))
    else:
        n, m, r = own_order(system, EQUAL)
        cores = train(EQUAL)
    cores = [float_backend.array(core) for core in cores]
    stored = from_canonical(system, cores)
    back = to_canonical(system, stored, n, m, r)
    for found, core in zip(back, cores, strict=True):
        assert type(found) is type(core)
        assert found.dtype == core.dtype
        assert bool(float_backend.xp.all(found == core))


def test_exact_numbers_stay_what_they_are():
    cores = [core.astype(object) for core in train(SHAPES[3])]
    kernel = from_canonical("tt_rnn", cores)
    assert kernel.dtype == object
    assert type(kernel[0]) is int
    assert equal_trees(to_canonical("tt_rnn", kernel, *SHAPES[3]), tuple(cores))


def test_a_ttmatrix_is_as_good_as_its_cores():
    W = TTMatrix(train(SHAPES[3]))
    assert equal_trees(from_canonical("tednet", W), from_canonical("tednet", W.cores))


def test_gates_of_tt_rnn_are_slices_of_the_first_core():
    """The kernel of a TT-LSTM is that of a TT layer with a first output mode four times as wide."""
    n, m, r = (3, 5), (4 * 2, 7), (1, 6, 1)
    kernel = draw(3 * 8 * 6 + 6 * 5 * 7)
    cores = to_canonical("tt_rnn", kernel, n, m, r)
    W = DENSE["tt_rnn"](kernel, n, m, r).reshape(15, 4, 14)
    for gate in range(4):
        of_gate = TTMatrix([cores[0][:, :, 2 * gate : 2 * gate + 2, :], cores[1]])
        assert np.array_equal(of_gate.full(), W[:, gate])


def test_ranks_follow_from_matrices():
    n, m, _ = SHAPES[4]
    for system in ("tensornet-tf", "torch-mpo", "fbtt"):
        cores = to_canonical(system, from_canonical(system, train(SHAPES[4])), n, m)
        assert TTMatrix(cores).ranks == SHAPES[4][2]


def test_one_table_of_fbtt_may_come_without_its_first_axis():
    n, m, _ = SHAPES[2]
    stored = from_canonical("fbtt", train(SHAPES[2]))
    assert equal_trees(
        to_canonical("fbtt", [core[0] for core in stored], n, m), tuple(train(SHAPES[2]))
    )


def test_matlab_modes_are_read_from_its_fields_or_given():
    W = from_canonical("tensornet-matlab", train(SHAPES[3]))
    n, m, r = own_order("tensornet-matlab", SHAPES[3])
    columns = {name: np.asarray(W[name], float).reshape(-1, 1) for name in ("n", "m", "r", "ps")}
    for stored in (W, W | columns):
        assert equal_trees(to_canonical("tensornet-matlab", stored), tuple(train(SHAPES[3])))
    for vector in (W["core"], W["core"].T, W["core"][:, 0]):
        found = to_canonical("tensornet-matlab", vector, n, m, r)
        assert equal_trees(found, tuple(train(SHAPES[3])))


def test_the_page_has_the_sentence_of_each_system():
    page = (Path(__file__).parents[2] / "docs" / "convert.md").read_text()
    rows = [f"| `{name}` | {layout.words} |" for name, layout in SYSTEMS.items()]
    assert "\n".join(rows) in page


# Refusals

VECTOR = draw(3 * 4 * 6 + 6 * 5 * 2)
N, M, R = SHAPES[2]
CORES = train(SHAPES[2])


@pytest.mark.parametrize(
    ("system", "stored", "given", "error", "message"),
    [
        ("tt-rnn", VECTOR, (), ConventionError, "system is 'tt-rnn', .*; did you mean tt_rnn?"),
        ("TorchTT", CORES, (), ConventionError, "did you mean torchtt?"),
        ("tt_rnn", VECTOR, (), ConventionError, "^give in_modes and out_modes and ranks: they do"),
        ("tensornet-tf", CORES, (), ConventionError, "^give in_modes and out_modes: they do not"),
        ("tt_rnn", VECTOR, (N, M), ConventionError, "^give ranks: they do not follow from what"),
        ("t3f", CORES, (N,), ConventionError, "^give both in_modes and out_modes, or neither$"),
        ("t3f", CORES, (None, None, R), ConventionError, "^ranks are given without in_modes"),
        ("t3f", CORES, (N, (4, 1)), ShapeError, r"stored is a train of out_modes \(4, 2\), not"),
        ("t3f", CORES, (N, (4,)), ShapeError, r"in_modes \(3, 5\) and out_modes \(4,\) differ in"),
        ("t3f", CORES, (N, M, 5), ShapeError, r"a train of ranks \(1, 6, 1\), not \(1, 5, 1\)"),
        ("tt_rnn", VECTOR[1:], (N, M, R), ShapeError, r"shape \(131,\), expected 132 numbers for"),
        ("tt_rnn", VECTOR.reshape(2, -1), (N, M, R), ShapeError, r"shape \(2, 66\), expected 132"),
        ("t3f", CORES[0], (), ShapeError, "^stored is a ndarray, expected a sequence of cores$"),
        ("t3f", [], (), ShapeError, "^stored has no cores, expected at least one$"),
        ("t3f", [CORES[0][0]], (), ShapeError, r"core 0 has shape \(3, 4, 6\), expected 4 axes"),
        ("t3f", [[["x"]]], (), DtypeError, "core 0 has dtype <U1, expected numbers"),
        ("t3f", CORES[::-1], (), RankError, r"core 0 has left rank 6, expected r_0 = 1"),
        ("tednet", CORES, (), ShapeError, r"core 0 has .* 3 axes \(input mode, output mode, right"),
        (
            "torch-mpo",
            CORES[:1],
            (N, M),
            ShapeError,
            "^stored has 1 cores, but the modes are those",
        ),
        (
            "tensornet-tf",
            [np.ones((24, 3)), np.ones((2, 31))],
            (N, M),
            ShapeError,
            r"^core 1 has shape \(2, 31\), expected \(output mode \* right rank, left rank \* "
            r"input mode\) with left rank 6, input mode 5 and output mode 2$",
        ),
        ("loretta", CORES, (), ShapeError, r"core 0 has shape \(1, 3, 4, 6\), expected 3 axes"),
        ("loretta", [np.ones((1, 2, 1))], (), ShapeError, "^stored has 1 cores, expected one for"),
        (
            "tensornet-matlab",
            {"x": 1},
            (),
            ConventionError,
            "has the fields x, expected core, n, m",
        ),
        (
            "tensornet-matlab",
            VECTOR,
            (),
            ConventionError,
            "^give in_modes and out_modes and ranks, ",
        ),
        (
            "tensornet-matlab",
            {"core": VECTOR, "ps": [1, 61, 132]},
            (N, M, R),
            ShapeError,
            r"ps is \[1, 61, 132\], but cores of these modes and ranks begin at \[1, 73, 133\]",
        ),
        (
            "tensornet-matlab",
            {"core": VECTOR, "n": [1.5], "m": [2], "r": [1, 1]},
            (),
            ShapeError,
            r"n is \[1.5\], expected integers",
        ),
    ],
)
def test_what_cannot_be_read_is_named(system, stored, given, error, message):
    with pytest.raises(error) as caught:
        to_canonical(system, stored, *given)
    assert re.search(message.replace("?", r"\?"), str(caught.value))


@pytest.mark.parametrize(
    ("system", "structure", "message"),
    [
        ("tednet", SHAPES[1], "tednet cannot hold a train of one core"),
        ("tn_keras", SHAPES[2], "tn_keras cannot hold a train of fewer than three cores"),
        ("tn_keras", SHAPES[3], "tn_keras cannot hold modes or ranks that differ between cores"),
        ("fbtt", SHAPES[1], "fbtt cannot hold a train of fewer than 2 or more than 4 cores"),
        (
            "fbtt",
            ((1,) * 5, (1,) * 5, (1,) * 6),
            "fbtt cannot hold a train of fewer than 2 or more",
        ),
    ],
)
def test_what_a_system_cannot_hold_is_named(system, structure, message):
    with pytest.raises(ConventionError, match=message):
        from_canonical(system, train(structure))


def test_halves_are_needed_to_join_them():
    with pytest.raises(ShapeError, match=r"cores have input modes \(3, 5\) and output modes"):
        join_halves(CORES)
    with pytest.raises(ShapeError, match=r"cores have input modes \(3,\) and output modes"):
        join_halves([np.ones((1, 3, 1, 1))])


def test_unequal_trains_are_read_from_tn_keras_all_the_same():
    stored = stored_train("tn_keras", *SHAPES[3])
    cores = to_canonical("tn_keras", stored)
    assert np.array_equal(TTMatrix(cores).full(), DENSE["tn_keras"](stored, *SHAPES[3]))
