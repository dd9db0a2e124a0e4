"""Whatever an adapter is or does, the command says so in one sentence, and never exits with 0."""

import numpy as np
import pytest

import ttref
from tests.oracle import layers
from ttref.cli import main
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.oracle import Adapter, Storage, conforms, evaluate, judge, truth

RIGHT = """
import sys
import numpy as np
from ttref import ops
from ttref.oracle import Storage

def right(params, x):
    return ops.tt_linear.forward(params, x)[0]

def right_gradients(params, x, dy):
    dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    return {**dparams, "x": dx}

forward = right
gradients = right_gradients
"""


def forward(body):
    return f"def forward(params, x):\n    {body}\n"


def gradients(body):
    return f"def gradients(params, x, dy):\n    {body}\n"


def of_class(head, *body):
    return "\n    ".join([f"class Odd{head}:", *body]) + "\n"


SAYS_NOTHING = of_class("(Exception)", "def __str__(self): raise ValueError('no text')")
EXITS_AS_TEXT = of_class("(Exception)", "def __str__(self): sys.exit(0)")
HIDES_ITS_CLASS = of_class("", "@property", "def __class__(self): raise ValueError('hidden')")
HIDES_ITS_KEYS = of_class("(dict)", "def keys(self): raise ValueError('hidden')")
SHOWS_NOTHING = of_class("", "def __repr__(self): raise ValueError('hidden')")
NEVER_LISTED = of_class("(list)", "def __iter__(self): sys.exit(0)")

ODD = {
    "exit at import": ("sys.exit(0)", "cannot be imported: SystemExit: 0"),
    "exit without a status": ("sys.exit()", "cannot be imported: SystemExit"),
    "own error at import": (of_class("(BaseException)", "pass") + "raise Odd", "imported: Odd"),
    "exit in forward": (forward("sys.exit(0)"), "forward raised SystemExit: 0 (on cores.0 "),
    "exit in gradients": (gradients("sys.exit(0)"), "gradients raised SystemExit: 0 (on cores.0 "),
    "no Exception": (forward("raise GeneratorExit"), "forward raised GeneratorExit (on cores.0"),
    "no memory": (forward("raise MemoryError"), "forward raised MemoryError (on"),
    "endless": (forward("return forward(params, x)"), "forward raised RecursionError: maximum"),
    "no text": (SAYS_NOTHING + forward("raise Odd"), "forward raised Odd: a Odd that has no text"),
    "exit as text": (EXITS_AS_TEXT + forward("raise Odd"), "forward raised Odd: a Odd that has no"),
    "escape": (forward(r"raise ValueError('\x1b[31mred\nnext')"), r"ValueError: \x1b[31mred next"),
    "long": (forward("raise ValueError('a' * 10**6)"), "a... (1000000 characters) (on cores.0"),
    "no module": (forward("import no_such"), "needs the module no_such, which is not installed"),
    "unnamed module": (forward("raise ModuleNotFoundError('x')"), "raised ModuleNotFoundError: x"),
    "one argument": ("def forward(params): return 1", "forward raised TypeError: forward() takes"),
    "class": ("class forward: pass", "forward raised TypeError: forward() takes no arguments"),
    "instance": (
        of_class("", "def __init__(self, params, x): pass") + "forward = Odd",
        "y is a Odd, expected a NumPy array",
    ),
    "object": ("forward = object()", "forward is not a function"),
    "attributes raise": ("def __getattr__(n): raise ValueError(n)", "run cannot be used: Val"),
    "attributes exit": ("def __getattr__(n): sys.exit(0)", "run cannot be used: SystemExit: 0"),
    "attributes None": ("def __getattr__(n): return None", "name is a NoneType, expected a text"),
    "name": ("name = ['a']", "name is a list, expected a text"),
    "bias": ("bias = 'yes'", "bias is 'yes', expected True or False"),
    "bias hidden": (SHOWS_NOTHING + "bias = Odd()", "option cannot be used: ValueError: hidden"),
    "dtypes": ("dtypes = 3", "dtypes is 3, expected a list"),
    "dtypes of a generator": ("dtypes = (d for d in ['float32'])", "generator object"),
    "dtypes of lists": ("dtypes = [['float32']]", "dtype is ['float32'], expected one of"),
    "dtypes exit": (NEVER_LISTED + "dtypes = Odd(['float32'])", "option cannot be used: SystemEx"),
    "layout": ("layout = 3", "layout is 3, expected a name or an order of the axes 0, 1, 2, 3"),
    "layout of texts": ("layout = ('0', 1, 2, 3)", "layout is ('0', 1, 2, 3), expected a name"),
    "layout of floats": ("layout = (0., 1., 2., 3.)", "layout is (0.0, 1.0, 2.0, 3.0), expected"),
    "layout of lists": ("layout = [[0], 1, 2, 3]", "layout is [[0], 1, 2, 3], expected a name"),
    "layout long": ("layout = list(range(10**5))", " characters), expected a name or an order"),
    "storage": ("layout = Storage('odd', 3)", "layout is a Storage whose words are no text, or"),
    "storage raises": ("layout = Storage('odd', lambda c: 1 / 0)", "storage cannot be used: Zero"),
    "storage of text": ("layout = Storage('odd', x=lambda v, n: 'a')", "storage makes a str of an"),
    "y None": (forward("return None"), "y is a NoneType, expected a NumPy array"),
    "y text": (forward("return 'text'"), "y is a str, expected a NumPy array"),
    "y ragged": (forward("return [[1], [1, 2]]"), "y is a list of 2, expected an array"),
    "y generator": (forward("yield 1"), "y is a generator, expected a NumPy array"),
    "y masked": (
        forward("return np.ma.masked_array(right(params, x), True)"),
        "y is a MaskedArray, expected a NumPy array",
    ),
    "y hidden": (HIDES_ITS_CLASS + forward("return Odd()"), "a result cannot be used: ValueError"),
    "gradients hidden": (HIDES_ITS_KEYS + gradients("return Odd()"), "result cannot be used: Val"),
    "gradients many": (
        gradients("return dict.fromkeys(range(10**5))"),
        "gradients returned the keys [0, 1, 2, ",
    ),
    "cores generated": (
        gradients("return {**right_gradients(params, x, dy), 'cores': (1 for k in x)}"),
        "gradient of cores is a generator, expected a list of ",
    ),
    "cores nested": (
        gradients(
            "return {**right_gradients(params, x, dy), 'cores': [[1]] * len(params['cores'])}"
        ),
        "gradient of cores has a list in place of an array",
    ),
}


