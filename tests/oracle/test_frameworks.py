"""Layers of torch, Keras and JAX behind an adapter, and layouts in words."""

import sys

import numpy as np
import pytest

from tests.oracle import layers
from ttref.errors import ConventionError, MissingExtraError
from ttref.oracle import Adapter, evaluate, frameworks, parse_layout
from ttref.oracle.layouts import undo

WORDS = [
    "left in out right",
    "(out right) (left in)",
    "in out left right, without ends",
    "(left out) (right in), without ends",
    "in right left out, last core first, one vector",
    "right (in out) left, one vector",
    "(left in out right)",
]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("modes", [((2, 3, 4), (5, 6, 7)), ((2,), (3,)), ((2, 1), (1, 3))])
def test_a_layout_in_words_moves_every_number_and_none_is_lost(words, modes):
    n, m = modes
    ranks = (1, 8, 9, 1) if len(n) == 3 else (1, *[4] * (len(n) - 1), 1)
    cores = layers.problem(n, m, ranks).inputs["cores"]
    storage = parse_layout(words)
    moved = storage.cores(cores)
    assert sum(core.size for core in moved) == sum(core.size for core in cores)
    back = undo(storage.cores, moved, cores)
    assert all((a == b).all() for a, b in zip(back, cores, strict=True))


def test_the_axes_are_where_the_words_say():
    (core,) = layers.problem((2,), (3,), (1, 1)).inputs["cores"]
    first, last = layers.problem((2, 4), (3, 5), (1, 6, 1)).inputs["cores"]
    (moved,) = parse_layout("(out right) (left in)").cores((core,))
    assert (moved == core[0, :, :, 0].T).all()
    nodes = parse_layout("in out left right, without ends").cores((first, last))
    assert [node.shape for node in nodes] == [(2, 3, 6), (4, 5, 6)]
    assert (nodes[1][1, 2] == last[:, 1, 2, 0]).all()
    (vector,) = parse_layout("in right left out, last core first, one vector").cores((first, last))
    assert (vector[: last.size].reshape(4, 1, 6, 5) == last.transpose(1, 3, 0, 2)).all()


@pytest.mark.parametrize(
    "text",
    [
        "left in out",
        "left in out out",
        "left in out right, last",
        "(left in out right",
        "left in) out right",
        "((left in) out right)",
        "left in out right ()",
        "a b c d",
        " ",
    ],
)
def test_what_is_no_layout_is_refused(text):
    with pytest.raises(ConventionError, match=r"the layout is .*, expected the axes left, in, out"):
        Adapter(layers.forward, layers.gradients, layout=text)


@pytest.mark.parametrize("words", WORDS)
def test_a_layer_whose_layout_is_in_words_is_judged_and_explained(words):
    storage = parse_layout(words)

    def to_canonical(params, x, out=None):
        like = layers_like[tuple(np.shape(core) for core in params["cores"]), x.shape]
        return {**params, "cores": undo(storage.cores, tuple(params["cores"]), like)}

    layers_like = {}

    def accepts(shapes):
        from ttref.oracle.problems import make_problem
        from ttref.rng import generator

        case = make_problem(shapes, generator(0))
        cores = case.inputs["cores"]
        key = tuple(core.shape for core in storage.cores(cores)), case.inputs["x"].shape
        same = [core.shape for core in layers_like.get(key, cores)] == [c.shape for c in cores]
        layers_like.setdefault(key, cores)
        return same  # one vector can belong to several trains: the first one is asked

    def forward(params, x):
        return layers.forward(to_canonical(params, x), x)

    def gradients(params, x, dy):
        found = layers.gradients(to_canonical(params, x), x, dy)
        return {**found, "cores": list(storage.cores(found["cores"]))}

    adapter = Adapter(forward, gradients, layout=words, accepts=accepts, dtypes=("float64",))
    assert evaluate(adapter, examples=20).ok
    wrong = Adapter(
        lambda p, x: -forward(p, x), gradients, layout=words, accepts=accepts, dtypes=("float64",)
    )
    assert "y has the wrong sign" in str(evaluate(wrong, examples=20).diagnosis)


def test_a_missing_framework_is_told(monkeypatch):
    for name, functions in (
        ("torch", frameworks.of_torch(lambda cores, bias: None)),
        ("tensorflow", frameworks.of_keras(lambda cores, bias: None)),
        ("jax", frameworks.of_jax(lambda params, x: x)),
    ):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match=f"a layer of {name} needs {name}"):
            functions.gradients({"cores": ()}, np.ones((1, 1)), np.ones((1, 1)))


