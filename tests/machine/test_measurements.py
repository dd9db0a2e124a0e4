"""The user's file of measurements: what is damaged is left out, and many may store at once."""

import errno
import json
import math
import os
import subprocess
import sys
from itertools import product

import pytest

from ttref import storage
from ttref.contracts import CPU_FLOAT32
from ttref.machine import measurements
from ttref.machine.cost_model import SIDES, Machine
from ttref.machine.costs import SHIPPED, machine
from ttref.machine.measurements import StoredPlan, as_machine, as_plan, read_measurements, store

CUBIC = tuple(1e-9 * m * k * n for m, k, n in product(SIDES, repeat=3))
MACHINE = Machine(1e-6, 1e-9, 1e-9, 1e5, 1e-9, 1e-5, 1, CUBIC, CUBIC)
ENTRY = MACHINE._asdict()
WITHOUT_CALL = {name: value for name, value in ENTRY.items() if name != "call"}
PLAN = StoredPlan(((0, 1), (1, 2)), True, 1)


def in_file(entry):
    return json.dumps({"machines": {"cpu float32": entry}, "plans": {}})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not JSON that can be read"),
        ("[" * 10**5, "is not JSON that can be read"),
        ('{"machines": ' + "9" * 5000 + "}", "is not JSON that can be read"),
        ("[]", "has no section machines"),
        ('{"machines": {}}', "has no section plans"),
        ('{"machines": [], "plans": {}}', "has no section machines"),
        (in_file(ENTRY | {"products": [1.0]}), "has a damaged entry in machines, 'cpu float32'"),
        (in_file(ENTRY | {"products_across": [1.0]}), "has a damaged entry in machines"),
        (in_file(ENTRY | {"products": 1.0}), "has a damaged entry in machines"),
        (in_file(ENTRY | {"call": "fast"}), "has a damaged entry in machines"),
        (in_file(ENTRY | {"more": 1.0}), "has a damaged entry in machines"),
        (in_file(WITHOUT_CALL), "has a damaged entry in machines"),
        (in_file([]), "has a damaged entry in machines"),
    ],
)
def test_what_is_damaged_is_left_out_with_one_warning(own_cache, tmp_path, text, what):
    own_cache(text)
    with pytest.warns(UserWarning) as warned:
        assert machine(CPU_FLOAT32) == read_measurements(SHIPPED).machines["cpu float32"]
        read_measurements.cache_clear()
        read_measurements(tmp_path / "machine.json")
    assert [str(w.message).startswith(f"{tmp_path / 'machine.json'} {what}") for w in warned] == [
        True
    ]


@pytest.mark.parametrize("name", ENTRY)
@pytest.mark.parametrize("value", [0, -1, 1e-300, 1e300, 10**400, math.nan, True, "1", None, [1.0]])
def test_every_number_is_positive_and_bounded(name, value):
    if name in measurements.TABLES:
        value = [value, *CUBIC[1:]]
    assert as_machine(ENTRY) == MACHINE
    assert as_machine(ENTRY | {name: value}) is None


@pytest.mark.parametrize("name", ENTRY)
def test_only_a_cache_and_the_cost_of_a_thread_may_be_unlimited(name):
    value = [math.inf, *CUBIC[1:]] if name in measurements.TABLES else math.inf
    assert (as_machine(ENTRY | {name: value}) is not None) == (name in ("cache", "part"))


@pytest.mark.parametrize(
    "plan",
    [
        [[], True, 1],
        [[[0, 1], [1, 2]], True],
        [[[0, 1], [1, 2]], True, 1, 1],
        [[[0, 1], [2, 3]], True, 1],
        [[[0, 2], [1, 3]], True, 1],
        [[[1, 2]], True, 1],
        [[[0, 0], [0, 1]], True, 1],
        [[[0, 1, 2]], True, 1],
        [[[0, True]], True, 1],
        [[[0, 1.0]], True, 1],
        [[0, 1], True, 1],
        [{"0": 1}, True, 1],
        ["01", True, 1],
        [[[0, 1]], 1, 1],
        [[[0, 1]], "right", 1],
        [[[0, 1]], True, 0],
        [[[0, 1]], True, -1],
        [[[0, 1]], True, True],
        [[[0, 1]], True, 1.0],
        [[[0, 1]], True, None],
        {},
        None,
        7,
    ],
)
def test_a_plan_is_groups_of_neighbours_a_direction_and_a_number_of_parts(plan):
    assert as_plan([[[0, 1], [1, 3]], False, 2]) == StoredPlan(((0, 1), (1, 3)), False, 2)
    assert as_plan(plan) is None


