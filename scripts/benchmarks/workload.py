"""What a workload is."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple


class Run(NamedTuple):
    """A system set up for one problem."""

    step: Callable  # the timed call; returns when its work is done, or was queued (see `wait`)
    results: Callable  # {name: NumPy array} of a step, in ttref's layout
    wait: Callable = lambda: None  # returns when all queued work is done (GPU)
    steps: int = 1  # that the timed call takes


@dataclass(frozen=True)
class System:
    """One contestant.

    Parameters
    ----------
    build : function of (case, problem, device)
        Returns a `Run`; it imports what it needs.
    role : str
        ours; peer (counts for the best peer); other (shown beside).
    env : str
        The environment that it runs in, of `scripts/peer_env`.
    devices : tuple of str
        Of cpu and gpu, where it runs.
    refuse : function of (case), optional
        Why it cannot run a case, or None.
    partial : bool
        Whether it lacks some results, such as the gradients of cores it does not have.
    """

    build: Callable
    role: str = "peer"
    env: str = "bench"
    devices: tuple = ("cpu",)
    refuse: Callable = lambda case: None
    partial: bool = False


@dataclass(frozen=True)
class Workload:
    """Cases that several systems run.

    Parameters
    ----------
    name, title : str
        What ``--only`` says, and the heading of its section.
    cases : dict of dicts
        By label, whatever `problem` and the systems read, in JSON types.
    systems : dict of Systems
        By name; a name is a process, shared with the other workloads.
    problem : function of (case, exact)
        Inputs for timing, or those of the check. It may need NumPy only: some peers cannot live
        with ttref in one environment.
    truth : function of (case, problem), optional
        The results, as NumPy arrays by name, that every system has to give before it is timed.
    tolerance : float, optional
        Relative error in norm that results may have; None for ``==``.
    work : function of (case), optional
        Least floating-point operations and bytes of a step, for the lower bound, or None.
    targets : function of (case, threads), optional
        Ratio to the best peer that is aimed at, and how many times the lower bound a step may take;
        None where there is no target.
    columns : function of (case, result), optional
        More columns of the page: ``{heading: number}``.
    gpu_cases : dict of dicts
        Cases added on a GPU.
    threads : tuple of ints
    memory : bool
        Whether the peak memory of ttref's step is measured too.
    """

    name: str
    title: str
    cases: dict
    systems: dict
    problem: Callable
    truth: Callable | None = None
    tolerance: float | None = None
    work: Callable | None = None
    targets: Callable = lambda case, threads: (None, None)
    columns: Callable | None = None
    gpu_cases: Any = None
    threads: tuple = (1, 2)
    memory: bool = False

    def all_cases(self, gpu):
        """Its cases, with those for a GPU."""
        return self.cases | (self.gpu_cases or {}) if gpu else self.cases

    @property
    def runs_on_gpu(self):
        """Whether a system of ours does."""
        return any(s.role == "ours" and "gpu" in s.devices for s in self.systems.values())


def all_workloads():
    """Every workload by name, in the order of their files."""
    package = import_module("benchmarks.workloads")
    names = sorted(module.name for module in iter_modules(package.__path__))
    modules = [import_module(f"benchmarks.workloads.{name}") for name in names]
    return {w.name: w for module in modules for w in getattr(module, "WORKLOADS", ())}
