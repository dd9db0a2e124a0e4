"""A planner of the test's own, whatever this machine's user has calibrated."""

import json

import pytest

from ttref.fast import machine, plan, products, work


def forget():
    caches = machine.machine, machine.stored, plan.best_plan, plan.merging_seconds, work.work_of
    choices = products.rows_of_block, products.slices_seconds
    for cached in (*caches, *choices):
        cached.cache_clear()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Write ``machine.json`` of these sections, or this text, where the planner looks for it."""
    monkeypatch.setenv("TTREF_CACHE", str(tmp_path))

    def write(text=None, **sections):
        text = json.dumps({"machines": {}, "plans": {}} | sections) if text is None else text
        (tmp_path / "machine.json").write_text(text)
        forget()

    forget()
    yield write
    monkeypatch.undo()
    forget()
