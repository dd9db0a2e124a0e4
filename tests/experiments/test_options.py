"""Options of experiments: what they accept, and what they say of a run."""

from dataclasses import dataclass, fields
from typing import Annotated

import pytest

from ttref.errors import ConventionError
from ttref.experiments import EXPERIMENTS
from ttref.experiments.options import Option, Options


@dataclass(frozen=True, kw_only=True)
class Chosen(Options):
    """Options of an experiment that is not there."""

    size: Annotated[int, Option("of it", choices=(1, 2), identity=True, in_folder_name=True)]
    shape: Annotated[str, Option("of it", choices=("round", "flat"), in_folder_name=True)] = "flat"
    again: Annotated[bool, Option("whether twice", identity=True)] = False
    place: Annotated[str | None, Option("of it")] = None


@pytest.mark.parametrize("name", ["epochs", "limit"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", float("nan")])
def test_epochs_and_limit_are_positive_integers(name, value):
    expected = f"^{name} is {value!r}, expected a positive integer$"
    with pytest.raises(ConventionError, match=expected):
        Options(**{name: value})


@pytest.mark.parametrize("name", ["epochs", "limit"])
def test_true_is_no_number_of_epochs_or_samples(name):
    with pytest.raises(ConventionError, match=f"^{name} is True, expected a positive integer$"):
        Options(**{name: True})


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None, True])
def test_the_seed_is_a_non_negative_integer(seed):
    with pytest.raises(ConventionError, match=f"^seed is {seed!r}, expected a non-negative integ"):
        Options(seed=seed)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"device": "tpu"}, r"^device is 'tpu', expected one of 'cpu', 'gpu', 'auto'$"),
        ({"dtype": "int8"}, r"^dtype is 'int8', expected one of 'float32', 'float64'$"),
        ({"size": 3}, r"^size is 3, expected one of 1, 2$"),
        ({"size": None}, r"^size is None, expected one of 1, 2$"),
        ({"shape": None}, r"^shape is None, expected one of 'round', 'flat'$"),
    ],
)
def test_a_value_that_is_none_of_the_choices_is_refused(chosen, message):
    with pytest.raises(ConventionError, match=message):
        Chosen(**{"size": 1} | chosen)


def test_an_option_of_another_experiment_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'cell'"):
        EXPERIMENTS["digits"].options(cell="gru")


def test_exact_without_resume_is_refused():
    with pytest.raises(ConventionError, match="exact is for runs that go on; choose resume too"):
        Options(exact=True)


def test_every_field_with_an_option_is_declared_in_order():
    common = ["seed", "epochs", "limit", "device", "dtype", "out", "resume", "exact"]
    assert list(Options.declared()) == common
    assert list(Chosen.declared()) == [*common, "size", "shape", "again", "place"]
    assert Chosen.declared()["again"] == Option("whether twice", identity=True)


def test_the_identity_has_the_values_that_tell_runs_apart():
    options = Chosen(size=2, seed=3, limit=4, again=True, place="here", epochs=5)
    assert options.identity() == {
        **{"seed": 3, "limit": 4, "dtype": "float32"},
        **{"size": 2, "again": True},
    }


def test_the_folder_is_named_after_the_variant_and_the_seed():
    assert Options(seed=7).folder_name("e") == "e-seed7"
    assert Chosen(size=2, again=True).folder_name("e") == "e-size2-flat-seed0"
    assert Chosen.default_folder_name("e") == "e-sizeSIZE-flat-seed0"


# Experiments


def test_every_experiment_says_what_it_shows_and_which_data_it_reads():
    assert set(EXPERIMENTS) >= {"t3f-mnist", "digits", "fibo", "avletters", "ucf11"}
    for name, spec in EXPERIMENTS.items():
        assert spec.name == name
        assert spec.description
        assert spec.data


def test_every_experiment_has_the_options_that_it_uses_and_no_other():
    common = {field.name for field in fields(Options)}
    own = {
        name: [field.name for field in fields(spec.options) if field.name not in common]
        for name, spec in EXPERIMENTS.items()
    }
    assert own == {
        "t3f-mnist": ["dense", "data"],
        "digits": ["dense"],
        "fibo": ["cell", "dense"],
        "avletters": ["cell", "dense", "data"],
        "cifar10": ["net", "dense", "data", "pretrained", "load"],
        "ucf11": ["cell", "dense", "data", "cache", "verify", "fold"],
        "hollywood2": ["cell", "dense", "data", "cache", "verify"],
        "youtube-celebrities": ["cell", "dense", "data", "cache", "verify", "fold"],
        "hmdb51": ["cell", "dense", "data", "cache", "verify", "split"],
    }
