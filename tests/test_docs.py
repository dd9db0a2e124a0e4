"""What the pages and docstrings name exists: files, modules, functions, commands, links."""

import ast
import fnmatch
import re
import shlex
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from ttref import cli
from ttref.cli.arguments import Parser
from ttref.testing import MUTANTS

ROOT = Path(__file__).parents[1]
FOLDERS = ("ttref", "tests", "scripts", "docs", ".ci")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MODULES = sorted((ROOT / "ttref").rglob("*.py"))
SCRIPTS = sorted(path for folder in ("scripts", "tests") for path in (ROOT / folder).rglob("*.py"))

# Files of the repository, and the names of all folders above them, relative to its root.
FILES = {path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")}
FILES |= {path.relative_to(ROOT) for path in (ROOT / "scripts").iterdir()}
FILES |= {
    path.relative_to(ROOT) for path in [*ROOT.glob("*.*"), ROOT / "LICENSE", ROOT / ".ci/run"]
}
KNOWN = {str(path) for file in FILES for path in (file, *file.parents)}

# Names that stand for something that a reader writes.
INVENTED = ("gain", "path/to/adapter.py", "path/to/peer.py", "adapter.py")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]*)\)")
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
PATH = re.compile(r"[\w.*-]*(/[\w.*-]+)*/?")
DOTTED = re.compile(r"(ttref\.)?[A-Za-z]\w*(\.\w+)+")


def without_fences(text):
    return FENCE.sub("", text)


def spans_of_code(text):
    """The texts between backticks, without former names: cells of a table that end in an arrow."""
    present = re.sub(r"\|[^|]*->\s*\|", "|", text)
    return [span for _, span in CODE.findall(present)]


def commands(text):
    """The lines of the fenced blocks that are no Python, without comments."""
    for language, block in FENCE.findall(text):
        if not language:
            yield from (line.partition("#")[0].strip() for line in block.splitlines())


def is_invented(name):
    return any(part in INVENTED for part in (name, *re.split(r"[/.]", name)))


def is_path(word):
    """Whether it names a file or a folder of the repository, to which the test holds it."""
    if not PATH.fullmatch(word) or is_invented(word):
        return False
    first, slash, _ = word.partition("/")
    if slash and first in FOLDERS:
        return True
    return word.endswith((".py", ".md")) and word != ".md"


def exists(word):
    """Whether a file or folder has this path, or this end of a path.

    A capital NAME stands for any name; its folder has to be there.
    """
    pattern = word.rstrip("/").replace("NAME", "*")
    if pattern.partition("/")[0] in FOLDERS:
        return bool(fnmatch.filter(KNOWN, pattern))
    return bool(fnmatch.filter(KNOWN, pattern) or fnmatch.filter(KNOWN, f"*/{pattern}"))


def words(text):
    return [word.strip(",;:()'\"") for word in text.split()]


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_of_a_page_have_their_targets(page):
    for target in LINK.findall(without_fences(page.read_text())):
        assert not re.search(r"\s", target), f"a link must not be broken into lines: {target}"
        if not target.startswith(("http://", "https://")):
            name, _, heading = target.partition("#")
            path = page.parent / name if name else page
            assert path.exists(), target
            if heading:
                titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
                anchors = [re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles]
                assert heading in anchors, target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_paths_that_a_page_names_exist(page):
    text = page.read_text()
    named = [*spans_of_code(without_fences(text)), *commands(text)]
    missing = [w for span in named for w in words(span) if is_path(w) and not exists(w)]
    assert not missing


def test_pages_that_the_code_names_exist():
    for module in [*MODULES, *SCRIPTS]:
        found = re.findall(r"(?<![\w/])docs/[\w/-]+\.(?:md|json|png)", module.read_text())
        assert [path for path in found if not exists(path)] == [], module


def test_paths_in_docstrings_exist():
    for module in MODULES:
        named = [
            word for text in strings(module) for span in spans_of_code(text) for word in words(span)
        ]
        assert [word for word in named if is_path(word) and not exists(word)] == [], module


