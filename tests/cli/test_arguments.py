"""All subcommands and all their options: what is given wrongly is refused before any work."""

import argparse
import os
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ttref import paths
from ttref.checks import suggest
from ttref.cli import arguments, main, make_parser


class Command(NamedTuple):
    """A subcommand that does something, and its parser."""

    name: str  # as it is typed
    parser: argparse.ArgumentParser


class Choice(NamedTuple):
    """An option or a positional argument of a subcommand."""

    command: Command
    action: argparse.Action

    def __str__(self):
        name = self.action.option_strings[-1] if self.action.option_strings else self.action.dest
        return f"{self.command.name} {name}"

    def line(self, value):
        """The words that give the command this value, and the rest that it requires."""
        words = shlex.split(self.command.name)[1:]
        for action in self.command.parser._actions:
            if action is not self.action and action not in rivals(self.command.parser, self.action):
                words += required_words(self.command.parser, action)
        option = self.action.option_strings[-1:]
        return [*words, f"{option[0]}={value}"] if option else [*words, value]


def walk(parser, name):
    """All subcommands below a parser that have no further ones."""
    if parser._subparsers is None:
        yield Command(name, parser)
        return
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from walk(child, f"{name} {word}")


def rivals(parser, action):
    """The actions that cannot stand beside this one."""
    groups = [group._group_actions for group in parser._mutually_exclusive_groups]
    return [other for group in groups if action in group for other in group]


def required_words(parser, action):
    """Words for an action that the command requires, or for the first one of a required group."""
    groups = [g for g in parser._mutually_exclusive_groups if g.required]
    is_first = any(group._group_actions[0] is action for group in groups)
    if action.option_strings and not (action.required or is_first):
        return []
    if not action.option_strings and action.nargs == "*":
        return []
    value = str(action.choices[0]) if action.choices else GOOD.get(action.type, "1")
    return [action.option_strings[-1], value] if action.option_strings else [value]


PARSER = make_parser()
COMMANDS = list(walk(PARSER, "ttref"))
CHOICES = [
    Choice(command, action)
    for command in COMMANDS
    for action in command.parser._actions
    if not isinstance(action, argparse._HelpAction)
]

# By the type of an option: a value that it takes, and values that it refuses, with what is said.
GOOD: dict[Any, str] = {arguments.input_file: "file", arguments.input_folder: "folder"}
FILE = [
    ("nowhere/file", "there is no file nowhere/file"),
    ("folder", "folder is a folder, expected the path of a file"),
    ("file/below", "there is no file file/below"),
    ("", "'' is not a path"),
    ("~nobody-of-this-name/x", "there is no home for the ~ of ~nobody-of-this-name/x"),
]
BAD: dict[Any, list[tuple[str, str]]] = {
    arguments.positive_int: [(v, f"'{v}' is not a positive integer") for v in ("0", "x", "1.5")],
    arguments.positive_ints: [
        (v, f"'{part}' is not a positive integer")
        for v, part in (("4,x", "x"), ("0", "0"), ("", ""))
    ],
    arguments.non_negative_int: [(v, f"'{v}' is not a non-negative") for v in ("-1", "x", "")],
    arguments.positive_float: [(v, f"'{v}' is not a positive number") for v in ("0", "x", "nan")],
    arguments.rate: [(v, rf"'{v}' is not a number in \[0, 1\)") for v in ("-1", "2", "x", "nan")],
    arguments.input_file: FILE,
    arguments.input_folder: [
        ("nowhere", "there is no folder nowhere"),
        ("file", "file is a file, expected the path of a folder"),
        *FILE[3:],
    ],
    arguments.output_file: [
        ("folder", "folder is a folder, expected the path of a file"),
        ("file/below", "file/below cannot be written: .*file is not a folder"),
        ("/proc/no/file", "/proc/no/file cannot be written: "),
        ("circle/file", "circle/file cannot be written: "),
        (f"{'n' * 300}/file", "n{300}/file cannot be written: File name too long"),
        *FILE[3:],
    ],
    arguments.output_folder: [
        ("file", "file is a file, expected the path of a folder"),
        ("file/below", "file/below cannot be written: .*file is not a folder"),
        ("/proc/no", "/proc/no cannot be written: "),
        *FILE[3:],
    ],
}
ANY_WORD = {
    "ttref check operators": "names are compared when the operators are known",
    "ttref oracle ask adapter": "a name or a file",
    "ttref oracle ask --command": "the words of a program",
    "ttref oracle replay --adapter": "a name or a file",
    "ttref compress --only": "a pattern",
    "ttref convert --names": "a pattern",
    "ttref train cifar10 --load": "a pattern",
}
SHAPE = [("2:3", "the shape is '2:3', expected IN_MODES:OUT_MODES:RANKS")]
LAYOUT = [("t4f", "'t4f' is not one of canonical, "), ("0,1,2", "'0,1,2' is not one of canonical")]
OWN_TYPE = {
    "ttref compress --modes": [("fc1", "'fc1' is not LAYER=MODES:MODES")],
    **dict.fromkeys(("ttref oracle ask --shape", "ttref oracle export --shape"), SHAPE),
    **dict.fromkeys(("ttref oracle ask --layout", "ttref oracle export --layout"), LAYOUT),
}


