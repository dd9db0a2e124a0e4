"""What an object is: the same in another process, and another if a part of it is."""

import enum
import functools
import math
import threading
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from pathlib import Path
from types import FunctionType, SimpleNamespace

import numpy as np
import pytest

from ttref.identity import MOST_PARTS, attributes, identify
from ttref.layers import Dense, Sequential, TTDense
from ttref.optim import SGD, Adam
from ttref.schedules import Cosine


class Colour(enum.Enum):
    RED = 1


class Plain:
    """A class with attributes of every kind."""

    scale = 2
    table = (1, 2)
    made = []  # noqa: RUF012

    def __init__(self, **values):
        vars(self).update(values)

    @property
    def computed(self):
        raise AssertionError("properties are not asked")

    @cached_property
    def cached(self):
        return 3


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


@dataclass(frozen=True)
class Record:
    shown: int
    hidden: float = field(default=1.0, repr=False, compare=False)


class Child(Record):
    """A dataclass by inheritance, with an attribute that is no field."""

    def __init__(self, shown, extra):
        super().__init__(shown)
        object.__setattr__(self, "extra", extra)


class Configured:
    def __init__(self, rate, calls):
        self.rate, self.calls = rate, calls

    def config(self):
        return {"rate": self.rate}


def function(step, rate=0.5):
    """A schedule."""
    return rate * 2.0**-step


def enclosing(rate):
    def schedule(step):
        return rate / (1 + step)

    return schedule


