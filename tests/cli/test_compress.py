"""`ttref compress` and what it is made of: modes, ranks, errors, files."""

import re
from math import prod

import numpy as np
import pytest

from ttref import compress, storage, tree, tt
from ttref.cli import main
from ttref.compress import choose_modes, read_weights, write_weights
from ttref.errors import CheckpointError, ConventionError, DataError, ShapeError, TTRefError
from ttref.layers import GRU, LSTM, RNN, TTGRU, Conv2d, Dense, Sequential, TTConv2d, TTDense
from ttref.optim import SGD
from ttref.train import fit


def train_of_rank(in_modes, out_modes, rank, seed=0):
    """A dense matrix that is a tensor train of this rank."""
    return tt.random(in_modes, out_modes, rank, rng=seed, dtype="float64").full()


def kernel_of_rank(rank):
    """A kernel (3, 3, 16, 16) that is one, of modes [4, 4] -> [4, 4]."""
    return train_of_rank((9, 4, 4), (1, 4, 4), rank).reshape(3, 3, 16, 16)


def weights(bias=True):
    """Of a network with names, each matrix a train of rank 2."""
    some = {"bias": np.arange(16.0)} if bias else {}
    return {
        "conv1": {"kernel": kernel_of_rank(2)} | some,
        "bn1": {"scale": np.ones(16), "statistics": {"mean": np.zeros(16)}},
        "fc1": {"kernel": train_of_rank((4, 4, 4), (4, 4, 4), 2)},
    }


@pytest.mark.parametrize("N", [1, 2, 7, 10, 64, 97, 784, 1536, 8192])
@pytest.mark.parametrize("M", [1, 10, 64, 128, 625, 4096])
def test_modes_multiply_to_the_sizes(N, M):
    n, m = choose_modes(N, M)
    assert (prod(n), prod(m), len(n)) == (N, M, len(m))


def test_modes_are_choose_modes():
    assert choose_modes(64, 64) == ([4, 4, 4], [4, 4, 4])
    assert choose_modes(784, 625) == ([7, 7, 4, 4], [5, 5, 5, 5])
    assert choose_modes(8192, 1536) == ([8, 8, 8, 4, 4], [4, 4, 4, 4, 6])
    assert choose_modes(128, 10) == ([16, 8], [2, 5])


GATES = {RNN: 1, GRU: 3, LSTM: 4}

# Weights


def test_trains_are_found_again():
    before = weights()
    after, rows = compress.compress(before, rel_error=1e-9)
    assert [row.layer for row in rows] == ["conv1", "fc1"]
    assert [row.ranks for row in rows] == [(2, 2, 1), (1, 2, 2, 1)]
    assert [row.in_modes for row in rows] == [(4, 4), (4, 4, 4)]
    for row in rows:
        shapes = tree.map(np.shape, after[row.layer])
        assert row.after == tree.size(after[row.layer]) - 16 * (row.layer == "conv1"), shapes
        assert row.before == before[row.layer]["kernel"].size
        assert row.error <= 1e-9
    assert after["bn1"]["scale"] is before["bn1"]["scale"]
    assert after["conv1"]["bias"] is before["conv1"]["bias"]
    TTConv2d(3, [4, 4], [4, 4], [2, 2, 1]).forward(after["conv1"], np.zeros((1, 3, 3, 16)))
    TTDense([4] * 3, [4] * 3, 2, bias=False).forward(after["fc1"], np.zeros((1, 64)))


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
def test_what_stands_beside_a_kernel_is_kept_and_named(layer):
    before = {"rnn": layer(64, 16).init(0, "float64"), "more": {"table": np.ones((3, 4))}}
    before["rnn"]["kernel"] = train_of_rank(*choose_modes(64, 16 * GATES[layer]), 2)
    before["rnn"]["inner"] = {"kernel": train_of_rank((4, 4, 4), (4, 4, 4), 2), "gain": np.ones(3)}
    after, rows = compress.compress(before, rel_error=1e-9)
    named = {row.layer: row for row in rows}
    assert list(named) == ["rnn", "rnn.recurrent", "rnn.inner", "more.table"]
    assert max(named["rnn"].ranks) == max(named["rnn.inner"].ranks) == 2
    for name in ("rnn.recurrent", "more.table"):
        assert not named[name].is_covered
        assert named[name].before == named[name].after
    found = tree.flatten(after)
    for name, value in tree.flatten(before).items():
        if not name.endswith("kernel"):
            assert found.pop(name) is value
    assert {name.rpartition(".")[0] for name in found} == {"rnn.cores", "rnn.inner.cores"}