def warnings_of_reading(path):
    """What is said of a file that has nothing that can be used."""
    with pytest.warns(UserWarning) as warned:
        assert read_measurements(path).machines == {}
    return [str(w.message).removeprefix(f"{path} ").partition(";")[0] for w in warned]


def test_what_is_not_a_small_file_of_text_is_passed_over(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    latin = tmp_path / "latin"
    latin.write_bytes(b'{"machines": {}, "plans": {"\xe9": 1}}')
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    long = tmp_path / ("long" * 100)
    assert warnings_of_reading(folder) == ["is not a file"]
    assert warnings_of_reading(pipe) == ["is not a file"]
    assert warnings_of_reading(latin) == ["is not JSON that can be read"]
    assert warnings_of_reading(circle) == ["cannot be read (Too many levels of symbolic links)"]
    assert warnings_of_reading(long) == ["cannot be read (File name too long)"]
    monkeypatch.setattr(measurements, "MOST_BYTES", 10)
    large = tmp_path / "large"
    large.write_text(" " * 11)
    assert warnings_of_reading(large) == ["has more than 10 bytes"]


def test_a_file_that_may_not_be_read_is_passed_over(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(measurements, "_read_text", refuse)
    assert warnings_of_reading(tmp_path / "machine.json") == ["cannot be read (Permission denied)"]


def test_a_lack_of_memory_is_passed_over(tmp_path, monkeypatch):
    def fail(path):
        raise MemoryError

    monkeypatch.setattr(measurements, "_read_text", fail)
    assert warnings_of_reading(tmp_path / "machine.json") == ["does not fit into the memory"]


def test_without_a_file_nothing_was_measured(tmp_path):
    for path in (None, tmp_path / "machine.json", SHIPPED / "machine.json"):
        assert read_measurements(path).as_document() == {"machines": {}, "plans": {}}


def test_what_is_stored_is_read_again_bit_for_bit(tmp_path):
    path = tmp_path / "new" / "machine.json"
    odd = MACHINE._replace(call=1 / 3e6, cache=math.inf, part=math.inf)
    store(path, machines={"cpu float32": odd})
    store(path, plans={"a": PLAN})
    found = read_measurements(path)
    assert (found.machines, found.plans) == ({"cpu float32": odd}, {"a": PLAN})


def test_a_file_does_not_grow_beyond_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "MOST_BYTES", 80)
    path = tmp_path / "machine.json"
    store(path, plans={"a": PLAN})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"machine\.json would have more than 80 bytes; delete"):
        store(path, plans={"b": PLAN})
    assert path.read_bytes() == before


PROGRAM = """
import sys
from pathlib import Path
from ttref import storage
from ttref.machine.measurements import StoredPlan, store
if sys.argv[3] == "without flock":
    storage.fcntl = None
sys.stdin.readline()
for k in range(10):
    store(Path(sys.argv[1]), plans={f"{sys.argv[2]} {k}": StoredPlan(((0, 1),), True, 1)})
"""


@pytest.mark.parametrize("lock", ["with flock", "without flock"])
def test_four_processes_that_store_at_once_keep_all_entries(tmp_path, lock):
    path = tmp_path / "machine.json"
    command = [sys.executable, "-c", PROGRAM, path]
    processes = [
        subprocess.Popen([*command, str(k), lock], stdin=subprocess.PIPE) for k in range(4)
    ]
    for process in processes:  # all have begun, or soon will
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 4
    assert len(read_measurements(path).plans) == 40


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    store(tmp_path / "machine.json", plans={"a": PLAN})
    assert read_measurements(tmp_path / "machine.json").plans == {"a": PLAN}


@pytest.mark.parametrize("has_flock", [True, False])
def test_a_lock_that_another_holds_is_waited_for_and_then_named(tmp_path, monkeypatch, has_flock):
    if not has_flock:
        monkeypatch.setattr(storage, "fcntl", None)
    path = tmp_path / "machine.json"
    expected = r"another process has its lock, .*\.machine\.json\.lock; delete that if there is"
    with storage.lock(path), pytest.raises(OSError, match=expected), storage.lock(path, 0.02):
        pass
    with storage.lock(path, 0.0):  # it is free again
        pass
