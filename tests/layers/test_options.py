"""Options of layers: one name for keyword, field and repr, and a wrong one is refused."""

import inspect
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest

import ttref
from ttref import (
    GRU,
    LSTM,
    RNN,
    TTGRU,
    TTLSTM,
    TTRNN,
    Activation,
    Augment,
    AvgPool2d,
    BatchNorm,
    Bidirectional,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
    Sequential,
    Standardize,
    TimeDistributed,
    TTConv1d,
    TTConv2d,
    TTDense,
    tree,
)
from ttref.errors import ConventionError, DtypeError, RankError, ShapeError
from ttref.layers.base import shape_of

AFFINE = {"bias": False, "activation": "relu", "initializer": "he", "bias_init": 0.5}
RECURRENT = {
    "activation": "relu",
    "bias": False,
    "initializer": "lecun",
    "recurrent_initializer": "he",
    "dropout": 0.25,
    "recurrent_dropout": 0.5,
    "one_recurrent_mask": False,
    "drop_input": False,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "truncate": 3,
    "checkpoint_every": 2,
    "mask_value": -1.5,
    "at_padding": "zero",
}
GATED = RECURRENT | {"recurrent_activation": "sigmoid"}
WINDOWS = {"padding": "VALID", "bias": False, "initializer": "he"}
MODES = [2, 3], [2, 2], 2
TRAINS = {"per_gate": True, "recurrent_ranks": 2, "recurrent_modes": [4, 1]}

# Every public layer, with every option away from its default.
LAYERS = [
    Activation("elu", alpha=2),
    Augment(pad=2, flip=False, contrast=[0.75, 1.25]),
    AvgPool2d((3, 2), strides=2, padding="SAME"),
    BatchNorm(4, scale=False, offset=False, decay=0.5, epsilon=0.1),
    Bidirectional(GRU(6, 4, bias=False), merge="sum"),
    Conv2d((3, 2), 4, 6, strides=2, dilation=(2, 1), **WINDOWS),
    Dense(6, 4, **AFFINE),
    Dropout(0.5),
    Flatten(),
    GlobalAvgPool1d(),
    GlobalAvgPool2d(),
    GRU(6, 4, reset="after", **GATED),
    Layer(),
    LSTM(6, 4, unit_forget_bias=False, **GATED),
    MaxPool2d(3, strides=(1, 2), padding="SAME"),
    RNN(6, 4, **RECURRENT),
    Sequential([Flatten(), Dense(6, 4, activation="tanh")], names=["flatten", "last"]),
    Standardize([2, 3]),
    TTConv1d(3, [2, 2], [3, 2], 2, stride=2, dilation=3, form="sweep", **WINDOWS),
    TTConv2d((3, 2), [2, 2], [3, 2], 2, strides=2, dilation=2, form="sweep", **WINDOWS),
    TTDense(*MODES, **AFFINE),
    TTGRU(*MODES, reset="after", **TRAINS, **GATED),
    TTLSTM(*MODES, unit_forget_bias=False, **TRAINS, **GATED),
    TTRNN(*MODES, **TRAINS, **RECURRENT),
    TimeDistributed(TTDense(*MODES, **AFFINE)),
]
NESTED = Sequential([TimeDistributed(Dense(6, 4)), Bidirectional(TTGRU([2, 2], [2, 2], [1, 3, 1]))])
over_layers = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)


def names():
    """What ``from ttref import *`` brings."""
    return {name: getattr(ttref, name) for name in ttref.__all__}


def test_every_public_layer_is_here_with_every_option_away_from_its_default():
    public = {v for v in names().values() if isinstance(v, type) and issubclass(v, Layer)}
    assert {type(layer) for layer in LAYERS} == public
    for layer in LAYERS:
        for field in fields(layer):
            assert field.default is MISSING or getattr(layer, field.name) != field.default


@pytest.mark.parametrize("layer", [*LAYERS, NESTED], ids=lambda layer: type(layer).__name__)
def test_the_repr_of_a_layer_makes_it_again(layer):
    again = eval(repr(layer), names())
    assert again == layer
    assert hash(again) == hash(layer)
    assert repr(again) == repr(layer)


