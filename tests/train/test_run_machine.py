"""A run that is resumed on another machine: the same bits where they can be had, or a warning.

The number of threads and the measured costs decide how work is cut; both are changed between the
parts of a run here. What rounds otherwise elsewhere (libraries, processors) is only named.
"""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from ttref import storage
from ttref.contracts import CPU_FLOAT32
from ttref.errors import CheckpointError, ConventionError
from ttref.layers import Dense, Sequential, TTDense
from ttref.machine import basis, process
from ttref.machine.basis import Basis
from ttref.machine.costs import current_basis, machine, numpy_kind
from ttref.optim import Adam
from ttref.train import run_machine

MODEL = Sequential([TTDense([4, 8, 8], [8, 8, 4], 4, activation="relu"), Dense(256, 3)])
WITHOUT_THREADS = {"part": float("inf")}
CHEAP_THREADS = {"part": 1e-12, "cache": 3000.0, "small": 1000.0}
ENVIRONMENT = {"numpy": "1.0", "BLAS": "another, kernels Old"}


@pytest.fixture
def on_machine(own_cache, monkeypatch):
    """Give this process a number of threads, and costs of a machine."""

    def be(threads, **costs):
        own_cache(machines={})
        numbers = machine(CPU_FLOAT32)._replace(**costs)
        own_cache(machines={"cpu float32": numbers._asdict(), "cpu float64": numbers._asdict()})
        monkeypatch.setattr(process, "blas_threads", lambda: threads)

    return be


@pytest.fixture
def train(tools):
    """`fit` on 384 samples of noise, which are enough to be cut."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((384, 256)).astype("float32"), rng.integers(0, 3, 384)

    def run(out, epochs=2, **options):
        given = {"model": MODEL, "params": MODEL.init(1), "data": data, "batch_size": 128}
        return tools.train(Adam(1e-3), epochs, out=out, **given, **options)

    return run


def weights(history):
    return b"".join(leaf.tobytes() for layer in history.params for leaf in flat(layer))


def flat(layer):
    return [a for leaf in layer.values() for a in (leaf if isinstance(leaf, tuple) else (leaf,))]


def test_a_run_goes_on_with_the_bits_of_the_machine_where_it_was_begun(train, on_machine, tmp_path):
    on_machine(3, **CHEAP_THREADS)
    expected = weights(train(tmp_path / "whole"))
    train(tmp_path / "run", 1)
    for threads, costs in ((1, WITHOUT_THREADS), (8, CHEAP_THREADS), (2, {"cache": 10.0**6})):
        on_machine(threads, **costs)
        assert weights(train(tmp_path / f"other {threads}")) != expected  # or this tests nothing
        on_machine(3, **CHEAP_THREADS)
        train(tmp_path / f"run {threads}", 1)
        on_machine(threads, **costs)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            resumed = train(tmp_path / f"run {threads}", resume=True, exact=True)
        assert weights(resumed) == expected


def test_a_calibration_in_the_midst_of_a_run_changes_nothing(train, on_machine, tmp_path):
    on_machine(3, **CHEAP_THREADS)
    expected = weights(train(tmp_path / "whole"))

    def calibrate(report):
        on_machine(1, **WITHOUT_THREADS)

    assert weights(train(tmp_path / "run", on_step=calibrate)) == expected


def resume_after(train, folder, change, **options):
    """Train an epoch, change the machine's entry in the checkpoint, and go on."""
    train(folder, 1)
    saved = storage.load(folder / "checkpoint.npz")
    storage.save(folder / "checkpoint.npz", change(saved))
    return train(folder, resume=True, **options)


def elsewhere(saved):
    return saved | {"machine": saved["machine"] | {"environments": (ENVIRONMENT,)}}


def test_another_environment_is_named_and_can_be_refused(train, tmp_path):
    with pytest.warns(UserWarning, match=r"may not go on bit for bit: .*numpy was 1\.0, now it is"):
        resume_after(train, tmp_path / "a", elsewhere)
    with pytest.raises(CheckpointError, match=r"BLAS was another, kernels Old, now .*leave exact"):
        resume_after(train, tmp_path / "b", elsewhere, exact=True)
    # From then on it is a run of two environments.
    with pytest.raises(CheckpointError, match="it went on in another environment before; resume"):
        train(tmp_path / "a", 3, resume=True, exact=True)
    machine = storage.load(tmp_path / "a" / "checkpoint.npz")["machine"]
    assert len(machine["environments"]) == 2


