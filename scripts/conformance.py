"""Ask layers of other systems with the oracle, and write docs/conformance.md and its record.

Each layer runs in the environment that `scripts/peer_env NAME` makes. Layers whose environment or
source is not here keep what the record has of them. Run it from the root of the clone, in the
environment of the project.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from markdown_table import markdown

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "conformance.json"
PAGE = ROOT / "docs" / "conformance.md"
KEPT = ("check", "tensor", "cases", "wrong", "undecided", "normwise u", "condition u", "verdict")
KIT = "ttref/oracle/standalone.py"


class Layer(NamedTuple):
    """A layer that is asked."""

    name: str
    environment: str  # of scripts/peer_env
    packages: tuple[str, ...]  # whose versions are told
    words: tuple[str, ...]  # of ttref oracle
    note: str = ""
    answers_by_files: bool = False  # whether the environment has no ttref
    source: str = ""  # the name of a source tree that it needs


def _with_kit(adapter: str) -> tuple[str, ...]:
    return ("--command", f".peers/t3f/bin/python {KIT} {adapter} {{cases}} {{results}}")


LAYERS = (
    Layer("torch.nn.Linear", "tltorch", ("torch",), ("torch_nn_linear",)),
    Layer("torch.nn.Conv2d", "tltorch", ("torch",), ("torch_nn_conv2d",)),
    Layer("torch.nn.RNN", "tltorch", ("torch",), ("torch_nn_rnn",)),
    Layer("torch.nn.GRU", "tltorch", ("torch",), ("torch_nn_gru",)),
    Layer("torch.nn.LSTM", "tltorch", ("torch",), ("torch_nn_lstm",)),
    Layer("keras.layers.Dense", "tensorflow", ("keras", "tensorflow-cpu"), ("keras_dense",)),
    Layer("keras.layers.Conv2D", "tensorflow", ("keras", "tensorflow-cpu"), ("keras_conv2d",)),
    Layer(
        "keras.layers.SimpleRNN", "tensorflow", ("keras", "tensorflow-cpu"), ("keras_simple_rnn",)
    ),
    Layer("keras.layers.GRU", "tensorflow", ("keras", "tensorflow-cpu"), ("keras_gru",)),
    Layer("keras.layers.LSTM", "tensorflow", ("keras", "tensorflow-cpu"), ("keras_lstm",)),
    Layer(
        "tltorch FactorizedLinear(blocktt)",
        "tltorch",
        ("tensorly-torch", "tensorly", "torch"),
        ("tltorch_blocktt",),
    ),
    Layer("torchTT LinearLayerTT", "torchtt", ("torchTT", "torch"), ("torchtt_linear",)),
    Layer("tednet TTLinear", "tednet", ("tednet", "torch"), ("tednet_ttlinear",)),
    Layer(
        "tednet TTLSTM",
        "tednet",
        ("tednet", "torch"),
        ("tednet_ttlstm",),
        "Trains of one core and sequences of no steps are not asked: it does not take them.",
    ),
    Layer("t3nsor TTLinear", "tltorch", ("torch",), ("t3nsor_ttlinear",), source="t3nsor"),
    Layer(
        "t3f matmul",
        "t3f",
        ("t3f", "tensorflow-cpu"),
        (*_with_kit("ttref/oracle/adapters/t3f_matmul.py"), "--few-shapes"),
        answers_by_files=True,
    ),
    Layer(
        "TensorNet (MATLAB) vl_nntt_forward, vl_nntt_backward",
        "octave",
        (),
        ("--format", "mat", "--command"),
        "The gradients of the cores are float32 whatever the cores are. In float32 all is right.",
        answers_by_files=True,
        source="tensornet",
    ),
)

TEXT = """# Layers of other systems

Made by `.venv/bin/python scripts/conformance.py`. Each row is a layer of another system that
[the oracle](oracle.md) has asked {examples} problems in each format, with seed {seed}: integers on
which nothing is rounded, and random floats. "exact" says that every result and gradient on
integers is equal; "none" that there are no integers to ask, as for tanh. The number is the largest
error on floats, in units of roundoff times the same computation on absolute values; it is WRONG
where roundings cannot explain it. A convention that differs from ttref's is no defect: it is
declared in the layer's adapter (`ttref/oracle/adapters`).

{table}

{notes}{machine}.

## Commands

`scripts/peer_env NAME` makes the environment of a row. Two need a source tree, which
`scripts/conformance.py --source NAME=DIR` names: `tensornet`, a folder with TT-Toolbox and
TensorNet's `src/matlab`, beside Octave; and `t3nsor`, the folder that holds its folder t3nsor
(PYTHONPATH=DIR for `ttref oracle` alone).

