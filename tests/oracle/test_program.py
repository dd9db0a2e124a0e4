"""Layers in other processes: what they answer is judged, and what they do instead is told."""

import json
import re
import sys
import time

import numpy as np
import pytest

from tests.oracle import layers
from ttref.cli import main
from ttref.errors import ConventionError
from ttref.oracle import Adapter, Program, evaluate, export, judge_folder
from ttref.oracle.exported import cannot_be_asked
from ttref.oracle.files import FORMATS_OF, read_case, read_results, write_case
from ttref.oracle.loading import KIT
from ttref.testing.report import Check

LAYER = """
import numpy as np

def forward(params, x):
    state = x.reshape(len(x), 1, -1)
    for core in params["cores"]:
        a, n, m, b = core.shape
        state = np.einsum("pajq,ajib->pibq", state.reshape(len(state), a, n, -1), core)
        state = state.reshape(-1, b, state.shape[-1])
    return state.reshape(len(x), -1) + params.get("bias", np.zeros((), x.dtype))
"""
COUNTED = """
import os, pathlib, sys, time
from peer import serve
from mine import forward as right

def forward(params, x):
    calls = pathlib.Path(__file__).with_name("calls")
    calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
    number = len(calls.read_text())
    {body}
    return right(params, x)

serve(forward)
"""


@pytest.fixture
def kit(tmp_path):
    """A folder with the layer, and the file that answers without ttref."""
    (tmp_path / "mine.py").write_text(LAYER)
    (tmp_path / "peer.py").write_bytes(KIT.read_bytes())
    return tmp_path


def in_one_process(file):
    return f"{sys.executable} {file} {{cases}} {{results}}"


def ask(program, examples=5, **options):
    adapter = Adapter(run=program, dtypes=("float64",), name="theirs")
    return evaluate(adapter, examples=examples, **options)


@pytest.mark.parametrize("places", ["", "{case} {result}", "{cases} {results}"])
def test_a_program_is_judged_as_a_function_is(kit, places):
    program = Program(f"{sys.executable} {kit / 'peer.py'} {kit / 'mine.py'} {places}")
    report = ask(program)
    assert report.ok
    words = {row["tensor"]: row["verdict"] for row in report.rows() if "lattice" in row["check"]}
    assert words == {"y": "exact", "bias": "not given", "cores": "not given", "x": "not given"}
    (kit / "mine.py").write_text(LAYER.replace("return ", "return -"))
    if places.endswith("{results}"):
        assert "y is not affine" not in str(ask(program).diagnosis)
    assert not ask(program, diagnosis=False).ok


def test_the_file_of_the_kit_needs_no_ttref_and_old_python():
    text = KIT.read_text()
    assert "ttref" not in "".join(line for line in text.splitlines() if "import " in line)
    assert len(text.splitlines()) < 110
    compile(text, "kit", "exec", dont_inherit=True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(0) if number == 4 else None", "the program ended, and wrote no result"),
        ("os.abort() if number == 4 else None", "the program ended by the signal SIGABRT"),
        ("sys.exit('no luck') if number == 4 else None", "with status 1; its last words: no luck"),
        ("1 / (number - 4)", "last words: .*ZeroDivisionError: division by zero"),
        ("time.sleep(100) if number == 4 else None", "took more than 4 seconds for one case"),
    ],
)
def test_a_case_on_which_a_program_fails_is_a_row_and_the_others_are_judged(kit, body, words):
    (kit / "counted.py").write_text(COUNTED.format(body=body))
    program = Program(in_one_process(kit / "counted.py"), seconds=4 if "sleep" in body else 60)
    report = ask(program)
    rows = {(row["check"], row["tensor"]): row for row in report.rows()}
    failed = rows["calls float64", "run"]
    if "_exit" in body:  # a program that ends well is not started again
        assert failed["wrong"] == 7
    else:
        assert failed["wrong"] == 1
        assert (
            rows["lattice float64", "y"]["cases"] == rows["floats float64", "y"]["cases"] + 1 == 5
        )
    assert rows["lattice float64", "y"]["verdict"] == "exact"
    assert not report.ok
    assert re.search(words, str(report))


