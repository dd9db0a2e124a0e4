"""``ttref convert``: files of every format, there and back; bad input ends with 2 and no file."""

import json

import numpy as np
import pytest
from scipy import io

from tests.convert.originals import DENSE
from ttref import TTMatrix
from ttref.cli import main
from ttref.compress import write_weights
from ttref.convert import SYSTEMS, from_canonical, to_canonical
from ttref.convert.files import read_file, write_file
from ttref.convert.members import by_name, choose, stored_of

MODES = (4, 4, 4), (3, 3, 3), (1, 2, 2, 1)  # all systems hold it
GIVEN = ["--modes-in", "4,4,4", "--modes-out", "3,3,3", "--ranks", "2"]
HALVES = ("comera", "loretta")
FORMATS = ("npz", "safetensors", "mat")


def cores(dtype="float32"):
    n, m, r = MODES
    rng = np.random.default_rng(0)
    shapes = zip(r[:-1], n, m, r[1:], strict=True)
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(*words):
    return main(["convert", *map(str, words)])


@pytest.mark.parametrize("end", FORMATS)
@pytest.mark.parametrize("system", [name for name in SYSTEMS if name not in HALVES])
def test_every_system_there_and_back_in_every_format(folder, system, end):
    bias = np.arange(27, dtype="float32")
    write_file(folder / "in.npz", by_name("canonical", cores()) | {"bias": bias})
    assert convert("in.npz", "--from", "canonical", "--to", system, "--out", f"there.{end}") == 0
    # What lies in the file is the same matrix in the system.
    arrays = read_file(folder / f"there.{end}")
    names = choose(system, arrays, [])
    stored = stored_of(system, arrays, names, end == "mat")
    if system == "tensornet-matlab":
        fields = ("n", "m", "r", "ps")
        stored |= {k: tuple(np.asarray(stored[k], int).ravel().tolist()) for k in fields}
    elif isinstance(stored, np.ndarray):
        stored = stored.reshape(-1)
    assert np.array_equal(DENSE[system](stored, *MODES), TTMatrix(cores()).full())
    # And back.
    back = [f"there.{end}", "--from", system, "--to", "canonical", "--out", "back.npz"]
    assert convert(*back, *GIVEN) == 0
    found = read_file(folder / "back.npz")
    assert list(found) == ["cores.0", "cores.1", "cores.2", "bias"]
    for name, array in (by_name("canonical", cores()) | {"bias": bias}).items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize("end", FORMATS)
def test_a_train_over_all_modes(folder, end):
    shapes = [(1, 2, 2), (2, 5, 3), (3, 3, 2), (2, 2, 1)]
    factors = [np.ones(shape) * (k + 1) for k, shape in enumerate(shapes)]
    write_file(folder / f"in.{end}", by_name("loretta", factors))
    assert convert(f"in.{end}", "--from", "loretta", "--to", "torchtt", "--out", f"a.{end}") == 0
    assert convert(f"a.{end}", "--from", "torchtt", "--to", "comera", "--out", "b.npz") == 0
    found = read_file(folder / "b.npz")
    assert all(np.array_equal(found[f"factors.{k}"], factors[k]) for k in range(4))


def test_matlab_drops_axes_of_size_1_at_the_end(folder):
    """As MATLAB itself writes them: the last core, of right rank 1, has three axes."""
    first, last = np.arange(8.0).reshape(1, 2, 2, 2), np.arange(12.0).reshape(2, 3, 2, 1)
    io.savemat(folder / "in.mat", {"core_1": first, "core_2": last[..., 0]})
    assert convert("in.mat", "--from", "t3f", "--to", "canonical", "--out", "a.npz") == 0
    found = read_file(folder / "a.npz")
    assert np.array_equal(found["cores.0"], first)
    assert np.array_equal(found["cores.1"], last)


def test_a_vector_of_matlab_without_its_fields(folder):
    W = from_canonical("tensornet-matlab", cores("float64"))
    io.savemat(folder / "in.mat", {"weights": W["core"]})
    words = ["in.mat", "--from", "tensornet-matlab", "--to", "canonical", "--out", "a.npz"]
    assert convert(*words, *GIVEN) == 0
    found = read_file(folder / "a.npz")
    assert all(np.array_equal(found[f"cores.{k}"], core) for k, core in enumerate(cores()))


def test_a_struct_of_matlab_is_the_train_and_nothing_else_of_it_is_copied(folder):
    W = from_canonical("tensornet-matlab", cores("float64"))
    column = {name: np.array(W[name], float).reshape(-1, 1) for name in ("n", "m", "r")}
    tensor = {"d": 3.0, "r": column["r"], "n": column["n"] * column["m"], "core": W["core"]}
    matrix = {"n": column["n"], "m": column["m"], "tt": tensor}
    io.savemat(folder / "in.mat", {"W": matrix, "bias": np.ones((1, 27))})
    words = ["in.mat", "--from", "tensornet-matlab", "--to", "canonical", "--out", "a.npz"]
    assert convert(*words) == 0
    found = read_file(folder / "a.npz")
    assert list(found) == ["cores.0", "cores.1", "cores.2", "bias"]
    assert all(np.array_equal(found[f"cores.{k}"], core) for k, core in enumerate(cores()))


