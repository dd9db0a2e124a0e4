"""The memory that a process may use: of the machine, its control groups and its limits."""

import subprocess
import sys

import pytest

from ttref import memory, tt
from ttref.errors import ShapeError


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Write the files of control groups; they are read anew."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "cgroup")
    memory.available.cache_clear()

    def write(membership, **limits):
        (tmp_path / "cgroup").write_text(membership)
        for name, limit in limits.items():
            file = tmp_path / name.replace("__", "/").replace("DOT", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{limit}\n")

    yield write
    memory.available.cache_clear()


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/\n", {"memoryDOTmax": 1000}, 1000),
        ("0::/a/b\n", {"a__b__memoryDOTmax": "max", "a__memoryDOTmax": 2000}, 2000),
        ("0::/a/b\n", {"memoryDOTmax": 500, "a__memoryDOTmax": 2000}, 500),
        ("0::/outside/of/this/container\n", {"memoryDOTmax": 700}, 700),
        ("4:memory:/a\n1:cpu:/\n", {"memory__a__memoryDOTlimit_in_bytes": 800}, 800),
        ("4:memory:/\n", {"memory__memoryDOTlimit_in_bytes": "unlimited"}, None),
        ("", {}, None),
    ],
)
def test_the_least_limit_of_the_groups_holds(groups, membership, limits, expected):
    whole = memory.available()
    groups(membership, **limits)
    memory.available.cache_clear()
    assert memory.available() == (expected or whole)


def test_what_does_not_fit_into_a_group_is_refused(groups):
    groups("0::/\n", memoryDOTmax=10**6)
    assert tt.normal([10, 10], [10, 10], 2, 0).shape == (100, 100)
    with pytest.raises(ShapeError, match=r"a tensor train of 2 cores takes 0\.0016 GB"):
        tt.normal([10, 10], [10, 10], 1000, 0)


def test_the_limit_of_addresses_holds():
    pytest.importorskip("resource")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34));"
        "from ttref.memory import available; print(available())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) <= 2**34
