"""Reports: what was wrong can be asked again, and read in a browser."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.oracle import layers
from ttref.cli import main
from ttref.errors import ConventionError
from ttref.oracle import Adapter, evaluate
from ttref.oracle.page import make_page
from ttref.oracle.report import read_report, replay, to_report, write_report

ADAPTER = """
from ttref import ops

def forward(params, x):
    return ops.tt_linear.forward(params, x)[0]

def gradients(params, x, dy):
    dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    return {**dparams, "x": FACTOR * dx}
"""
HALF = layers.changed("x", lambda v, params, B: v / 2)


@pytest.fixture(scope="module")
def report():
    return to_report(evaluate(HALF, examples=10), {}, {"seed": 0, "command": "ttref oracle <it>"})


def test_the_failing_cases_come_back_bit_for_bit(tmp_path, report):
    path = tmp_path / "report.json"
    write_report(path, report)
    again = read_report(path)
    assert again == json.loads(json.dumps(report))
    outcomes = replay(HALF, again)
    assert len(outcomes) == len(again["failures"]) > 0
    assert not any(outcome.is_fixed for outcome in outcomes)
    assert all("STILL WRONG, x[" in str(outcome) for outcome in outcomes)
    right = replay(layers.RIGHT, again)
    assert all(outcome.is_fixed and str(outcome).endswith("FIXED") for outcome in right)


def test_what_cannot_be_asked_is_not_fixed(report):
    def fails(params, x):
        raise RuntimeError("no")

    for adapter, words in (
        (Adapter(layers.forward), "x is not given"),
        (Adapter(fails), "forward raised RuntimeError: no"),
        (Adapter(layers.forward, layers.gradients, d=9), "the layer takes no problem"),
    ):
        outcomes = replay(adapter, report)
        assert not any(outcome.is_fixed for outcome in outcomes)
        assert words in str(outcomes[0])


def test_the_smallest_case_has_its_numbers(report):
    (failure,) = [
        f for f in report["failures"] if (f["check"], f["dtype"]) == ("lattice", "float64")
    ]
    found = np.reshape(failure["found"]["data"], failure["found"]["shape"])
    expected = np.reshape(failure["expected"]["data"], failure["expected"]["shape"])
    assert np.array_equal(2 * found, expected)
    assert failure["inputs"]["x"]["shape"] == list(found.shape)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be used: JSONDecodeError"),
        ("[]", "is no report that ttref oracle --json has written"),
        ('{"format": "ttref-oracle-report", "version": 2}', "is of version 2, expected 1"),
        ('{"format": "ttref-oracle-report", "version": 1}', "cannot be used: KeyError"),
        (
            '{"format": "ttref-oracle-report", "version": 1, "failures": 3, "layer": {}}',
            "lists no failures",
        ),
    ],
)
def test_what_is_no_report_is_told(tmp_path, text, words):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ConventionError, match=words):
        read_report(path)


@pytest.mark.parametrize(
    "change",
    [
        {"check": "other"},
        {"shapes": "2:3"},
        {"shapes": "9:9::1"},
        {"inputs": {}},
        {"dy": {"dtype": "float64", "shape": [1], "data": [1.0]}},
        {"tensor": 3},
    ],
)
def test_a_case_that_was_changed_is_told(report, change):
    broken = {**report, "failures": [{**report["failures"][0], **change}]}
    with pytest.raises(ConventionError):
        replay(layers.RIGHT, broken)


class Reader(HTMLParser):
    """Collects tags that are open, and whatever a page would load."""

    VOID = ("meta", "line", "circle", "path", "br")

    def __init__(self):
        super().__init__()
        self.open = []
        self.text = []
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        names = dict(attrs)
        self.loaded += [names[name] for name in ("src", "href") if name in names]
        self.loaded += [tag] if tag in ("script", "link", "iframe") else []

    def handle_startendtag(self, tag, attrs):
        """Tags that end where they begin."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_needs_nothing_and_says_it_all(report):
    page = make_page({**report, "adapter": "a <b> & c", "patterns": ["x < 1"]})
    reader = Reader()
    reader.feed(page)
    text = " ".join(reader.text)
    assert reader.open == []
    assert reader.loaded == []
    for words in ("a <b> & c", "x is half of what it should be", "WRONG", "x < 1", "replay"):
        assert words in text
    assert "ttref oracle <it>" in text
    assert "url(" not in page


def test_the_page_of_a_right_layer_says_so():
    right = to_report(evaluate(layers.RIGHT, examples=3), {}, {})
    page = make_page(right)
    assert "Nothing is wrong" in page
    assert "Smallest failing" not in page


def test_the_commands_write_reports_and_ask_again(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(ADAPTER.replace("FACTOR", "2"))
    paths = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    assert main(["oracle", str(file), "--examples", "5", "--layout", "t3f", *paths]) == 1
    assert "x is twice too large" in (tmp_path / "r.html").read_text()
    assert read_report(tmp_path / "r.json")["layer"] == {"adapter": str(file), "layout": "t3f"}
    capsys.readouterr()
    assert main(["oracle", "replay", str(tmp_path / "r.json")]) == 1
    assert "4 failing cases, 4 still wrong" in capsys.readouterr().out
    file.write_text(ADAPTER.replace("FACTOR", "1"))
    assert main(["oracle", "replay", str(tmp_path / "r.json")]) == 0
    assert "4 failing cases, 0 still wrong" in capsys.readouterr().out
    other = tmp_path / "other.py"
    other.write_text(ADAPTER.replace("FACTOR", "-1"))
    assert main(["oracle", "replay", str(tmp_path / "r.json"), "--adapter", str(other)]) == 1
    capsys.readouterr()
    assert main(["oracle", "replay", str(tmp_path / "r.html")]) == 2
    assert "r.html cannot be used" in capsys.readouterr().err
