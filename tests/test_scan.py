"""Cells over time: exactly what must be equal, BPTT of polynomials, and what is refused."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amounts import amounts
from ttref import ops, scan, tree
from ttref.arithmetic import lattice
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import tangent
from ttref.arrays import to_numpy
from ttref.cells import GRUCell, LSTMCell, RNNCell, per_gate
from ttref.errors import ConventionError, DtypeError, RankError, ShapeError
from ttref.testing import check_op
from ttref.testing.exact import inner
from ttref.tt import TTMatrix

POLYNOMIAL = SimpleNamespace(  # x + x^2, in the place of tanh
    forward=lambda params, x: (x + x * x, x),
    backward=lambda dy, x: ({}, dy * (1 + 2 * x)),
)
CELLS = {
    "rnn": RNNCell(POLYNOMIAL),
    "hard rnn": RNNCell("hard_sigmoid"),
    "gru": GRUCell("identity", "hard_sigmoid"),
    "sixth gru": GRUCell("identity", "hard_sigmoid_sixth"),
    "gru after": GRUCell(POLYNOMIAL, "relu", reset="after"),
    "lstm": LSTMCell("relu", "hard_sigmoid"),
}
MAPS = {"linear": ops.linear, "tt_linear": ops.tt_linear, "per_gate": per_gate}
B, T, N, u = 3, 4, 4, 2
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def quarters(a):
    """Fractions among which a hard sigmoid is not flat."""
    return a.astype(object) * Fraction(1, 4)


def recurrent_trains(draw, gates, form):
    """U as a full matrix, as a train for all gates, or as one for each gate."""
    if form == "matrix":
        return draw(u, gates * u)
    if form == "train":
        return draw(1, 1, gates, 2), draw(2, u, u, 1)
    return tuple((draw(1, u, 1, 2), draw(2, 1, u, 1)) for _ in range(gates))


class Problem:
    """A cell over time on a few small numbers: parameters, x, masks, state and cotangents."""

    def __init__(self, cell, input_map="linear", seed=0, array=quarters, T=T, form="matrix"):
        rng = np.random.default_rng(seed)
        self.cell = cell
        self.input_map = MAPS[input_map]

        def draw(*shape):
            return array(rng.integers(-2, 3, shape))

        g = cell.gates
        self.params = {"recurrent": recurrent_trains(draw, g, form), "bias": draw(g * u)}
        if cell.takes_recurrent_bias:
            self.params["recurrent_bias"] = draw(g * u)
        if input_map == "linear":
            self.params["kernel"] = draw(N, g * u)
        elif input_map == "tt_linear":
            self.params["cores"] = draw(1, 2, g, 2), draw(2, 2, u, 1)
        else:
            self.params["cores"] = tuple((draw(1, 2, u, 2), draw(2, 2, 1, 1)) for _ in range(g))
        self.x = draw(B, T, N)
        self.dys = draw(B, T, u)
        self.state, self.dstate = (tuple(draw(B, u) for _ in range(cell.states)) for _ in "sd")
        self.options = {"input_mask": draw(B, N), "recurrent_mask": draw(g, B, u)}

    def run(self, x=None, dys=None, dstate=None, **options):
        """``{leaf: array}`` of results and gradients; options in the place of the problem's."""
        options = {"state": self.state, **self.options, **options}
        x = self.x if x is None else x
        (ys, last), cache = scan.forward(
            self.cell, self.params, x, input_map=self.input_map, **options
        )
        cotangents = (
            self.dys if dys is None else dys,
            self.dstate if dstate is None else dstate,
        )
        dparams, dx, dfirst = scan.backward(cotangents, cache)
        return tree.flatten({"ys": ys, "last": last, "params": dparams, "x": dx, "first": dfirst})

    def rows(self, b):
        """The problem of one sample."""
        part = object.__new__(Problem)
        part.cell = self.cell
        part.input_map = self.input_map
        part.params = self.params
        part.x, part.dys, part.state, part.dstate = tree.map(
            lambda a: a[b : b + 1], (self.x, self.dys, self.state, self.dstate)
        )
        part.options = {
            "input_mask": self.options["input_mask"][b : b + 1],
            "recurrent_mask": self.options["recurrent_mask"][:, b : b + 1],
        }
        return part