def test_what_a_program_prints_does_not_matter(kit):
    (kit / "counted.py").write_text(COUNTED.format(body="print('y' * 10**6)"))
    assert ask(Program(in_one_process(kit / "counted.py"))).ok


def test_a_program_that_hangs_is_killed_with_its_children(kit):
    (kit / "hang.py").write_text(
        "import subprocess, sys, time\n"
        "text = 'import sys, time; time.sleep(3); open(sys.argv[1], chr(119))'\n"
        f"subprocess.Popen([sys.executable, '-c', text, {str(kit / 'alive')!r}])\n"
        "time.sleep(100)\n"
    )
    program = Program(f"{sys.executable} {kit / 'hang.py'}", seconds=0.5)
    with pytest.raises(ConventionError, match=r"took more than 0\.5 seconds"):
        ask(program, examples=1)
    time.sleep(3.5)
    assert not (kit / "alive").exists()


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ("y * np.nan", "WRONG", "is nan, expected"),
        ("y.astype('float32')", "WRONG", "y is float32, expected float64 as it was given"),
        ("y[:, :0]", "WRONG", "y has shape"),
        ("y[0]", "WRONG", "y has shape"),
    ],
)
def test_wrong_numbers_of_a_program_are_findings(kit, change, verdict, words):
    (kit / "theirs.py").write_text(
        "import numpy as np\nfrom mine import forward as right\n"
        f"def forward(params, x):\n    y = right(params, x)\n    return {change}\n"
        "if __name__ == '__main__':\n    from peer import serve\n    serve(forward)\n"
    )
    report = ask(Program(in_one_process(kit / "theirs.py")), diagnosis=False)
    assert {row["tensor"]: row["verdict"] for row in report.rows()}["y"] == verdict
    assert words in str(report)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the arrays .* expected some of y, d_core_1"),
        ("np.savez(target, z=1)", r"has the arrays \['z'\], expected some of y, d_core_1"),
        ("open(target, 'w').write('no npz')", "the result 000000.npz cannot be used: "),
        ("np.savez(target, y=np.array([{}], object))", "the result .* cannot be used: ValueError"),
        ("pass", "the program ended, and wrote no result"),
    ],
)
def test_results_that_cannot_be_read_are_told(tmp_path, text, words):
    text = text or "np.savez(target)"
    (tmp_path / "theirs.py").write_text(
        f"import sys\nimport numpy as np\ntarget = sys.argv[-1]\n{text}\n"
    )
    with pytest.raises(ConventionError, match=words):
        ask(Program(f"{sys.executable} {tmp_path / 'theirs.py'}"), examples=1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "the command is empty"),
        ("a 'b", "the command a 'b: No closing quotation"),
        ("prog {case}", "the command has the places {case}, expected"),
        ("prog {cases} {result}", "the command has the places {result}, {cases}, expected"),
    ],
)
def test_a_command_that_is_none_is_refused(command, words):
    with pytest.raises(ConventionError, match=words):
        Program(command)


def test_a_program_that_is_not_there_is_told(capsys):
    few = ["--examples", "3"]
    assert main(["oracle", "--command", "/no/such/program {cases} {results}", *few]) == 2
    assert "/no/such/program cannot be run: No such file" in capsys.readouterr().err
    assert main(["oracle", "--command", "/no/such/program", *few]) == 2
    assert "/no/such/program cannot be run: No such file" in capsys.readouterr().err


# Files


