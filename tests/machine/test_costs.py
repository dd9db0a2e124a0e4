"""The cost table: interpolation, files, and what a calibration measures."""

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ttref.cli import main
from ttref.contracts import CPU_FLOAT32, CPU_FLOAT64, Kind
from ttref.errors import DataError
from ttref.machine.costs import SHIPPED, SIDES, Machine, machine, read_measurements, roofline
from ttref.tuning import calibration as calibration


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


ENTRY = MACHINE._asdict()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"machines": {}}',
        json.dumps({"machines": {"cpu float32": ENTRY | {"products": [1.0]}}, "plans": {}}),
        json.dumps({"machines": {"cpu float32": ENTRY | {"call": "fast"}}, "plans": {}}),
        json.dumps({"machines": {"cpu float32": ENTRY | {"call": -1}}, "plans": {}}),
        json.dumps({"machines": {"cpu float32": {"products": ENTRY["products"]}}, "plans": {}}),
        json.dumps({"machines": {"cpu float32": ENTRY | {"products_across": [1.0]}}, "plans": {}}),
    ],
)
def test_a_damaged_file_is_named(own_cache, text, capsys):
    own_cache(text)
    with pytest.raises(
        DataError, match=r"machine\.json is not what `ttref bench --calibrate` writ"
    ):
        machine(CPU_FLOAT32)
    assert main(["bench"]) == 2
    assert "delete it, or calibrate again" in capsys.readouterr().err


def test_calibrating_again_replaces_a_damaged_file(quick, own_cache, capsys):
    own_cache("[]")
    assert main(["bench", "--calibrate"]) == 0
    own_cache(Path(os.environ["TTREF_CACHE"], "machine.json").read_text())
    assert machine(CPU_FLOAT32) != read_measurements(SHIPPED).machines["cpu float32"]


@pytest.fixture
def quick(monkeypatch):
    """A calibration of small products only."""
    monkeypatch.setattr(calibration, "LARGEST", 2**10)
    monkeypatch.setattr(calibration, "WORK", 2**10)
    monkeypatch.setattr(calibration, "PASSES", 1)


def test_a_calibration_measures_every_product(quick):
    found = calibration.calibrate(np, "float64")
    assert len(found.products) == len(SIDES) ** 3
    assert min(found.products) > 0
    largest = found.product(1, 2**14, 2**14, 2**14) - found.call
    assert largest > 1e6 * (found.product(1, 4, 4, 4) - found.call)


def test_bench_calibrates_explains_times_and_tunes(quick, own_cache, tmp_path, capsys):
    assert main(["bench", "--calibrate"]) == 0
    assert "cpu float32: " in capsys.readouterr().out
    layer = ["--in-modes", "2", "3", "--out-modes", "3", "2", "--ranks", "2", "--batch", "4"]
    assert main(["bench", *layer]) == 0
    assert "estimated us  measured us" in capsys.readouterr().out
    assert main(["bench", *layer, "--tune"]) == 0
    kept = json.loads((tmp_path / "machine.json").read_text())
    assert kept["machines"].keys() == {"cpu float32", "cpu float64"}
    assert len(kept["plans"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--in-modes", "2", "2", "--out-modes", "3"], "differ in length"),
        (["--ranks", "1", "2", "1"], "has 3 entries, expected 5"),
    ],
)
def test_bench_refuses_what_does_not_fit(arguments, message, own_cache, capsys):
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err