def torch_module(torch, factor=1):
    """A TT layer with its cores as matrices (out right) x (left in), as torch code has it."""

    class Layer(torch.nn.Module):
        def __init__(self, cores, bias):
            super().__init__()
            kinds = [torch.from_numpy(core).dtype for core in cores]
            self.factors = torch.nn.ParameterList(
                [torch.empty(c.shape, dtype=k) for c, k in zip(cores, kinds, strict=True)]
            )
            self.b = (
                None
                if bias is None
                else torch.nn.Parameter(torch.empty_like(torch.from_numpy(bias)))
            )

        def forward(self, x):
            state = x.reshape(len(x), 1, -1)
            for core in self.factors:
                left, n, _, right = core.shape
                state = state.reshape(len(state), left, n, -1)
                state = torch.einsum("pajq,ajib->pibq", state, factor * core)
                state = state.reshape(-1, right, state.shape[-1])
            y = state.reshape(len(x), -1)
            return y if self.b is None else y + self.b

    return Layer


@pytest.mark.witness
def test_a_torch_module_is_judged():
    torch = pytest.importorskip("torch", reason="torch is not installed (extra witness)")
    functions = frameworks.of_torch(torch_module(torch), cores="factors.{k}", bias="b")
    assert evaluate(Adapter(*functions), examples=20).ok
    twice = frameworks.of_torch(torch_module(torch, 2), cores="factors.{k}", bias="b")
    report = evaluate(Adapter(*twice, d=1, bias=False), examples=20)
    assert not report.ok
    wrong_name = frameworks.of_torch(torch_module(torch), cores="factor.{k}", bias="b")
    with pytest.raises(ConventionError, match=r"no parameter factor\.0; it has \['factors\.0'"):
        evaluate(Adapter(*wrong_name), examples=2)


@pytest.mark.witness
def test_a_torch_parameter_without_a_gradient_is_not_given():
    torch = pytest.importorskip("torch", reason="torch is not installed (extra witness)")
    Layer = torch_module(torch)

    class Detached(Layer):
        def forward(self, x):
            y = super().forward(x)
            return y if self.b is None else y - self.b + self.b.detach()

    functions = frameworks.of_torch(Detached, cores="factors.{k}", bias="b")
    report = evaluate(Adapter(*functions, dtypes=("float64",)), examples=20)
    words = {row["tensor"]: row["verdict"] for row in report.rows() if "lattice" in row["check"]}
    assert words["cores"] == "exact"
    assert words["bias"] == "WRONG"  # its gradient is zero, and not missing


@pytest.mark.witness
def test_a_jax_function_is_judged():
    jax = pytest.importorskip("jax", reason="jax is not installed (extra witness)")

    def layer(params, x):
        state = x.reshape(len(x), 1, -1)
        for core in params["cores"]:
            left, n, _, right = core.shape
            state = state.reshape(len(state), left, n, -1)
            state = jax.numpy.einsum("pajq,ajib->pibq", state, core, precision="highest")
            state = state.reshape(-1, right, state.shape[-1])
        return state.reshape(len(x), -1) + params.get("bias", 0)

    assert evaluate(Adapter(*frameworks.of_jax(layer)), examples=6, few_shapes=True).ok
    negative = frameworks.of_jax(lambda params, x: -layer(params, x))
    report = evaluate(Adapter(*negative, dtypes=("float64",)), examples=4, diagnosis=False)
    assert not report.ok


@pytest.mark.witness
def test_a_keras_layer_is_judged():
    keras = pytest.importorskip("keras", reason="keras is not installed")
    tensorflow = pytest.importorskip("tensorflow", reason="tensorflow is not installed")

    class Layer(keras.layers.Layer):
        def __init__(self, cores, bias):
            super().__init__(dtype=str(cores[0].dtype))
            self.kernels = [
                self.add_weight(shape=core.shape, name=f"core{k}") for k, core in enumerate(cores)
            ]
            self.b = None if bias is None else self.add_weight(shape=bias.shape, name="b")

        def call(self, x):
            batch = x.shape[0]
            state = tensorflow.reshape(x, (batch, 1, -1))
            for core in self.kernels:
                left, n, _, right = core.shape
                state = tensorflow.reshape(state, (state.shape[0], left, n, -1))
                state = tensorflow.einsum("pajq,ajib->pibq", state, core)
                state = tensorflow.reshape(state, (-1, right, state.shape[-1]))
            y = tensorflow.reshape(state, (batch, -1))
            return y if self.b is None else y + self.b

    functions = frameworks.of_keras(Layer, cores="core{k}", bias="b")
    report = evaluate(Adapter(*functions), examples=6, few_shapes=True)
    assert report.ok, str(report)
