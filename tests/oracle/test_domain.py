"""What a layer takes is asked, the rest is counted, and what failing shapes share is said."""

import itertools

import numpy as np
import pytest

from tests.oracle import layers
from ttref.cli import main
from ttref.errors import ConventionError
from ttref.oracle import Adapter, Domain, Shapes, Unsupported, evaluate
from ttref.oracle.domain import simplest_first
from ttref.oracle.extension import enlarge, shapes_of
from ttref.oracle.patterns import describe
from ttref.oracle.problems import make_problem
from ttref.rng import generator
from ttref.testing.report import Check

DOMAINS = [
    {"d": 3},
    {"d": (2, 4)},
    {"d": range(5, 7)},
    {"equal_ranks": True},
    {"min_mode": 3},
    {"batch": 1},
    {"batch": [8, 16]},
    {"accepts": lambda shapes: shapes.in_modes == shapes.out_modes},
    {"d": 2, "equal_ranks": True, "min_mode": 2, "batch": 3, "bias": False},
]


def right(**options):
    return Adapter(layers.forward, layers.gradients, **options)


def spoiled(is_wrong, **options):
    """The right layer, whose y is wrong on shapes of which `is_wrong` holds."""

    def forward(params, x):
        y = layers.forward(params, x)
        cores = params["cores"]
        shapes = Shapes(
            tuple(core.shape[1] for core in cores),
            tuple(core.shape[2] for core in cores),
            (1, *(core.shape[3] for core in cores)),
            len(x),
            "bias" in params,
        )
        return y + 1 if is_wrong(shapes) else y

    return Adapter(forward, layers.gradients, dtypes=("float64",), **options)


@pytest.mark.parametrize("options", DOMAINS)
@pytest.mark.parametrize("few", [False, True])
def test_every_shape_that_is_drawn_is_one_that_the_layer_takes(options, few):
    domain = Domain(**options)
    drawn = domain.draw(generator(0), 40, few)
    assert len(drawn) == 40
    assert all(domain.takes(shapes) for shapes in drawn)
    assert len(set(drawn)) <= 8 if few else len(set(drawn)) > 8
    if "d" in options:
        listed = (options["d"],) if isinstance(options["d"], int) else options["d"]
        assert {shapes.d for shapes in drawn} == set(listed)
    report = evaluate(right(**options), examples=8, dtypes=["float64"])
    assert report.ok
    assert not report.unsupported


def test_the_first_shapes_tell_most_mistakes_apart():
    for seed in range(20):
        for shapes in Domain().draw(generator(seed), 40)[:4]:
            assert shapes.d == 3
            assert shapes.batch > 1
            assert len(set(shapes.in_modes)) == len(set(shapes.out_modes)) == 3
            assert shapes.ranks[1] != shapes.ranks[2]
            case = make_problem(shapes, generator(0))
            for core in case.inputs["cores"]:
                assert len(set(core.shape)) == 4


def test_a_domain_that_no_shape_is_in_is_told():
    with pytest.raises(ConventionError, match=r"takes none of 1000 shapes .*; name shapes"):
        evaluate(right(accepts=lambda shapes: False))
    with pytest.raises(ConventionError, match="adapter: accepts cannot be used: KeyError: 'd'"):
        evaluate(right(accepts=lambda shapes: {}["d"]))


@pytest.mark.parametrize("text", ["2,3,4:3,4,2:5,6:7", "2:3:", "2:3::1", "1,1:1,1:1"])
def test_shapes_are_read_as_they_are_written(text):
    shapes = Shapes.parse(text)
    assert Shapes.parse(str(shapes)) == shapes
    assert shapes_of(make_problem(shapes, generator(0))) == shapes
    arrays = make_problem(shapes, generator(0))
    leaves = [*arrays.inputs["cores"], arrays.inputs["x"], arrays.dy]
    assert shapes.size == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize(
    "text",
    ["", "2", "2:3", "2,3:4,5", "2,3:4:1", "2,3:4,5:1,2", "2:0:", "2:a:", "2:3::1,2", "-1:1:"],
)
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(ConventionError, match=r"the shape is .*, expected IN_MODES:OUT_MODES"):
        Shapes.parse(text)