def parts(found, name):
    """The leaves of one result, in order."""
    return [value for leaf, value in found.items() if leaf.split(".")[0] == name]


def assert_equal(found, expected, leaves=None):
    assert found.keys() == expected.keys()
    for leaf in leaves or expected:
        assert np.array_equal(to_numpy(found[leaf]), to_numpy(expected[leaf])), leaf


@amounts(10, many=50)
@pytest.mark.parametrize("name", ["scan", "hard_scan"])
def test_definition_adjoint_and_dtype_hold_exactly_on_random_problems(name, amount):
    report = check_op(name, **amount, seed=5)
    assert report.ok, report


@amounts(4, many=15)
def test_transcendental_cells_are_within_certified_balls_and_floats_within_their_roundings(
    amount,
):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    report = check_op("smooth_scan", level="certified", **amount)
    assert report.ok, report


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(CELLS)), st.sampled_from(list(MAPS)))
def test_bptt_is_the_adjoint_of_the_tangent_map(seed, name, input_map):
    """<dy, J v> == <J^T dy, v> over all parameters, x and the state together."""
    problem = Problem(CELLS[name], input_map, seed, T=3)
    rng = np.random.default_rng(seed)
    inputs = problem.params, problem.x, problem.state
    v = tree.map(lambda a: rng.integers(-9, 10, a.shape).astype(object), inputs)
    options = {"input_map": problem.input_map, **problem.options}

    def forward(params, x, state):
        return scan.forward(problem.cell, params, x, state=state, **options)

    cotangents = problem.dys, problem.dstate
    pushed, _ = forward(*tree.map(dual, inputs, v))
    pulled = scan.backward(cotangents, forward(*inputs)[1])
    forth = zip(tree.leaves(cotangents), map(tangent, tree.leaves(pushed)), strict=True)
    back = zip(tree.flatten(pulled).values(), tree.flatten(v).values(), strict=True)
    assert sum(inner(*pair) for pair in forth) == sum(inner(*pair) for pair in back)


@pytest.mark.parametrize("input_map", MAPS)
@pytest.mark.parametrize("form", ["matrix", "train", "train per gate"])
@pytest.mark.parametrize(
    "cell",
    [RNNCell("relu"), GRUCell("relu", "identity"), LSTMCell("identity", "relu")],
    ids=["rnn", "gru", "lstm"],
)
def test_every_library_and_number_gives_the_same_integers(cell, form, input_map, backend):
    steps = 2 if form == "matrix" else 1  # two steps with trains would need more than 24 bits
    mask = np.asarray([[1, 1], [0, 1], [1, 0]], dtype=bool)[:, :steps]
    at_padding = "repeat" if form == "matrix" else "zero"

    def run(array, mask=mask):
        problem = Problem(cell, input_map, array=lambda a: array(np.sign(a)), T=steps, form=form)
        return problem.run(mask=mask, go_backwards=True, truncate=2, at_padding=at_padding)

    assert lattice.is_exact(max(map(lattice.peak, run(lattice.lift).values())), "float32")
    found = run(backend.array, backend.integers(mask))
    assert_equal(found, run(lambda a: a.astype(object)))
    assert all(value.dtype == backend.dtype for value in found.values())


