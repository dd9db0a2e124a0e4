"""A report as one page of HTML that needs nothing else: verdicts, a picture of errors, and causes.

The page has no script, and reads in a browser without a network. Colours are never the only sign.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ttref.oracle.files import from_json

COLUMNS = ("check", "tensor", "cases", "wrong", "undecided", "normwise u", "condition u", "verdict")
LEAST = -1.0  # powers of ten of the picture, in units of roundoff
MOST = 10.0
WIDTH = 420
LEFT = 190
ROW = 24
FAR = 1e-5  # relative error of floats that is marked
MOST_SHOWN = 12  # rows and columns of an array
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .15rem .7rem; text-align: right; }
th { border-bottom: 2px solid #999; } td { border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
.wrong { color: #a00000; font-weight: bold; } .right { color: #00591f; }
.banner { font-size: 1.1rem; padding: .6rem 1rem; border-left: .5rem solid; background: #f4f4f4; }
.numbers td:nth-child(n) { font: 14px ui-monospace, monospace; border: 1px solid #ddd;
  text-align: right; }
.numbers td.differs:nth-child(n) { background: #ffe3d6; font-weight: bold; border-color: #a00000; }
code { background: #f4f4f4; padding: .1rem .3rem; overflow-wrap: anywhere; }
svg text { font: 14px system-ui, sans-serif; }
"""


def make_page(report: Mapping[str, Any]) -> str:
    """The page of a report.

    Parameters
    ----------
    report : dict
        Of `ttref.oracle.report`.

    Returns
    -------
    str
        HTML.
    """
    name = escape(report["adapter"])
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>ttref oracle: {name}</title><style>{STYLE}</style></head><body>",
            f"<h1>{name}</h1>",
            *_banner(report),
            *_section("Why", [*report["diagnosis"], *report["probes"]]),
            *_section("Where", report["patterns"]),
            "<h2>Verdicts</h2>",
            *_verdicts(report["rows"]),
            "<h2>Errors</h2>",
            *_picture(report["rows"]),
            *_smallest(report["failures"]),
            *_section("Not asked", _not_asked(report)),
            "<h2>Again</h2>",
            f"<p>These verdicts: <code>{escape(report.get('command', ''))}</code></p>",
            "<p>The failing cases alone, after a change: <code>ttref oracle replay "
            f"{escape(report.get('file') or 'REPORT.json')}</code></p>",
            "</body></html>",
        ]
    )


def _banner(report: Mapping[str, Any]) -> Iterator[str]:
    """The verdict in one line."""
    kind = "right" if report["ok"] else "wrong"
    words = "Nothing is wrong" if report["ok"] else "Something is WRONG"
    seed = f", seed {report['seed']}" if "seed" in report else ""
    yield (
        f'<p class="banner {kind}">{words}: {report["comparisons"]} comparisons, '
        f"{report['wrong']} wrong{seed}.</p>"
    )


def _section(title: str, sentences: Sequence[str]) -> Iterator[str]:
    """A list of sentences below a title; nothing if there are none."""
    if sentences:
        yield f"<h2>{title}</h2><ul>"
        yield from (f"<li>{escape(sentence)}</li>" for sentence in sentences)
        yield "</ul>"


def _not_asked(report: Mapping[str, Any]) -> list[str]:
    refused = [f"{count} problems: {why}" for why, count in report["unsupported"].items()]
    return refused + [f"{check}: {why}" for check, why in report["skipped"].items()]


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield '<div class="wide"><table><tr>'
    yield from (f'<th scope="col">{column}</th>' for column in COLUMNS)
    yield "</tr>"
    for row in rows:
        kind = _kind(row)
        cells = "".join(f"<td>{_cell(row[column])}</td>" for column in COLUMNS[:-1])
        yield f'<tr>{cells}<td class="{kind}">{escape(row["verdict"])}</td></tr>'
    yield "</table></div>"


def _kind(row: Mapping[str, Any]) -> str:
    """The class of a verdict."""
    if row["wrong"]:
        return "wrong"
    is_right = row["verdict"] == "exact" or row["verdict"].startswith("within")
    return "right" if is_right else ""


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2g}" if value else ""
    return "" if value is None else escape(str(value))


