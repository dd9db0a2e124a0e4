"""What the tests say at their end: one line of what was skipped, and why."""

from collections import Counter
from typing import Any

import pytest

QUICK = "not slow"  # of setup.cfg: the expression that leaves the slow tests out
OTHER = "for other reasons (pytest -rs names them)"
REASONS = {
    "witness": ("torch or JAX (.ci/run installs them)", ("torch", "jax", "WITNESS")),
    "gpu": ("a GPU (scripts/test --gpu)", ("GPU", "cupy")),
    "data": ("data (TTREF_DATA)", ("REAL",)),
}
"""By the marker of a test: what it needs, and words in the reason of a test without the marker."""

SLOW = pytest.StashKey[int]()


def need(markers: Any, reason: str) -> str:
    """Say what a skipped test needs, by its markers or by the reason that it gives."""
    for marker, (what, words) in REASONS.items():
        if marker in markers or any(word in reason for word in words):
            return f"need {what}"
    return OTHER


def summary(skipped: Counter[str], slow: int) -> str:
    """One line: how many tests were skipped for each reason; empty if none was."""
    order = [*(f"need {what}" for what, _ in REASONS.values()), OTHER]
    parts = [f"{skipped[what]} {what}" for what in order if what in skipped]
    if slow:
        parts.append(f"{slow} are slow (scripts/test --all)")
    return "skipped: " + ", ".join(parts) if parts else ""


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the slow tests that are left out."""
    config = items[0].config
    if config.option.markexpr == QUICK:
        slow = sum(item.get_closest_marker("slow") is not None for item in items)
        config.stash[SLOW] = config.stash.get(SLOW, 0) + slow


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the count of a worker of xdist to the process that started it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["slow"] = session.config.stash.get(SLOW, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the count of a worker; all workers collect the same tests."""
    node.config.stash[SLOW] = getattr(node, "workeroutput", {}).get("slow", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the line."""
    skipped = Counter(
        need(getattr(report, "keywords", ()), str(report.longrepr[-1]))  # a module has none
        for report in terminalreporter.stats.get("skipped", [])
    )
    line = summary(skipped, config.stash.get(SLOW, 0))
    if line:
        terminalreporter.write_line(line)
