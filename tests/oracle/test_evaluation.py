"""Verdicts: what is right passes, in every format; what is wrong does not, however little."""

import sys

import numpy as np
import pytest

from tests.oracle import layers
from ttref import tree
from ttref.arithmetic import ball
from ttref.errors import ConventionError, MissingExtraError
from ttref.oracle import Adapter, Verdicts, conforms, evaluate, judge, truth
from ttref.oracle.evaluation import check_format, undecided
from ttref.oracle.verdicts import verdict_of
from ttref.rng import generator
from ttref.testing.report import Check, Tally


def verdicts(report):
    return {(row["check"], row["tensor"]): row["verdict"] for row in report.rows()}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_right_layer_is_exact_on_the_lattice_and_within_units_on_floats(dtype):
    pytest.importorskip("flint")
    report = evaluate(layers.RIGHT, examples=30, dtypes=[dtype])
    assert report.ok
    assert not report.diagnosis
    for key, words in verdicts(report).items():
        check, _ = key
        assert words == "exact" if check.startswith("lattice") else words.startswith("within")


@pytest.mark.parametrize("tensor", ["y", "cores", "bias", "x"])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 2**-23), ("float64", 2**-52)])
def test_an_error_of_one_ulp_in_a_whole_tensor_is_wrong(tensor, dtype, error):
    factor = np.dtype(dtype).type(1 + error)
    spoiled = layers.changed(tensor, lambda v, params, B: v * factor)
    report = evaluate(spoiled, examples=30, dtypes=[dtype])
    found = {key for key, words in verdicts(report).items() if words == "WRONG"}
    assert (f"lattice {dtype}", tensor) in found
    assert {key[1] for key in found} == {tensor}


@pytest.mark.parametrize("tensor", ["y", "cores", "bias", "x"])
def test_floats_alone_see_what_roundings_do_not_explain(tensor):
    """At most 130 paths on these shapes: 1000 units are beyond every bound of them."""
    pytest.importorskip("flint")
    spoiled = layers.changed(tensor, lambda v, params, B: v * v.dtype.type(1 + 1000 * 2**-24))
    case = truth.draw_floats(layers.problem((2, 3), (4, 5), (1, 4, 1)), generator(0), "float32")
    findings = judge(case, spoiled.results(case, "float32"), "float32")
    assert {f.tensor.partition(".")[0] for f in findings if f.failure} == {tensor}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_wrong(value):
    report = evaluate(layers.changed("y", lambda v, params, B: v * v.dtype.type(value)), examples=3)
    found = {key for key, words in verdicts(report).items() if words == "WRONG"}
    checks = ("lattice", "floats") if ball.available() else ("lattice",)
    assert found == {(f"{c} {d}", "y") for c in checks for d in ("float32", "float64")}


def test_without_python_flint_floats_are_skipped_and_said_to_be(monkeypatch):
    monkeypatch.setattr(ball, "flint", None)
    report = evaluate(layers.RIGHT, examples=3, dtypes=["float32"])
    assert report.ok
    assert "floats float32 skipped: certified balls need python-flint" in str(report)


def test_what_a_format_cannot_tell_is_undecidable():
    assert verdict_of(Check("floats", "bfloat16"), Tally(cases=3, undecided=3)) == "undecidable"


def test_a_report_of_which_nothing_was_decided_is_not_ok():
    huge = layers.problem((3, 3, 3), (3, 3, 3), (1, 4, 4, 1))
    report = Verdicts("nothing")
    assert not report.ok
    for finding in undecided(huge):
        report.add(Check("lattice", "bfloat16"), finding)
    assert not report.ok
    assert set(verdicts(report).values()) == {"undecidable"}


def test_bfloat16_is_judged_where_numpy_has_it():
    ml_dtypes = pytest.importorskip("ml_dtypes")

    def rounded(function):
        """The function in float32, its results rounded once."""

        def there(*arguments):
            found = function(*tree.map(lambda v: v.astype("float32"), arguments))
            return tree.map(lambda v: v.astype(ml_dtypes.bfloat16), found)

        return there

    layer = Adapter(rounded(layers.forward), rounded(layers.gradients))
    report = evaluate(layer, examples=30, dtypes=["bfloat16"])
    assert report.ok, str(report)
    wrong = Adapter(
        lambda params, x: -rounded(layers.forward)(params, x), rounded(layers.gradients)
    )
    found = verdicts(evaluate(wrong, examples=30, dtypes=["bfloat16"]))
    assert {key[1] for key, words in found.items() if words == "WRONG"} == {"y"}


def test_bfloat16_without_ml_dtypes_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(MissingExtraError, match="bfloat16 needs ml_dtypes"):
        check_format("bfloat16")


def test_the_same_seed_gives_the_same_numbers():
    first, again, other = (str(evaluate(layers.RIGHT, examples=5, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_batches_of_several_sizes_are_drawn():
    shapes = layers.RIGHT.draw_shapes(generator(0), 100)
    assert {1, 2, 3, 4} < {one.batch for one in shapes}


def test_examples_must_be_a_positive_integer():
    with pytest.raises(ConventionError, match="examples is 0"):
        evaluate(layers.RIGHT, examples=0)


@conforms(examples=5)
def test_a_test_of_somebody_elses_suite(request):
    """The decorator keeps the fixtures, and pytest sees no returned value."""
    assert request.node.name.endswith("suite")
    return layers.RIGHT


def test_a_test_of_a_wrong_layer_fails_with_the_table():
    @conforms(examples=5)
    def a_test():
        return layers.changed("x", lambda v, params, B: -v)

    with pytest.raises(AssertionError, match=r"(?s)adapter is wrong.*x +\d+ .*has the wrong sign"):
        a_test()