def parts(value):
    return identify(value, "x").parts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (np.True_, "True"),
        (3, "3"),
        (np.int8(3), "3"),
        (0.1, "0.1"),
        (np.float64(0.1), "0.1"),
        (1 + 2j, "(1+2j)"),
        (Fraction(1, 3), "Fraction(1, 3)"),
        (Decimal("0.1"), "Decimal('0.1')"),
        ("relu", "'relu'"),
        (b"ab", "b'ab'"),
        (Path("a/b"), "'a/b'"),
        (np.dtype("f4"), "dtype('float32')"),
        (Colour.RED, "tests.test_identity.Colour.RED"),
        (Dense, "ttref.Dense"),
        (dict, "builtins.dict"),
        (math, "math"),
        (math.sqrt, "math.sqrt"),
        (np.tanh, "numpy.tanh"),
        ([1, 2], "(1, 2)"),
        ((1, (2, 3)), "(1, (2, 3))"),
        ({3, 1, 2}, "(1, 2, 3)"),
        (range(3), "range(0, 3)"),
        (np.zeros((2, 3), "f4"), "float32 (2, 3) CRC-32 a3c1ca20"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_are_their_texts(value, text):
    assert parts(value) == {"x": text}


def test_long_values_stand_as_checksums_that_differ():
    for long in (list(range(1000)), "a" * 1000):
        (text,) = parts(long).values()
        assert len(text) < 60 and "CRC-32" in text
        assert parts(long[:-1]) != parts(long)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1, "b": (2,)}, {"x": "dict of 2", "x.a": "1", "x.b": "(2)"}),
        ([1, {"a": 2}], {"x": "sequence of 2", "x.0": "1", "x.1": "dict of 1", "x.1.a": "2"}),
        (SimpleNamespace(a=1), {"x": "types.SimpleNamespace", "x.a": "1"}),
        (Slotted(5), {"x": "tests.test_identity.Slotted", "x.a": "5"}),
        (Record(1), {"x": "tests.test_identity.Record", "x.shown": "1", "x.hidden": "1.0"}),
        (Configured(0.5, 9), {"x": "tests.test_identity.Configured", "x.rate": "0.5"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_is_its_class_and_its_parts(value, expected):
    assert parts(value) == expected


def test_a_layer_is_its_fields():
    found = parts(Sequential([TTDense([2, 2], [3, 2], 2, activation="relu"), Dense(6, 2)]))
    assert found["x"] == "ttref.Sequential"
    assert found["x.layers"] == "sequence of 2"
    assert found["x.layers.0"] == "ttref.TTDense"
    assert (found["x.layers.0.in_modes"], found["x.layers.0.activation"]) == ("(2, 2)", "'relu'")
    assert not [name for name in found if "_shapes" in name or "statistics" in name]
    layer = Dense(3, 2)
    before = parts(layer)
    assert layer.num_params == 8  # which it keeps
    assert parts(layer) == before
    assert layer.config() == attributes(layer)


def test_an_optimizer_and_its_schedule_are_their_settings():
    found = parts(Adam(Cosine(0.1, 7)))
    assert (found["x"], found["x.lr"], found["x.lr.steps"]) == ("ttref.Adam", "ttref.Cosine", "7")
    assert parts(SGD(0.1)) == parts(SGD(np.float64(0.1)))


def test_an_instance_is_told_by_its_own_attributes_and_plain_ones_of_its_class():
    found = attributes(Plain(rate=0.5, _hidden=1))
    assert found == {"rate": 0.5, "_hidden": 1, "scale": 2, "table": (1, 2), "made": []}
    value = Plain()
    assert value.cached == 3
    assert "cached" not in attributes(value)
    assert attributes(Child(1, 7)) == {"shown": 1, "hidden": 1.0, "extra": 7}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Plain(rate=1), Plain(rate=2)),
        (Plain(_rate=1), Plain(_rate=2)),
        (Plain(inner=Plain(a=[1])), Plain(inner=Plain(a=[2]))),
        (Record(1, 2.0), Record(1, 3.0)),
        (Child(1, 2), Child(1, 3)),
        (Slotted(1), Slotted(2)),
        (Configured(1, 1), Configured(2, 1)),
        (type("C", (), {"scale": 1})(), type("C", (), {"scale": 2})()),
        (np.zeros(3), np.asarray([0, 0, 5e-324])),
        (np.zeros(3), np.zeros(3, "f4")),
        (np.zeros((1, 3)), np.zeros((3, 1))),
        (function, enclosing),
        (lambda step: 0.1, lambda step: 0.2),
        (lambda step: step, lambda step: step + 1),
        (lambda step, rate=1: rate, lambda step, rate=2: rate),
        (lambda step, *, rate=1: rate, lambda step, *, rate=2: rate),
        (lambda step: math.sin(step), lambda step: math.cos(step)),
        (lambda step: step in {1, 2}, lambda step: step in {1, 3}),
        (lambda step: (lambda t: t)(step), lambda step: (lambda t: -t)(step)),
        (enclosing(1), enclosing(2)),
        (partial(function, rate=1), partial(function, rate=2)),
        (partial(function, 1), partial(function, 2)),
        (partial(function), function),
        (Plain(rate=1).__init__, Plain(rate=2).__init__),
        (1, 1.0),
        ("1", 1),
        ((1, 2), (2, 1)),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_what_differs_has_another_identity(one, other):
    assert parts(one) != parts(other)


def copied(source):
    """The function that the same source gives elsewhere, at other lines of another file."""
    space = {"__name__": "tests.test_identity", "math": math}
    exec(compile("\n\n\n" + source, "elsewhere.py", "exec"), space)
    return next(value for value in space.values() if isinstance(value, FunctionType))


def test_a_function_is_the_same_in_another_file_with_other_comments_and_another_docstring():
    source = 'def f(step):\n    """One."""\n    rate = 0.5\n    return rate * 2.0 ** -step\n'
    other = (
        source.replace("One.", "Two.")
        .replace("rate", "r  # a comment\n")
        .replace("r  # a comment\n *", "r *")
        .replace("r  # a comment\n =", "r =")
    )
    assert parts(copied(source)) == parts(copied(other))
    assert parts(copied(source)) != parts(copied(source.replace("0.5", "0.25")))
    assert "cpython" in parts(function)["x.code"] or "CRC-32" in parts(function)["x.code"]


def test_a_function_that_another_wraps_is_looked_at():
    cached = lru_cache(function)
    assert parts(cached)["x.function"] == "tests.test_identity.function"

    @functools.wraps(function)
    def wrapped(step):
        return 2 * function(step)

    assert parts(wrapped)["x"] == "tests.test_identity.function"
    assert parts(wrapped)["x.code"] != parts(function)["x.code"]


@pytest.mark.parametrize(
    "value",
    [object(), threading.Lock(), np.random.default_rng(0), deque([1])],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_compared_is_named(value):
    found = identify({"a": value, "b": 1}, "x")
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    assert found.unknown == {"x.a": kind}
    assert found.parts["x.a"] == kind


def test_an_object_that_holds_itself_ends():
    value = Plain()
    value.me = [value]
    assert parts(value)["x.me.0"] == "the same as x"


def test_an_object_of_very_many_parts_ends(monkeypatch):
    monkeypatch.setattr("ttref.identity.MOST_PARTS", 10)
    found = identify([{"a": k} for k in range(100)], "x")
    assert found.unknown and len(found.parts) < 150
    assert MOST_PARTS > 1000
