"""Adapters: storage there and back, and what is said of one that does not work."""

import re

import numpy as np
import pytest

from tests.oracle import layers
from ttref import tree
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.oracle import LAYOUTS, Adapter, Storage, evaluate, layouts, load
from ttref.oracle.models import storages

FILE = """
from ttref import ops

def forward(params, x):
    return ops.tt_linear.forward(params, x)[0]
"""
GRADIENTS = """
def gradients(params, x, dy):
    dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    return {**dparams, "x": dx}
"""


@pytest.mark.parametrize("axes", sorted(set(LAYOUTS.values())))
def test_undo_brings_back_what_a_layout_moved(axes):
    cores = layers.problem((2, 3), (4, 5), (1, 6, 1)).inputs["cores"]
    move = layouts.permute_axes(axes).cores
    assert [c.shape for c in move(cores)] == [tuple(c.shape[k] for k in axes) for c in cores]
    for back, core in zip(layouts.undo(move, move(cores), cores), cores, strict=True):
        assert (back == core).all()


def test_undo_brings_back_what_every_storage_moved():
    case = layers.problem((2, 3), (4, 5), (1, 6, 1))
    for storage in storages(Storage("")):
        for name, move in layouts.moves_of(storage, case.inputs["cores"]).items():
            value = case.dy if name == "y" else case.inputs[name]
            back = layouts.undo(move, move(value), value)
            assert all(
                (a == b).all()
                for a, b in zip(tree.leaves([back]), tree.leaves([value]), strict=True)
            )


@pytest.mark.parametrize("layout", [*LAYOUTS, (2, 0, 3, 1)])
def test_a_right_layer_is_right_in_every_layout(layout):
    axes = LAYOUTS.get(layout, layout)
    back = layers.with_axes(tuple(np.argsort(axes)))

    def gradients(params, x, dy):
        found = layers.gradients({**params, "cores": back(params["cores"])}, x, dy)
        return {**found, "cores": layers.with_axes(axes)(found["cores"])}

    def forward(params, x):
        return layers.forward({**params, "cores": back(params["cores"])}, x)

    assert evaluate(Adapter(forward, gradients, layout=layout), examples=10).ok


def test_a_storage_of_one_flat_vector_can_be_declared():
    """The seam for `convert`: TT_RNN and TensorNet hold all cores in one vector."""
    flat = Storage("flat", lambda cores: (np.concatenate([core.ravel() for core in cores]),))
    case = layers.problem((2, 3), (4, 5), (1, 6, 1))

    def gradients(params, x, dy):
        cores = tree.unravel(params["cores"][0], case.inputs["cores"])
        found = layers.gradients({**params, "cores": cores}, x, dy)
        return {**found, "cores": flat.cores(found["cores"])}

    def forward(params, x):
        cores = tree.unravel(params["cores"][0], case.inputs["cores"])
        return layers.forward({**params, "cores": cores}, x)

    found = Adapter(forward, gradients, layout=flat).results(case, "float64")
    expected = layers.RIGHT.results(case, "float64")
    assert all((found[leaf] == expected[leaf]).all() for leaf in expected)


def test_an_adapter_may_write_into_what_it_is_given():
    def forward(params, x):
        x *= 2
        return layers.forward(params, x) / 2

    assert evaluate(Adapter(forward, layers.gradients, bias=False), examples=5).ok


def test_a_layer_without_bias_is_never_given_one():
    def forward(params, x):
        assert "bias" not in params
        return layers.forward(params, x)

    report = evaluate(Adapter(forward, layers.gradients, bias=False), examples=10)
    assert report.ok
    assert "bias" not in {row["tensor"] for row in report.rows()}


def bad(tensor, change):
    return layers.changed(tensor, lambda v, params, B: change(v))


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        (bad("y", list), "y is a list of [2-7], expected an array"),
        (bad("y", lambda v: None), "y is a NoneType, expected a NumPy array"),
        (bad("y", lambda v: v[9]), r"forward raised IndexError: .*\(on cores.0 "),
        (
            Adapter(layers.forward, lambda *a: {"dx": a[1]}),
            r"gradients returned the keys \['dx'\], expected a dict with \['cores'",
        ),
        (Adapter(layers.forward, lambda *a: None), "gradients returned NoneType"),
        (
            Adapter(layers.forward, lambda *a: {**layers.gradients(*a), "cores": []}),
            "gradient of cores is a list of 0, expected a list of ",
        ),
    ],
)
def test_an_adapter_that_does_not_work_is_told_why(adapter, words):
    with pytest.raises(ConventionError, match=words):
        evaluate(adapter, examples=1)