def test_a_train_is_not_compressed_again_and_kernels_of_other_axes_are_named():
    params, _ = compress.compress(weights(), rel_error=1e-9)
    params["conv3"] = {"kernel": np.ones((3, 4, 5)), "bias": np.ones(5)}
    params["fc2"] = {"kernel": train_of_rank((4, 4, 4), (4, 4, 4), 2)}
    params["gru"] = TTGRU([4, 4], [2, 2], 2, recurrent_ranks=2).init(0)
    after, rows = compress.compress(params, max_rank=2)
    assert [row.layer for row in rows] == ["conv3.kernel", "fc2"]
    assert after["conv3"]["kernel"] is params["conv3"]["kernel"]
    assert after["fc1"]["cores"][0] is params["fc1"]["cores"][0]
    assert after["gru"]["recurrent"] is params["gru"]["recurrent"]


def test_the_command_names_what_it_keeps(tmp_path, capsys):
    write_weights(tmp_path / "w.npz", {"gru": GRU(64, 16).init(0)})
    assert main(["compress", str(tmp_path / "w.npz"), "--max-rank", "2"]) == 0
    shown = capsys.readouterr().out
    assert "kept as they are, because only kernels are compressed: gru.recurrent" in shown
    kept = read_weights(tmp_path / "compressed.npz")["gru"]
    assert set(kept) == {"cores", "recurrent", "bias"}


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_the_error_is_that_of_the_outputs_on_unit_vectors(rank):
    rng = np.random.default_rng(0)
    params = (
        {"kernel": rng.standard_normal((64, 64))},
        {"kernel": rng.standard_normal((3, 3, 4, 16))},
    )
    (dense, conv), rows = compress.compress(params, rank, modes={"1": ((2, 2), (4, 4))})
    y, _ = TTDense([4] * 3, [4] * 3, rows[0].ranks, bias=False).forward(dense, np.eye(64))
    images = np.zeros((36, 3, 3, 4))
    images.reshape(36, 36)[:] = np.eye(36)
    layer = TTConv2d(3, (2, 2), (4, 4), rows[1].ranks, padding="VALID", bias=False)
    z, _ = layer.forward(conv, images)
    for row, found, kernel in zip(rows, (y, z), params, strict=True):
        matrix = kernel["kernel"].reshape(-1, found.shape[-1])
        error = np.linalg.norm(found.reshape(matrix.shape) - matrix) / np.linalg.norm(matrix)
        # Both are sums of at most 64 products, and a root of 4096 squares: within 4096 u of each
        # other by far, and the error of a random matrix is not small.
        assert abs(row.error - error) <= 4096 * 2**-53
        assert row.error > 0.1


@pytest.mark.parametrize("bound", [0.1, 0.5, 0.9])
def test_the_relative_error_is_bounded(bound):
    matrix = np.random.default_rng(0).standard_normal((64, 64)) / np.arange(1, 65) ** 2
    (found,), (row,) = compress.compress(({"kernel": matrix},), rel_error=bound)
    assert 0 < row.error <= bound
    assert "cores" in found


def test_a_layer_that_would_grow_is_kept():
    params = {"fc1": {"kernel": np.random.default_rng(0).standard_normal((16, 10))}}
    same, (row,) = compress.compress(params, rel_error=0)
    assert same["fc1"]["kernel"] is params["fc1"]["kernel"]
    assert (row.ranks, row.before, row.after, row.error) == (None, 160, 160, 0.0)


def test_a_zero_matrix_has_rank_one_and_no_error():
    _, (row,) = compress.compress({"fc1": {"kernel": np.zeros((64, 64))}}, rel_error=0.1)
    assert (row.ranks, row.error) == ((1, 1, 1, 1), 0.0)


