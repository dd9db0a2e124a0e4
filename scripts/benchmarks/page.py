"""docs/benchmarks.json, and the page and the picture that are made from it."""

import json
import platform
from math import floor, log10
from pathlib import Path

from benchmarks.driver import REST, ROOT, SLOW_KERNELS, TURN, interpreter

RECORD, PAGE = ROOT / "docs" / "benchmarks.json", ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "img" / "bench_scale.png"
SCALE = "scale"

TEXT = """# Benchmarks

Made by `scripts/bench`, float32. Every system runs in a process of its own, bound to as many
cores as it has threads, with {kernels} unset.
One system works at a time. The systems take turns of {turn} s, or of one step if a step is
longer; each turn starts with a step that is not timed, and {rest} s of rest follow. Before a
system is timed, its results are checked: y and the gradients of cores, bias and x have to equal
ttref's. They are equal by `==` on integers, or, where the workload is not polynomial, up to the
roundoff of its longest sum. All systems keep freed memory in the same way. ttref gets new cores
at every step, as after an update by an optimiser. Each cell of a table holds the least and the
median time of a step, which is one forward and one backward pass.

## Workloads

{titles}

## Terms

* A *TT peer* is a system that computes the same TT layer. The *best TT peer* is the one of least
  median time.
* *Ratio*: the median time of the best TT peer, divided by ttref's. Above 1, ttref is faster.
* *Target*: the least ratio that is aimed at.
* *Lower bound* on the time of a layer: the larger of two times. One is that of its operations,
  three times those of the cheapest order of contraction forward, at the rate of a 1024 x 1024
  matrix product. The other is that of its bytes, at the rate of a copy of as many. Both rates are
  measured in turn with the layer.
* *Times the bound*: ttref's median time, divided by the lower bound. Where a number is aimed at,
  it stands in brackets.
* *Chain*: core by core, without a search for a better order. *Factorized* and *reconstructed* are
  TensorLy-Torch's two ways: with the cores, or with the matrix that they make.

{machines}
{gpu}

{summary}

{sections}
"""
GPU = "On a GPU, products are float32, never TF32, and a turn ends when the card has finished."
NOT_MEASURED = "On a GPU: [what was measured by hand](gpu.md)."
MEMORY_TEXT = """\
Memory: the peak of what one step of ttref allocates, measured by tracemalloc. Buffers of BLAS and
the inputs are not part of it."""
TEXTS = {
    SCALE: f"""![time and memory against batch, d, rank and mode](img/bench_scale.png)

One quantity varies, the others are those of the base: d 4, mode 8, rank 8, batch 16, one core. A
sweep core by core takes `6 B n r^2 n^d` operations for each inner core, forward and backward, and
keeps `4 B n r n^d` bytes of state for it. The dashed lines are the exact sums of both; operations
are converted to time at the measured rate of a large matrix product.
{MEMORY_TEXT}

""",
    "memory": f"""\
The TT-LSTM on UCF11's shapes (W5) is trained as the first layer of a network, so without the
gradient of x: once without checkpoints, and once with a checkpoint every sqrt(T) steps. The
gradients of both are compared.
{MEMORY_TEXT}

""",
}


def load_record(path=RECORD):
    """``{workload: {label: {place: result}}}``; empty where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def add_result(workload, label, place, result, path=RECORD):
    """Put a result in its place in the record, as it is by now."""
    record = load_record(path)
    result |= {"machine": machine(), "python": interpreter()}
    record.setdefault(workload, {}).setdefault(label, {})[place] = result
    path.write_text(json.dumps(record, indent=1) + "\n")


def machine():
    """The processor's name where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write_page(record, workloads):
    """Page and picture."""
    PAGE.write_text(page(record, workloads))
    if record.get(SCALE):
        draw(record[SCALE], workloads[SCALE])


def page(record, workloads):
    """Text of the page."""
    measured = [w for w in sorted(workloads.values(), key=place_on_page) if rows(record, w)]
    has_gpu = any("gpu" in places for cases in record.values() for places in cases.values())
    return TEXT.format(
        kernels=" and ".join(SLOW_KERNELS),
        titles=titles(measured),
        turn=TURN,
        rest=REST,
        machines=machines(record),
        gpu=GPU if has_gpu else NOT_MEASURED,
        summary=summary(record, measured),
        sections="\n\n".join(section(record, w) for w in measured),
    )


def place_on_page(workload):
    """Key to sort by: W1, W2 and so on before the others."""
    numbered = workload.name.startswith("W")
    return not numbered, workload.name if numbered else ""


def titles(workloads):
    """A line per workload: what its name stands for."""
    return "\n".join(f"* **{workload.name}**: {workload.title}" for workload in workloads)


def rows(record, workload):
    """``(label, case, place, result)`` in the order of the workload's cases, then of places."""
    found = record.get(workload.name, {})
    cases = workload.all_cases(gpu=True)
    return [
        (label, case, place, found[label][place])
        for label, case in cases.items()
        for place in sorted(found.get(label, ()))
    ]


def machines(record):
    """A line per machine and set of versions."""
    lines: dict[str, dict] = {}
    for cases in record.values():
        for places in cases.values():
            for result in places.values():
                key = f"{result['machine']}, Python {result['python']}"
                lines.setdefault(key, {}).update(result["versions"])
    return "\n".join(
        f"{key}; {', '.join(f'{name} {versions[name]}' for name in sorted(versions))}."
        for key, versions in lines.items()
    )


