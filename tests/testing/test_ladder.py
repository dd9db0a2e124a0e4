"""`check_op`: names, rungs, what is counted, and the detection power that it states."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import fast, ops, tree
from ttref.arithmetic import ball
from ttref.arrays import holds_objects
from ttref.errors import ConventionError, MissingExtraError, UndecidableError
from ttref.layers import Dense
from ttref.testing import CASES, Check, Failure, Finding, check_op, ladder
from ttref.testing.cases import from_generator
from ttref.testing.ladder import Rung
from ttref.testing.report import Inapplicable

needs_flint = pytest.mark.skipif(not ball.available(), reason="python-flint is not installed")


def rows(report, check=None):
    return {r["tensor"]: r for r in report.rows() if check in (None, r["check"])}


def climb(monkeypatch, run, floats=False, **options):
    """The report on a ladder of one rung."""
    monkeypatch.setattr(ladder, "rungs", lambda level, dtypes: {Check("rung"): Rung(run, floats)})
    return check_op("linear", **({"examples": 6} | options))


# What is checked


@pytest.mark.parametrize(
    ("op", "strategy", "name"),
    [
        ("linear", None, "linear"),
        (ops.linear, "linear", "ops.linear"),
        (fast.tt_linear, CASES["tt_linear"], "fast.tt_linear"),
        (SimpleNamespace(**vars(ops.linear)), "linear", "ttref.ops.linear"),
        (Dense, "Dense", "Dense"),
    ],
)
def test_operators_go_by_name_and_anything_of_their_contract_goes_with_a_strategy(
    op, strategy, name
):
    report = check_op(op, strategy, examples=3)
    assert report.ok
    assert report.name.endswith(name.removeprefix("ttref."))


def test_names_levels_and_counts_that_are_not_there_are_refused():
    with pytest.raises(ConventionError, match="operator is 'nonsense', expected one of 'linear'"):
        check_op("nonsense")
    with pytest.raises(ConventionError, match="strategy is 'nonsense', expected one of 'linear'"):
        check_op(ops.linear, "nonsense")
    with pytest.raises(
        ConventionError, match=r"op is SimpleNamespace.* so strategy must say which"
    ):
        check_op(SimpleNamespace(**vars(ops.linear)))
    with pytest.raises(ConventionError, match="level is 'hard', expected one of 'exact', 'certif"):
        check_op("linear", level="hard")
    with pytest.raises(ConventionError, match="examples"):
        check_op("linear", examples=0)
    with pytest.raises(ConventionError, match="case is -1, expected a non-negative integer"):
        check_op("linear", case=-1)
    with pytest.raises(ConventionError, match=r"seed is 1\.5, expected a non-negative integer"):
        check_op("linear", seed=1.5)
    with pytest.raises(
        ConventionError, match="sizes is 'huge', expected one of 'small', 'mixed', 'l"
    ):
        check_op("linear", sizes="huge")


def test_a_level_has_the_rungs_of_those_below_and_dtypes_choose_among_them():
    exact, certified, every = (ladder.rungs(level, ("float32",)) for level in ladder.LEVELS)
    assert [str(check) for check in exact] == [
        "definition",
        "adjoint",
        "second order",
        "lattice float32",
    ]
    more = [Check("rationals"), Check("certified", "float32"), Check("extremes", "float32")]
    assert list(certified) == [*exact, *more]
    assert list(every)[: len(certified)] == list(certified)
    assert len(every) > len(certified)


def test_a_seed_gives_the_same_report_again_and_another_one_does_not():
    one, again, other = (check_op("linear", examples=4, seed=seed) for seed in (0, 0, 1))
    assert one.rows() == again.rows()
    assert one.rows() != other.rows()


def test_progress_wraps_the_cases():
    seen = []

    def progress(cases):
        for case in cases:
            seen.append(case)
            yield case

    check_op("dropout", examples=4, progress=progress)
    assert seen == [0, 1, 2, 3]


# What is counted


def test_an_operator_that_raises_is_reported_with_the_shapes_and_no_traceback():
    def backward(dy, cache):
        raise ZeroDivisionError("no such luck")

    wrong = SimpleNamespace(__name__="wrong", forward=ops.linear.forward, backward=backward)
    report = check_op(wrong, "linear", examples=4)
    failure = str(report.failures[Check("adjoint"), "-"])
    assert failure.startswith("ZeroDivisionError: no such luck; inputs ")
    assert "kernel (" in failure
    assert not report.ok
    assert rows(report, "definition")["y"]["wrong"] == 0


def test_questions_without_an_answer_are_counted_and_are_neither_right_nor_wrong(monkeypatch):
    def sometimes(case, rng):
        if len(case.inputs["x"]) > 1:
            raise UndecidableError("who knows")
        return [Finding("y")]

    report = climb(monkeypatch, sometimes, examples=20)
    unknown, known = rows(report)["-"], rows(report)["y"]
    assert (unknown["cases"], unknown["wrong"]) == (unknown["undecided"], 0)
    assert unknown["cases"] + known["cases"] == 20
    assert report.ok


def test_nothing_but_undecided_is_not_all_right(monkeypatch):
    def never(case, rng):
        raise UndecidableError("who knows")

    assert not climb(monkeypatch, never).ok


def test_a_rung_that_does_not_apply_to_the_operator_is_skipped_with_its_reason(monkeypatch):
    def inapplicable(case, rng):
        raise Inapplicable("takes no complex arrays")

    report = climb(monkeypatch, inapplicable)
    assert report.ok and "takes no complex arrays" in str(report)


def test_a_rung_whose_package_is_missing_is_skipped_aloud_and_the_others_are_not(monkeypatch):
    monkeypatch.setattr(ball, "flint", None)
    report = check_op("smooth_activation", level="certified", examples=3)
    assert {"definition", "adjoint", "certified float64"} <= set(map(str, report.skipped))
    assert "definition skipped: certified balls need python-flint: pip install" in str(report)
    exact = check_op("tt_linear", examples=3)
    assert exact.ok
    assert not exact.skipped
    assert rows(exact, "adjoint")["cores"]["cases"] > 2


def test_a_package_that_goes_missing_skips_the_rung_once(monkeypatch):
    calls = []

    def missing(case, rng):
        calls.append(case)
        raise MissingExtraError("pip install it")

    report = climb(monkeypatch, missing)
    assert len(calls) == 1
    assert report.skipped == {Check("rung"): "pip install it"}


# Detection power


def relative_error(size, dtype):
    """A TT operator whose gradient of the cores is wrong by a factor in one float format."""

    def backward(dy, cache):
        dparams, dx = ops.tt_linear.backward(dy, cache)
        if dy.dtype == dtype:
            factor = dy.dtype.type(1 + size)
            dparams = dparams | {"cores": tuple(core * factor for core in dparams["cores"])}
        return dparams, dx

    return SimpleNamespace(__name__="wrong", forward=ops.tt_linear.forward, backward=backward)


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e-15), ("float32", 1e-7)])
def test_the_smallest_error_that_is_said_to_be_seen_is_seen(dtype, size):
    right = check_op("tt_linear", examples=10, dtypes=(dtype,))
    assert right.ok
    assert rows(right, f"lattice {dtype}")["cores"]["detects"] == f"1e{int(np.log10(size))}"
    wrong = check_op(relative_error(size, dtype), "tt_linear", examples=10, dtypes=(dtype,))
    assert set(wrong.failures) == {(Check("lattice", dtype), "cores")}


@needs_flint
def test_certified_rungs_see_what_roundings_do_not_hide(monkeypatch):
    monkeypatch.setattr(ladder, "POWER_CASES", 1)
    for dtype, sizes in (("float64", (1e-13, 1e-11)), ("float32", (1e-4, 1e-3))):
        report = check_op("tt_linear", level="certified", examples=5, dtypes=(dtype,))
        seen = float(rows(report, f"certified {dtype}")["cores"]["detects"])
        assert seen <= sizes[0]
        wrong = check_op(relative_error(sizes[1], dtype), "tt_linear", "certified", examples=3)
        assert (Check("certified", dtype), "cores") in wrong.failures


def test_exact_rungs_see_an_error_of_any_size():
    report = check_op("tt_linear", examples=6)
    for check, tensors in (("definition", ["y"]), ("adjoint", ["bias", "cores", "x"])):
        assert {t: r["detects"] for t, r in rows(report, check).items()} == dict.fromkeys(
            tensors, "any"
        )


def threshold(decades, tensor="y", floats=False):
    """A rung that sees errors from ``10 ** -decades`` upwards in one tensor."""

    def run(case, rng):
        inputs, dy = case.inputs, case.dy
        if floats:
            inputs, dy = tree.map(lambda x: x.astype(float), inputs), dy.astype(float)
        found = {}
        for key, make in (("truth", right), ("found", case)):
            y, cache = make.forward(inputs)
            found[key] = {"y": y} | make.backward(dy, cache)
        wrong = np.abs(found["found"][tensor] - found["truth"][tensor])
        limit = np.abs(found["truth"][tensor]) * (10**-decades) * 0.99
        bad = bool((wrong > limit).any())
        return [Finding(tensor, Failure("wrong") if bad else None)]

    rng = np.random.default_rng(0)
    right = CASES["dropout"](from_generator(rng), rng)
    return right, run


@pytest.mark.parametrize("decades", [1, 2, 6, 13])
@pytest.mark.parametrize("tensor", ["y", "x"])
def test_the_power_is_that_of_the_rung(decades, tensor):
    case, run = threshold(decades, tensor, floats=True)
    assert ladder.smallest_seen(Rung(run, True), case, tensor) == decades


def test_a_rung_that_sees_nothing_says_so_and_one_that_sees_everything_too(monkeypatch):
    def blind(case, rng):
        case.forward(case.inputs)
        return [Finding("y")]

    assert rows(climb(monkeypatch, blind))["y"]["detects"] == "-"

    def sharp(case, rng):
        y, _ = case.forward(case.inputs)
        return [
            Finding("y", None if (y == case.definition(case.inputs)).all() else Failure("wrong"))
        ]

    assert rows(climb(monkeypatch, sharp))["y"]["detects"] == "any"


def test_in_a_tensor_that_is_zero_there_is_no_error_to_see():
    case, run = threshold(3)
    zero = case._replace(forward=lambda i: (0 * case.forward(i)[0], case.forward(i)[1]))
    assert ladder.smallest_seen(Rung(run), zero, "y") is None


def test_the_worst_of_the_cases_counts(monkeypatch):
    powers = iter([5, 2, 9, 1])
    monkeypatch.setattr(ladder, "smallest_seen", lambda rung, case, tensor: next(powers))
    report = climb(monkeypatch, lambda case, rng: [Finding("y")])
    assert rows(report)["y"]["detects"] == "1e-2"
    assert next(powers) == 1  # three were enough


def test_nothing_is_said_about_the_power_on_an_operator_that_is_wrong(monkeypatch):
    def run(case, rng):
        case.forward(case.inputs)
        return [Finding("y", Failure("wrong"))]

    assert rows(climb(monkeypatch, run))["y"]["detects"] is None


def test_planted_errors_are_in_the_one_tensor_and_leave_the_truth_alone():
    rng = np.random.default_rng(0)
    case = CASES["tt_linear"](from_generator(rng), rng)
    floats = tree.map(lambda x: x.astype(float), case.inputs)
    suspect = ladder.plant(case, "cores", 3, True, [])
    for inputs, dy in ((case.inputs, case.dy), (floats, case.dy.astype(float))):
        (y, cache), (right_y, right_cache) = suspect.forward(inputs), case.forward(inputs)
        assert (y == right_y).all()
        found, right = suspect.backward(dy, cache), case.backward(dy, right_cache)
        assert (found["x"] == right["x"]).all()
        same = all((a == b).all() for a, b in zip(found["cores"], right["cores"], strict=True))
        assert same == holds_objects(dy)


@needs_flint
def test_reports_of_every_level_are_json():
    for level in ladder.LEVELS:
        report = check_op("smooth_activation", level=level, examples=3)
        assert json.loads(json.dumps(report.rows(), allow_nan=False)) == report.rows()