@over_layers
def test_keywords_are_fields_and_stand_in_the_signature(layer):
    parameters = list(inspect.signature(type(layer)).parameters.values())
    own = [field for field in fields(layer) if field.init]
    assert [p.name for p in parameters] == [f.name for f in sorted(own, key=lambda f: f.kw_only)]
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)
    defaults = {f.name: f.default for f in own if f.default is not MISSING}
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == defaults


def test_lists_ints_and_numpy_scalars_become_tuples_and_python_numbers():
    assert TTDense([2, 3], [3, 2], 4) == TTDense((2, 3), (3, 2), (1, 4, 1))
    assert TTGRU(*MODES, recurrent_ranks=3) == TTGRU(*MODES, recurrent_ranks=[1, 3, 1])
    assert TTConv2d(3, [2, 2], [2, 2], 3) == TTConv2d((3, 3), (2, 2), (2, 2), (3, 3, 1), (1, 1))
    assert MaxPool2d(2) == MaxPool2d((2, 2), (2, 2))
    assert Sequential([Flatten()]) == Sequential((Flatten(),))
    assert repr(Dropout(np.float64(0.5))) == "Dropout(rate=0.5)"
    assert repr(Dense(np.int64(3), 2)) == repr(Dense(3, 2))


def test_a_layer_with_another_option_is_the_layer_made_with_it():
    layer = TTLSTM(*MODES, dropout=0.25)
    assert replace(layer, return_sequences=True) == TTLSTM(
        *MODES, dropout=0.25, return_sequences=True
    )
    wide = replace(Dense(6, 4), out_features=5)
    assert wide.num_params == 35 and wide.out_shape((6,)) == (5,)
    assert replace(TTGRU(*MODES), per_gate=True).num_weights > TTGRU(*MODES).num_weights
    assert replace(Activation("elu"), name="relu") == Activation("relu")
    net = Sequential([Flatten(), Dense(6, 4)])
    assert replace(net, names=("a", "b")).init(0).keys() == {"b"}


# What some fields take of the values below; the others refuse all of them.
TAKEN = {
    "activation": (None,),  # of Dense and TTDense
    "alpha": (None, 2.5, -3),
    "bias_init": (2.5, -3),
    "contrast": (None,),
    "epsilon": (2.5,),
    "mask_value": (None, 2.5, -3),
    "names": (None,),
    "recurrent_modes": (None,),  # those of the output
    "strides": (None,),  # of pooling
    "truncate": (None,),
    "checkpoint_every": (None,),
}
WRONG = (
    *(None, True, 2.5, -3, 1j, "nonsense", b"nonsense", float("nan"), float("inf")),
    *([], {}, ("x",), [-1, 2], object(), np.ones(2), np.ones((2, 2)), len),
)


@over_layers
def test_a_value_of_a_wrong_type_is_refused_by_every_option(layer):
    for field in fields(layer):
        is_flag = isinstance(getattr(layer, field.name), bool)
        for value in WRONG:
            try:
                found = replace(layer, **{field.name: value})
            except (ConventionError, ShapeError, RankError):
                continue
            taken = (True,) if is_flag else TAKEN.get(field.name, ())
            is_nan = field.name == "mask_value" and value != value
            is_taken = is_nan or any(value is v for v in taken) or value in ([], ("x",))
            assert is_taken, (field.name, value)
            assert eval(repr(found), names()) == found


