"""Certificates: what they cover, what they refuse, and that their degrees are right."""

import json
from fractions import Fraction
from itertools import pairwise, product
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import fast, ops, tree
from ttref.arithmetic.degree import Degree
from ttref.cli import main
from ttref.errors import ConventionError, InexactError
from ttref.testing import certificate, exact
from ttref.testing.cases import CASES, from_generator
from ttref.testing.certificate import IDENTITIES, POINTS, Identity, certify, every

SMALL = [name for name in IDENTITIES if "tt_linear" not in name]


@pytest.fixture
def up_to_two(monkeypatch):
    """Trains of at most two cores, modes, ranks and batches up to 2."""
    monkeypatch.setattr(certificate, "MOST", 2)
    for name in ("tt_linear", "fast.tt_linear"):
        small = IDENTITIES[name]._replace(families=IDENTITIES[name].families[:2])
        monkeypatch.setitem(IDENTITIES, name, small)


def words(found):
    """The identities that are wrong."""
    return {str(identity) for identity in found.failures}


def suspect(op, forward=None, backward=None):
    return SimpleNamespace(forward=forward or op.forward, backward=backward or op.backward)


@pytest.mark.parametrize("name", SMALL)
def test_the_small_operators_are_certified(name):
    found = certify(name)
    assert found.ok, found.failures
    assert 0 < found.bound < 1e-14
    assert found.rows()[0]["identity"] == "definition"


@pytest.mark.parametrize("name", ["tt_linear", "fast.tt_linear"])
def test_trains_are_certified_by_every_plan(up_to_two, name):
    found = certify(name)
    assert found.ok, found.failures
    assert found.shapes == 2**4 + 2**7  # (n, m, B, bias) and (n1, n2, m1, m2, r, B, bias)


def test_every_shape_is_covered():
    """9 pairs of modes, 3 batches, with and without bias; with two cores 81 pairs and 3 ranks."""
    one_core, two_cores, _ = IDENTITIES["tt_linear"].families
    assert len(list(every(one_core))) == 9 * 3 * 2
    assert len(list(every(two_cores))) == 81 * 3 * 3 * 2
    shapes = set()
    for draws in every(CASES["linear"]):
        case = CASES["linear"](certificate.replay(draws), np.random.default_rng(0))
        shapes.add((*case.inputs["x"].shape, *case.inputs["kernel"].shape, "bias" in case.inputs))
    assert shapes == {
        (B, N, N, M, bias) for B, N, M, bias in product(*[range(1, 5)] * 3, (False, True))
    }


def test_every_class_mask_is_covered():
    """2 x 2 entries of two classes: one is sure to count, which leaves four choices of the other.

    Whichever is made sure (2), and both as drawn (4), with and without weights (2); none (2).
    """
    found = [draws for draws in every(CASES["mean_squared_error"]) if draws[:2] == [2, 2]]
    assert len(found) == 2 * (2 * 4 + 1)


def test_a_bug_that_small_integers_cannot_see_is_refused():
    """A term that is zero at -3, ..., 3."""

    def forward(params, x):
        y, cache = ops.linear.forward(params, x)
        y = y.copy()
        y[0, 0] = y[0, 0] + prod(x[0, 0] - k for k in range(-3, 4))
        return y, cache

    rng, op = np.random.default_rng(0), suspect(ops.linear, forward)
    for _ in range(50):
        case = CASES["linear"](from_generator(rng), rng, op)
        assert exact.definition(case, rng)[0].failure is None
    found = certify("linear", op)
    assert words(found) == {"definition", "adjoint of x"}
    assert {row["degree"] for row in found.rows() if row["identity"] == "definition"} == {7}


def test_a_gradient_wrong_at_one_shape_is_refused(up_to_two):
    def backward(dy, cache):
        dparams, dx = ops.tt_linear.backward(dy, cache)
        first, *others = dparams["cores"]
        if first.shape == (1, 2, 1, 2) and dy.shape == (2, 2):
            first = first[:, ::-1]
        return {**dparams, "cores": (first, *others)}, dx

    found = certify("tt_linear", suspect(ops.tt_linear, backward=backward))
    # n = (2, 1 or 2), m = (1, 2), r = 2, B = 2, with and without bias
    assert [row["wrong"] for row in found.rows()] == [0, 4, 0, 0]
    assert words(found) == {"adjoint of cores"}