def test_a_checkpoint_that_names_no_machine_goes_on_with_a_warning(train, tmp_path):
    def old(saved):
        return {name: value for name, value in saved.items() if name != "machine"}

    with pytest.warns(UserWarning, match="does not say on which machine it was begun"):
        resume_after(train, tmp_path / "a", old)
    with pytest.raises(CheckpointError, match="does not say on which machine it was begun"):
        resume_after(train, tmp_path / "b", old, exact=True)


@pytest.mark.parametrize("damage", ["", "{}", '{"machines": {}, "plans": {}}', None])
def test_measurements_that_are_not_the_runs_are_named(train, tmp_path, damage):
    def change(saved):
        file = tmp_path / "machine.json"
        file.unlink()
        if damage is not None:
            file.write_text(damage)
        return saved

    with pytest.warns(UserWarning, match=r"machine\.json is not the run's, so work is cut by this"):
        resume_after(train, tmp_path, change)


WRONG = [
    ({"threads": 0}, "machine.threads is 0, expected an integer from 1"),
    ({"threads": 10**9}, "machine.threads is 1000000000, expected"),
    ({"threads": True}, "machine.threads is True, expected"),
    ({"measurements": "x"}, "machine.measurements is x, expected a checksum"),
    ({"environments": ()}, "machine.environments is something else, expected a list"),
    ({"environments": ({"numpy": 2},)}, "machine.environments is something else, expected a list"),
    ({"more": 1}, "machine is a dict of threads, measurements, environments, more, expected one"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_an_entry_that_no_run_has_is_refused(train, tmp_path, wrong, message):
    with pytest.raises(CheckpointError, match=message):
        resume_after(train, tmp_path, lambda s: s | {"machine": s["machine"] | wrong})


def test_exact_without_a_run_that_goes_on_is_refused(train, tmp_path):
    with pytest.raises(ConventionError, match="exact is True, but resume is not"):
        train(tmp_path, exact=True)


def test_long_lists_are_compared_word_by_word():
    before = {"vector instructions": " ".join(f"F{k}" for k in range(30))}
    now = {"vector instructions": " ".join(f"F{k}" for k in range(1, 31))}
    found = run_machine._compare(before, now)
    assert found == ["vector instructions was F0, now it is F30"]


def test_bases_are_kept_side_by_side():
    first = current_basis()
    second = Basis(first.threads + 1, first.measurements)
    with basis.keep(first):
        kind = numpy_kind("f")
        with basis.keep(second):
            assert numpy_kind("f") != kind and machine(numpy_kind("f")) == machine(kind)
        assert numpy_kind("f") == kind
    assert numpy_kind("f") == CPU_FLOAT32 and str(kind) == "cpu float32"


SCRIPT = """
import hashlib, sys
import numpy as np
from ttref import Dense, Sequential, TTDense, fit
from ttref.optim import Adam

rng = np.random.default_rng(0)
data = rng.standard_normal((4000, 1024)).astype("float32"), rng.integers(0, 3, 4000)
model = Sequential([TTDense([4, 8, 8, 4], [4, 8, 8, 4], 8, activation="relu"), Dense(1024, 3)])
options = {"batch_size": 1000, "progress": False, "out": sys.argv[1], "resume": True}
found = fit(model, model.init(1), data, Adam(1e-3), int(sys.argv[2]), **options)
print(hashlib.sha256(found.params[0]["cores"][1].tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
def test_a_process_of_one_thread_goes_on_with_the_bits_of_two(tmp_path):
    pytest.importorskip("threadpoolctl")

    def run(threads, folder, epochs):
        variables = os.environ | {"OPENBLAS_NUM_THREADS": str(threads)}
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(folder), str(epochs)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True)

    whole = run(2, tmp_path / "whole", 2).stdout
    run(2, tmp_path / "run", 1)
    assert run(1, tmp_path / "run", 2).stdout == whole