MASKS = {
    "padded behind": [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]],
    "padded in front": [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]],
    "anywhere": [[0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0]],
}


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("padding", MASKS)
@cells
def test_a_mask_is_the_shorter_sequence(cell, padding, go_backwards):
    """Each sample alone, without its padding, gives the same; NaN in the padding is not read."""
    mask = np.asarray(MASKS[padding], dtype=bool)
    problem = Problem(cell)
    order = slice(None, None, -1 if go_backwards else 1)
    problem.x[~mask] = np.nan
    problem.dys[~mask[:, order]] = 0
    found = problem.run(mask=mask, go_backwards=go_backwards)
    gradients = []
    for b, steps in enumerate(mask):
        taken = steps[order]
        sample = problem.rows(b)
        alone = sample.run(sample.x[:, steps], sample.dys[:, taken], go_backwards=go_backwards)
        assert (found["ys"][b, taken] == alone["ys"][0]).all()
        assert (found["x"][b, steps] == alone["x"][0]).all()
        assert not found["x"][b, ~steps].any()
        for name in ("last", "first"):
            for whole, one in zip(parts(found, name), parts(alone, name), strict=True):
                assert (whole[b] == one[0]).all()
        gradients.append({k: v for k, v in alone.items() if k.startswith("params")})
    for leaf in gradients[0]:
        assert (found[leaf] == sum(g[leaf] for g in gradients)).all(), leaf


def test_padding_repeats_the_output_and_is_zero_before_the_first_step():
    cell = RNNCell("identity")
    mask = np.asarray([[0, 1, 0, 0, 1, 0]], dtype=bool)
    params = {"kernel": np.ones((1, 1)), "recurrent": np.asarray([[-2.0]])}
    x = np.arange(6.0).reshape(1, 6, 1)
    state = (np.asarray([[3.0]]),)
    options = {"input_map": ops.linear, "state": state, "mask": mask}
    (ys, last), cache = scan.forward(cell, params, x, **options)
    assert ys[0, :, 0].tolist() == [0, -5, -5, -5, 14, 14]
    assert last[0] == 14
    assert not np.signbit(ys[0, 0, 0])
    dys = np.asarray([1.0, 10, 100, 1000, 10000, 100000]).reshape(1, 6, 1)
    _, dx, dstate = scan.backward((dys, None), cache)
    last_step = 10000 + 100000
    first_step = 10 + 100 + 1000 - 2 * last_step
    assert dx[0, :, 0].tolist() == [0, first_step, 0, 0, last_step, 0]
    assert dstate[0] == -2 * first_step


def test_padding_outputs_zero_and_keeps_the_state_if_it_is_told_to():
    cell = RNNCell("identity")
    mask = np.asarray([[0, 1, 0, 0, 1, 0]], dtype=bool)
    params = {"kernel": np.ones((1, 1)), "recurrent": np.asarray([[-2.0]])}
    x = np.arange(6.0).reshape(1, 6, 1)
    options = {"input_map": ops.linear, "mask": mask, "at_padding": "zero"}
    (ys, last), cache = scan.forward(cell, params, x, state=(np.asarray([[3.0]]),), **options)
    assert ys[0, :, 0].tolist() == [0, -5, 0, 0, 14, 0]
    assert last[0] == 14
    dys = np.asarray([1.0, 10, 100, 1000, 10000, 100000]).reshape(1, 6, 1)
    _, dx, (dh,) = scan.backward((dys, (np.asarray([[7.0]]),)), cache)
    last_step = 10000 + 7
    first_step = 10 - 2 * last_step
    assert dx[0, :, 0].tolist() == [0, first_step, 0, 0, last_step, 0]
    assert dh == -2 * first_step


@pytest.mark.parametrize("truncate", [None, 1, 3])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("padding", MASKS)
@cells
def test_zero_at_padding_is_the_repeated_output_times_the_mask(
    cell, padding, go_backwards, truncate
):
    """Forward, and backward with the cotangents at padding left out."""
    mask = np.asarray(MASKS[padding], dtype=bool)
    valid = mask[:, :: -1 if go_backwards else 1, None]
    problem = Problem(cell)
    options = {"mask": mask, "go_backwards": go_backwards, "truncate": truncate}
    found = problem.run(at_padding="zero", **options)
    problem.dys = np.where(valid, problem.dys, 0)
    expected = problem.run(**options)
    assert_equal(found, {**expected, "ys": np.where(valid, expected["ys"], 0)})