def test_weights_of_ttref_are_read_by_the_names_of_their_layers(folder, capsys):
    weights = ({"cores": tuple(cores()), "bias": np.ones(27)}, {"cores": tuple(cores())})
    write_weights(folder / "weights.npz", weights)
    words = ["weights.npz", "--from", "canonical", "--to", "tt_rnn", "--out", "a.safetensors"]
    assert convert(*words) == 2
    message = "which of the arrays 0.cores.0, .* are the train of canonical; name them"
    assert "it is not clear " in capsys.readouterr().err, message
    assert convert(*words, "--names", "0.cores.*") == 0
    found = read_file(folder / "a.safetensors")
    assert list(found) == ["kernel", "0.bias", "1.cores.0", "1.cores.1", "1.cores.2"]
    assert np.array_equal(to_canonical("tt_rnn", found["kernel"], *MODES)[1], cores()[1])


def test_modes_and_ranks_of_the_result_are_told(folder, capsys):
    write_file(folder / "in.npz", {"k": np.arange(64.0), "bias": np.ones(6)})
    words = ["in.npz", "--from", "tt_rnn", "--to", "tensornet-matlab", "--out", "a.mat"]
    assert convert(*words, "--modes-in", "2,5", "--modes-out", "3,2", "--ranks", "1,4,1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "input modes 5,2, output modes 2,3, ranks 1,4,1"  # mode 1 is the fastest
    assert [line.split() for line in lines[3:]] == [
        ["core", "64x1", "float64", "train"],
        ["n", "2", "float64", "train"],
        ["m", "2", "float64", "train"],
        ["r", "3", "float64", "train"],
        ["ps", "3", "float64", "train"],
        ["bias", "6", "float64", "copied"],
        ["tensornet-matlab:", "a.mat"],
    ]


TT_RNN = ["in.npz", "--from", "tt_rnn", "--to", "t3f", "--out", "out.npz"]
T3F = ["in.npz", "--from", "t3f", "--to", "tednet", "--out", "out.npz"]


@pytest.mark.parametrize(
    ("arrays", "words", "message"),
    [
        ({"k": np.ones(64)}, TT_RNN, "tt_rnn does not store its modes and ranks: give --modes-in,"),
        (
            {"k": np.ones(64)},
            [*TT_RNN, *GIVEN[:4]],
            "does not store its modes and ranks: give --ra",
        ),
        (
            {"k": np.ones(9)},
            [*TT_RNN, *GIVEN],
            "the vector of cores has shape (9,), expected 96 nu",
        ),
        (
            {"k": np.ones(9)},
            ["in.npz", *TT_RNN[1:-1], "out.pt"],
            "out.pt ends in '.pt', expected one",
        ),
        (
            {"k": np.ones(9)},
            [*TT_RNN[:-1], "in.npz"],
            "in.npz exists already; choose another --out",
        ),
        ({"c_0": np.ones((1, 2, 2, 1))}, T3F, "tednet cannot hold a train of one core"),
        ({"c_0": np.ones((1, 2, 2))}, T3F, "core 0 has shape (1, 2, 2), expected 4 axes"),
        (
            {"c_0": np.ones((1, 2, 2, 2)), "c_1": np.ones((3, 2, 2, 1))},
            T3F,
            "core 1 has left rank 3",
        ),
        (
            {"c_0": np.ones((1, 2, 2, 2)), "c_1": np.ones((2, 2, 2, 1)), "node1": np.ones(2)},
            [*T3F, "--names", "c_*"],
            "has an array node1 that is not of the train, which would be replaced; name all",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_no_file(folder, capsys, arrays, words, message):
    write_file(folder / "in.npz", arrays)
    assert convert(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["in.npz"]


def test_damaged_input_is_one_sentence_and_no_file(folder, capsys):
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    content = len(header).to_bytes(8, "little") + header + b"\0\0"
    for name, damaged in (("in.npz", b"PK"), ("in.mat", b"MATLAB"), ("in.safetensors", content)):
        (folder / name).write_bytes(damaged)
        assert convert(name, "--from", "t3f", "--to", "tednet", "--out", "out.npz") == 2
        error = capsys.readouterr().err
        assert error.startswith(f"ttref: {name} is not ")
        assert error.count("\n") == 1
        assert not (folder / "out.npz").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.npz"], "the following arguments are required: --from, --to, --out"),
        (["no.npz", *T3F[1:]], "FILE: there is no file no.npz"),
        (["in.npz", "--from", "t3ff", *T3F[3:]], "did you mean t3f?"),
        ([*T3F, "--modes-in", "4,x"], "'x' is not a positive integer"),
        ([*T3F, "--ranks", "0"], "'0' is not a positive integer"),
    ],
)
def test_bad_use(folder, capsys, words, message):
    write_file(folder / "in.npz", {"c_0": np.ones((1, 2, 2, 1))})
    with pytest.raises(SystemExit) as stop:
        convert(*words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