{commands}
"""


def main() -> None:
    """Ask the layers, and write the record and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=100, help="problems in each format (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the problems (0)")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a source tree: tensornet (TT-Toolbox with TensorNet's src/matlab), or t3nsor (the "
        "folder that holds its folder t3nsor)",
    )
    parser.add_argument("--page", action="store_true", help="write the page of the record alone")
    parser.add_argument("--only", metavar="TEXT", default="", help="layers with this in the name")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"layers": {}}
    if options.page:
        PAGE.write_text(make_page(record))
        return
    for layer in LAYERS:
        if options.only not in layer.name:
            continue
        found = ask(layer, options)
        if isinstance(found, str):
            print(f"{layer.name}: {found}", file=sys.stderr)
        else:
            record["layers"][layer.name] = found
            print(f"{layer.name}: {'right' if found['ok'] else 'something is wrong'}")
    record |= {"examples": options.examples, "seed": options.seed}
    record["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(make_page(record))


def ask(layer: Layer, options: argparse.Namespace) -> dict[str, Any] | str:
    """What the oracle says of a layer, or why it cannot be asked."""
    words = list(layer.words)
    source = dict(text.split("=", 1) for text in options.source).get(layer.source, "")
    if layer.source and not source:
        return f"its source is not here (--source {layer.source}=DIR)"
    if layer.source == "tensornet":
        script = f"scripts/tensornet_matlab.m {source}"
        words.append(f"octave-cli --no-init-file {script} {{cases}} {{results}}")
    folder = ROOT / ".peers" / layer.environment / "bin"
    if layer.source != "tensornet" and not (folder / "python").exists():
        return f"its environment is not here (scripts/peer_env {layer.environment})"
    ttref = folder / "ttref"
    if layer.answers_by_files:
        ttref = Path(sys.executable).with_name("ttref")
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), source]))
    numbers = ["--examples", str(options.examples), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [str(ttref), "oracle", *words, *numbers, "--json", str(report)]
        status = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            return status.stderr.strip().splitlines()[-1]
        found = json.loads(report.read_text())
    shown = [w.replace(source, "DIR") for w in words] if source else words
    return {
        "ok": found["ok"],
        "rows": [{name: row[name] for name in KEPT} for row in found["rows"]],
        "diagnosis": found["diagnosis"],
        "versions": versions(layer, folder),
        "words": shown,
        "environment": layer.environment,
    }


def versions(layer: Layer, folder: Path) -> dict[str, str]:
    """The versions of the packages of a layer, in its environment."""
    if not layer.packages:
        line = subprocess.run(
            ["octave-cli", "--version"], capture_output=True, text=True, check=True
        )
        return {"Octave": line.stdout.split()[3]}
    code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    command = [str(folder / "python"), "-c", code, *layer.packages]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return dict(zip(layer.packages, found, strict=True))


def make_page(record: dict[str, Any]) -> str:
    """The page of a record."""
    known = [layer for layer in LAYERS if layer.name in record["layers"]]
    rows = []
    commands = []
    for layer in known:
        found = record["layers"][layer.name]
        for dtype in ("float32", "float64"):
            rows.append([layer.name, dtype, *_verdict(found["rows"], dtype)])
        words = " ".join(f'"{word}"' if " " in word else word for word in found["words"])
        packages = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        command = f"`ttref oracle {words}`"
        commands.append(f"* {layer.name} (`{layer.environment}`, {packages}): {command}")
    notes = [f"* {layer.name}: {layer.note}" for layer in known if layer.note]
    return TEXT.format(
        examples=record["examples"],
        seed=record["seed"],
        table=markdown(("layer", "format", "integers", "floats", "wrong"), rows),
        notes="\n".join(notes) + "\n\n" if notes else "",
        machine=record["machine"],
        commands="\n".join(commands),
    )


def _verdict(rows: list[dict[str, Any]], dtype: str) -> tuple[str, str, str]:
    """What is said of integers and of floats in a format, and which tensors are wrong."""
    own = [row for row in rows if row["check"].endswith(dtype)]
    wrong = sorted({row["tensor"] for row in own if row["wrong"]})
    on_integers = [row for row in own if row["check"].startswith("lattice")]
    decided = [row for row in on_integers if row["cases"] > row["undecided"]]
    exact = "exact" if decided and not any(row["wrong"] for row in decided) else ""
    errors = [row["condition u"] or 0 for row in own if row["check"].startswith("floats")]
    largest = f"{max(errors):.2g} u" if errors and not wrong else ""
    return exact or ("WRONG" if decided else "none"), largest, ", ".join(wrong)


if __name__ == "__main__":
    main()