def full_matrix(recurrent):
    """U of a train, or of a tuple of trains, by `TTMatrix`."""
    if isinstance(recurrent[0], tuple):
        return np.concatenate([full_matrix(train) for train in recurrent], axis=1)
    return TTMatrix(recurrent).full()


def changed_core(recurrent, at, core):
    """The trains with another core at the place `at`, the number of a core, or gate and core.

    Of trains for each gate, the others are zero.
    """
    if len(at) == 1:
        return (*recurrent[: at[0]], core, *recurrent[at[0] + 1 :])
    trains = list(tree.map(lambda a: 0 * a, recurrent))
    trains[at[0]] = changed_core(recurrent[at[0]], at[1:], core)
    return tuple(trains)


@pytest.mark.parametrize("mask", [None, *MASKS.values()], ids=["no mask", *MASKS])
@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.parametrize("form", ["train", "train per gate"])
@cells
def test_a_recurrent_train_is_its_matrix_and_its_gradient_is_projected_on_each_core(
    cell, form, truncate, mask
):
    """dG[a, j, i, b] = <dU, U with that core replaced by the unit e_{ajib}>."""
    problem = Problem(cell, form=form)
    trains = problem.params["recurrent"]
    options = {"truncate": truncate, "mask": None if mask is None else np.asarray(mask, bool)}
    found = problem.run(**options)
    problem.params = {**problem.params, "recurrent": full_matrix(trains)}
    expected = problem.run(**options)
    dU = expected.pop("params.recurrent")
    ours = {leaf: found.pop(leaf) for leaf in list(found) if "params.recurrent." in leaf}
    assert_equal(found, expected)
    leaves = tree.flatten(trains)
    assert {f"params.recurrent.{leaf}" for leaf in leaves} == set(ours)
    for leaf, core in leaves.items():
        at = tuple(map(int, leaf.split(".")))
        for index in np.ndindex(core.shape):
            unit = np.zeros(core.shape, dtype=int).astype(object)
            unit[index] = 1
            dense = full_matrix(changed_core(trains, at, unit))
            assert ours[f"params.recurrent.{leaf}"][index] == (dU * dense).sum()


def test_a_recurrent_train_that_does_not_fit_is_refused():
    rng = np.random.default_rng(0)

    def run(recurrent, **options):
        params = {"kernel": rng.random((2, 6)), "recurrent": recurrent}
        x = rng.random((1, 3, 2))
        return scan.forward(GRUCell(), params, x, input_map=ops.linear, **options)

    with pytest.raises(ShapeError, match="recurrent holds no cores, expected those of a tensor"):
        run(())
    with pytest.raises(ShapeError, match="recurrent holds no cores, expected those of a tensor"):
        run(((),))
    with pytest.raises(RankError, match="core 1 has left rank 3, but core 0 has right rank 2"):
        run((rng.random((1, 2, 3, 2)), rng.random((3, 1, 2, 1))))
    with pytest.raises(ShapeError, match=r"recurrent has shape \(2, 4\), expected \(2, 6\)"):
        run((rng.random((1, 2, 4, 1)),))
    with pytest.raises(ShapeError, match=r"recurrent has shape \(2, 4\), expected \(2, 6\)"):
        run(((rng.random((1, 2, 2, 1)),), (rng.random((1, 2, 2, 1)),)))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("truncate", range(1, T + 2))
