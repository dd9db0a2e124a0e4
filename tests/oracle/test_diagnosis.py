"""The reason is named: each planted bug, and a bug that has no simple reason."""

import numpy as np
import pytest

from tests.oracle import layers
from ttref.errors import ConventionError
from ttref.oracle import Adapter, Storage, evaluate
from ttref.oracle.changes import UNKNOWN
from ttref.oracle.diagnosis import Diagnosis, Fault, diagnose
from ttref.oracle.models import storages
from ttref.oracle.problems import make_lattice_cases


def find(adapter, dtype="float64"):
    return diagnose(adapter, dtype, make_lattice_cases(adapter, dtype))


def reason(adapter, dtype="float64"):
    return find(adapter, dtype).causes


def reread(axes):
    """A layer that takes the numbers of each core for those of another order of the axes."""
    back = tuple(np.argsort(axes))

    def there(core):
        return core.reshape([core.shape[k] for k in axes]).transpose(back)

    def pulled(params, x, dy):
        cores = tuple(map(there, params["cores"]))
        found = layers.gradients({**params, "cores": cores}, x, dy)
        dcores = (
            g.transpose(axes).reshape(core.shape)
            for g, core in zip(found["cores"], params["cores"], strict=True)
        )
        return {**found, "cores": tuple(dcores)}

    def forward(params, x):
        return layers.forward({**params, "cores": tuple(map(there, params["cores"]))}, x)

    return Adapter(forward, pulled)


@pytest.mark.parametrize("axes", [(0, 2, 1, 3), (3, 1, 2, 0), (1, 0, 2, 3), (0, 1, 3, 2)])
def test_axes_read_in_another_order_are_named(axes):
    """Forward and backward agree with each other: no check of the layer against itself sees it."""
    (words,) = reason(reread(axes))
    assert words.startswith(f"everything is exact if core axes are permuted {axes}")
    assert words.endswith("in shapes as declared")


def test_a_wrong_layout_that_raises_is_named_in_the_error():
    adapter = layers.stored(layers.with_axes((0, 2, 1, 3)))
    assert reason(adapter) == [
        "everything is exact if core axes are permuted (0, 2, 1, 3), modes exchanged"
    ]
    report = evaluate(adapter, examples=20, dtypes=["float64"])
    assert "raised" in {row["verdict"] for row in report.rows()}
    assert report.diagnosis.causes == reason(adapter)
    unequal = Adapter(
        adapter.forward,
        adapter.gradients,
        accepts=lambda s: np.prod(s.in_modes) != np.prod(s.out_modes),
    )
    with pytest.raises(ConventionError, match=r"raised.*; everything is exact if core axes are"):
        evaluate(unequal, examples=5)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (layers.fortran, layers.keep, "the modes of x are in Fortran order"),
        (layers.keep, layers.fortran, "the modes of y are in Fortran order"),
        (layers.fortran, layers.fortran, "the modes of x, y are in Fortran order"),
    ],
)
def test_modes_in_fortran_order_are_named(x, y, words):
    assert reason(layers.stored(lambda cores: cores, x, y)) == [f"everything is exact if {words}"]


def test_two_things_at_once_are_named():
    adapter = layers.stored(lambda cores: layers.with_axes((0, 2, 1, 3))(cores[::-1]))
    (words,) = reason(adapter)
    assert "(0, 2, 1, 3), modes exchanged and cores go from last to first" in words


@pytest.mark.parametrize(
    ("tensor", "change", "words"),
    [
        ("cores", lambda v, params, B: v / B, "cores must be multiplied by the batch size"),
        ("bias", lambda v, params, B: v * B, "bias must be divided by the batch size"),
        ("x", lambda v, params, B: -v, "x has the wrong sign"),
        ("cores", lambda v, params, B: 2 * v, "cores is twice too large"),
        ("x", lambda v, params, B: v / 2, "x is half of what it should be"),
        ("bias", lambda v, params, B: 0 * v, "bias is zero"),
        ("y", lambda v, params, B: v - params.get("bias", 0), "y lacks the bias"),
        ("y", lambda v, params, B: v + params.get("bias", 0), "y has the bias twice"),
        (
            "cores",
            lambda v, params, B: v.transpose(0, 2, 1, 3).reshape(v.shape),
            "cores has its axes permuted (0, 2, 1, 3), modes exchanged",
        ),
        ("x", lambda v, params, B: v + 1, "x is wrong in a way that no change of storage, factor"),
    ],
)
def test_what_is_wrong_with_one_tensor_is_named(tensor, change, words):
    right, found = reason(layers.changed(tensor, change))
    assert found.startswith(words)
    assert tensor not in right.split(":")[0].split(", ")
    assert right.endswith("exact")


def test_a_wrong_layout_and_a_missing_bias_are_named_together():
    there = layers.stored(layers.with_axes((0, 2, 1, 3)))

    def forward(params, x):
        return there.forward(params, x) - params.get("bias", 0)

    given = "if core axes are permuted (0, 2, 1, 3), modes exchanged"
    assert reason(Adapter(forward, there.gradients)) == [
        f"cores, x, bias: exact {given}",
        f"y lacks the bias {given}",
    ]


def test_the_reason_is_relative_to_the_declared_layout():
    adapter = layers.stored(lambda cores: layers.with_axes((0, 2, 1, 3))(cores[::-1]))
    declared = Adapter(adapter.forward, adapter.gradients, layout="torchtt")
    assert reason(declared) == ["everything is exact if cores go from last to first"]


def test_simpler_reasons_are_tried_first():
    changes = [storage.words.count(" and ") for storage in storages(Storage("")) if storage.words]
    assert changes.count(0) == len(changes[: changes.index(1)]) > 40


def test_a_right_layer_needs_nothing():
    assert reason(layers.RIGHT) == ["everything is exact"]


def test_a_diagnosis_is_a_storage_the_exact_tensors_and_a_fault_for_each_other():
    wrong = find(layers.changed("x", lambda v, params, B: v + 1))
    assert wrong == Diagnosis(None, wrong.exact, (Fault("x", UNKNOWN),), wrong.facts)
    assert wrong.facts[-1].startswith("the gradient of x is not the derivative of this forward")
    assert set(wrong.exact) == {"y", "cores", "bias"}
    reversed_cores = find(layers.stored(lambda cores: cores[::-1]))
    assert reversed_cores.storage.words == "cores go from last to first"
    assert set(reversed_cores.exact) == {"y", "cores", "bias", "x"}
    assert reversed_cores.faults == ()
    (fault,) = find(layers.changed("x", lambda v, params, B: -v)).faults
    assert fault.tensor == "x"
    assert fault.change.certain


def test_an_error_that_no_storage_explains_comes_without_a_hint():
    def forward(params, x):
        raise RuntimeError("no")

    with pytest.raises(ConventionError, match=r"forward raised RuntimeError: no \(on [^;]*\)$"):
        evaluate(Adapter(forward, layers.gradients))


def test_the_reason_is_part_of_the_report():
    report = evaluate(reread((3, 1, 2, 0)), examples=20)
    why = "core axes are permuted (3, 1, 2, 0), ranks exchanged, in shapes as declared"
    assert not report.ok
    assert report.diagnosis.causes == [f"everything is exact if {why}"]
    assert why in str(report)
