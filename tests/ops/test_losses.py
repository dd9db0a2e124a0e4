"""The losses and softmax: against 256-bit balls, torch, and themselves with samples left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref import losses, ops
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, DataError, DtypeError, ShapeError
from ttref.fast import softmax_cross_entropy as fast_softmax
from ttref.testing import check_op

flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
arb = flint.arb


@pytest.fixture(autouse=True)
def precise_balls():
    before, flint.ctx.prec = flint.ctx.prec, 256
    yield
    flint.ctx.prec = before


def logits_and_labels(seed, spread, B=5, C=4, dtype="float64"):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(B, C)) * spread).astype(dtype), rng.integers(0, C, B)


def softmax_truth(z, labels):
    """Loss and gradient of mean softmax cross-entropy, in balls."""
    B = len(z)
    loss, gradient = arb(0), []
    for row, label in zip(z, labels, strict=True):
        powers = [arb(float(v)).exp() for v in row]
        total = sum(powers, arb(0))
        others = sum((p for c, p in enumerate(powers) if c != label), arb(0))
        loss += (total / powers[label]).log()
        gradient.append([p / total / B for p in powers])
        gradient[-1][label] = -others / total / B
    return loss / B, gradient


def binary_truth(z, t):
    loss, gradient = arb(0), []
    for v, target in zip(z.flat, t.flat, strict=True):
        v, target = arb(float(v)), arb(float(target))
        loss += target * (-v).exp().log1p() + (1 - target) * v.exp().log1p()
        gradient.append(((1 - target) / (1 + (-v).exp()) - target / (1 + v.exp())) / z.size)
    return loss / z.size, [gradient[k : k + z.shape[1]] for k in range(0, z.size, z.shape[1])]


def worst_units(found, truth, dtype):
    """Largest relative error in units of roundoff, entry by entry."""
    u = arb(float(np.finfo(dtype).eps)) / 2
    pairs = zip(np.ravel(found), [t for row in truth for t in row], strict=True)
    return max(float((abs(arb(float(f)) - t) / (u * abs(t))).upper()) for f, t in pairs)


# exp amplifies the rounding of z - max z by its size, here up to 60; some 20 other roundings
UNITS = 60 + 24


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spread", [0.1, 1, 8])
def test_softmax_cross_entropy_is_accurate_relative_to_every_entry(spread, dtype):
    for seed in range(10):
        z, labels = logits_and_labels(seed, spread, dtype=dtype)
        loss, dz = losses.softmax_cross_entropy(z, labels)
        true_loss, true_dz = softmax_truth(z, labels)
        assert loss.dtype == dz.dtype == dtype
        assert worst_units(loss, [[true_loss]], dtype) <= UNITS
        assert worst_units(dz, true_dz, dtype) <= UNITS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spread", [0.1, 1, 8])
def test_binary_cross_entropy_is_accurate_relative_to_every_entry(spread, dtype):
    for seed in range(10):
        z, _ = logits_and_labels(seed, spread, dtype=dtype)
        t = (np.random.default_rng(seed).random(z.shape) < 0.5).astype(dtype)
        loss, dz = losses.binary_cross_entropy(z, t)
        true_loss, true_dz = binary_truth(z, t)
        assert loss.dtype == dz.dtype == dtype
        assert worst_units(loss, [[true_loss]], dtype) <= UNITS
        assert worst_units(dz, true_dz, dtype) <= UNITS


def test_a_confident_right_answer_keeps_all_digits():
    """log(1 + e^-40) = e^-40: p - 1 in floating point would be 0."""
    loss, dz = losses.softmax_cross_entropy(np.asarray([[40.0, 0.0]]), np.asarray([0]))
    assert loss == pytest.approx(np.exp(-40), rel=1e-15)
    assert dz[0, 0] == -dz[0, 1]
    assert dz[0, 1] == pytest.approx(np.exp(-40), rel=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_ten_thousand_stay_finite_and_exact(dtype):
    z = np.asarray([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype=dtype)
    loss, dz = losses.softmax_cross_entropy(z, np.asarray([0, 1]))
    assert loss == 1e4  # the mean of 0 and 2e4
    assert dz.tolist() == [[0, 0, 0], [0.5, -0.5, 0]]
    loss, dz = losses.binary_cross_entropy(z[:, :2], np.asarray([[1, 0], [0, 1]], dtype=dtype))
    assert loss == 5e3
    assert dz.tolist() == [[0, 0], [0.25, -0.25]]


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_one_hot_labels_are_the_same_as_integer_labels(seed, weighted):
    z, labels = logits_and_labels(seed, 2)
    weight = np.random.default_rng(seed).random(len(z)) + 0.1 if weighted else None
    loss, dz = losses.softmax_cross_entropy(z, labels, weight)
    loss_hot, dz_hot = losses.softmax_cross_entropy(z, np.eye(z.shape[1])[labels], weight)
    # p - 1 at the label: absolute error of some roundings of numbers below 1
    assert abs(loss - loss_hot) <= 64 * 2**-53 * max(1, loss)
    assert np.abs(dz - dz_hot).max() <= 16 * 2**-53


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels_dtype", ["int64", "uint8", "uint64"])
def test_the_fast_softmax_cross_entropy_has_the_bits_of_the_reference(
    dtype, weighted, labels_dtype
):
    for seed, (B, C, spread) in enumerate([(64, 10, 1), (1, 1, 1), (5, 200, 40), (6, 4, 0)]):
        z, labels = logits_and_labels(seed, spread, B, C, dtype)
        labels = labels.astype(labels_dtype)
        weight = np.arange(1, B + 1).astype(dtype) if weighted else None
        fast_loss, cache = fast_softmax.forward(z, labels, weight)
        assert type(cache) is fast_softmax.Cache
        loss, expected = ops.softmax_cross_entropy.forward(z, labels, weight)
        found = fast_softmax.backward(3, cache)
        assert (fast_loss, fast_loss.dtype) == (loss, loss.dtype)
        assert found.dtype == dtype
        assert (found == ops.softmax_cross_entropy.backward(3, expected)).all()


@pytest.mark.parametrize("op", [ops.softmax_cross_entropy, fast_softmax])
def test_both_operators_refuse_shapes_that_do_not_fit(op):
    with pytest.raises(ShapeError, match=r"logits has shape \(3,\), expected \(any, any\)"):
        op.forward(Z[0], np.asarray([1, 2, 0]))
    with pytest.raises(ShapeError, match=r"labels has shape \(3,\), expected \(2,\)"):
        op.forward(Z, np.asarray([1, 2, 0]))
    with pytest.raises(ShapeError, match=r"sample_weight has shape \(3,\), expected \(2,\)"):
        op.forward(Z, np.asarray([1, 2]), np.ones(3))
    with pytest.raises(ShapeError, match="the loss of an empty batch is undefined"):
        op.forward(Z[:0], np.zeros(0, int))


def subsets():
    return st.lists(st.booleans(), min_size=5, max_size=5).filter(any)


@given(st.integers(0, 2**32 - 1), subsets())
def test_weight_zero_is_the_same_as_leaving_the_sample_out(seed, keep):
    z, labels = logits_and_labels(seed, 2)
    keep = np.asarray(keep)
    targets = {
        "softmax_cross_entropy": labels,
        "binary_cross_entropy": np.random.default_rng(seed).random(z.shape),
        "mean_squared_error": np.random.default_rng(seed).normal(size=z.shape),
    }
    for name, target in targets.items():
        loss, dz = getattr(losses, name)(z, target, keep.astype(float))
        loss_kept, dz_kept = getattr(losses, name)(z[keep], target[keep])
        # the same positive terms, summed in another order and divided by the same count
        assert abs(loss - loss_kept) <= 2**-53 * 64 * loss
        assert np.abs(dz[keep] - dz_kept).max() <= 2**-53 * 8 * np.abs(dz_kept).max()
        assert not dz[~keep].any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_masked_class_is_the_same_as_no_such_class(seed, classes):
    rng = np.random.default_rng(seed)
    z, _ = logits_and_labels(seed, 2, C=5)
    labels = rng.integers(0, classes, len(z))
    mask = (np.arange(5) < classes).astype(int)
    z[:, classes:] = rng.choice([1e30, -1e30, 0], (len(z), 5 - classes))
    loss, dz = losses.softmax_cross_entropy(z, labels, class_mask=mask)
    expected_loss, expected = losses.softmax_cross_entropy(z[:, :classes], labels)
    assert loss == pytest.approx(float(expected_loss), rel=1e-15, abs=0)
    assert (np.abs(dz[:, :classes] - expected) <= 8 * 2**-53 * np.abs(expected)).all()
    assert not dz[:, classes:].any()


def test_entries_that_are_masked_do_not_count_in_binary_and_squared_losses():
    z, t = np.asarray([[1.0, -2.0], [0.5, 3.0]]), np.asarray([[1.0, 0.0], [0.0, 1.0]])
    mask = np.asarray([[1, 0], [1, 1]])
    for name in ("binary_cross_entropy", "mean_squared_error"):
        loss, dz = getattr(losses, name)(z, t, class_mask=mask)
        single = [
            getattr(losses, name)(z[i : i + 1, j : j + 1], t[i : i + 1, j : j + 1])
            for i, j in ((0, 0), (1, 0), (1, 1))
        ]
        assert loss == pytest.approx(sum(float(v[0]) for v in single) / 3, rel=1e-15)
        assert dz[0, 1] == 0
        assert dz[1, 1] == pytest.approx(float(single[2][1][0, 0]) / 3, rel=1e-15)


def test_mean_squared_error_is_exact_on_rationals():
    assert check_op("mean_squared_error", examples=300).ok


@pytest.mark.parametrize("name", ["activation", "dropout", "l2"])
def test_the_other_exact_operators_pass_their_checks(name):
    assert check_op(name, examples=300).ok


def test_l2_names_what_is_not_there():
    params = ({"kernel": np.ones(2)}, {"cores": (np.ones(1), np.ones(1))})
    with pytest.raises(
        ConventionError, match=r"l2 names '1\.core', but the parameters are 0\.kernel"
    ):
        ops.l2.forward(params, {"1.core": 1})
    with pytest.raises(ConventionError, match=r"l2 covers parameter '1.cores.0' twice"):
        ops.l2.forward(params, {"1.cores": 1, "1.cores.0": 2})
    assert ops.l2.forward(params, {})[0] == 0
    assert ops.l2.forward(params, {"1.cores": 3})[0] == 6


def test_softmax_sums_to_one_and_its_gradient_is_the_exact_one():
    z, _ = logits_and_labels(3, 3)
    dy = np.random.default_rng(4).normal(size=z.shape)
    y, cache = ops.softmax.forward({}, z)
    _, dz = ops.softmax.backward(dy, cache)
    for row, probabilities, cotangent, found in zip(z, y, dy, dz, strict=True):
        powers = [arb(float(v)).exp() for v in row]
        p = [v / sum(powers, arb(0)) for v in powers]
        d = [arb(float(v)) for v in cotangent]
        inner = sum((a * b for a, b in zip(p, d, strict=True)), arb(0))
        truth = [a * (b - inner) for a, b in zip(p, d, strict=True)]
        # absolute: every term is below max |dy| < 4, and about 30 roundings are made
        errors = [abs(arb(float(f)) - t) for f, t in zip(found, truth, strict=True)]
        errors += [abs(arb(float(f)) - t) for f, t in zip(probabilities, p, strict=True)]
        assert all(e < 4 * 60 * 2**-53 for e in errors)


@pytest.mark.witness
@pytest.mark.parametrize("weighted", [False, True])
def test_torch_agrees_on_all_three_losses(weighted):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    z, labels = logits_and_labels(11, 3)
    t = np.random.default_rng(1).random(z.shape)
    weight = np.asarray([1.0, 2, 0, 1, 0.5]) if weighted else np.ones(5)

    def mean(entries):
        per_sample = entries if entries.ndim == 1 else entries.mean(dim=1)
        return (per_sample * torch.tensor(weight)).sum() / weight.sum()

    expected = {
        "softmax_cross_entropy": lambda x: functional.cross_entropy(
            x, torch.tensor(labels), reduction="none"
        ),
        "binary_cross_entropy": lambda x: functional.binary_cross_entropy_with_logits(
            x, torch.tensor(t), reduction="none"
        ),
        "mean_squared_error": lambda x: (x - torch.tensor(t)) ** 2,
    }
    for name, entries in expected.items():
        x = torch.tensor(z, requires_grad=True)
        torch_loss = mean(entries(x))
        torch_loss.backward()
        target = labels if name == "softmax_cross_entropy" else t
        loss, dz = getattr(losses, name)(z, target, weight if weighted else None)
        # torch's p - 1 loses absolute digits: 64 roundings of numbers of size 1 (MSE: max |dz|)
        scale = max(1, np.abs(dz).max(), float(loss))
        assert abs(float(torch_loss.detach()) - loss) <= 64 * 2**-53 * scale
        assert np.abs(x.grad.numpy() - dz).max() <= 64 * 2**-53 * scale


def test_losses_run_on_every_library_and_keep_the_dtype(float_backend):
    z, labels = logits_and_labels(2, 2, dtype=float_backend.kind)
    t = (np.random.default_rng(3).random(z.shape) < 0.5).astype(float_backend.kind)
    weight = np.asarray([1, 2, 1, 3, 1], dtype=float_backend.kind)
    xp, u = float_backend.xp, np.finfo(float_backend.kind).eps / 2
    for name, target in (
        ("softmax_cross_entropy", labels),
        ("softmax_cross_entropy", np.eye(4, dtype=z.dtype)[labels]),
        ("binary_cross_entropy", t),
        ("mean_squared_error", t),
    ):
        expected, expected_dz = getattr(losses, name)(z, target, weight)
        loss, dz = getattr(losses, name)(*(xp.asarray(a) for a in (z, target, weight)))
        assert loss.dtype == dz.dtype == float_backend.dtype
        # the same formula with other exp and log, and sums in another order
        assert abs(float(loss) - expected) <= 64 * u * max(1, expected)
        assert np.abs(to_numpy(dz) - expected_dz).max() <= 64 * u


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("worst", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["samples", "classes"])
def test_what_has_weight_zero_is_left_out_whatever_it_is(name, hot, worst, where):
    rng = np.random.default_rng(5)
    z, labels = logits_and_labels(5, 2, B=6, C=4)
    labels %= 3
    is_hot = hot or name != "softmax_cross_entropy"
    target = np.eye(4)[labels] if is_hot else labels
    keep = np.asarray([True, False, True, True, False, True])
    mask = np.asarray([1, 1, 1, 0])
    options = {"class_mask": mask} if where == "classes" else {"sample_weight": keep.astype(float)}
    expected, expected_dz = getattr(losses, name)(z, target, **options)
    if where == "classes":
        z[:, 3] = worst
        if is_hot and name != "softmax_cross_entropy":
            target[:, 3] = worst
    else:
        z[~keep, rng.integers(4)] = worst
        if is_hot:
            target[~keep] = worst
        else:
            target[~keep] = -100 if worst == np.inf else 1000
    loss, dz = getattr(losses, name)(z, target, **options)
    assert loss == expected
    assert np.array_equal(dz, expected_dz)


def test_logits_of_minus_infinity_are_classes_of_no_probability():
    z = np.asarray([[-np.inf, 1.0, 2.0, -np.inf], [0.0, -np.inf, 3.0, 1.0]])
    for labels in ([1, 2], [0, 2]):  # the second has a loss of infinity
        labels = np.asarray(labels)
        loss, dz = losses.softmax_cross_entropy(z, labels)
        loss_hot, dz_hot = losses.softmax_cross_entropy(z, np.eye(4)[labels])
        by_mask, dz_by_mask = ops.softmax_cross_entropy.forward(z, labels)
        assert by_mask == loss
        assert np.array_equal(ops.softmax_cross_entropy.backward(1, dz_by_mask), dz)
        assert loss == loss_hot if np.isinf(loss) else abs(loss - loss_hot) < 2**-50
        assert np.abs(dz - dz_hot).max() < 2**-50  # p - 1 at the label rounds
    masked, dz_masked = losses.softmax_cross_entropy(z, np.asarray([1, 2]), None, np.isfinite(z))
    loss, dz = losses.softmax_cross_entropy(z, np.asarray([1, 2]))
    assert loss == masked and np.array_equal(dz, dz_masked)


def test_infinite_logits_are_certain_answers_of_binary_cross_entropy():
    z = np.asarray([[np.inf, -np.inf]])
    loss, dz = losses.binary_cross_entropy(z, np.asarray([[1.0, 0.0]]))
    assert loss == 0 and not dz.any()
    loss, dz = losses.binary_cross_entropy(z, np.asarray([[0.0, 1.0]]))
    assert loss == np.inf and dz.tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("weights", [None, "steps", "sequences"])
def test_a_loss_over_time_is_the_loss_of_its_steps(name, weights):
    rng = np.random.default_rng(7)
    z = rng.normal(size=(3, 4, 5))
    labels = rng.integers(0, 5, (3, 4))
    targets = (
        [labels, np.eye(5)[labels]] if name == "softmax_cross_entropy" else [rng.random(z.shape)]
    )
    of_steps = rng.integers(0, 3, (3, 4)) + np.eye(3, 4, dtype=int)
    if weights == "sequences":
        of_steps = np.asarray([[2] * 4, [0] * 4, [1] * 4])
    given_weights = {"steps": of_steps, "sequences": of_steps[:, 0]}.get(weights)
    rows = None if weights is None else of_steps.reshape(-1)
    for target in targets:
        loss, dz = getattr(losses, name)(z, target, given_weights)
        flat = target.reshape(-1, *target.shape[2:])
        expected, rows_dz = getattr(losses, name)(z.reshape(-1, 5), flat, rows)
        assert loss == expected
        assert np.array_equal(dz, rows_dz.reshape(z.shape))


def test_lists_are_taken_as_arrays():
    loss, dz = losses.softmax_cross_entropy([[0.0, 0.0]], [1], [2.0], [1, 1])
    assert dz.tolist() == [[0.5, -0.5]] and loss == np.log(2)


Z = np.zeros((2, 3))
BAD = [
    ("softmax_cross_entropy", [0, 3], {}, DataError, r"labels holds 3 at \(1,\), expected 0 to 2"),
    ("softmax_cross_entropy", [0, -1], {}, DataError, r"labels holds -1 at \(1,\)"),
    ("softmax_cross_entropy", [0.0, 1.0], {}, DataError, "labels have dtype float64, expected int"),
    ("softmax_cross_entropy", [0.0, np.nan], {}, DataError, r"target holds nan at \(1,\)"),
    ("softmax_cross_entropy", [0, 1, 2], {}, ShapeError, r"labels has shape \(3,\), expected \(2"),
    ("softmax_cross_entropy", [0, None], {}, DtypeError, r"target holds None at \(1,\)"),
    ("softmax_cross_entropy", ["a", "b"], {}, DtypeError, "target has dtype <U1"),
    ("softmax_cross_entropy", [[1, 1, 0]] * 2, {}, DataError, "row 0 sums to 2, expected prob"),
    ("softmax_cross_entropy", [[2, -1, 0]] * 2, {}, DataError, r"holds 2 at \(0, 0\), expected 0"),
    ("binary_cross_entropy", [[0, 1, 2]] * 2, {}, DataError, r"holds 2 at \(0, 2\), expected 0"),
    ("binary_cross_entropy", [0, 1], {}, ShapeError, r"target has shape \(2,\), expected \(2, 3\)"),
    ("mean_squared_error", [[0, 1, np.inf]] * 2, {}, DataError, r"target holds inf at \(0, 2\)"),
    ("mean_squared_error", Z, {"sample_weight": [-1, 1]}, DataError, r"sample_weight holds -1"),
    (
        "mean_squared_error",
        Z,
        {"sample_weight": [np.inf, 1]},
        DataError,
        "inf at .* finite numbers >",
    ),
    (
        "softmax_cross_entropy",
        [[0], [1]],
        {},
        ShapeError,
        r"labels has shape \(2, 1\), expected \(2,\) of ",
    ),
    ("mean_squared_error", Z, {"sample_weight": [0, 0]}, DataError, "zero everywhere"),
    ("mean_squared_error", Z, {"sample_weight": [1]}, ShapeError, r"sample_weight has shape \(1,"),
    ("mean_squared_error", Z, {"class_mask": [0, 0, 0]}, DataError, "leaves no class"),
    (
        "mean_squared_error",
        Z,
        {"class_mask": [0, 2, 0]},
        DataError,
        "class_mask holds 2, expected 0 or 1",
    ),
    ("mean_squared_error", Z, {"class_mask": [1, 1]}, ShapeError, r"class_mask has shape \(2,\)"),
    ("softmax_cross_entropy", [0, 1], {"class_mask": [1, 0, 1]}, DataError, "sample 1 is a class"),
]


@pytest.mark.parametrize(("name", "target", "options", "error", "message"), BAD)
def test_targets_that_make_no_sense_are_refused(name, target, options, error, message):
    options = {key: np.asarray(value) for key, value in options.items()}
    with pytest.raises(error, match=message):
        getattr(losses, name)(Z, np.asarray(target), **options)


def test_the_loss_of_nothing_is_refused():
    for name, target in (
        ("softmax_cross_entropy", np.zeros(0, int)),
        ("mean_squared_error", Z[:0]),
    ):
        with pytest.raises(ShapeError, match="the loss of an empty batch is undefined"):
            getattr(losses, name)(Z[:0], target)


@pytest.mark.parametrize("op", [ops.softmax_cross_entropy, fast_softmax])
def test_a_masked_class_above_logits_far_below_zero_overflows_nowhere(op):
    """Its exponential relative to them would be infinite, and NumPy would warn."""
    logits = np.array([[0.0, -2000.0, -2000.0], [-1e30, 5.0, -1e30]])
    mask = np.array([[0.0, 1, 1], [1, 0, 1]])
    loss, cache = op.forward(logits, np.array([1, 0]), None, mask)
    assert loss == np.log(2)
    assert np.array_equal(op.backward(1, cache) * 4, [[0, -1, 1], [-1, 0, 1]])