@pytest.mark.parametrize(
    ("tensor", "change", "words"),
    [
        ("y", lambda v: v[:, :-1], "adapter: y has shape .*, expected"),
        ("x", lambda v: v.T, "gradient of x has shape"),
        ("cores", lambda v: v[None], "gradient of cores has shape"),
        ("y", lambda v: v.astype(int), "y is int64, expected float32 as it was"),
        ("x", lambda v: v.astype("float64"), "x is float64, expected float32 as it was"),
    ],
)
def test_an_array_of_another_shape_or_dtype_is_wrong(tensor, change, words):
    report = evaluate(bad(tensor, change), examples=2, dtypes=["float32"])
    wrong = {row["tensor"] for row in report.rows() if row["verdict"] == "WRONG"}
    assert wrong == {tensor}
    (failure,) = {str(f) for target, f in report.failures.items() if target.check.rung == "lattice"}
    assert re.search(words, failure)


def test_results_are_those_of_one_case_or_an_error():
    case = layers.problem((2, 3), (4, 5), (1, 6, 1))
    with pytest.raises(ShapeError, match="y has shape"):
        bad("y", lambda v: v[:, :-1]).results(case, "float64")
    with pytest.raises(DtypeError, match="y is int64"):
        bad("y", lambda v: v.astype(int)).results(case, "float64")
    with pytest.raises(ConventionError, match="adapter: the layer takes no problem of 2,3:4,5:6:2"):
        Adapter(layers.forward, layers.gradients, d=3).results(case, "float64")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layout": "t4f"}, "layout is 't4f', expected one of 'canonical'"),
        ({"layout": (0, 1, 2, 2)}, "expected a name or an order of the axes 0, 1, 2, 3"),
        ({"dtypes": ("float8",)}, "dtype is 'float8', expected one of"),
        ({"dtypes": "float32"}, "dtypes is 'float32', expected a list"),
        ({"gradients": 3}, "gradients is not a function"),
        ({"d": 0}, "adapter: d is 0, expected an integer of at least 1, or a list of them"),
        ({"d": []}, r"adapter: d is \[\], expected an integer"),
        ({"d": "3"}, "adapter: d is '3', expected an integer"),
        ({"batch": 2.5}, "adapter: batch is 2.5, expected an integer"),
        ({"min_mode": 0}, "adapter: min_mode is 0, expected"),
        ({"equal_ranks": 1}, "adapter: equal_ranks is 1, expected True or False"),
        ({"accepts": True}, "adapter: accepts is not a function"),
        ({"extend": "yes"}, "adapter: extend is 'yes', expected True or False"),
    ],
)
def test_an_adapter_refuses_what_it_does_not_know(options, words):
    with pytest.raises(ConventionError, match=words):
        Adapter(**{"forward": layers.forward, "gradients": layers.gradients, **options})


def test_a_file_is_an_adapter(tmp_path):
    (tmp_path / "sibling.py").write_text("layout = (0, 1, 2, 3)\n")
    file = tmp_path / "mine.py"
    file.write_text("from sibling import layout\ndtypes = ('float64',)\n" + FILE + GRADIENTS)
    adapter = load(file)
    assert (adapter.name, adapter.layout, adapter.dtypes) == ("mine", (0, 1, 2, 3), ("float64",))
    assert evaluate(adapter, examples=3).ok


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GRADIENTS, "has no function forward"),
        (FILE + "gradients = 3", "gradients is not a function"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("import sys; sys.exit(5)", "cannot be imported: SystemExit: 5"),
        (FILE + GRADIENTS + "forward = 3", "forward is not a function"),
        (FILE + GRADIENTS + "layout = 'mine'", "layout is 'mine', expected one of"),
    ],
)
def test_a_bad_file_is_told_why(tmp_path, text, words):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConventionError, match=words):
        load(file)


def test_a_missing_file_is_told_which_adapters_there_are(tmp_path):
    with pytest.raises(ConventionError, match=r"no file .*torch_rank_swap, torchtt_linear"):
        load(tmp_path / "none.py")
    with pytest.raises(ConventionError, match="is not a Python file"):
        (tmp_path / "text").write_text("")
        load(tmp_path / "text")
