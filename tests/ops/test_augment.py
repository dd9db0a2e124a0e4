"""Crop, flip and contrast: exactly, and as drawn from the generator."""

import numpy as np
import pytest

from tests.amounts import amounts
from ttref import ops
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, ShapeError
from ttref.layers import Augment
from ttref.testing import check_op
from ttref.testing.cases.case import integers

RNG = np.random.default_rng


@amounts(30, many=150)
@pytest.mark.parametrize("name", ["crop_flip", "contrast"])
def test_definition_adjoint_and_lattice_hold_exactly(name, amount):
    report = check_op(name, **amount, seed=5)
    assert report.ok, report


def test_a_move_is_a_crop_of_the_padded_image():
    rng, pad = RNG(0), 2
    x = rng.integers(1, 9, (6, 5, 4, 3)).astype(float)
    moves, flips = rng.integers(-pad, pad + 1, (6, 2)), rng.integers(0, 2, 6)
    y, _ = ops.crop_flip.forward({}, x, moves, flips)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for image, source, (top, left), flip in zip(y, padded, moves + pad, flips, strict=True):
        crop = source[top : top + 5, left : left + 4]
        assert (image == (crop[:, ::-1] if flip else crop)).all()


def test_contrast_of_0_is_the_mean_of_each_channel_and_of_1_the_image():
    x = RNG(0).integers(-8, 9, (3, 2, 2, 2)).astype(float)
    y, _ = ops.contrast.forward({}, x, np.asarray([0.0, 1.0, 2.0]))
    assert (y[0] == x[0].mean(axis=(0, 1))).all()
    assert (y[1] == x[1]).all()
    assert (y[2] == 2 * x[2] - x[2].mean(axis=(0, 1))).all()


def test_every_library_and_number_gives_the_same(backend):
    rng = RNG(1)
    x, dy = 4 * integers(rng, (3, 2, 2, 2)), 4 * integers(rng, (3, 2, 2, 2))
    moves, flips, factor = rng.integers(-1, 2, (3, 2)), np.asarray([0, 1, 1]), np.asarray([1, 2, 3])

    def run(array, index):
        y, moved = ops.crop_flip.forward({}, array(x), index(moves), index(flips))
        z, scaled = ops.contrast.forward({}, y, array(factor))
        dy_between = ops.contrast.backward(array(dy), scaled)[1]
        return z, ops.crop_flip.backward(dy_between, moved)[1]

    expected = run(lambda a: a.astype(object), np.asarray)
    for found, value in zip(run(backend.array, backend.integers), expected, strict=True):
        assert (to_numpy(found) == value).all()
        assert found.dtype == backend.dtype


AUGMENT = Augment(pad=4, flip=True, contrast=(0.75, 1.25))


def test_the_layer_does_what_is_drawn_on_every_library(float_backend):
    x = RNG(2).integers(0, 256, (5, 8, 8, 3))
    expected, _ = AUGMENT.forward({}, x.astype("float32"), True, RNG(7))
    y, cache = AUGMENT.forward({}, float_backend.array(x), True, RNG(7))
    assert y.dtype == float_backend.dtype
    # a mean of 64 numbers, a difference, a product and a sum, each at most 255 * 1.25 * 4 in size
    assert np.abs(to_numpy(y) - expected).max() <= 67 * 2.0**-24 * 1275
    assert AUGMENT.backward(y, cache)[1].shape == x.shape


def test_the_numbers_are_drawn_in_the_order_that_is_stated():
    x = RNG(2).integers(0, 256, (50, 9, 9, 1)).astype(float)
    y, _ = AUGMENT.forward({}, x, True, RNG(3))
    rng = RNG(3)
    moves, flips = rng.integers(-4, 5, (50, 2)), rng.integers(0, 2, 50)
    moved, _ = ops.crop_flip.forward({}, x, moves, flips)
    assert (y == ops.contrast.forward({}, moved, rng.uniform(0.75, 1.25, 50))[0]).all()
    assert {*flips} == {0, 1} and {*moves.flat} == {*range(-4, 5)}


def test_what_is_turned_off_does_nothing():
    x = RNG(2).integers(0, 256, (5, 4, 4, 1)).astype(float)
    assert AUGMENT.forward({}, x)[0] is x
    assert AUGMENT.backward(x, None) == ({}, x)
    y, cache = Augment(pad=0, flip=False).forward({}, x, True, RNG(0))
    assert (y == x).all() and (Augment(0, False).backward(y, cache)[1] == x).all()


def test_the_gradient_of_the_layer_is_the_adjoint():
    x, dy = (integers(RNG(k), (4, 4, 4, 2)) * 16 for k in (1, 2))
    layer = Augment(pad=1)
    y, cache = layer.forward({}, x, True, RNG(0))
    assert (y * dy).sum() == (x * layer.backward(dy, cache)[1]).sum()


X = np.ones((2, 3, 3, 1))
MOVES, FLIPS = np.zeros((2, 2), int), np.zeros(2, int)
BAD = [
    (lambda: ops.crop_flip.forward({}, X, MOVES[:1], FLIPS), ShapeError, "moves has shape"),
    (lambda: ops.crop_flip.forward({}, X, MOVES, FLIPS[:1]), ShapeError, "flips has shape"),
    (lambda: ops.contrast.forward({}, X, X[:1, 0, 0, 0]), ShapeError, "factor has shape"),
    (lambda: ops.contrast.forward({}, X[0], X[:, 0, 0, 0]), ShapeError, r"x has shape \(3, 3, 1\)"),
    (lambda: AUGMENT.forward({}, X, True), ConventionError, "augmentation in training needs rng"),
    (lambda: Augment(pad=-1), ConventionError, "pad is -1, expected"),
    (lambda: Augment(contrast=(2, 1)), ConventionError, r"contrast is \(2, 1\), expected two num"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