def test_what_the_layer_refuses_itself_is_counted():
    class Unsupported(Exception):
        pass

    def forward(params, x):
        if len(params["cores"]) > 2:
            raise Unsupported("at most two cores")
        return layers.forward(params, x)

    report = evaluate(Adapter(forward, layers.gradients, dtypes=("float64",)), examples=40)
    assert report.ok
    (reason,) = report.unsupported
    assert reason == "Unsupported: at most two cores"
    asked = report.unsupported[reason] + len(report.outcomes[Check("lattice", "float64")])
    assert report.unsupported[reason] > 10
    assert f"{report.unsupported[reason]} problems not asked: {reason}" in str(report)
    assert asked > 40


def test_a_layer_that_refuses_every_problem_has_no_verdict():
    def forward(params, x):
        raise Unsupported("nothing at all")

    with pytest.raises(ConventionError, match="no problem could be put to the layer: Unsupported"):
        evaluate(Adapter(forward), examples=3)


def test_forward_alone_is_judged_and_the_rest_is_not_given():
    report = evaluate(Adapter(layers.forward), examples=20, dtypes=["float64"])
    words = {row["tensor"]: row["verdict"] for row in report.rows() if "lattice" in row["check"]}
    assert words == {"y": "exact", "bias": "not given", "cores": "not given", "x": "not given"}
    assert report.ok
    assert report.comparisons == 40
    wrong = evaluate(Adapter(lambda p, x: -layers.forward(p, x)), examples=20, dtypes=["float64"])
    assert not wrong.ok
    assert wrong.diagnosis.causes == ["y has the wrong sign"]


@pytest.mark.parametrize("given", [{"x"}, {"cores"}, {"bias", "x"}])
def test_some_gradients_are_judged_and_the_others_are_not_given(given):
    def gradients(params, x, dy):
        found = layers.gradients(params, x, dy)
        return {name: found[name] if name in given else None for name in found}

    def halved(params, x, dy):
        found = gradients(params, x, dy)
        return {**found, "x": None if found["x"] is None else found["x"] / 2}

    options = {"examples": 20, "dtypes": ["float64"]}
    report = evaluate(Adapter(layers.forward, gradients), **options)
    words = {row["tensor"]: row["verdict"] for row in report.rows() if "lattice" in row["check"]}
    assert report.ok
    assert {name for name in words if words[name] == "exact"} == given | {"y"}
    assert {name for name in words if words[name] == "not given"} == {"cores", "bias", "x"} - given
    if "x" in given:
        found = evaluate(Adapter(layers.forward, halved), **options).diagnosis.causes[-1]
        assert str(found).endswith("x is half of what it should be")


def test_a_zero_gradient_is_wrong_and_not_one_that_is_not_given():
    zero = layers.changed("x", lambda v, params, B: 0 * v)
    assert not evaluate(zero, examples=5).ok


def test_a_call_that_fails_is_a_row():
    calls = itertools.count()

    def forward(params, x):
        if next(calls) % 5 == 3:
            raise RuntimeError("now and then")
        return layers.forward(params, x)

    report = evaluate(Adapter(forward, layers.gradients, dtypes=("float64",)), examples=20)
    assert not report.ok
    rows = {(row["check"], row["tensor"]): row for row in report.rows()}
    assert rows["calls float64", "forward"]["wrong"] == 8
    assert rows["calls float64", "forward"]["verdict"] == "raised"
    assert rows["lattice float64", "y"]["verdict"] == "exact"
    assert "forward raised RuntimeError: now and then" in str(report)


def test_a_layer_that_always_fails_is_given_up_soon_unless_it_is_to_go_on():
    calls = itertools.count()

    def gradients(params, x, dy):
        next(calls)
        raise RuntimeError("always")

    adapter = Adapter(layers.forward, gradients, dtypes=("float64",))
    with pytest.raises(ConventionError, match="gradients raised RuntimeError: always"):
        evaluate(adapter, examples=1000)
    assert next(calls) < 1000  # those of the diagnosis too
    report = evaluate(adapter, examples=20, keep_going=True)
    assert next(calls) > 60
    assert {row["tensor"]: row["verdict"] for row in report.rows()}["gradients"] == "raised"
    assert not report.ok


