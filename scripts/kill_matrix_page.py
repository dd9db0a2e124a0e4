"""The page of a record of scores, docs/kill_matrix.md, and its pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
from markdown_table import markdown

from ttref.testing.cases import CASES
from ttref.testing.mutants import GROUPS, KINDS, MUTANTS

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

PAGE = Path("docs/kill_matrix.md")
CURVES = Path("docs/img/power_curves.png")
MATRIX = Path("docs/img/kill_matrix.png")
FORMATS = ("float64", "float32")
CURVE_TITLES = {"linear": "linear layers", "others": "the others"}
TOO_MANY_ALARMS = 0.05  # where right operators are so often found wrong, a kill proves nothing
COLOURS = ListedColormap(["tab:red", "lightgrey", "tab:green", "gold"])

Result: TypeAlias = dict[str, Any]
"""What is recorded of one checker on one format (`scripts/score_checkers.py`)."""


def draw_curves(results: list[Result]) -> None:
    """Draw the fraction of planted errors found, over their size."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharey=True, layout="constrained")
    for row, key in enumerate(CURVE_TITLES):
        for column, dtype in enumerate(FORMATS):
            title = f"{dtype}, {CURVE_TITLES[key]}"
            of_format = [result for result in results if result["dtype"] == dtype]
            draw_panel(axes[row][column], title, key, of_format)
    for panel in axes[1]:
        panel.set_xlabel("relative error of a whole gradient")
    for panel in axes[:, 0]:
        panel.set_ylabel("fraction found")
    for panel in axes[0]:
        panel.legend(fontsize=7)
    figure.savefig(CURVES, dpi=110)


def draw_panel(panel: Axes, title: str, key: str, results: list[Result]) -> None:
    """Draw a curve for each checker; those with many false alarms are dotted."""
    decades: list[int] = []
    for k, result in enumerate(results):
        decades = [int(decade) for decade in result[key]]
        fractions = list(result[key].values())
        many_alarms = result["false alarms"] > TOO_MANY_ALARMS
        panel.plot(
            decades,
            fractions,
            label=result["checker"] + (" (false alarms)" if many_alarms else ""),
            color=f"C{k}",
            linestyle=":" if many_alarms else "-",
            marker="o",
            markersize=9 - 1.5 * k,
        )
    panel.set(title=title, ylim=(-0.05, 1.05))
    panel.set_xticks(decades, [f"1e-{d}" for d in decades], rotation=60, fontsize=7)
    panel.grid(alpha=0.3)


def draw_matrix(results: list[Result]) -> None:
    """Draw every mutant by every checker, in colours; kinds of mutants side by side."""
    order = [m.name for kind in KINDS for m in MUTANTS.values() if m.kind == kind]
    sizes = [sum(m.kind == kind for m in MUTANTS.values()) for kind in KINDS]
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    middles = [end - size / 2 for end, size in zip(ends, sizes, strict=True)]
    figure, axes = plt.subplots(len(FORMATS), 1, figsize=(9, 4.2), layout="constrained")
    for panel, dtype in zip(axes, FORMATS, strict=True):
        chosen = [result for result in results if result["dtype"] == dtype]
        cells = [[shade(result, name) for name in order] for result in chosen]
        panel.imshow(cells, aspect="auto", cmap=COLOURS, vmin=0, vmax=3, interpolation="nearest")
        labels = [f"{r['checker']} ({r['false alarms']:.0%} false alarms)" for r in chosen]
        panel.set_yticks(range(len(labels)), labels, fontsize=7)
        for end in ends[:-1]:
            panel.axvline(end - 0.5, color="black", lw=1)
        panel.set_xticks(middles, [f"wrong: {kind}" for kind in KINDS], fontsize=7)
        panel.set_title(dtype, fontsize=9)
    figure.suptitle(
        "mutants: found (green), found but so are right operators (yellow), "
        "taken for right (red), not checked (grey)",
        fontsize=9,
    )
    figure.savefig(MATRIX, dpi=110)