@pytest.mark.parametrize("ending", FORMATS_OF)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_cases_and_results_come_back_bit_for_bit(tmp_path, ending, dtype):
    rng = np.random.default_rng(0)
    case = layers.problem((2, 3, 1), (4, 5, 1), (1, 6, 2, 1), B=1)
    make = lambda v: rng.standard_normal(v.shape).astype(dtype)  # noqa: E731
    params = {"cores": tuple(map(make, case.inputs["cores"])), "bias": make(case.inputs["bias"])}
    x = make(case.inputs["x"])
    dy = make(case.dy)
    path = tmp_path / f"case{ending}"
    if dtype == "float16" and ending == ".mat":
        pytest.skip("MATLAB has no float16")
    write_case(path, params, x, dy)
    found, x_there, dy_there = read_case(path, params, x, dy)
    assert x_there.tobytes() == x.tobytes()
    assert x_there.dtype == dtype
    assert dy_there.tobytes() == dy.tobytes()
    for one, other in zip(found["cores"], params["cores"], strict=True):
        assert one.tobytes() == other.tobytes()

    arrays = {"y": dy, "d_x": x, "d_bias": params["bias"]}
    arrays |= {f"d_core_{k}": core for k, core in enumerate(params["cores"], start=1)}
    path.write_bytes(FORMATS_OF[ending].write(arrays))
    results = read_results(path, params, x, dy)
    assert set(results) == {"y", "x", "bias", "cores"}
    assert results["y"].shape == dy.shape
    assert [core.shape for core in results["cores"]] == [core.shape for core in params["cores"]]


def test_json_takes_lists_and_names_what_is_wrong(tmp_path):
    case = layers.problem((2,), (3,), (1, 1))
    args = ({"cores": case.inputs["cores"]}, case.inputs["x"], case.dy)
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"y": [[1, 2, 3], [4, 5, 6]]}))
    assert read_results(path, *args)["y"].tolist() == [[1, 2, 3], [4, 5, 6]]
    for text in ("[1]", "{", '{"y": {"dtype": "U9", "shape": [1], "data": [1]}}', '{"y": "a"}'):
        path.write_text(text)
        with pytest.raises(ConventionError, match=r"the result result\.json cannot be used: "):
            read_results(path, *args)


# Cases in a folder


def answer(folder, forward):
    """Write results for all cases in a folder."""
    from ttref.oracle import standalone

    standalone.serve(forward, layers.gradients, [str(folder / "cases"), str(folder / "results")])


EXPORTED = Adapter(run=cannot_be_asked, layout="torchtt", name="there")


def export_some(folder, adapter=EXPORTED, **options):
    return export(folder, adapter, examples=6, seed=1, dtypes=("float64",), **options)


def swapped(function):
    swap = layers.with_axes((0, 2, 1, 3))

    def there(params, *arrays):
        found = function({**params, "cores": swap(params["cores"])}, *arrays)
        return {**found, "cores": swap(found["cores"])} if isinstance(found, dict) else found

    return there


def test_exported_cases_are_judged_from_their_files(tmp_path):
    from ttref.oracle import standalone

    folder = tmp_path / "cases-of-mine"
    assert export_some(folder) == 12
    standalone.serve(
        swapped(layers.forward),
        swapped(layers.gradients),
        [str(folder / "cases"), str(folder / "results")],
    )
    report = judge_folder(folder)
    assert report.ok, str(report)
    assert report.name == "cases-of-mine"
    assert {row["cases"] for row in report.rows() if row["tensor"] == "y"} == {6}

    # One result is missing, another wrong.
    (folder / "results" / "000000.npz").unlink()
    with np.load(folder / "results" / "000002.npz") as archive:
        arrays = dict(archive)
    np.savez(folder / "results" / "000002.npz", **{**arrays, "y": arrays["y"] + 1})
    report = judge_folder(folder)
    rows = {(row["check"], row["tensor"]): row for row in report.rows()}
    assert rows["calls float64", "run"]["wrong"] == 1
    assert rows["lattice float64", "y"]["wrong"] == 1
    assert "there is no result 000000.npz" in str(report)


def test_cases_of_integers_are_exact_in_every_kind_of_file(tmp_path):
    for file_format in ("npz", "json", "mat"):
        folder = tmp_path / file_format
        export_some(folder, file_format=file_format)
        for path in (folder / "cases").iterdir():
            (folder / "results" / path.name).write_bytes(b"")
        with pytest.raises(ConventionError, match="has no result that can be read"):
            judge_folder(folder)


