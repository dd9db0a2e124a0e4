"""Layers that are no affine maps, optimisers and algebra: the truth is the definition by loops."""

import numpy as np
import pytest

from tests.oracle.specs import definitions_by_sums
from tests.oracle.specs.against import check
from ttref.errors import ConventionError, DtypeError, ShapeError, UndecidableError
from ttref.oracle import compute, rounded, spec
from ttref.oracle.specs.algebra import TTRounding
from ttref.oracle.specs.forms import OTHER_FORMS
from ttref.rng import generator
from ttref.tt import TTMatrix

pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

PADS = ((1, 0), (0, 1))

LAYERS = [
    ("batch_norm", {}),
    ("batch_norm", {"axes": "NCHW", "epsilon": 1e-5, "scale": False}),
    ("batch_norm", {"axes": "BCT", "statistics": "given", "offset": False}),
    ("max_pool", {}),
    ("max_pool", {"images": "NCHW", "kernel": (3, 2), "strides": (1, 2), "padding": "SAME"}),
    ("max_pool", {"kernel": (2, 3), "strides": 1, "padding": PADS}),
    ("avg_pool", {}),
    ("avg_pool", {"kernel": 3, "padding": "SAME", "strides": (2, 1)}),
    ("avg_pool", {"padding": PADS, "strides": 1, "images": "NCHW"}),
    ("avg_pool", {"padding": PADS, "count_padding": True, "kernel": (2, 3)}),
    ("softmax", {}),
    ("mean_squared_error", {}),
    ("mean_squared_error", {"reduction": "sum"}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy", {"reduction": "sum"}),
    ("softmax_cross_entropy", {}),
    ("softmax_cross_entropy", {"labels": "probabilities", "reduction": "sum"}),
    ("sgd", {}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.5, "nesterov": True}),
    ("adam", {"lr": 0.1}),
    ("adam", {"step": 4, "eps_at": "uncorrected", "eps": 0.01, "weight_decay": 0.5}),
    ("tt_sum", {"layout": "torchtt"}),
    ("tt_product", {}),
    ("tt_rounding", {"rel_error": 0.1}),
]


def numbers_for(kind):
    """Numbers that are no kinks of the layer, or in its domain."""
    rng = generator(3)
    if kind == "max_pool":  # all different
        return lambda x: rng.permutation(x.size).reshape(np.shape(x)) / 4 - 3
    if kind == "adam":
        return lambda x: rng.integers(1, 9, np.shape(x)) / 4
    return lambda x: np.asarray(rng.integers(1, 9, np.shape(x))) / 8


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_the_truth_is_the_definition_by_loops(kind, options):
    definition = getattr(definitions_by_sums, kind)
    check(spec(kind, **options), definition, count=4, numbers=numbers_for(kind))


@pytest.mark.parametrize(
    ("kind", "options"),
    [row for row in LAYERS if type(spec(row[0], **row[1])) in OTHER_FORMS],
)
def test_the_other_formulas_have_the_same_values(kind, options):
    layer = OTHER_FORMS[type(spec(kind, **options))](**options)
    definition = getattr(definitions_by_sums, kind)
    check(layer, definition, count=4, numbers=numbers_for(kind))


def test_a_rounded_train_is_within_its_bound_or_the_error_is_told():
    layer = spec("tt_rounding", rel_error=0.25, layout="torchtt")
    assert isinstance(layer, TTRounding)
    rng = generator(0)
    while True:
        problem = layer.draw(rng)
        if len(problem.params["a"]) == 3:
            break
    cores = tuple(core.transpose(0, 2, 1, 3) for core in problem.params["a"])
    small = TTMatrix(cores).round(rel_error=0.25).cores
    stored = tuple(core.transpose(0, 2, 1, 3) for core in small)
    assert layer.check_rounded(problem.params, stored) is None
    cruder = tuple(core.transpose(0, 2, 1, 3) for core in TTMatrix(cores).round(max_rank=1).cores)
    failure = layer.check_rounded(problem.params, cruder)
    assert failure is not None
    assert str(failure).startswith("|A - B| is ")
    with pytest.raises(ShapeError, match="the rounded matrix has shape"):
        layer.check_rounded(problem.params, (np.ones((1, 1, 1, 1)),))