def shade(result: Result, mutant: str) -> int:
    """The index of a colour for what a checker says of a mutant."""
    found = result["kills"].get(mutant)
    if found and result["false alarms"] > TOO_MANY_ALARMS:
        return 3
    return {True: 2, False: 0, None: 1}[found]


TEXT = """# Which errors which checker finds

Made by `scripts/score_checkers`. A mutant is a wrong operator; `ttref.testing.mutants` has
{mutants} of them. There are four kinds: wrong in forward; wrong in the gradient; wrong in both and
consistent, so that the gradient is that of the wrong forward; or right but for extremes, where the
formula overflows. All checkers get random cases of the same makers. A checker finds a mutant if it
finds anything wrong in {seeds} x {examples} cases. It raises a false alarm if it finds anything
wrong in {examples} cases of the right operator.

ttref climbs its ladder of checks (level certified). The others get forward and backward as a custom
function on normal random numbers, with their default tolerances, in reverse mode, first order.
Three things follow from that:

* They are not told what forward should compute, so a consistent mutant looks right to them.
* An optimiser has no gradient that they could check ("-").
* On normal random numbers no input is at a kink, and few are beyond 3, where a hard sigmoid of
  slope 1/6 is flat.

TensorFlow's `tf.test.compute_gradient` returns two Jacobians; a difference above
{tensorflow_error} counts as found. It runs in the environment that `scripts/peer_env tensorflow`
makes.

{versions}.

Two pages stand beside this one. [checkers.md](checkers.md) asks the same checkers about functions
that people write. [onnx_cases.md](onnx_cases.md) asks which wrong cells published cases notice.

## Mutants found

{summaries}

"false alarms" is the fraction of the right operators' checks that found something wrong. Where it
is large, a mutant that was found proves nothing. The seconds are those of the whole score, with the
planted errors below; two checkers ran at a time.

![Kill matrix](img/kill_matrix.png)

{survivors}

## Planted errors

One gradient of the right operator, of a parameter or of the input, is multiplied as a whole by
1 + 10^-k wherever it is computed on floats. (The largest k is 15 in float64, and 7 in float32,
where the factor is 1 + 2^-23.) On exact numbers the operator stays right, so ttref has to find the
error in the floats. If a checker found no error of one size, smaller ones were not tried.

The linear layers are {linear}.
The other operators round where they call functions or divide. An error that is smaller than what
these roundings explain is no error. Curves of checkers with more than 5 % false alarms are dotted.

![Power curves](img/power_curves.png)

{curves}

## False alarms of ttref

The right operators of all {families} families, in turn, in float32 and float64, at mixed sizes. A
row is a run of `scripts/score_checkers --false-alarms CASES --level LEVEL --seeds SEEDS`, where
each seed has its own cases; the seconds are of one core. Undecided are comparisons without a
certain answer: a number lies on a kink, or a ball is too wide.

{alarms}

## Not run

chainer was not run: its last release, 7.8.1, cannot be imported under NumPy 2 (`np.sctypes` is
gone), which ttref needs.{missing}

## The matrix

The results in float64. x: found; o: taken for right; -: not checked.

{matrix}
"""


def write_page(record: Result, settings: dict[str, Any]) -> None:
    """Write the page of a record, and its pictures."""
    MATRIX.parent.mkdir(exist_ok=True)
    draw_matrix(record["scores"])
    draw_curves(record["scores"])
    PAGE.write_text(page(record, settings))


def page(record: Result, settings: dict[str, Any]) -> str:
    """Make the text of the page; `settings` are those of the scoring."""
    missing = set(settings["peers"]) - {result["checker"] for result in record["scores"]}
    return TEXT.format(
        **settings,
        mutants=len(MUTANTS),
        versions=", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items()),
        summaries="\n\n".join(summary_table(record["scores"], d) for d in FORMATS),
        survivors=survivors(record["scores"]),
        curves=curve_table(record["scores"]),
        alarms=alarm_text(record.get("false alarms", [])),
        families=len(CASES),
        missing=f" Not installed: {', '.join(sorted(missing))}." if missing else "",
        matrix=matrix(record["scores"]),
    )