@pytest.fixture(autouse=True)
def some_files(tmp_path, monkeypatch):
    """A file, a folder and a link to itself, in a folder where nothing else is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TTREF_DATA", raising=False)
    Path("file").write_text("old")
    Path("folder").mkdir()
    Path("circle").symlink_to("circle")


@pytest.fixture
def refusal(capsys, monkeypatch):
    """Run a command line that is refused before any work, and give the lines that it prints."""

    def no_work(options):
        raise AssertionError("the work began")

    monkeypatch.setattr("ttref.cli.make_parser", lambda: PARSER)
    for command in COMMANDS:
        monkeypatch.setitem(command.parser._defaults, "run", no_work)

    def refusal(words):
        with pytest.raises(SystemExit) as stop:
            main(words)
        out, err = capsys.readouterr()
        assert stop.value.code == 2
        assert out == ""
        assert {p.name for p in Path().iterdir()} == {"file", "folder", "circle"}
        assert Path("file").read_text() == "old"
        return err.rstrip("\n").split("\n")

    return refusal


def bad_values(choice):
    """Values that an option refuses, with what is said, and how often each is tried."""
    action = choice.action
    if action.nargs == 0 or str(choice) in ANY_WORD:
        return []
    if str(choice) in OWN_TYPE:
        return OWN_TYPE[str(choice)]
    if action.choices:
        known = ", ".join(map(repr, action.choices))
        if isinstance(next(iter(action.choices)), int):
            return [("99", re.escape(f"invalid choice: 99 (choose from {known})"))]
        return [("nonsense", re.escape(f"invalid choice: 'nonsense' (choose from {known})"))]
    return BAD[action.type]  # a new type needs a line in BAD, or in ANY_WORD


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_bad_value_is_refused_by_name_with_the_usage_of_its_command(choice, refusal):
    for value, expected in bad_values(choice):
        *usage, last = refusal(choice.line(value))
        name = "/".join(choice.action.option_strings) or choice.action.metavar
        start = rf"{choice.command.name}: error: argument {name}: "
        assert re.match(start + expected, last), last
        assert usage[0].startswith(f"usage: {choice.command.name} [-h]")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_an_unknown_option_is_refused_with_the_usage_of_its_command(command, refusal):
    options = [o for a in command.parser._actions for o in a.option_strings if o.startswith("--")]
    good = Choice(command, argparse.Action([], ""))
    for option in options:
        wrong = f"{option}x"
        *usage, last = refusal([*good.line("")[:-1], wrong])
        expected = f"{command.name}: error: unrecognized arguments: {wrong}; did you mean {option}?"
        assert last == expected
        assert usage[0].startswith(f"usage: {command.name} [-h]")
    *_, last = refusal([*good.line("")[:-1], "--quite-another-thing"])
    assert last == f"{command.name}: error: unrecognized arguments: --quite-another-thing"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_an_option_that_is_misspelt_is_named_where_a_required_one_is_missing(command, refusal):
    words = shlex.split(command.name)[1:]
    required = [
        action
        for action in command.parser._actions
        if action.required and action.option_strings and action.choices
    ]
    for action in required:
        option = action.option_strings[-1]
        *_, last = refusal([*words, f"{option}t", str(action.choices[0])])
        assert re.search(rf"are required: (--\w+, )*{option}\b.*; did you mean {option}\?$", last)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("chek", "ttref: error: argument COMMAND: invalid choice: 'chek' .*did you mean check?"),
        ("--versoin", r"required: COMMAND; did you mean --version\?$"),
        ("train digit", r"ttref train: error: argument EXPERIMENT: .*did you mean digits\?$"),
        ("train MNIST", r"did you mean t3f-mnist\?$"),
        ("train fibo --cell GRUs", r"invalid choice: 'GRUs' .*; did you mean gru\?$"),
        ("train digits --dtype flaot32", r"; did you mean float32\?$"),
        ("check --level exakt", r"; did you mean exact\?$"),
        ("check tt_linear --exampels=3", r"--exampels=3; did you mean --examples\?$"),
        ("--resume train digits", r"ttref: error: unrecognized arguments: --resume$"),
    ],
)
def test_the_word_that_was_meant_is_suggested(refusal, words, expected):
    assert re.search(expected, refusal(words.split())[-1])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("check tt_liner", r"'tt_linear', .*; did you mean tt_linear\?$"),
        ("check ttdense", r"; did you mean TTDense\?$"),
        ("check --certificate liner", r"; did you mean linear\?$"),
        ("oracle torchtt_liner", r"; did you mean torchtt_linear\?$"),
    ],
)
def test_operators_and_adapters_are_suggested_too(capsys, words, expected):
    assert main(words.split()) == 2
    assert re.search(expected, capsys.readouterr().err.strip())


def test_nothing_is_suggested_that_is_not_like_the_word():
    assert suggest("tpu", ["cpu", "gpu"]) == ""
    assert suggest("x", ["xor"]) == ""
    assert suggest(3, ["three"]) == suggest("three", [3]) == ""


# Paths


def test_a_tilde_is_the_home_of_the_user_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for choice in CHOICES:
        kind = choice.action.type
        if kind in arguments.PATHS:
            name = GOOD.get(kind, "new/name")
            words = choice.line(f"~/{name}")
            found = PARSER.parse_args(words)
            assert getattr(found, choice.action.dest) == tmp_path / name, choice


def test_every_option_of_a_file_or_a_folder_is_a_path():
    for choice in CHOICES:
        named = {"FILE", "DIR", "CHECKPOINT"} & {str(choice.action.metavar)}
        assert bool(named) == (choice.action.type in arguments.PATHS), choice


def test_outputs_may_be_in_folders_that_are_not_there_yet():
    paths.check_output_file("new/folder/file")
    paths.check_output_folder("new/folder")
    paths.check_output_file("file")
    paths.check_output_folder("folder")
    assert not Path("new").exists()


@pytest.mark.skipif(os.name != "posix", reason="devices")
def test_devices_are_files_that_can_be_written():
    for path in ("/dev/null", "/dev/stdout"):
        paths.check_output_file(path)


@pytest.mark.parametrize("check", [paths.check_output_file, paths.check_output_folder])
def test_a_folder_in_which_the_system_makes_no_file_is_refused_by_name(check, monkeypatch):
    """As on a disk that is read-only or full, or where another user owns the folder."""

    def refuse(dir):
        raise OSError(30, "Read-only file system", str(dir / "x"))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    message = "^folder/a cannot be written: Read-only file system; choose another path$"
    with pytest.raises(ValueError, match=message):
        check("folder/a")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may do anything")
def test_what_another_user_owns_is_refused_by_name(refusal):
    Path("folder").chmod(0o500)
    Path("file").chmod(0)
    for path in ("folder/out", "file"):
        last = refusal(["check", "--json", path])[-1]
        assert re.search(rf"argument --json: {path} cannot be written: ", last)


@pytest.mark.parametrize("option", ["--tune", "--calibrate"])
def test_bench_looks_for_a_writable_cache_before_it_measures(option, monkeypatch, capsys):
    monkeypatch.setenv("TTREF_CACHE", str(Path("file/cache").absolute()))
    monkeypatch.setattr("ttref.cli.bench.explain", None)
    monkeypatch.setattr("ttref.cli.bench.calibrate", None)
    assert main(["bench", option]) == 2
    expected = r"machine\.json cannot be written: .*file is not a folder"
    assert re.search(expected, capsys.readouterr().err)


def test_compress_looks_at_its_default_output_before_it_reads(monkeypatch, capsys):
    monkeypatch.setattr("ttref.cli.compress.read_weights", None)
    Path("folder/compressed.npz").mkdir()
    Path("folder/checkpoint.npz").write_bytes(b"")
    assert main(["compress", "folder/checkpoint.npz", "--max-rank", "2"]) == 2
    assert "folder/compressed.npz exists already" in capsys.readouterr().err


def test_a_layer_that_does_not_fit_into_the_memory_is_refused_before_it_is_planned(capsys):
    assert main(["bench", "--batch", "999999999999"]) == 2
    assert re.match(r"ttref: a layer on 9{12} rows takes .* GB, this", capsys.readouterr().err)


def test_a_lack_of_memory_is_bad_use(monkeypatch, capsys):
    def fail(options):
        raise MemoryError

    monkeypatch.setattr("ttref.cli.info.run", fail)
    assert main(["info"]) == 2
    assert "not enough memory for this; choose smaller sizes" in capsys.readouterr().err


def test_errors_of_the_system_name_the_file(monkeypatch, capsys):
    def fail(options):
        raise PermissionError(13, "Permission denied", "run/results.json")

    monkeypatch.setattr("ttref.cli.info.run", fail)
    assert main(["info"]) == 2
    expected = "ttref: run/results.json cannot be used: Permission denied\n"
    assert capsys.readouterr().err == expected
