"""Reports: what is counted, when all is well, and rows that JSON can hold."""

import json
import math

import numpy as np

from ttref.testing import CASES
from ttref.testing.report import Check, Failure, Finding, Report, group, report_table

ADJOINT = Check("adjoint")


def filled(*findings, check=ADJOINT):
    report = Report("linear")
    for finding in findings:
        report.add(check, finding)
    return report


def test_tensors_of_one_branch_count_together_and_the_first_failure_is_kept():
    report = filled(
        Finding("cores.0"), Finding("cores.1", Failure("one")), Finding("cores.0", Failure("two"))
    )
    (row,) = report.rows()
    assert (row["operator"], row["check"], row["tensor"]) == ("linear", "adjoint", "cores")
    assert (row["cases"], row["wrong"], row["undecided"], row["first"]) == (3, 2, 0, "one")
    assert report.failures == {(ADJOINT, "cores"): report.tallies[ADJOINT, "cores"].first}
    assert report.sentences() == ["adjoint of cores: one"]
    assert group("params.0.kernel") == "params"


def test_rows_keep_the_largest_errors():
    report = filled(Finding("x", normwise=2.0, condition=1.0), Finding("x", normwise=1.0))
    (row,) = report.rows()
    assert (row["normwise u"], row["condition u"]) == (2.0, 1.0)


def test_all_is_well_if_something_was_compared_and_nothing_was_wrong():
    assert filled(Finding("x")).ok
    assert not filled(Finding("x"), Finding("y", Failure("wrong"))).ok
    assert not filled().ok
    assert not filled(Finding("x", undecided=True)).ok
    assert filled(Finding("x", undecided=True), Finding("x")).ok


def test_a_check_that_decided_nothing_is_named_and_not_hidden_by_the_others():
    report = filled(Finding("x"))
    report.add(Check("open"), Finding("x", undecided=True))
    assert report.undecided == [Check("open")] and not report.ok and not report.failures
    assert report.sentences() == ["open: nothing could be decided"]


def test_a_check_that_was_skipped_is_no_failure_and_hides_none():
    report = filled()
    report.skipped[Check("certified")] = "no flint"
    assert report.ok
    report.add(ADJOINT, Finding("x", Failure("wrong")))
    assert not report.ok


def test_rungs_keep_their_order_and_y_comes_first():
    report = filled(Finding("b"), Finding("a"), Finding("y"), check=Check("definition"))
    report.add(ADJOINT, Finding("x"))
    found = [(row["check"], row["tensor"]) for row in report.rows()]
    assert found == [
        ("definition", "y"),
        ("definition", "a"),
        ("definition", "b"),
        ("adjoint", "x"),
    ]


def test_rows_are_json_even_where_an_error_is_infinite_or_not_a_number():
    report = filled(
        Finding("x", Failure("inf"), normwise=math.inf, condition=math.inf), Finding("x")
    )
    report.add(ADJOINT, Finding("y", Failure("nan"), normwise=math.nan, condition=math.nan))
    report.tallies[ADJOINT, "x"].measured = 1
    rows = json.loads(json.dumps(report.rows(), allow_nan=False))
    by_tensor = {row["tensor"]: row for row in rows}
    assert by_tensor["x"]["normwise u"] is None
    assert by_tensor["x"]["detects"] == "any"
    assert (by_tensor["y"]["wrong"], by_tensor["y"]["first"]) == (1, "nan")
    assert "nan" not in report_table([report])


def test_what_is_seen_is_said_in_words_where_it_was_measured():
    tally = filled(Finding("x")).tallies[ADJOINT, "x"]
    assert tally.detects is None
    tally.measured = 1
    assert tally.detects == "any"
    tally.decades = 15
    assert tally.detects == "1e-15"
    tally.decades = 0
    assert tally.detects == "-"


def test_the_table_shows_every_row_and_what_was_skipped():
    first, second = filled(Finding("x", normwise=1.25)), filled(Finding("x"))
    second.name = "softmax"
    for report in (first, second):
        report.skipped[Check("certified")] = "no flint"
    lines = report_table([first, second]).splitlines()
    assert lines[0].split()[:6] == ["operator", "check", "tensor", "cases", "wrong", "undecided"]
    assert lines[2].split() == ["linear", "adjoint", "x", "1", "0", "0", "1.2"]
    assert lines[3].split() == ["softmax", "adjoint", "x", "1", "0", "0"]
    assert lines[4:] == ["certified skipped: no flint"]
    assert str(first).splitlines()[0] == lines[0]


def test_a_check_is_its_rung_and_its_format_and_reads_as_both():
    assert str(ADJOINT) == "adjoint"
    assert str(Check("lattice", "float32")) == "lattice float32"
    assert Check("lattice", "float32") != Check("lattice", "float64")


def test_a_failure_says_where_what_was_found_what_was_expected_and_on_which_case():
    case = CASES["linear"](lambda low, high: high, np.random.default_rng(0))
    assert str(Failure("x is written into")) == "x is written into"
    assert str(Failure("y", 3, 4, index=(0, 1))) == "y[0, 1] is 3, expected 4"
    product = Failure("x: <J^T dy, v>", 3, 4, reference="<dy, J v>")
    assert str(product) == "x: <J^T dy, v> is 3, expected <dy, J v> = 4"
    off = Failure("y", 3, 4, error=1.0, allowed=0.25)
    assert str(off) == "y is 3, expected 4; it is off by 1, and 0.25 is explained"
    of_case = Failure("y", 3, 4, case=case)
    assert str(of_case) == "y is 3, expected 4; inputs kernel (4, 4), bias (4,), x (4, 4)"
    assert repr(of_case) == f"<{of_case}>"
