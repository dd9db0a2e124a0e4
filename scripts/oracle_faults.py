"""The page of what the oracle says of planted faults, docs/oracle_faults.md.

Run it in the environment of the project: .venv/bin/python scripts/oracle_faults.py
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.oracle.faults import FAULTS  # noqa: E402
from ttref.oracle import evaluate  # noqa: E402

PAGE = ROOT / "docs" / "oracle_faults.md"
EXAMPLES = 40
DTYPE = "float32"
SHOWN = {
    "modes of cores exchanged": "The layer reads the numbers of each core for those of a core "
    "whose input and output modes are exchanged.",
    "x in Fortran order": "The layer takes the first mode of x for the fastest.",
    "diagonal of ranks": "The layer sums over one index in place of two: only entries of a core "
    "whose left and right rank index are equal count.",
    "two biases": "The bias is added twice, and its gradient is twice too large.",
    "y went through relu": "An activation is left on, and the backward does not know it.",
    "cores / B": "The gradients of the cores are means over the batch, not sums.",
    "first row": "The gradients of the cores count the first row of the batch only.",
    "dy is one": "The backward takes dy for ones.",
    "first core minus": "The gradient of the first core has the wrong sign.",
    "y of bfloat16": "Cores, bias and x are rounded to the 8 bits of bfloat16.",
    "accumulated": "The gradients of the cores are added to those of the calls before.",
    "dropout": "Dropout is left on.",
}
HEAD = """# What the oracle says of planted faults

Made by `.venv/bin/python scripts/oracle_faults.py`. Each layer below is right but for one planted
fault (`tests/oracle/faults.py`), and is asked {examples} problems in {dtype}, with seed 0. Shown
are the rows of integers that are WRONG, what the failing shapes have in common, and the causes.
[The oracle](oracle.md) says how they are found.
"""


def describe(name: str) -> str:
    """The part of the page about one fault."""
    adapter, _ = FAULTS[name]
    report = evaluate(adapter, examples=EXAMPLES, dtypes=(DTYPE,))
    rows = [
        f"{row['check']} of {row['tensor']}: {row['wrong']} of {row['cases']} WRONG"
        for row in report.rows()
        if row["verdict"] == "WRONG" and row["check"].startswith("lattice")
    ]
    causes = [] if report.diagnosis is None else report.diagnosis.sentences
    lines = "\n".join([*rows, *report.patterns, *causes])
    return f"\n## {name[0].upper()}{name[1:]}\n\n{SHOWN[name]}\n\n```\n{lines}\n```\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.parse_args()
    head = HEAD.format(examples=EXAMPLES, dtype=DTYPE)
    PAGE.write_text(head + "".join(map(describe, SHOWN)))
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
