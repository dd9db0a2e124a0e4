"""Affine layers and convolutions: the truth is the definition by loops, entry by entry."""

import numpy as np
import pytest

from tests.oracle.specs import definitions
from tests.oracle.specs.against import check
from ttref.errors import ConventionError, DtypeError, RankError, ShapeError
from ttref.oracle import compute, spec

LAYERS = [
    ("linear", {}),
    ("linear", {"kernel": "out in", "bias": False}),
    ("tt_linear", {}),
    ("tt_linear", {"layout": "torchtt"}),
    ("tt_linear", {"layout": (3, 1, 0, 2), "bias": False}),
    ("tt_embedding", {}),
    ("tt_embedding", {"layout": (1, 2, 0, 3)}),
    ("conv2d", {}),
    ("conv2d", {"images": "NCHW", "kernel": "OIHW", "padding": ((1, 0), (0, 2))}),
    ("conv2d", {"strides": (2, 1), "dilation": (1, 2), "bias": False}),
    ("conv2d", {"padding": "VALID", "strides": 2, "kernel": "IHWO"}),
    ("tt_conv2d", {}),
    ("tt_conv2d", {"images": "NCHW", "layout": "torchtt", "strides": (1, 2)}),
    ("tt_conv2d", {"padding": ((0, 1), (2, 0)), "bias": False}),
]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_the_truth_is_the_definition_by_loops(kind, options):
    check(spec(kind, **options), getattr(definitions, kind), count=4)


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        ("linear", {"kernel": "both"}, "kernel is 'both', expected one of 'in out', 'out in'"),
        ("linear", {"bias": 1}, "bias is 1"),
        ("linear", {"kernels": "in out"}, "did you mean kernel"),
        ("linears", {}, "did you mean linear"),
        ("tt_linear", {"layout": (0, 1, 1, 3)}, r"layout is \(0, 1, 1, 3\), expected a name"),
        ("conv2d", {"images": "NHW"}, "images is 'NHW', expected the letters N, H, W, C"),
        ("conv2d", {"padding": (1, 1)}, r"padding is \(1, 1\), expected 'SAME', 'VALID' or"),
        ("conv2d", {"padding": ((1, -1), (0, 0))}, "expected 'SAME', 'VALID' or"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(kind, options, match):
    with pytest.raises(ConventionError, match=match):
        spec(kind, **options)


def test_shapes_that_do_not_fit_are_told_by_their_letters():
    layer = spec("linear", kernel="out in")
    params = {"kernel": np.ones((3, 4)), "bias": np.ones(4)}
    with pytest.raises(ShapeError, match=r"bias has shape \(4,\), expected M where M = 3"):
        compute(layer, params, {"x": np.ones((2, 4))})
    with pytest.raises(ConventionError, match="params has no 'bias'; the layer needs kernel, bias"):
        compute(layer, {"kernel": np.ones((3, 4))}, {"x": np.ones((2, 4))})
    with pytest.raises(ConventionError, match="name in params is 'weight'"):
        compute(layer, {"weight": np.ones((3, 4))}, {"x": np.ones((2, 4))})
    params["bias"] = np.ones(3)
    with pytest.raises(ShapeError, match=r"upstream y has shape \(2, 4\), expected \(2, 3\)"):
        compute(layer, params, {"x": np.ones((2, 4))}, {"y": np.ones((2, 4))})
    with pytest.raises(ConventionError, match="params is a list, expected a dict"):
        compute(layer, [], {"x": np.ones((2, 4))})


def test_cores_that_do_not_chain_are_refused():
    layer = spec("tt_linear", bias=False)
    cores = (np.ones((1, 2, 2, 2)), np.ones((3, 2, 2, 1)))
    with pytest.raises(RankError, match="cores must chain"):
        compute(layer, {"cores": cores}, {"x": np.ones((2, 4))})
    with pytest.raises(ShapeError, match=r"cores\.0 has shape \(2,\), expected 4 axes"):
        compute(layer, {"cores": (np.ones(2),)}, {"x": np.ones((2, 4))})
    with pytest.raises(ShapeError, match="cores is a ndarray, expected a tuple of cores"):
        compute(layer, {"cores": np.ones((1, 2, 2, 1))}, {"x": np.ones((2, 2))})


def test_rows_that_are_none_are_refused():
    layer = spec("tt_embedding")
    cores = (np.ones((1, 3, 2, 1)),)
    with pytest.raises(ConventionError, match="rows has 3, expected numbers from 0 to 2"):
        compute(layer, {"cores": cores}, {"rows": np.asarray([0, 3])})
    with pytest.raises(DtypeError, match="rows has dtype float64, expected integers"):
        compute(layer, {"cores": cores}, {"rows": np.asarray([0.0])})
