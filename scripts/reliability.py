"""Put the tables of docs/reliability.json into docs/reliability.md; --memory measures one anew.

``scripts/fuzz --record`` and ``scripts/kill --record`` keep the other parts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_table import markdown

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
COMMANDS = (
    "demo",
    "check",
    "bench",
    "train digits --epochs 2",
    "train fibo --epochs 1",
    "train t3f-mnist --epochs 1",
    "train cifar10 --net tt-fc --epochs 1 --limit 2000",
)
READ = {
    "mnist": 'mnist.load("{data}")',
    "cifar10, the unpacked folder": 'cifar10.load("{data}")',
    "avletters": 'avletters.load("{data}")',
}
FUZZ = ("files", "right", "refused", "other values", "silent change", "uncaught", "hang", "death")
KILL = ("kills", "within a save", "other bits", "left over", "not resumed")


def main(arguments=None):
    """Measure if that is asked for, and write the page."""
    parser = argparse.ArgumentParser(prog="scripts/reliability.py", description=__doc__)
    parser.add_argument("--memory", action="store_true", help="measure the peaks of memory anew")
    options = parser.parse_args(arguments)
    memory = measure() if options.memory else None
    record = json.loads(RECORD.read_text())
    if memory is not None:
        record["memory"] = memory
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(), record))


def page(text, record):
    """The page with the tables of the record in it."""
    tables = {
        "fuzz": table(record["fuzz"]["rows"], ("loader", "strategy"), FUZZ, ("most MB",)),
        "kill": table(record["kill"]["rows"], ("network", "signal"), KILL),
        "memory": markdown(("what", "peak, MB"), record["memory"]),
    }
    for name, lines in tables.items():
        start = f"<!-- table: {name} -->\n"
        before, _, rest = text.partition(start)
        _, end, after = rest.partition("<!-- end -->\n")
        text = f"{before}{start}\n{lines}\n\n{end}{after}"
    return text


def table(rows, names, counted, others=()):
    """The rows, and the sums of what is counted."""
    columns = (*names, *counted, *others)
    sums = [sum(row[c] for row in rows) for c in counted]
    last = ["all", *[""] * (len(names) - 1), *sums]
    return markdown(
        columns, [[row[c] for c in columns] for row in rows] + [last + [""] * len(others)]
    )


def measure():
    """The peak of each command, in MB."""
    data = os.environ.get("TTREF_DATA")
    if not data:
        raise SystemExit("scripts/reliability.py: --memory needs TTREF_DATA")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            rows.append((f"ttref {command}", peak(["-m", "ttref", *command.split()], folder)))
            shutil.rmtree(Path(folder, "runs"), ignore_errors=True)
        for name, code in READ.items():
            program = f"from ttref.datasets import avletters, cifar10, mnist; {code}"
            rows.append((f"reading {name}", peak(["-c", program.format(data=data)], folder)))
    return rows


def peak(arguments, folder):
    """The peak of a process of Python, or what it said."""
    print(" ".join(arguments), file=sys.stderr)
    program = (
        "import resource, subprocess, sys; "
        "command = [sys.executable, *sys.argv[1:]]; "
        "status = subprocess.run(command, stdout=-3, stderr=-3).returncode; "
        "print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, *arguments]
    found = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=True
    )
    status, size = map(int, found.stdout.split())
    return size if status == 0 else f"exit status {status}"


if __name__ == "__main__":
    main()