@cells
def test_truncation_is_cutting_by_hand(cell, truncate, go_backwards):
    """Windows one by one, each from the last state of the one before, its cotangent dropped."""
    problem = Problem(cell, "tt_linear")
    found = problem.run(truncate=truncate, go_backwards=go_backwards)
    order = slice(None, None, -1 if go_backwards else 1)
    x = problem.x[:, order]
    state = problem.state
    runs = []
    for start in range(0, T, truncate):
        window = slice(start, start + truncate)
        is_last = start + truncate >= T
        run = problem.run(
            x[:, window],
            problem.dys[:, window],
            problem.dstate if is_last else tree.map(lambda a: 0 * a, problem.dstate),
            state=state,
        )
        state = tuple(parts(run, "last"))
        runs.append(run)
    assert_equal(found, {**found, **{k: v for k, v in runs[-1].items() if k.startswith("last")}})
    assert_equal(found, {**found, **{k: v for k, v in runs[0].items() if k.startswith("first")}})
    for leaf, axis in (("ys", slice(None)), ("x", order)):
        assert (found[leaf] == np.concatenate([r[leaf] for r in runs], axis=1)[:, axis]).all()
    for leaf in (leaf for leaf in found if leaf.startswith("params")):
        assert (found[leaf] == sum(run[leaf] for run in runs)).all(), leaf
    whole = problem.run(go_backwards=go_backwards)
    assert (truncate >= T) == all((whole[leaf] == found[leaf]).all() for leaf in found)


@cells
def test_an_output_that_padding_repeats_keeps_its_cotangents_through_a_cut(cell):
    """The first step's output, repeated in the next window, is an output of the first."""
    problem = Problem(cell)
    mask = np.asarray([[True, False]] * B)
    problem.dstate = tree.map(lambda a: 0 * a, problem.dstate)
    dys = problem.dys[:, :2]
    found = problem.run(problem.x[:, :2], dys, mask=mask, truncate=1)
    alone = problem.run(problem.x[:, :1], dys[:, :1] + dys[:, 1:])
    leaves = [leaf for leaf in alone if leaf.startswith(("params", "first", "last"))]
    assert_equal(found, alone, leaves)


@pytest.mark.parametrize("mask", [None, *MASKS.values()], ids=["no mask", *MASKS])
@cells
def test_backwards_is_forwards_on_flipped_input(cell, mask):
    problem = Problem(cell)
    flipped = problem.x[:, ::-1]
    mask = None if mask is None else np.asarray(mask, dtype=bool)
    found = problem.run(mask=mask, go_backwards=True)
    expected = problem.run(flipped, mask=None if mask is None else mask[:, ::-1])
    assert_equal(found, {**expected, "x": expected["x"][:, ::-1]})


@cells
def test_two_halves_with_the_state_handed_on_are_the_whole(cell):
    problem = Problem(cell)
    whole = problem.run()
    zero = np.zeros_like(problem.dys[:, :2])
    first = problem.run(problem.x[:, :2], zero)
    state = tuple(parts(first, "last"))
    second = problem.run(problem.x[:, 2:], problem.dys[:, 2:], state=state)
    first = problem.run(problem.x[:, :2], problem.dys[:, :2], dstate=tuple(parts(second, "first")))
    for leaf in ("ys", "x"):
        assert (whole[leaf] == np.concatenate([first[leaf], second[leaf]], axis=1)).all()
    for leaf in whole:
        if leaf.startswith("params"):
            assert (whole[leaf] == first[leaf] + second[leaf]).all(), leaf
        if leaf.startswith("last"):
            assert (whole[leaf] == second[leaf]).all()
        if leaf.startswith("first"):
            assert (whole[leaf] == first[leaf]).all()


@cells
def test_without_a_state_it_is_zero_and_what_is_none_has_no_cotangent(cell):
    problem = Problem(cell)
    zeros = tree.map(lambda a: 0 * a, problem.state)
    assert_equal(problem.run(state=None), problem.run(state=zeros))
    options = {"input_map": problem.input_map, "state": problem.state, **problem.options}
    _, cache = scan.forward(cell, problem.params, problem.x, **options)

    def gradients(*cotangents):
        return tree.flatten(scan.backward(cotangents, cache))

    assert_equal(gradients(None, problem.dstate), gradients(0 * problem.dys, problem.dstate))
    assert_equal(gradients(problem.dys, None), gradients(problem.dys, zeros))
    assert not any(g.any() for g in gradients(None, None).values())