def test_given_modes_are_taken():
    _, rows = compress.compress(weights(), 2, modes={"fc1": ((8, 8), (4, 16))})
    assert (rows[1].in_modes, rows[1].out_modes, rows[1].ranks) == ((8, 8), (4, 16), (1, 2, 1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConventionError, r"^give either max_rank or rel_error"),
        ({"max_rank": 2, "rel_error": 0.1}, ConventionError, r"^give either max_rank or rel_err"),
        ({"rel_error": -1}, ConventionError, r"rel_error is -1, expected a number in \[0, 1\)"),
        ({"rel_error": 2}, ConventionError, r"rel_error is 2, expected a number in \[0, 1\)"),
        (
            {"max_rank": 2, "modes": {"fc9": ((8, 8), (8, 8))}},
            ConventionError,
            r"^modes are given for fc9, the layers are conv1, fc1$",
        ),
        (
            {"max_rank": 2, "modes": {"fc1": ((8, 9), (8, 8))}},
            ShapeError,
            r"^the modes of fc1 are \(8, 9\) and \(8, 8\), expected as many of both, of pro",
        ),
        ({"max_rank": 2, "modes": {"fc1": ((8, 8), (64,))}}, ShapeError, r"as many of both"),
    ],
)
def test_bad_bounds_and_modes(arguments, error, message):
    with pytest.raises(error, match=message):
        compress.compress(weights(), **arguments)


def test_only_the_layers_that_are_named_are_compressed():
    before = weights()
    after, rows = compress.compress(before, 2, only=["fc*", "x"])
    assert [row.layer for row in rows] == ["fc1"]
    assert after["conv1"]["kernel"] is before["conv1"]["kernel"]
    assert "cores" in after["fc1"]


def test_weights_without_matrices():
    for params, only in (({"bn1": {"scale": np.ones(3)}}, ["*"]), (weights(), ["fc2", "bn*"])):
        message = (
            f"the weights have no full matrix or kernel to compress in layers {' or '.join(only)}"
        )
        with pytest.raises(ConventionError) as caught:
            compress.compress(params, 2, only=only)
        assert str(caught.value) == message


# Files and the command


def test_the_average_of_the_weights_is_what_counts(tmp_path):
    net = Sequential([Dense(4, 2)])
    data = np.ones((2, 4)), np.asarray([0, 1])
    for ema in (None, 0.5):
        settings = {"out": tmp_path / str(ema), "progress": False, "ema": ema}
        history = fit(net, net.init(0, "float64"), data, SGD(0.1), 2, **settings)
        expected = history.params if ema is None else history.average
        found = read_weights(tmp_path / str(ema) / "checkpoint.npz")
        assert np.array_equal(found[0]["kernel"], expected[0]["kernel"])
        assert ema is None or not np.array_equal(found[0]["kernel"], history.params[0]["kernel"])


def test_other_files_are_refused(tmp_path):
    for content in ({"kind": "a list"}, (1, 2)):
        storage.save(tmp_path / "other.npz", content)
        with pytest.raises(CheckpointError, match=r"other\.npz holds no weights: it is neither"):
            read_weights(tmp_path / "other.npz")