def summary(record, workloads):
    """The table of ratios to the best peer."""
    columns = ("workload", "cores", "ttref, ms", "best TT peer", "its ms", "ratio", "target")
    head = f"| {' | '.join([*columns, 'times the bound'])} |"
    lines = [f"## Against the best TT peer\n\n{head}", "|---|---|---|---|---|---|---|---|"]
    for workload in workloads:
        for label, case, place, result in rows(record, workload):
            best = best_peer(workload, result)
            if best is None or workload.name == SCALE:
                continue
            ours, theirs = (result["systems"][name]["median"] for name in ("ttref", best))
            threads = 0 if place == "gpu" else int(place)
            wanted, allowed = workload.targets(case, threads)
            times = ours / result["bound"] if "bound" in result else None
            lines.append(
                f"| {workload.name} {label} | {place} | {digits(ours * 1e3)} | {best} | "
                f"{digits(theirs * 1e3)} | {digits(theirs / ours)} | {aim(wanted, theirs / ours)} "
                f"| {'' if times is None else digits(times)}{limit(times, allowed)} |"
            )
    return "\n".join(lines)


def best_peer(workload, result):
    """The TT peer of least median, or None."""
    peers = [
        name
        for name in result["systems"]
        if name in workload.systems and workload.systems[name].role == "peer"
    ]
    return min(peers, key=lambda name: result["systems"][name]["median"], default=None)


def aim(wanted, ratio):
    """A target, and whether it is missed."""
    if wanted is None:
        return ""
    return f"{wanted}" if ratio >= wanted else f"{wanted}, missed"


def limit(times, allowed):
    """The most times the lower bound that are allowed, and whether that is missed."""
    if allowed is None or times is None:
        return ""
    return f" (at most {allowed})" if times <= allowed else f" (at most {allowed}, missed)"


def section(record, workload):
    """A workload's table of all systems."""
    found = rows(record, workload)
    names = [s for s in workload.systems if any(s in r["systems"] for *_, r in found)]
    medians = [s["median"] for *_, r in found for s in r["systems"].values()]
    scale, unit = (1e6, "us") if max(medians) < 2e-4 else (1e3, "ms")
    columns = workload.columns or (lambda case, result: {})
    head = [f"case, {unit}", "cores", *names, *columns(found[0][1], found[0][3])]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, case, place, result in found:
        cells = [label, place, *(cell(result["systems"].get(name), scale) for name in names)]
        cells += map(digits, columns(case, result).values())
        lines.append(f"| {' | '.join(cells)} |")
    if absent := left_out(found):
        lines += ["", f"Left out: {absent}."]
    text = TEXTS.get(workload.name, "")
    return f"## {workload.name}: {workload.title}\n\n{text}" + "\n".join(lines)


def left_out(found):
    """Which systems are not in which rows, and why."""
    reasons: dict[tuple, list] = {}
    for label, _, place, result in found:
        for name, reason in result["left_out"].items():
            reasons.setdefault((name, reason), []).append(f"{label} on {place}")
    return "; ".join(f"{name} ({', '.join(at)}: {why})" for (name, why), at in reasons.items())


def cell(times, scale):
    """Least / median."""
    if times is None:
        return "-"
    return f"{digits(times['min'] * scale)} / {digits(times['median'] * scale)}"


def digits(value):
    """Three significant digits, no exponent; a dash for what is not known."""
    if not value:
        return "-"
    return f"{value:.{max(0, 2 - floor(log10(abs(value))))}f}"


def draw(results, workload):
    """Time and memory against each axis, with the formula of the sweep."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes = list(dict.fromkeys(label.split()[0] for label in workload.cases if "," not in label))
    figure, panels = pyplot.subplots(2, len(axes), figsize=(3.2 * len(axes), 6), sharey="row")
    for column, axis in zip(panels.T, axes, strict=True):
        points = [
            (int(label.split()[1]), case, results[label]["1"])
            for label, case in workload.cases.items()
            if label.split()[0] == axis and "," not in label and "1" in results.get(label, ())
        ]
        draw_axis(column, axis, points, workload)
    panels[0, 0].set_ylabel("ms, forward and backward")
    panels[1, 0].set_ylabel("MB")
    for row in panels:
        row[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)
    pyplot.close(figure)


def draw_axis(panels, axis, points, workload):
    """One column of the picture."""
    time, memory = panels
    values = [value for value, *_ in points]
    formulas = [workload.columns(case, result) for _, case, result in points]
    for name in workload.systems:
        timed = [(v, r["systems"][name]["median"]) for v, _, r in points if name in r["systems"]]
        time.loglog([v for v, _ in timed], [t * 1e3 for _, t in timed], "o-", ms=3, label=name)
    flops = [
        f["sweep, Gflop"] / r["peak"] * 1e12 for f, (*_, r) in zip(formulas, points, strict=True)
    ]
    time.loglog(values, flops, "k--", label="operations of a sweep")
    for column, look, label in (
        ("peak, MB", "o-", "ttref, peak"),
        ("sweep's states, MB", "k--", "states of a sweep"),
    ):
        memory.loglog(values, [f[column] for f in formulas], look, ms=3, label=label)
    memory.set_xlabel(axis)
    for panel in panels:
        panel.set_xticks(values, [str(v) for v in values])
        panel.minorticks_off()