def _picture(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The errors of floats in units of roundoff, on a logarithmic axis, and what was exact."""
    rows = [row for row in rows if not row["check"].startswith("calls")]
    height = ROW * (len(rows) + 2)
    yield (
        f'<div class="wide"><svg role="img" viewBox="0 0 {LEFT + WIDTH + 130} {height}" '
        f'width="{LEFT + WIDTH + 130}" height="{height}">'
        "<title>Largest error of each tensor, in units of roundoff times the same computation on "
        "absolute values</title>"
    )
    for power in range(0, int(MOST) + 1, 2):
        x = _place(10.0**power)
        yield f'<line x1="{x}" x2="{x}" y1="4" y2="{height - ROW}" stroke="#ccc"/>'
        label = f"10<tspan dy='-5' font-size='10'>{power}</tspan>" if power else "1 u"
        yield f'<text x="{x}" y="{height - 6}" text-anchor="middle">{label}</text>'
    for k, row in enumerate(rows):
        yield from _bar(row, ROW * k + 4)
    yield "</svg></div>"
    yield (
        "<p>Largest error in units of roundoff u times the same computation on absolute values "
        "(condition u). Striped bars are wrong; a circle marks results that are equal.</p>"
    )


def _bar(row: Mapping[str, Any], y: int) -> Iterator[str]:
    """One row of the picture."""
    middle = y + ROW // 2 + 1
    name = escape(f"{row['check']}  {row['tensor']}")
    yield f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{name}</text>'
    error = row["condition u"] or 0.0
    wrong = bool(row["wrong"])
    colour = "#a00000" if wrong else "#00591f"
    if row["check"].startswith("lattice") or not error:
        mark = f'<circle cx="{LEFT}" cy="{middle}" r="5" fill="none" stroke="{colour}"/>'
        if wrong:
            mark = f'<path d="M{LEFT - 5} {middle - 5}l10 10m0 -10l-10 10" stroke="{colour}"/>'
        yield mark
        yield _label(LEFT + 12, middle, colour, row["verdict"])
        return
    end = _place(error)
    dashes = ' stroke-dasharray="4 2"' if wrong else ""
    yield (
        f'<line x1="{LEFT}" x2="{end}" y1="{middle}" y2="{middle}" stroke="{colour}" '
        f'stroke-width="10"{dashes}/>'
    )
    yield _label(end + 8, middle, colour, row["verdict"])


def _label(x: float, y: float, colour: str, words: str) -> str:
    return f'<text x="{x}" y="{y + 4}" fill="{colour}">{escape(words)}</text>'


def _place(error: float) -> float:
    """Where an error lies on the axis."""
    power = math.log10(error) if 0 < error < math.inf else MOST
    share = (min(max(power, LEAST), MOST) - LEAST) / (MOST - LEAST)
    return round(LEFT + WIDTH * share, 1)


def _smallest(failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The smallest failing cases as numbers, the first one open."""
    if not failures:
        return
    yield "<h2>Smallest failing cases</h2>"
    for k, failure in enumerate(failures):
        title = f"{failure['check']} {failure['dtype']} of {failure['tensor']}"
        yield f"<details{' open' * (k == 0)}><summary>{escape(title)}</summary>"
        yield f"<p>{escape(failure['words'])}</p>"
        found = from_json(failure["found"])
        expected = from_json(failure["expected"])
        differs = np.asarray(found != expected)
        far = np.logical_not(np.isclose(found, expected, rtol=FAR, atol=0))
        if failure["check"] != "lattice" and far.any():
            differs = far
        yield from _numbers(f"{failure['tensor']} found", found, differs)
        yield from _numbers(f"{failure['tensor']} expected", expected, differs)
        cotangent = {"dy": failure["dy"]} if "dy" in failure else {}
        for name, value in {**failure["inputs"], **cotangent}.items():
            yield from _numbers(name, from_json(value))
        yield "</details>"


def _numbers(name: str, x: np.ndarray, differs: np.ndarray | None = None) -> Iterator[str]:
    """An array as a table: rows are all axes but the last."""
    rows = x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)
    marks = np.zeros(rows.shape, bool) if differs is None else differs.reshape(rows.shape)
    shape = " x ".join(map(str, x.shape))
    yield f'<h3>{escape(name)} ({shape})</h3><div class="wide"><table class="numbers">'
    for row, mark in zip(rows[:MOST_SHOWN], marks[:MOST_SHOWN], strict=True):
        cells = zip(row[:MOST_SHOWN], mark[:MOST_SHOWN], strict=True)
        marked = (f"<td{' class=differs' * bool(m)}>{_number(v)}</td>" for v, m in cells)
        more = "<td>...</td>" * (len(row) > MOST_SHOWN)
        yield f"<tr>{''.join(marked)}{more}</tr>"
    yield "</table></div>"
    if len(rows) > MOST_SHOWN:
        yield f"<p>... and {len(rows) - MOST_SHOWN} more rows</p>"


def _number(value: Any) -> str:
    """A number, an integer without a point."""
    number = float(value)
    return f"{int(number)}" if number.is_integer() and abs(number) < 2**53 else f"{number:.9g}"
