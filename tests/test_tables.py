"""Text tables."""

import numpy as np
import pytest

from ttref.tables import table


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks():
    assert table(("name", "n"), [("a", 1), ("longer", None)]).split("\n") == [
        "name    n",
        "------  -",
        "a       1",
        "longer",
    ]


@pytest.mark.parametrize("number", [7, 0.5, np.float64(0.5), "0.9644"])
def test_numbers_and_their_header_stand_to_the_right(number):
    header, _, row = table(("column",), [(number,)]).split("\n")
    assert (header, row) == ("column", str(number).rjust(6))


def test_text_stands_to_the_left():
    assert table(("a", "b"), [("x", "long"), ("long", "y")]).split("\n")[2:] == [
        "x     long",
        "long  y",
    ]


def test_an_empty_cell_in_the_middle_keeps_its_place():
    assert table(("a", "b", "c"), [("x", None, "z")]).split("\n")[2] == "x     z"


def test_a_cell_of_zero_or_false_is_not_empty():
    assert table(("a", "b"), [(0, False)]).split("\n")[2] == "0  False"


def test_a_table_without_rows_is_its_header():
    assert table(("a", "bc"), []) == "a  bc\n-  --"


def test_a_row_of_another_length_than_the_header_is_refused():
    with pytest.raises(ValueError, match="zip"):
        table(("a", "b"), [("x",)])