def test_what_was_changed_is_refused(tmp_path):
    folder = tmp_path / "cases"
    export_some(folder)
    with pytest.raises(ConventionError, match="is not empty; name a new folder"):
        export_some(folder)
    with pytest.raises(ConventionError, match=r"has no result that can be read: .* 000000\.npz"):
        judge_folder(folder)
    manifest = folder / "manifest.json"
    about = json.loads(manifest.read_text())
    for change in (
        {"version": 2},
        {"format": "other"},
        {"cases": 3},
        {"layout": "t4f"},
        {"layout": 3},
        {"cases": [{**about["cases"][0], "sha256": "0"}]},
        {"cases": [{**about["cases"][0], "check": "other"}]},
        {"cases": [{**about["cases"][0], "shapes": "2:3"}]},
        {"cases": [{**about["cases"][0], "dtype": "float8"}]},
        {"cases": [{**about["cases"][0], "name": "../manifest.json"}]},
        {"cases": [{}]},
        {"cases": [3]},
    ):
        manifest.write_text(json.dumps({**about, **change}))
        with pytest.raises(ConventionError):
            judge_folder(folder)
    manifest.write_text("{")
    with pytest.raises(ConventionError, match=r"manifest\.json cannot be used: "):
        judge_folder(folder)
    manifest.unlink()
    with pytest.raises(ConventionError, match=r"has no manifest\.json; expected a folder that"):
        judge_folder(folder)


def test_the_commands_export_judge_and_kit(kit, capsys):
    folder = kit / "there"
    words = ["--examples", "4", "--dtype", "float32", "--layout", "canonical", "--cores", "2"]
    assert main(["oracle", "export", str(folder), *words]) == 0
    assert "8 cases are in" in capsys.readouterr().out
    assert main(["oracle", "judge", str(folder)]) == 2
    assert "has no result that can be read" in capsys.readouterr().err
    answer(folder, layers.forward)
    assert main(["oracle", "judge", str(folder), "--json", str(kit / "found.json")]) == 0
    assert ", 0 wrong" in capsys.readouterr().out
    assert json.loads((kit / "found.json").read_text())["ok"]
    answer(folder, lambda params, x: layers.forward(params, x) + 1)
    assert main(["oracle", "judge", str(folder)]) == 1
    answer(folder, lambda params, x: -layers.forward(params, x))
    assert main(["oracle", "judge", str(folder)]) == 1
    assert "y has the wrong sign" in capsys.readouterr().out
    assert main(["oracle", "kit", str(kit / "again.py")]) == 0
    assert (kit / "again.py").read_bytes() == KIT.read_bytes()


def test_options_of_the_layer_take_the_place_of_what_its_file_says(kit, capsys):
    file = kit / "swapped.py"
    file.write_text(
        "from mine import forward as right\n"
        "def forward(params, x):\n"
        "    cores = [core.transpose(0, 2, 1, 3) for core in params['cores']]\n"
        "    return right({**params, 'cores': cores}, x)\n"
        "dtypes = ('float64',)\n"
    )
    words = ["oracle", str(file), "--examples", "5"]
    assert main([*words, "--layout", "torchtt"]) == 0
    assert main([*words, "--layout", "0,2,1,3", "--cores", "1", "--batch", "3", "--no-bias"]) == 0
    assert main([*words, "--layout", "0,2,1,3", "--equal-ranks", "--min-mode", "2"]) == 0
    assert main([*words, "--timeout", "3"]) == 2
    assert "--format and --timeout are of a program" in capsys.readouterr().err


def test_a_check_counts_what_a_program_was_asked(kit):
    program = Program(f"{sys.executable} {kit / 'peer.py'} {kit / 'mine.py'} {{cases}} {{results}}")
    report = ask(program)
    assert len(report.outcomes[Check("lattice", "float64")]) == 5