BAD = [
    (lambda: GRU(3, 4, initializer="nonsense"), "initializer is 'nonsense', expected one of"),
    (lambda: GRU(3, 4, return_sequences="yes"), "return_sequences is 'yes', expected True or Fal"),
    (lambda: GRU(3, 4, bias="no"), "bias is 'no', expected True or False"),
    (lambda: GRU(3, 4, mask_value="0"), "mask_value is '0', expected a finite number or nan"),
    (lambda: GRU(3, 4, mask_value=[0]), r"mask_value is \[0\], expected a finite number or nan"),
    (lambda: GRU(3, 4, mask_value=False), "mask_value is False, expected a finite number or nan"),
    (lambda: GRU(3, 4, mask_value=np.zeros(1)), r"mask_value is array\(\[0.\]\), expected a fini"),
    (lambda: GRU(3, 4, mask_value=-np.inf), "mask_value is -inf, expected a finite number or nan"),
    (lambda: GRU(3, 4, activation=["relu"]), r"activation is \['relu'\], expected one of"),
    (lambda: LSTM(3, 4, unit_forget_bias=1), "unit_forget_bias is 1, expected True or False"),
    (lambda: TTGRU(*MODES, per_gate=1), "per_gate is 1, expected True or False"),
    (lambda: Dense(3, 4, bias_init="0"), "bias_init is '0', expected a finite number"),
    (lambda: Augment(contrast=(True, 2)), r"contrast is \(True, 2\), expected two numbers"),
    (lambda: Augment(flip=1), "flip is 1, expected True or False"),
    (lambda: BatchNorm(3, scale=None), "scale is None, expected True or False"),
    (lambda: Sequential(Flatten()), r"layers is Flatten\(\), expected a sequence of ttref Layers"),
    (lambda: Sequential(Flatten(), Dense(3, 2)), r"layers is Flatten.*: Sequential\(\[a, b\]\)"),
    (lambda: Sequential(Dense), "layers is <class .*Dense'>, expected a sequence of ttref Layers"),
    (lambda: Sequential([Dense]), r"layer 0 is <class .*Dense'>, .*; call the class, Dense\(...\)"),
    (lambda: Bidirectional(GRU), r"layer is <class .*; call the class, GRU\(...\)"),
    (lambda: TimeDistributed(Dense), r"layer is <class .*; call the class, Dense\(...\)"),
    (lambda: Sequential([Flatten()], "ab"), "names is 'ab', expected 1 different names"),
    (lambda: Sequential([Flatten()] * 2, "ab"), "names is 'ab', expected 2 different names"),
    (lambda: Sequential([Flatten()] * 2, ["a", "a"]), r"names is \['a', 'a'\], expected 2 diff"),
    (lambda: Standardize([0]), "shape is 0, expected a positive integer"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_a_wrong_option_is_refused_with_its_reason(wrong, message):
    with pytest.raises((ConventionError, ShapeError), match=message):
        wrong()


@pytest.mark.parametrize("rng", [0, True, "0", np.random.RandomState(0)])
def test_forward_takes_a_generator_and_no_seed(rng):
    x = np.ones((2, 4, 4, 3))
    for layer in (Dropout(0.5), Augment(), Sequential([Dropout(0.5), Dropout(0.5)])):
        with pytest.raises(
            ConventionError, match=r"rng is .*, expected a numpy.random.Generator: n"
        ):
            layer.forward(layer.init(0), x, train=True, rng=rng)
    layer = GRU(3, 4, recurrent_dropout=0.5)
    with pytest.raises(ConventionError, match=r"rng is .*, expected a numpy.random.Generator: n"):
        layer.forward(layer.init(0), x[0], train=True, rng=rng)


@over_layers
def test_a_list_in_the_place_of_an_array_is_refused(layer):
    if type(layer) is Layer:
        return
    with pytest.raises(
        (ShapeError, DtypeError), match=r"x is a list \[\[1.0\]\], expected an array"
    ):
        layer.forward(layer.init(0), [[1.0]], train=True, rng=np.random.default_rng(0))


def test_an_unknown_option_is_no_keyword():
    for make in (Dense, GRU, Conv2d):
        with pytest.raises(TypeError, match="unexpected keyword argument 'init'"):
            make(3, 4, init="glorot")


@over_layers
def test_parameters_have_the_shapes_that_are_declared_in_their_order(layer):
    if isinstance(layer, Bidirectional | Sequential | TimeDistributed):
        return
    params = layer.init(0)
    assert shape_of(params) == layer.parameter_shapes()
    assert list(params) == list(layer.parameter_shapes())
    learned = {name: p for name, p in params.items() if name not in layer.statistics}
    assert layer.num_params == tree.size(learned)
    layer.check_params(params)


def test_parameters_of_a_wrong_kind_are_refused():
    layer = Dense(3, 2)
    with pytest.raises(ConventionError, match=r"parameters are a tuple, expected \['bias', 'kern"):
        layer.forward((1, 2), np.ones((1, 3)))
    with pytest.raises(ShapeError, match=r"kernel has shape str, expected \(3, 2\)"):
        layer.forward({"kernel": "x", "bias": np.ones(2)}, np.ones((1, 3)))


def test_names_of_layers_are_the_keys_of_their_parameters():
    layers = [Standardize((2, 3)), Flatten(), Dense(6, 4), BatchNorm(4)]
    plain = Sequential(layers)
    net = Sequential(layers, names=("pixels", "flatten", "fc", "bn"))
    params = net.init(3, "float64")
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    assert list(params) == ["pixels", "fc", "bn"]
    in_order = (params["pixels"], {}, params["fc"], params["bn"])
    assert all(map(np.array_equal, tree.leaves(params), tree.leaves(plain.init(3, "float64"))))

    y, cache = net.forward(params, x, train=True)
    expected, plain_cache = plain.forward(in_order, x, train=True)
    assert np.array_equal(y, expected)
    for input_gradient in (True, False):
        dparams, dx = net.backward(y, cache, input_gradient)
        expected, expected_dx = plain.backward(y, plain_cache, input_gradient)
        assert list(dparams) == list(params)
        assert all(map(np.array_equal, tree.leaves(dparams), tree.leaves(expected)))
        assert dx is expected_dx is None or np.array_equal(dx, expected_dx)
    assert list(net.update_state(params, cache)) == list(params)
    assert "fc  " in net.summary() and net.num_params == plain.num_params == 36
    assert str(net) == "Sequential(pixels ... bn)"


def test_parameters_of_other_layers_are_refused():
    net = Sequential([Flatten(), Dense(6, 4)], names=("flatten", "fc"))
    message = r"of fc, fc2, expected a dict of parameters of the layers of Sequential\(flatten ... "
    with pytest.raises(ConventionError, match=message):
        net.forward(net.init(0) | {"fc2": {}}, np.ones((1, 6)))
    with pytest.raises(ConventionError, match=r"layer fc, Dense\(6 -> 4\): parameters are \[\]"):
        net.forward({}, np.ones((1, 6)))
    with pytest.raises(ShapeError, match=r"layer fc: Dense\(6 -> 4\) takes samples of shape"):
        net.out_shape((5,))


def test_statistics_are_standardised_away_and_get_no_gradient(monkeypatch):
    layer = Standardize((2,))
    params = {"mean": np.asarray([1.0, 2.0]), "std": np.asarray([2.0, 4.0])}
    x = np.asarray([[3.0, 4.0], [1.0, 10.0]])
    y, cache = layer.forward(params, x)
    assert y.tolist() == [[1, 0.5], [0, 2]]
    dparams, dx = layer.backward(np.ones((2, 2)), cache)
    assert dx.tolist() == [[0.5, 0.25]] * 2
    assert not any(leaf.any() for leaf in tree.leaves(dparams))
    assert layer.backward(y, cache, input_gradient=False)[1] is None
    assert layer.num_params == 0 and not layer.learns(params)
    with pytest.raises(ShapeError, match=r"x has shape \(2, 1\), expected \(any, 2\)"):
        layer.forward(params, x[:, 1:])
    with pytest.raises(ShapeError, match=r"takes samples of shape \(2,\), got \(3,\)"):
        layer.out_shape((3,))

    # No layer after it is asked for a gradient of x that nobody needs.
    net = Sequential([layer, Dense(2, 2)])
    asked, pull_back = [], Dense.backward
    monkeypatch.setattr(Dense, "backward", lambda *a: asked.append(a[3]) or pull_back(*a))
    y, cache = net.forward((params, net.init(0, "float64")[1]), x)
    dparams, _ = net.backward(y, cache, input_gradient=False)
    assert asked == [False]
    assert not any(leaf.any() for leaf in tree.leaves(dparams[0]))


def test_a_shape_that_is_unknown_stays_so():
    steps = RNN(3, 2, return_sequences=True)
    assert Sequential([steps, Flatten()]).out_shape((None, 3)) is None
    net = Sequential([steps, Flatten(), Activation("relu"), Dense(8, 1)])
    assert net.out_shape((None, 3)) == (1,)
    assert "(B, ...)" in net.summary()