def test_what_has_no_rational_value_is_rounded_by_more_and_more_bits():
    layer = spec("softmax")
    found = compute(layer, {}, {"x": np.asarray([[0.0, 0.0, 0.0, 0.0]])}, mode="certified")
    assert rounded(found, "float32")["y"].tolist() == [[0.25] * 4]
    found = compute(layer, {}, {"x": np.asarray([[0.0, -800.0]])}, mode="certified")
    assert rounded(found, "float64")["y"].tolist() == [[1.0, 0.0]]
    nearest = rounded(found, "float32")["y"]
    assert nearest.tolist() == [[1.0, 0.0]]


def test_a_tie_behind_a_rounding_cannot_be_decided():
    layer = spec("batch_norm", axes="BC", statistics="given", epsilon=1.0, offset=False)
    tie = np.asarray([[1 + 2.0**-24]])

    def scaled(factor):  # x / 3 * factor
        params = {"scale": [factor], "mean": [0.0], "var": [8.0]}
        params = {name: np.asarray(value) for name, value in params.items()}
        return compute(layer, params, {"x": tie}, mode="certified")

    with pytest.raises(
        UndecidableError, match=r"to which number of float32 y\[0, 0\] = \[1\.0"
    ) as told:
        rounded(scaled(3.0), "float32")
    assert str(told.value).endswith("is rounded cannot be told, even with 8192 bits")
    assert len(str(told.value)) < 200
    assert rounded(scaled(3.0), "float64")["y"][0, 0] == tie[0, 0]
    assert rounded(scaled(3.0 + 2**-50), "float32")["y"][0, 0] == np.float32(1 + 2**-23)


def test_a_gradient_that_is_zero_but_for_its_enclosure_is_zero():
    layer = spec("softmax")
    x = np.asarray([[0.3, 1.7, -0.2]])
    found = compute(layer, {}, {"x": x}, {"y": np.ones((1, 3))}, mode="certified")
    assert rounded(found, "float64")["x"].tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        ("batch_norm", {"axes": "CB"}, "axes is 'CB'"),
        ("batch_norm", {"epsilon": 0}, "epsilon is 0"),
        ("batch_norm", {"statistics": "running"}, "statistics is 'running'"),
        ("max_pool", {"kernel": 0}, "kernel is 0"),
        ("max_pool", {"padding": ((2, 0), (0, 0))}, "expected less than the kernel"),
        ("avg_pool", {"count_padding": 1}, "count_padding is 1"),
        ("mean_squared_error", {"reduction": "none"}, "reduction is 'none'"),
        ("softmax_cross_entropy", {"labels": "one-hot"}, "labels is 'one-hot'"),
        ("sgd", {"lr": -1}, "lr is -1"),
        ("sgd", {"nesterov": True}, "nesterov=True needs a positive momentum"),
        ("adam", {"eps_at": "inside"}, "eps_at is 'inside'"),
        ("adam", {"step": 0}, "step is 0"),
        ("tt_rounding", {"rel_error": 0}, "rel_error is 0"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(kind, options, match):
    with pytest.raises(ConventionError, match=match):
        spec(kind, **options)


def test_labels_that_are_none_are_refused():
    layer = spec("softmax_cross_entropy")
    with pytest.raises(ConventionError, match="target has 3, expected numbers from 0 to 2"):
        compute(layer, {}, {"x": np.ones((2, 3)), "target": np.asarray([0, 3])}, mode="float")
    with pytest.raises(DtypeError, match="target has dtype float64, expected integers"):
        compute(layer, {}, {"x": np.ones((2, 3)), "target": np.asarray([0.0, 1.0])}, mode="float")