def test_a_gradient_of_the_wrong_shape_is_refused():
    def backward(dy, cache):
        dparams, dx = ops.linear.backward(dy, cache)
        return {**dparams, "kernel": dparams["kernel"].T}, dx

    found = certify("linear", suspect(ops.linear, backward=backward))
    (sentence,) = found.sentences()
    assert sentence.startswith("adjoint of kernel: the shape of adjoint of kernel is (2, 1), ")


def test_a_plan_that_differs_from_the_reference_is_refused(up_to_two):
    def forward(params, x, plan):
        y, cache = fast.tt_linear.forward(params, x, plan)
        return (y if plan.rightward or len(plan.groups) == 1 else -y), cache

    found = certify("fast.tt_linear", suspect(fast.tt_linear, forward))
    assert words(found) == {"y of every plan"}
    assert found.rows()[0]["wrong"] == 2**7


def test_what_compares_numbers_is_no_polynomial_and_refused():
    def forward(params, x, mask):
        return ops.activation.forward({}, x, "relu")[0], mask

    with pytest.raises(InexactError, match="compared, so what is computed is not one polynomial"):
        certify("dropout", suspect(ops.dropout, forward))
    with pytest.raises(ConventionError, match="operator is 'softmax', expected one of 'tt_linear'"):
        certify("softmax")


@pytest.mark.parametrize("name", ["linear", "tt_linear", "l2", "SGD", "dropout"])
def test_degrees_are_upper_bounds_of_the_polynomials_along_a_line(name):
    """A polynomial of degree k has vanishing differences of order k + 1, and no others."""
    highest = certificate.Source(
        lambda low, high: high, lambda s: np.random.default_rng(1).integers(1, 99, s)
    )
    equations, families = IDENTITIES[name]
    family = families[-2] if name == "tt_linear" else families[0]  # of two cores
    case = family(highest.draw, highest)
    degree = certificate._degrees(family, None, equations)[Identity("definition")]
    degree -= name == "dropout"  # whose mask is a variable, but not an input

    def y(t):
        return case.forward(tree.map(lambda x: np.asarray(t * x, object), case.inputs))[0]

    values = [y(t) for t in range(degree + 2)]
    for _ in range(degree):
        values = [b - a for a, b in pairwise(values)]
    assert np.any(values[0])
    assert not np.any(values[1] - values[0])


def test_a_degree_counts_numerators_and_denominators():
    x, y = Degree(), Degree()
    total = (x * y + 3) / (x - y) + 1 / y
    assert (total.top, total.bottom) == (3, 2)
    assert ((x / y) ** 3).top == ((x / y) ** 3).bottom == 3
    assert (2 - -x).top == 1
    for compare in (lambda: x > 0, lambda: x == y, lambda: abs(x), lambda: bool(x)):
        with pytest.raises(InexactError):
            compare()


def test_the_bound_is_that_of_schwartz_and_zippel():
    found = certify("linear")
    expected = sum(Fraction(row["checks"] * row["degree"], POINTS) for row in found.rows())
    # sums of at most 128 floats each, rounded once per term
    assert abs(Fraction(found.bound) - expected) <= expected * 4 * 128 / 2**53
    assert POINTS == 2**62 + 1
    assert f"{found.bound:.1e}; |S| = 2^62 + 1" in str(found)


def test_the_command_prints_the_table_and_the_bound(capsys, tmp_path):
    file = tmp_path / "found.json"
    assert main(["check", "dropout", "l2", "--certificate", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "definition" in out and "any false identity passes with probability at most" in out
    assert {row["operator"] for row in json.loads(file.read_text())} == {"dropout", "l2"}
    assert main(["check", "softmax", "--certificate"]) == 2
    assert "operator is 'softmax'" in capsys.readouterr().err


def test_the_command_fails_where_something_is_wrong(capsys, monkeypatch):
    wrong = suspect(ops.dropout, lambda p, x, mask: (-x * mask, ops.dropout.Cache(mask)))
    family = CASES["dropout"]._replace(operator=wrong)
    monkeypatch.setitem(IDENTITIES, "dropout", IDENTITIES["dropout"]._replace(families=[family]))
    assert main(["check", "dropout", "--certificate"]) == 1
    assert "dropout, definition: " in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--level=all", "--dtype=float32", "--examples=3"])
def test_the_command_ignores_no_option(capsys, option):
    assert main(["check", "dropout", "--certificate", option]) == 2
    assert "--certificate takes operators, --seed and --json only" in capsys.readouterr().err