def summary_table(results: list[Result], dtype: str) -> str:
    """Make the table of mutants found by kind and by group, and false alarms."""
    groups = {kind: [m.name for m in MUTANTS.values() if m.kind == kind] for kind in KINDS}
    groups |= {name: [m.name for m in group] for name, group in GROUPS.items()}
    header = [dtype, *(f"{name} ({len(group)})" for name, group in groups.items())]
    rows = [
        [
            result["checker"],
            *(count(result["kills"], group) for group in groups.values()),
            f"{result['false alarms']:.0%}",
            result["seconds"],
        ]
        for result in results
        if result["dtype"] == dtype
    ]
    return markdown([*header, "false alarms", "seconds"], rows)


def count(kills: dict[str, bool | None], names: Iterable[str]) -> int | str:
    """Count the mutants that were found; "-" where none could be checked."""
    known = [found for name in names if (found := kills.get(name)) is not None]
    return sum(known) if known else "-"


def survivors(results: list[Result]) -> str:
    """List the mutants that were taken for right.

    Of the other checkers, only those whose gradient is not that of their forward.
    """
    lines = []
    for result in results:
        missed = [name for name, found in result["kills"].items() if found is False]
        inconsistent = [name for name in missed if MUTANTS[name].kind != "consistent"]
        if result["checker"] == "ttref":
            words = ", ".join(missed) or "none"
        else:
            words = f"{len(missed)}, of which inconsistent: {', '.join(inconsistent) or 'none'}"
        lines.append(f"- {result['checker']}, {result['dtype']}: {words}")
    return "Survivors:\n\n" + "\n".join(lines)


def curve_table(results: list[Result]) -> str:
    """Make the table of the smallest errors down to which every planted one was found."""
    columns = [(dtype, key) for dtype in FORMATS for key in CURVE_TITLES]
    rows = []
    for name in dict.fromkeys(result["checker"] for result in results):
        of = {result["dtype"]: result for result in results if result["checker"] == name}
        rows.append([name, *(smallest(of[d], key) if d in of else "" for d, key in columns)])
    table = markdown(["checker", *(f"{dtype}, {key}" for dtype, key in columns)], rows)
    return f"Smallest relative error down to which every planted one was found:\n\n{table}"


def smallest(result: Result, key: str) -> str:
    """The smallest error in words; "-" for a checker with many false alarms."""
    if result["false alarms"] > TOO_MANY_ALARMS:
        return "-"
    decade = result["smallest"][key]
    return f"1e-{decade}" if decade else "none"


def alarm_text(campaigns: Sequence[Result]) -> str:
    """Say what the runs of the right operators found, and in which families."""
    if not campaigns:
        return "Not run yet: `scripts/score_checkers --false-alarms 100000`."
    rows = [
        [
            run["level"],
            " ".join(map(str, run["seeds"])),
            *(run[key] for key in ("cases", "comparisons", "undecided", "alarms")),
            round(run["seconds"]),
        ]
        for run in campaigns
    ]
    header = ["level", "seeds", "cases", "comparisons", "undecided", "wrong", "seconds"]
    first = "".join(f"\n\n    {words}" for run in campaigns for words in run["first"])
    return f"{markdown(header, rows)}{first}\n\n{family_table(campaigns)}"


def family_table(campaigns: Sequence[Result]) -> str:
    """Make the table of the families, over all campaigns."""
    keys = ("cases", "comparisons", "undecided", "alarms")
    families = campaigns[0]["families"]
    rows = [
        [name, *(sum(run["families"][name].get(k, 0) for run in campaigns) for k in keys)]
        for name in families
    ]
    return markdown(["family", "cases", "comparisons", "undecided", "wrong"], rows)


def matrix(results: list[Result]) -> str:
    """Make the table of every mutant by every checker."""
    results = [result for result in results if result["dtype"] == "float64"]
    marks = {True: "x", False: "o", None: "-"}
    header = ["mutant", "wrong", "what", *(result["checker"] for result in results)]
    return markdown(
        header,
        [
            [f"`{m.name}`", m.kind, m.note, *(marks[r["kills"].get(m.name)] for r in results)]
            for m in MUTANTS.values()
        ],
    )