@cells
def test_without_the_input_gradient_the_others_are_the_same(cell):
    problem = Problem(cell)
    _, cache = scan.forward(
        cell, problem.params, problem.x, input_map=problem.input_map, **problem.options
    )
    cotangents = problem.dys, problem.dstate
    dparams, dx, dstate = scan.backward(cotangents, cache, input_gradient=False)
    assert dx is None
    expected = scan.backward(cotangents, cache)
    assert_equal(tree.flatten((dparams, dstate)), tree.flatten((expected[0], expected[2])))


@cells
def test_no_steps_and_no_samples_give_the_state_and_zero_gradients(cell):
    for array in (lambda a: a.astype(object), lambda a: a.astype("float32")):
        problem = Problem(cell, array=array)
        found = problem.run(problem.x[:, :0], problem.dys[:, :0])
        assert found["ys"].shape == (B, 0, u) and found["x"].shape == (B, 0, N)
        assert_equal(dict(enumerate(parts(found, "last"))), dict(enumerate(problem.state)))
        assert_equal(dict(enumerate(parts(found, "first"))), dict(enumerate(problem.dstate)))
        assert not any(g.any() for g in parts(found, "params"))
        nobody = Problem(cell, array=array)
        for name in ("x", "dys", "state", "dstate"):
            setattr(nobody, name, tree.map(lambda a: a[:0], getattr(nobody, name)))
        nobody.options = {}
        found = nobody.run()
        assert found["ys"].shape == (0, T, u) and found["x"].shape == (0, T, N)
        shapes = {f"params.{k}": v.shape for k, v in nobody.params.items()}
        assert {k: found[k].shape for k in shapes} == shapes
        assert not any(g.any() for g in parts(found, "params"))
        assert all(value.dtype == problem.x.dtype for value in found.values())


def test_what_does_not_fit_is_refused():
    problem = Problem(LSTMCell())
    state = problem.state
    options = problem.options

    def refuses(error, words, x=problem.x, params=problem.params, **options):
        with pytest.raises(error, match=words):
            scan.forward(problem.cell, params, x, input_map=ops.linear, **options)

    refuses(ShapeError, r"x has shape \(3, 4\), expected \(any, any, any\)", problem.x[:, 0])
    refuses(ShapeError, r"x has shape \(3, 3\), expected \(any, 4\)", problem.x[:, :, 1:])
    refuses(
        ConventionError,
        r"parameters are \['bias', 'kernel'\]; the cell needs 'recurrent'",
        params={k: problem.params[k] for k in ("kernel", "bias")},
    )
    refuses(ShapeError, r"state is a tuple of 1, expected a tuple \(h, c\)", state=state[:1])
    refuses(
        ShapeError, r"state\[0\] has shape \(2, 2\), expected \(3, 2\)", state=(state[0][1:],) * 2
    )
    mask = np.ones((B, T), dtype=bool)
    refuses(ShapeError, r"mask has shape \(3, 3\), expected \(3, 4\)", mask=mask[:, 1:])
    refuses(
        DtypeError, r"mask is a int64 array of shape \(3, 4\), expected booleans", mask=1 * mask
    )
    refuses(ShapeError, r"input_mask has shape \(2, 4\)", input_mask=options["input_mask"][1:])
    refuses(
        ShapeError,
        r"recurrent_mask has shape \(3, 3, 2\), expected \(4, 3, 2\)",
        recurrent_mask=options["recurrent_mask"][1:],
    )
    refuses(ConventionError, "truncate is 0, expected a positive integer", truncate=0)


def test_cotangents_that_do_not_fit_are_refused():
    problem = Problem(GRUCell())
    array = Problem(GRUCell(), array=lambda a: a.astype(float))
    _, cache = scan.forward(array.cell, array.params, array.x, input_map=ops.linear)
    with pytest.raises(ShapeError, match=r"dys has shape \(3, 3, 2\), expected \(3, 4, 2\)"):
        scan.backward((problem.dys[:, 1:], None), cache)
    with pytest.raises(ShapeError, match=r"dstate is a tuple of 2, expected a tuple \(h,\)"):
        scan.backward((None, problem.dstate * 2), cache)