def test_the_command_prints_a_table_and_writes_the_weights(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "checkpoint.npz"
    write_weights(source, weights())
    arguments = ["compress", str(source), "--rel-error", "1e-6", "--modes", "fc1=8,8:4,16"]
    assert main(arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2] == ["conv1", "4x4", "4x4", "2-2-1", "2304", "114", "20.21x", "0.0000"]
    assert lines[3] == ["fc1", "8x8", "4x16", "1-4-1", "4096", "640", "6.40x", "0.0000"]
    assert lines[4] == ["total", "6400", "754", "8.49x"]
    assert lines[5] == ["weights:", str(tmp_path / "compressed.npz")]
    expected, _ = compress.compress(weights(), rel_error=1e-6, modes={"fc1": ((8, 8), (4, 16))})
    found = read_weights(tmp_path / "compressed.npz")
    pairs = tree.flatten(found), tree.flatten(expected)
    assert pairs[0].keys() == pairs[1].keys()
    assert all(np.array_equal(pairs[0][name], pairs[1][name]) for name in pairs[0])
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith("exists already; choose another --out\n")
    assert main([*arguments, "--out", str(tmp_path / "b" / "c.npz")]) == 0
    assert (tmp_path / "b" / "c.npz").exists()
    assert main(["compress", str(source), "--max-rank", "1", "--only", "c*", "--out", "d.npz"]) == 0
    assert "kernel" in read_weights("d.npz")["fc1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.npz"], "one of the arguments --max-rank --rel-error is required"),
        (["x.npz", "--max-rank", "2", "--rel-error", "0.1"], "not allowed with argument"),
        (["x.npz", "--max-rank", "0"], "'0' is not a positive integer"),
        (["x.npz", "--rel-error", "small"], "'small' is not a number in [0, 1)"),
        (["x.npz", "--rel-error", "nan"], "'nan' is not a number in [0, 1)"),
        *(
            (["x.npz", "--max-rank", "2", "--modes", modes], f"'{modes}' is not LAYER=MODES:MODES")
            for modes in ("fc1", "fc1=4", "fc1=4:4:4", "fc1=4,x:2", "fc1=4,0:2,2")
        ),
    ],
)
def test_bad_use(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(["compress", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_checkpoint(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compress", str(tmp_path / "x.npz"), "--max-rank", "2"])
    assert stop.value.code == 2
    assert re.search(r"CHECKPOINT: there is no file .*x\.npz$", capsys.readouterr().err.strip())


def test_it_is_said_where_no_layer_became_smaller(tmp_path, capsys):
    source = tmp_path / "checkpoint.npz"
    write_weights(source, weights())
    assert main(["compress", str(source), "--rel-error", "0", "--only", "fc*"]) == 0
    assert "no layer became smaller; allow a larger error (--rel-error)" in capsys.readouterr().out


def test_a_convolution_of_one_filter_keeps_its_form(tmp_path):
    """Where kh kw r_0 is 1 there are no filters: a pointwise convolution of rank 1."""
    kernel = np.random.default_rng(0).standard_normal((1, 1, 16, 16))
    params, (row,) = compress.compress({"c": {"kernel": kernel}}, 1, modes={"c": ((4, 4), (4, 4))})
    assert params["c"].keys() == {"cores"}
    assert row.after == 32
    x = np.random.default_rng(1).standard_normal((2, 3, 3, 16))
    y, _ = TTConv2d(1, (4, 4), (4, 4), row.ranks, bias=False).forward(params["c"], x)
    z, _ = Conv2d(1, 16, 16, bias=False).forward({"kernel": kernel}, x)
    assert y.shape == z.shape


WEIGHTS = {"0": {"dense": {"kernel": np.ones((4, 4)), "bias": np.ones(4)}}}


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.full((4, 4), np.nan), "the kernel of layer 0.dense holds a number that is not finite"),
        (np.ones((4, 4), int), "the kernel of layer 0.dense has dtype int64, expected floating"),
    ],
)
def test_weights_that_cannot_be_compressed_are_named(kernel, message):
    params = {"0": {"dense": {"kernel": kernel}}}
    with pytest.raises(TTRefError, match=message):
        compress.compress(params, max_rank=2)


NAMES = {
    "fc.kernel": "kernel of layer fc",
    "fc.bias": "bias of layer fc",
    "tt.cores.0": "cores.0 of layer tt",
    "tt.cores.1": "cores.1 of layer tt",
    "inner.bn.scale": "scale of layer inner.bn",
    "inner.bn.statistics.mean": "mean of layer inner.bn.statistics",
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("leaf", NAMES)
def test_a_number_that_is_not_finite_is_named_by_layer_and_key(leaf, value):
    cores = (np.ones((1, 2, 2, 1)), np.ones((1, 2, 2, 1)))
    params = {
        "fc": {"kernel": np.ones((4, 4)), "bias": np.ones(4)},
        "tt": {"cores": cores},
        "inner": {"bn": {"scale": np.ones(4), "statistics": {"mean": np.ones(4)}}},
    }
    tree.flatten(params)[leaf].flat[-1] = value
    message = f"^the {NAMES[leaf]} holds a number that is not finite$"
    with pytest.raises(DataError, match=message):
        compress.compress(params, max_rank=2, only=["fc"])
    layer = leaf.partition(".")[0]
    message = message.replace(layer, str(list(params).index(layer)))
    with pytest.raises(DataError, match=message):
        compress.compress(tuple(params.values()), max_rank=2)


def test_a_bare_array_that_is_not_finite_is_told():
    with pytest.raises(DataError, match=r"^the array holds a number that is not finite$"):
        compress.compress(np.full((4, 4), np.nan), max_rank=2)


def test_names_are_not_taken_from_the_letters_of_a_text():
    with pytest.raises(ConventionError, match=r"only is '0.dense', .* names: \['0.dense'\]"):
        compress.compress(WEIGHTS, max_rank=2, only="0.dense")