def write(tmp_path, text):
    path = tmp_path / "odd.py"
    path.write_text(RIGHT + text + "\n")
    return str(path)


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_told_in_one_short_line(tmp_path, capfd, name):
    text, said = ODD[name]
    assert main(["oracle", write(tmp_path, text), "--examples", "1"]) == 2
    message = capfd.readouterr().err.split("\r")[-1].removeprefix("\x1b[A")
    assert said in message
    assert message.startswith("ttref: ")
    assert message.count("\n") == 1
    assert "\x1b" not in message
    assert len(message) < 1000


UNFIT = {
    "return right(params, x) + 0j": "y is complex64, expected float32 as it was given",
    "return right(params, x).astype(object)": "y is object, expected float32 as it was given",
    "return right(params, x).astype(float)": "y is float64, expected float32 as it was given",
    "return right(params, x)[0]": "y has shape ",
    "return right(params, x)[None]": "y has shape ",
}


@pytest.mark.parametrize("body", UNFIT)
def test_a_result_of_another_shape_or_dtype_is_a_finding(tmp_path, capsys, body):
    text = forward(body) + "dtypes = ('float32',)"
    assert main(["oracle", write(tmp_path, text), "--examples", "1"]) == 1
    out = capsys.readouterr().out
    assert f"lattice float32 of y: odd: {UNFIT[body]}" in out
    assert "y is not computed in the shape and the dtype" in out
    assert ", 2 wrong (seed 0)" in out


@pytest.mark.parametrize("factor", ["np.nan", "np.inf"])
def test_what_is_not_finite_is_wrong(tmp_path, capsys, factor):
    text = forward(f"return right(params, x) * np.float32({factor})") + "dtypes = ('float32',)"
    assert main(["oracle", write(tmp_path, text), "--examples", "2"]) == 1
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"name = '\x1b[31mred'", r"\x1b[31mred: "),
        (r"name = '\ud800'", r"\ud800: "),
        ("name = 'a' * 10**6", "a... (1000000 characters): "),
        ("sys.path.clear()", "odd: "),
        ("np.seterr(all='raise')", "odd: "),
        (forward("np.seterr(all='raise'); return right(params, x)"), "odd: "),
        (of_class("", "def __call__(self, *a): return right(*a)") + "forward = Odd()", "odd: "),
    ],
)
def test_what_is_odd_but_right_is_right(tmp_path, monkeypatch, capsys, text, shown):
    monkeypatch.syspath_prepend(tmp_path)
    before = np.geterr()
    assert main(["oracle", write(tmp_path, text), "--examples", "1"]) == 0
    assert shown in capsys.readouterr().out.splitlines()[-1]
    assert np.geterr() == before


def test_ctrl_c_in_an_adapter_is_ctrl_c(tmp_path, capsys):
    assert main(["oracle", write(tmp_path, forward("raise KeyboardInterrupt"))]) == 130
    assert main(["oracle", write(tmp_path, "raise KeyboardInterrupt")]) == 130


def test_a_class_in_place_of_an_adapter_is_told():
    with pytest.raises(ConventionError, match=r"^adapter is a type, expected .*Adapter\(\.\.\.\)$"):
        evaluate(Adapter)
    with pytest.raises(ConventionError, match=r"^adapter is a module, expected an Adapter$"):
        conforms(examples=1)(lambda: ttref)()


def test_a_storage_that_loses_numbers_is_told():
    odd = Storage("odd", y=lambda v, modes: v[:, :1])
    adapter = Adapter(
        lambda params, x: np.ones((len(x), 1), x.dtype),
        lambda params, x, dy: {**params, "x": x},
        odd,
    )
    with pytest.raises(ConventionError, match="adapter: a result cannot be used: IndexError: "):
        evaluate(adapter)


def test_results_from_anywhere_are_named_as_those_of_the_case():
    problem = layers.problem((2, 3), (4, 5), (1, 6, 1))
    case = truth.draw_integers(problem, np.random.default_rng(0), "float64")
    with pytest.raises(ConventionError, match="name of a result is 'z', expected one of 'y', 'co"):
        judge(case, {"z": case.dy}, "float64")
    with pytest.raises(ShapeError, match="y has shape"):
        judge(case, {"y": case.dy[:1]}, "float64")
    with pytest.raises(ShapeError, match=r"y is a list \[1.0\], expected an array"):
        judge(case, {"y": [1.0]}, "float64")
    for dtype in (complex, str, "m8[s]"):
        with pytest.raises(DtypeError, match=r"y has dtype .*, expected real numbers"):
            judge(case, {"y": case.dy.astype(dtype)}, "float64")
