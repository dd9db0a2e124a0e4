"""What is said of a plan: operations, memory, parts and threads."""

from ttref.fast.tt_plan.plan import Plan, Problem
from ttref.tuning.explanation import explain

W1 = Problem((7, 4, 7, 4), (5, 5, 5, 5), (1, 4, 4, 4, 1), 64)


def test_an_explanation_counts_operations_and_memory():
    """(2, 2) -> (2, 2) at rank 3, core by core: matrices (2, 6) and (6, 2), on two columns each."""
    problem = Problem((2, 2), (2, 2), (1, 3, 1), 5)
    text = explain(problem, Plan(((0, 1), (1, 2)), True))
    assert "cores (1) (2) merged, swept from left to right\n" in text
    per_row = 2 * 6 * 2 + 2 * 6 * 2
    assert f"{6 * 5 * per_row / 1e6:.4g} Mflop" in text
    assert "us estimated for cpu float32; at most" in text


def test_an_explanation_names_parts_and_threads():
    text = explain(W1._replace(threads=2), Plan(((0, 2), (2, 4)), False, 2))
    assert "right to left, the batch in 2 parts on 2 threads" in text
    text = explain(W1._replace(batch=1), Plan(((0, 2), (2, 4)), True, 2))
    assert "the first mode in 2 parts" in text


def test_the_table_has_the_groups_in_the_order_of_work():
    def first_columns(plan):
        return [line.split()[0] for line in explain(W1, plan).splitlines()[3:-1]]

    assert first_columns(Plan(((0, 1), (1, 4)), True)) == ["(1)", "(2-3-4)"]
    assert first_columns(Plan(((0, 1), (1, 4)), False)) == ["(2-3-4)", "(1)"]