@pytest.mark.parametrize(
    ("is_wrong", "words"),
    [
        (lambda s: s.d >= 3, "y: exact where d <= 2, wrong where d >= 3"),
        (lambda s: s.d >= 2, "y: exact where d = 1, wrong where d >= 2"),
        (
            lambda s: s.batch > 1,
            "y: exact where the batch has one row, wrong where the batch has more than",
        ),
        (lambda s: s.bias, "y: exact where there is no bias, wrong where there is a bias"),
        (lambda s: s.d >= 3 and s.batch > 2, "y: wrong only where "),
    ],
)
def test_what_failing_shapes_have_in_common_is_said(is_wrong, words):
    report = evaluate(spoiled(is_wrong), examples=100, diagnosis=False)
    (found,) = report.patterns
    assert found.startswith(words)
    assert found in str(report)


def test_nothing_is_said_where_nothing_is_common_or_little_is_known():
    shapes = Domain().draw(generator(0), 60)
    assert describe(shapes, [True] * 60) == describe(shapes, [False] * 60) == ""
    assert describe(shapes[:3], [True, False, False]) == ""
    by_chance = [bool(bit) for bit in generator(1).integers(0, 2, 60)]
    assert "exact where" not in describe(shapes, by_chance)


def test_the_smallest_failing_problem_is_kept():
    report = evaluate(spoiled(lambda s: s.d >= 2), examples=60, diagnosis=False)
    (smallest,) = {v.case.inputs["x"].shape for t, v in report.smallest.items() if "lat" in str(t)}
    failing = [s for s, found in report.outcomes[Check("lattice", "float64")] if found["y"]]
    first = next(iter(simplest_first(failing)))
    assert smallest == (first.batch, int(np.prod(first.in_modes)))


LESS = [{"d": 3}, {"d": 4, "equal_ranks": True}, {"min_mode": 3}, {"d": 3, "min_mode": 2}]


@pytest.mark.parametrize("options", [*LESS, {"equal_ranks": True}])
def test_a_layer_that_takes_less_is_asked_every_shape_through_zeros_and_ones(options):
    """The layer sees nothing but shapes of its domain, and what is cut is judged as ever."""
    seen = []
    domain = Domain(**options)

    def forward(params, x):
        shapes = [core.shape for core in params["cores"]]
        seen.append(shapes)
        assert "d" not in options or len(shapes) == options["d"]
        assert min(min(s[1:3]) for s in shapes) >= options.get("min_mode", 1)
        assert not options.get("equal_ranks") or len({s[3] for s in shapes[:-1]}) <= 1
        return layers.forward(params, x)

    adapter = Adapter(forward, layers.gradients, extend=True, **options)
    report = evaluate(adapter, examples=30)
    assert report.ok, str(report)
    assert not report.unsupported
    asked = [shapes for shapes, _ in report.outcomes[Check("lattice", "float64")]]
    assert not all(domain.takes(shapes) for shapes in asked)

    wrong = Adapter(lambda p, x: 2 * forward(p, x), layers.gradients, extend=True, **options)
    assert "y is twice too large" in str(evaluate(wrong, examples=10).diagnosis)


def test_problems_that_cannot_be_made_larger_are_counted():
    adapter = right(extend=True, d=2)
    shapes = Shapes((2, 2, 2), (2, 2, 2), (1, 2, 2, 1))
    assert enlarge(shapes, adapter.domain) == shapes
    with pytest.raises(ConventionError, match="no problem could be put to the layer: the layer ta"):
        evaluate(adapter, shapes=[shapes], examples=1)


def test_the_command_asks_the_shapes_that_are_named(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "from ttref import ops\n"
        "dtypes = ('float64',)\n"
        "accepts = lambda shapes: shapes.d < 3\n"
        "def forward(params, x):\n"
        "    assert x.shape[1] in (6, 4)\n"
        "    return ops.tt_linear.forward(params, x)[0]\n"
    )
    shapes = ["--shape", "2,3:4,5:6", "--shape", "2,2:2,2:2:5"]
    assert main(["oracle", str(file), "--examples", "6", *shapes]) == 0
    assert "not given" in capsys.readouterr().out
    assert main(["oracle", str(file), "--shape", "2,2,2:2,2,2:2,2"]) == 2
    assert "no problem could be put" in capsys.readouterr().err
