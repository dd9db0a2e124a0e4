"""The page of what checkers say of functions that people write, docs/checkers.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_table import markdown

PAGE = Path("docs/checkers.md")
COUNTS = ("missed", "false alarms", "undecided", "calls of f", "calls of the vjp")

TEXT = """# Checkers of gradients on functions that people write

Made by `scripts/score_corpus`. `ttref.testing.functions` has {functions} functions of the kinds
that people write. Each has its right vjp and some wrong ones; tests prove which is which in
numbers of 400 bits. Every checker was asked of each vjp at the same arguments, with its default
settings, in reverse mode, first order. A wrong vjp that is called right is missed. A right vjp
that is called wrong is a false alarm.

The authors of ttref wrote these functions, and they knew what `check_vjp` can do. The functions
were chosen to be hard for a check by differences: large offsets, noise, float32 inside, kinks,
extreme scales. Read the numbers of the other checkers as what happens on hard functions, not as
what happens on average. Their tolerances can be set by hand for one function; that was not done
here for any checker.

* "plain difference" is one central difference along one random direction, step 1e-6, relative
  tolerance 1e-4.
* The others take functions of single arrays. Trees are cut into arrays for them, and several
  results are joined into one vector. To see the structure, f and the vjp are called once more
  than the checker does.
* Undecided counts what `check_vjp` leaves open. Of the others, it counts what they were not asked
  (complex numbers, whose convention differs, and arguments of more than {largest} numbers) and
  where they raised an error of their own.
* TensorFlow runs in the environment that `scripts/peer_env tensorflow` makes.

{versions}.{missing}

## All functions

{right} right vjps and {wrong} wrong ones. "Missed factors" are those of the missed vjps that are
off by one factor close to 1, mostly 1.0001. A checker whose relative tolerance is 1e-3 allows them,
and its documentation says so.

{totals}

## Missed and false alarms, by kind of function

Each cell says how many were missed / how many false alarms were raised.

{kinds}

`docs/checkers.json` has the names of all functions and vjps in these counts.
"""


def write_page(record: dict[str, Any], settings: dict[str, Any], peers: Sequence[str]) -> None:
    """Write the page of a record (`scripts/score_corpus.py`)."""
    PAGE.write_text(page_text(record, settings, peers))


def page_text(record: dict[str, Any], settings: dict[str, Any], peers: Sequence[str]) -> str:
    """The text of the page; it names the peers that are not in the record."""
    answers = record["answers"]
    absent = [name for name in peers if name not in [a["checker"] for a in answers]]
    right, wrong, *_ = answers[0]["all"]
    return TEXT.format(
        **settings,
        right=right,
        wrong=wrong,
        versions=", ".join(f"{name} {number}" for name, number in record["versions"].items()),
        missing=f" Not asked: {', '.join(absent)}, which was not installed." if absent else "",
        totals=totals(answers),
        kinds=kinds(answers),
    )


def totals(answers: Sequence[dict[str, Any]]) -> str:
    """The table of all functions together."""
    header = ["checker", *COUNTS, "missed factors", "not asked", "raised", "seconds"]
    rows = [
        [
            answer["checker"],
            *answer["all"][2:],
            sum(", scaled" in name for name in answer["misses"]),
            *(answer[key] for key in ("not asked", "refused", "seconds")),
        ]
        for answer in answers
    ]
    return markdown(header, rows)


def kinds(answers: Sequence[dict[str, Any]]) -> str:
    """The table of misses and false alarms: a row for each kind of function."""
    rows = []
    for kind, (right, wrong, *_) in answers[0]["kinds"].items():
        cells = [a["kinds"][kind][2:4] for a in answers]
        rows.append([kind, right, wrong, *(f"{missed} / {alarms}" for missed, alarms in cells)])
    return markdown(["kind", "right", "wrong", *(a["checker"] for a in answers)], rows)
