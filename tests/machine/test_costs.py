"""The cost table: interpolation, and files."""

from itertools import product

import numpy as np
import pytest

from ttref.contracts import CPU_FLOAT32, CPU_FLOAT64, Kind
from ttref.machine.cost_model import SIDES, Machine, roofline
from ttref.machine.costs import SHIPPED, machine
from ttref.machine.measurements import read_measurements


def cubic(m, k, n):
    return 1e-9 * m * k * n


CUBIC = tuple(cubic(*s) for s in product(SIDES, repeat=3))
MACHINE = Machine(1e-6, 1e-9, 1e-9, 1e5, 1e-9, 1e-5, 1, CUBIC, tuple(2 * c for c in CUBIC))


@pytest.mark.parametrize("sides", [(1, 1, 1), (4, 16, 64), (3, 7, 100), (5, 40000, 2)])
def test_a_power_law_is_interpolated_exactly(sides):
    """Products of m k n: the table of logarithms is linear; 100 roundings of its sums."""
    expected = 1e-6 + 3 * cubic(*sides)
    assert MACHINE.product(3, *sides) == pytest.approx(expected, rel=100 * 2.0**-53 * 40)
    expected_nt = 2 * expected - 1e-6
    assert MACHINE.product_nt(3, *sides) == pytest.approx(expected_nt, rel=100 * 2.0**-53 * 40)


def test_small_and_large_products_are_not_mixed():
    """Large ones take twice as long; the cell from 8 to 16 has both."""
    sides = product(SIDES, repeat=3)
    times = [cubic(*s) * (1 if np.prod(s) <= 1000 else 2) for s in sides]
    costs = MACHINE._replace(small=1000, products=tuple(times))
    for m, k, n in [(10, 10, 10), (9, 8, 13), (11, 10, 10), (15, 15, 15)]:
        expected = cubic(m, k, n) * (1 if m * k * n <= 1000 else 2)
        assert costs.product(1, m, k, n) == pytest.approx(1e-6 + expected, rel=1e-12)


def test_streaming_costs_nothing_in_the_cache():
    assert MACHINE.streaming(1e5) == 0
    assert MACHINE.streaming(3e5) == pytest.approx(2e5 * 1e-9)


def test_a_roofline_is_the_larger_of_operations_and_bytes():
    gpu = roofline(1e-5, 1e12, 1e11, 4)
    assert gpu.product(1, 1024, 1024, 1024) == pytest.approx(1e-5 + 2 * 1024**3 / 1e12)
    assert gpu.product(1, 1, 4, 1) == pytest.approx(1e-5 + 4 * 9 / 1e11)


def test_the_shipped_table_holds_both_formats_of_the_cpu():
    assert read_measurements(SHIPPED).machines.keys() == {"cpu float32", "cpu float64"}


def test_a_card_that_nobody_measured_is_taken_by_its_data_sheet(own_cache):
    assert machine(Kind("gpu", "float32")).call == 10e-6


def test_a_calibration_is_used(own_cache):
    own_cache(machines={"cpu float32": MACHINE._asdict()})
    assert machine(CPU_FLOAT32) == MACHINE
    assert machine(CPU_FLOAT64) == read_measurements(SHIPPED).machines["cpu float64"]