def strings(module):
    """The strings of a module, docstrings among them."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def can_be_imported(name):
    """Whether a dotted name is a module, or leads from one to a value."""
    module, rest = name, []
    while find_module(module) is None:
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
        if not module:
            return False
    value = import_module(module)
    for part in rest:
        fields = getattr(value, "__annotations__", {})
        if part in fields and not hasattr(value, part):
            return True
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def find_module(name):
    try:
        return find_spec(name)
    except ModuleNotFoundError:
        return None


TOP = {path.stem for path in (ROOT / "ttref").iterdir() if not path.name.startswith("_")}


def dotted_names(text):
    """Names in backticks that start with ttref, or with one of its modules."""
    for span in spans_of_code(text):
        for word in re.split(r"[\s()\[\]{},;:=*@]+", span):
            name = word.strip("'\".")
            if DOTTED.fullmatch(name) and not is_invented(name) and not is_path(name):
                first = name.partition(".")[0]
                if first == "ttref":
                    yield name
                elif first in TOP and word == span:
                    yield f"ttref.{name}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_names_on_a_page_can_be_imported(page):
    names = set(dotted_names(without_fences(page.read_text())))
    names -= {f"ttref.{mutant}" for mutant in MUTANTS}
    assert {name for name in names if not can_be_imported(name)} == set()


def test_names_in_docstrings_can_be_imported():
    for module in MODULES:
        found = {name for text in strings(module) for name in dotted_names(text)}
        assert {name for name in found if not can_be_imported(name)} == set(), module


def alternatives(command):
    """The command for each choice of ``A|B|C`` in it, one after the other."""
    parts = shlex.split(command)
    choices = [part.split("|") for part in parts]
    for k in range(max(map(len, choices))):
        yield [choice[min(k, len(choice) - 1)] for choice in choices]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_command_line_takes_the_commands_of_a_page(page, monkeypatch):
    monkeypatch.setattr(Parser, "_check_path", lambda *_: None)  # the files of a page are not here
    parser = cli.make_parser()
    text = page.read_text()
    lines = [*spans_of_code(without_fences(text)), *commands(text)]
    for line in lines:
        start = re.match(r"(?:\.venv/bin/)?ttref (?=[a-z])", line)
        if start and "..." not in line and "NAME" not in line:
            for arguments in alternatives(line[start.end() :]):
                if len(arguments) > 1:  # a bare command is the name of it
                    parser.parse_args(arguments)  # or exit status 2


def test_every_page_is_in_an_index():
    docs = ROOT / "docs"
    for index in (docs / "README.md", docs / "decisions" / "README.md"):
        linked = {(index.parent / t).resolve() for t in LINK.findall(index.read_text())}
        pages = set(index.parent.glob("*.md")) - {index}
        if index.parent == docs:
            pages |= set((docs / "derivations").glob("*.md")) | {docs / "decisions" / "README.md"}
        assert pages <= linked


def test_the_checks_of_this_file_see_what_they_are_for():
    assert is_path("ttref/numbers/lattice.py") and not exists("ttref/numbers/lattice.py")
    assert is_path("numbers/lattice.py") and not exists("numbers/lattice.py")
    assert is_path("scripts/bench") and exists("scripts/bench") and not exists("scripts/benches")
    assert exists("ttref/cells/NAME.py") and not exists("ttref/cell/NAME.py")
    assert exists("arithmetic/lattice.py") and not is_path("float32/float64")
    assert set(dotted_names("`ttref.ops.linear` and `fast.recurrent`, `ttref.GRU(3, 4)`")) == {
        "ttref.ops.linear",
        "ttref.fast.recurrent",
        "ttref.GRU",
    }
    assert can_be_imported("ttref.tt.TTMatrix.full") and can_be_imported("ttref.arithmetic.lattice")
    assert not can_be_imported("ttref.fast.recurrent") and not can_be_imported("ttref.gone.at_all")
    assert list(dotted_names("| `fast.gone` -> | `fast.linear` |")) == ["ttref.fast.linear"]
    assert list(alternatives("train fibo --cell rnn|gru")) == [
        ["train", "fibo", "--cell", "rnn"],
        ["train", "fibo", "--cell", "gru"],
    ]
